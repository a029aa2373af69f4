//! [`Remembered`]: what sources had, or did not have, for a short while; and one asking at a time for the same thing.
//!
//! A question that is put again and again must not become a stream of requests, and what is not there must not be
//! asked for each time. What is remembered are candidates: nothing is believed for standing here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use revocast_pki::certificate::Certificate;
use tokio::sync::OnceCell;

use super::plan::Ask;
use crate::elsewhere::NotHad;

/// At most this many are remembered; beyond, all are forgotten.
const MAX_ASKS: usize = 4_096;

/// Octets of what was asked for and of certificates that are remembered; beyond, all are forgotten.
const MAX_OCTETS: usize = 16 << 20;

/// Whoever did not answer is asked again after this long at the latest.
const DOUBT_LASTS: Duration = Duration::from_secs(2);

/// What an ask brought.
pub(super) type Brought = Result<Vec<Certificate>, NotHad>;

/// The memory of asks. The cell is filled by whoever asks first; the others wait for it.
#[derive(Default)]
pub(super) struct Remembered(Mutex<State>);

#[derive(Default)]
struct State {
    asks: HashMap<Ask, Entry>,
    /// Of all entries.
    octets: usize,
}

struct Entry {
    cell: Arc<OnceCell<Brought>>,
    until: Instant,
    octets: usize,
}

impl State {
    /// Forgets what is over, and everything where there is no room for another ask.
    fn make_room(&mut self, now: Instant) {
        self.asks.retain(|_, entry| now < entry.until);
        self.octets = self.asks.values().map(|entry| entry.octets).sum();
        if self.asks.len() >= MAX_ASKS || self.octets >= MAX_OCTETS {
            *self = State::default();
        }
    }
}

impl Remembered {
    /// What was brought, or the place for it. `fresh_for` is how long it will count.
    pub(super) fn cell(&self, ask: &Ask, fresh_for: Duration, now: Instant) -> Arc<OnceCell<Brought>> {
        let mut state = self.lock();
        if let Some(entry) = state.asks.get(ask)
            && now < entry.until
        {
            return entry.cell.clone();
        }
        state.make_room(now);
        let entry = Entry { cell: Arc::default(), until: now + fresh_for, octets: ask.size() };
        state.octets += entry.octets;
        let cell = entry.cell.clone();
        state.asks.insert(ask.clone(), entry);
        cell
    }

    /// Says what was brought: how much room it takes, and how long it may count.
    pub(super) fn filled(&self, ask: &Ask, brought: &Brought, now: Instant) {
        let mut state = self.lock();
        let State { asks, octets } = &mut *state;
        let Some(entry) = asks.get_mut(ask) else { return };
        match brought {
            Ok(certificates) => {
                let brought: usize = certificates.iter().map(|certificate| certificate.der().len()).sum();
                entry.octets += brought;
                *octets += brought;
            }
            Err(NotHad::Unavailable(_) | NotHad::Nobody(_)) => {
                entry.until = entry.until.min(now + DOUBT_LASTS);
            }
            Err(NotHad::Absent(_) | NotHad::Forbidden(_)) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(n: usize) -> Ask {
        Ask::Url(format!("http://h/{n}"))
    }

    #[test]
    fn an_ask_is_remembered_until_its_time_and_a_doubt_for_a_shorter_one() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        let same = |n, at| {
            let (first, second) =
                (remembered.cell(&ask(n), 15 * SECOND, now), remembered.cell(&ask(n), 15 * SECOND, at));
            Arc::ptr_eq(&first, &second)
        };
        remembered.cell(&ask(1), 15 * SECOND, now);
        remembered.filled(&ask(1), &Err(NotHad::Absent("no".into())), now);
        assert!(same(1, now + 14 * SECOND) && !same(1, now + 15 * SECOND));
        remembered.cell(&ask(2), 15 * SECOND, now);
        remembered.filled(&ask(2), &Err(NotHad::Unavailable("later".into())), now);
        assert!(same(2, now + SECOND) && !same(2, now + DOUBT_LASTS));
    }

    #[test]
    fn the_memory_is_bounded() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        for n in 0..=MAX_ASKS {
            remembered.cell(&ask(n), SECOND, now);
        }
        assert_eq!(remembered.lock().asks.len(), 1);
    }

    #[test]
    fn what_was_asked_for_takes_room_and_what_is_over_takes_none() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        let long = |n: usize| Ask::Url(format!("http://h/{n}/{}", "x".repeat(MAX_OCTETS / 4)));
        for n in 0..4 {
            remembered.cell(&long(n), SECOND, now);
        }
        assert_eq!(remembered.lock().asks.len(), 4);
        remembered.cell(&long(4), 2 * SECOND, now);
        assert_eq!(remembered.lock().asks.len(), 1, "there was no room for a fifth");
        remembered.cell(&ask(5), 3 * SECOND, now);
        remembered.cell(&ask(6), 3 * SECOND, now + 2 * SECOND);
        let state = remembered.lock();
        assert_eq!(state.asks.len(), 2);
        assert_eq!(state.octets, ask(5).size() + ask(6).size());
    }
}
