//! How much of what others tell is worked on. Pure: time is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use revocast_messages::Instance;

/// A validator that starts is told what the fleet has found in the last days: this many seconds' worth of one teller's
/// paths may come at once.
const BURST_S: u32 = 40;

/// All tellers together have this many times the rate of one. Names in subjects are bound to users only where each
/// validator has a user of its own, so a flood may come under many names.
const TOGETHER: u32 = 8;

/// At most this many tellers are told apart; a fleet has some hundreds. Beyond, they share one allowance.
const MAX_TELLERS: usize = 1_024;

/// An allowance that fills up again with time.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    per_second: f64,
    most: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// Full at `now`.
    pub(super) fn new(per_second: u32, most: u32, now: Instant) -> Bucket {
        Bucket { per_second: per_second.into(), most: most.into(), left: most.into(), filled: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
        }
        taken
    }

    /// How long until there is one.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        if self.left >= 1.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64((1.0 - self.left) / self.per_second).unwrap_or(Duration::MAX)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.most);
        self.filled = now;
    }
}

/// The allowances of all tellers.
pub(super) struct Pace {
    per_second: u32,
    by_teller: HashMap<Instance, Bucket>,
    others: Bucket,
    together: Bucket,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Pace {
        let bucket = |times: u32| {
            let per_second = per_second.saturating_mul(times);
            Bucket::new(per_second, per_second.saturating_mul(BURST_S), now)
        };
        Pace { per_second, by_teller: HashMap::new(), others: bucket(1), together: bucket(TOGETHER) }
    }

    /// Whether a path that `teller` tells may be judged.
    pub(super) fn admits(&mut self, teller: &Instance, now: Instant) -> bool {
        let full = self.by_teller.len() >= MAX_TELLERS;
        let own = match self.by_teller.get_mut(teller) {
            Some(own) => own,
            None if full => &mut self.others,
            None => {
                let most = self.per_second.saturating_mul(BURST_S);
                self.by_teller.entry(teller.clone()).or_insert(Bucket::new(self.per_second, most, now))
            }
        };
        own.take(now) && self.together.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teller(n: usize) -> Instance {
        format!("v{n}").parse().unwrap()
    }

    fn admitted(pace: &mut Pace, n: usize, times: usize, at: Instant) -> usize {
        (0..times).filter(|_| pace.admits(&teller(n), at)).count()
    }

    #[test]
    fn a_flood_of_one_teller_takes_nothing_from_another() {
        let now = Instant::now();
        let mut pace = Pace::new(10, now);
        assert_eq!(admitted(&mut pace, 1, 10_000, now), 400);
        assert_eq!(admitted(&mut pace, 2, 100, now), 100);
        assert_eq!(admitted(&mut pace, 1, 100, now + Duration::from_secs(2)), 20);
    }

    #[test]
    fn a_flood_under_many_names_is_bounded_as_well() {
        let now = Instant::now();
        let mut pace = Pace::new(10, now);
        let all: usize = (0..2_000).map(|n| admitted(&mut pace, n, 10, now)).sum();
        assert_eq!(all, 400 * TOGETHER as usize);
        assert!(pace.by_teller.len() <= MAX_TELLERS);
    }

    #[test]
    fn who_waits_as_long_as_told_is_admitted() {
        let now = Instant::now();
        let mut bucket = Bucket::new(4, 1, now);
        assert!(bucket.take(now));
        let wait = bucket.wait(now);
        assert!(!bucket.take(now + wait / 2));
        assert!(bucket.take(now + wait));
    }
}
