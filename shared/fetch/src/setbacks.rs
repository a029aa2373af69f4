//! [`Setbacks`]: what failed lately, and for how long it is left alone.
//!
//! Two kinds are kept apart. A *passing* failure (no connection, 503) is about a place, a host and path, which
//! is left alone for a random time below a ceiling that doubles with each failure ("full jitter": hosts that
//! fail for many are not asked by all at once), and for as long as it asks by Retry-After. A *lasting* one
//! (not found, too large) is about one URL and one limit, and is remembered for a fixed time: the negative cache.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::FetchConfig;
use crate::error::FetchError;
use crate::target::Target;

/// What is asked for, as far as setbacks are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    place: Key,
    document: Key,
}

impl Asked {
    pub(crate) fn new(target: &Target, limit: usize) -> Asked {
        Asked { place: Key::Place(target.place()), document: Key::Document(target.url.to_string(), limit) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Place(String),
    Document(String, usize),
}

#[derive(Clone, Copy, Debug)]
struct Setback {
    /// Failures one after the other.
    count: u32,
    until: Instant,
    /// A later failure counts as the first one again.
    forgotten: Instant,
}

/// The bounded memory of failures. Time and chance are parameters.
#[derive(Debug)]
pub(crate) struct Setbacks {
    known: HashMap<Key, Setback>,
    capacity: usize,
    negative_ttl: Duration,
    base: Duration,
    ceiling: Duration,
    retry_after_ceiling: Duration,
}

impl Setbacks {
    pub(crate) fn new(config: &FetchConfig) -> Setbacks {
        Setbacks {
            known: HashMap::new(),
            capacity: config.remembered_failures.get(),
            negative_ttl: config.negative_ttl,
            base: config.backoff_base,
            ceiling: config.backoff_ceiling,
            retry_after_ceiling: config.retry_after_ceiling,
        }
    }

    /// How much longer `asked` is to be left alone, if at all.
    pub(crate) fn wait(&self, asked: &Asked, now: Instant) -> Option<Duration> {
        [&asked.place, &asked.document]
            .into_iter()
            .filter_map(|key| self.known.get(key)?.until.checked_duration_since(now))
            .max()
            .filter(|wait| !wait.is_zero())
    }

    /// `asked` failed at `now`; `chance` is drawn evenly from 0 to 1.
    pub(crate) fn failed(&mut self, asked: &Asked, error: &FetchError, now: Instant, chance: f64) {
        let (key, setback) = if error.is_passing() {
            (&asked.place, self.passing(asked, error, now, chance))
        } else {
            let until = now + self.negative_ttl;
            (&asked.document, Setback { count: 1, until, forgotten: until })
        };
        if !self.known.contains_key(key) {
            self.make_room(now);
        }
        self.known.insert(key.clone(), setback);
    }

    /// `asked` was had: nothing is held against it any more.
    pub(crate) fn succeeded(&mut self, asked: &Asked) {
        self.known.remove(&asked.place);
        self.known.remove(&asked.document);
    }

    fn passing(&self, asked: &Asked, error: &FetchError, now: Instant, chance: f64) -> Setback {
        let before = self.known.get(&asked.place).filter(|setback| now < setback.forgotten);
        let count = before.map_or(1, |setback| setback.count.saturating_add(1));
        let jittered = self.ceiling_of(count).mul_f64(chance.clamp(0.0, 1.0));
        let demanded = error.retry_after().unwrap_or_default().min(self.retry_after_ceiling);
        let until = now + jittered.max(demanded);
        Setback { count, until, forgotten: until + self.ceiling.saturating_mul(2) }
    }

    /// The longest wait after `count` failures.
    fn ceiling_of(&self, count: u32) -> Duration {
        let doubled = 1u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.ceiling)
    }

    fn make_room(&mut self, now: Instant) {
        if self.known.len() < self.capacity {
            return;
        }
        self.known.retain(|_, setback| now < setback.forgotten);
        if self.known.len() >= self.capacity {
            let nearest =
                self.known.iter().min_by_key(|(_, setback)| setback.until).map(|(key, _)| key.clone());
            nearest.and_then(|key| self.known.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn setbacks() -> Setbacks {
        Setbacks::new(&FetchConfig {
            negative_ttl: 15 * SECOND,
            backoff_base: SECOND,
            backoff_ceiling: 60 * SECOND,
            retry_after_ceiling: 3_600 * SECOND,
            remembered_failures: 4.try_into().unwrap(),
            ..FetchConfig::default()
        })
    }

    fn asked(url: &str) -> Asked {
        Asked::new(&Target::parse(url, &[Scheme::Http].into()).unwrap(), 1_000)
    }

    fn status(code: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status { host: "h".into(), code, retry_after }
    }

    #[test]
    fn a_lasting_failure_is_about_one_url_and_ends_by_itself() {
        let (mut setbacks, now) = (setbacks(), Instant::now());
        setbacks.failed(&asked("http://h/search?a"), &status(404, None), now, 0.5);
        assert_eq!(setbacks.wait(&asked("http://h/search?a"), now), Some(15 * SECOND));
        assert_eq!(setbacks.wait(&asked("http://h/search?b"), now), None);
        assert_eq!(setbacks.wait(&asked("http://h/search?a"), now + 15 * SECOND), None);
    }

    #[test]
    fn a_passing_failure_is_about_the_place_and_success_forgives_it() {
        let (mut setbacks, now) = (setbacks(), Instant::now());
        setbacks.failed(&asked("http://h/search?a"), &status(503, None), now, 1.0);
        assert_eq!(setbacks.wait(&asked("http://h/search?b"), now), Some(SECOND));
        assert_eq!(setbacks.wait(&asked("http://h/other"), now), None);
        setbacks.succeeded(&asked("http://h/search?b"));
        assert_eq!(setbacks.wait(&asked("http://h/search?a"), now), None);
    }

    #[test]
    fn back_off_doubles_up_to_its_ceiling_and_starts_anew_after_a_quiet_time() {
        let (mut setbacks, asked, mut now) = (setbacks(), asked("http://h/x"), Instant::now());
        for longest in [1, 2, 4, 8, 16, 32, 60, 60] {
            setbacks.failed(&asked, &status(500, None), now, 1.0);
            assert_eq!(setbacks.wait(&asked, now), Some(longest * SECOND));
            now += longest * SECOND;
        }
        setbacks.failed(&asked, &status(500, None), now + 200 * SECOND, 1.0);
        assert_eq!(setbacks.wait(&asked, now + 200 * SECOND), Some(SECOND));
    }

    #[test]
    fn retry_after_is_honoured_up_to_its_ceiling() {
        let (mut setbacks, asked, now) = (setbacks(), asked("http://h/x"), Instant::now());
        setbacks.failed(&asked, &status(503, Some(120 * SECOND)), now, 0.0);
        assert_eq!(setbacks.wait(&asked, now), Some(120 * SECOND));
        setbacks.failed(&asked, &status(503, Some(Duration::MAX)), now, 0.0);
        assert_eq!(setbacks.wait(&asked, now), Some(3_600 * SECOND));
    }

    #[test]
    fn a_greater_limit_may_ask_again_for_what_was_too_large() {
        let (mut setbacks, now) = (setbacks(), Instant::now());
        let target = Target::parse("http://h/x", &[Scheme::Http].into()).unwrap();
        let error = FetchError::TooLarge { host: "h".into(), limit: 10 };
        setbacks.failed(&Asked::new(&target, 10), &error, now, 0.5);
        assert!(setbacks.wait(&Asked::new(&target, 10), now).is_some());
        assert!(setbacks.wait(&Asked::new(&target, 11), now).is_none());
    }

    proptest! {
        #[test]
        fn the_memory_is_bounded_and_no_wait_exceeds_its_ceiling(
            steps in prop::collection::vec((0u8..12, 0u16..3, 0.0f64..=1.0, 0u32..100), 1..60)
        ) {
            let (mut setbacks, mut now) = (setbacks(), Instant::now());
            for (path, kind, chance, pause) in steps {
                let asked = asked(&format!("http://h/{path}"));
                let error = status([404, 503, 500][usize::from(kind)], None);
                setbacks.failed(&asked, &error, now, chance);
                prop_assert!(setbacks.known.len() <= 4);
                prop_assert!(setbacks.wait(&asked, now).unwrap_or_default() <= 60 * SECOND);
                now += pause * SECOND;
            }
        }
    }
}
