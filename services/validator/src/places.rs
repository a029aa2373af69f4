//! [`Places`]: how much work at other people's hosts may be under way, in all and at one host. Pure.
//!
//! A host that is dead or slow holds its own few places and nobody else's; and all hosts that failed lately together
//! hold at most half of them, so that there is room for those that answer (PROMISES, I10).

use std::collections::HashMap;

/// Who holds how many places.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    per_host: usize,
    by_host: HashMap<String, usize>,
    held: usize,
    troubled: usize,
}

/// The right to work at a host, given back by [`Places::give`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    host: String,
    troubled: bool,
}

impl Places {
    /// `total` places, of which one host has at most `per_host`.
    pub(crate) fn new(total: usize, per_host: usize) -> Places {
        Places { total, per_host, by_host: HashMap::new(), held: 0, troubled: 0 }
    }

    /// A place at `host`, if there is one; `troubled` if what is to be done there failed before.
    pub(crate) fn take(&mut self, host: &str, troubled: bool) -> Option<Place> {
        let at_host = self.by_host.get(host).copied().unwrap_or(0);
        let crowded = troubled && self.troubled >= self.total.div_ceil(2);
        if crowded || at_host >= self.per_host || self.held >= self.total {
            return None;
        }
        self.by_host.insert(host.to_owned(), at_host + 1);
        self.held += 1;
        self.troubled += usize::from(troubled);
        Some(Place { host: host.to_owned(), troubled })
    }

    /// Gives a place back.
    pub(crate) fn give(&mut self, place: &Place) {
        self.held = self.held.saturating_sub(1);
        self.troubled = self.troubled.saturating_sub(usize::from(place.troubled));
        if let Some(at_host) = self.by_host.get_mut(&place.host) {
            *at_host -= 1;
            if *at_host == 0 {
                self.by_host.remove(&place.host);
            }
        }
    }

    /// Whether there is no place for anybody.
    pub(crate) fn are_full(&self) -> bool {
        self.held >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_never_takes_the_places_of_another() {
        let mut places = Places::new(8, 2);
        let held: Vec<Place> = std::iter::from_fn(|| places.take("dead", false)).collect();
        assert_eq!(held.len(), 2);
        assert!(places.take("sound", false).is_some());
        places.give(&held[0]);
        assert!(places.take("dead", false).is_some());
    }

    #[test]
    fn hosts_that_failed_lately_leave_half_of_the_places_to_others() {
        let mut places = Places::new(8, 2);
        let troubled = (0..100).filter(|n| places.take(&format!("dead-{n}"), true).is_some()).count();
        assert_eq!(troubled, 4);
        let others = (0..100).filter(|n| places.take(&format!("new-{n}"), false).is_some()).count();
        assert_eq!((others, places.are_full()), (4, true));
    }
}
