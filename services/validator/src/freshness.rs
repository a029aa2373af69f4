//! [`Freshness`]: up to when this validator provably knows what the notice streams know.
//!
//! An open connection proves nothing: it may be half open, and a node that is cut off from the others goes on sending
//! heartbeats of its own. Two things count, each with the instant for which it counts ([`Reading`]): a message
//! that is finished, as are all before it, proves that everything stored before it was, and a stream's leader that is asked for its last
//! sequence proves, once that sequence is reached, that everything stored before the *question* was. Publishers send
//! heartbeats through the streams so that there is always a last message; where they are silent, the leader is asked.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use revocast_bus::Bus;
use revocast_daemon::{Clock, Gauge, Health, Metrics, every};
use revocast_messages::subjects;
use serde::{Deserialize, Serialize};
use tracing::debug;

/// When freshness is asked for, and missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreshnessConfig {
    /// A stream's leader is asked for its end when nothing came for this long, a quarter more or less.
    #[serde(with = "humantime_serde")]
    pub probe: Duration,
    /// Without proof for this long the validator is degraded: it says so, and polls repositories by itself.
    #[serde(with = "humantime_serde")]
    pub degraded_after: Duration,
}

impl Default for FreshnessConfig {
    fn default() -> FreshnessConfig {
        // A stream's election of a leader takes about five seconds, and publishers beat every ten.
        FreshnessConfig { probe: Duration::from_secs(5), degraded_after: Duration::from_secs(15) }
    }
}

/// The streams that must be fresh, both.
const STREAMS: [&str; 2] = [subjects::NOTICES, subjects::SIGHTINGS];
/// How often it is looked whether proof is missing.
const LOOK: Duration = Duration::from_millis(250);
/// A proof from so far ahead means that the clock was set back, and proves nothing any more.
const AHEAD_MS: i64 = 2_000;
/// Not proven yet.
const NEVER: i64 = i64::MIN;

/// Up to when the streams are known: milliseconds since the Unix epoch, by this validator's clock. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Freshness {
    proven_ms: Arc<[AtomicI64; 2]>,
    degraded_after: Duration,
}

impl Freshness {
    /// Nothing is proven yet.
    pub(crate) fn new(config: &FreshnessConfig) -> Freshness {
        let proven_ms = Arc::new([AtomicI64::new(NEVER), AtomicI64::new(NEVER)]);
        Freshness { proven_ms, degraded_after: config.degraded_after }
    }

    /// Everything that `stream` had at `at_ms` is known.
    pub(crate) fn proven(&self, stream: &str, at_ms: i64, now_ms: i64) {
        let Some(proven) = self.of(stream) else { return };
        let known = proven.load(Ordering::Relaxed);
        if at_ms > known || known > now_ms + AHEAD_MS {
            proven.store(at_ms, Ordering::Relaxed);
        }
    }

    /// For how long nothing proves that the newest of both streams is known; `None` if nothing ever did.
    pub(crate) fn age(&self, now_ms: i64) -> Option<Duration> {
        self.proven_ms.iter().map(|proven| age(proven, now_ms)).reduce(|a, b| Some(a?.max(b?))).flatten()
    }

    /// Whether the fleet's newest is known, as far as can be: otherwise this validator is degraded.
    pub(crate) fn is_kept(&self, now_ms: i64) -> bool {
        self.age(now_ms).is_some_and(|age| age <= self.degraded_after)
    }

    fn age_of(&self, stream: &str, now_ms: i64) -> Option<Duration> {
        age(self.of(stream)?, now_ms)
    }

    fn of(&self, stream: &str) -> Option<&AtomicI64> {
        let index = STREAMS.iter().position(|known| *known == stream)?;
        self.proven_ms.get(index)
    }
}

fn age(proven_ms: &AtomicI64, now_ms: i64) -> Option<Duration> {
    match proven_ms.load(Ordering::Relaxed) {
        proven if proven == NEVER || proven > now_ms + AHEAD_MS => None,
        proven => Some(Duration::from_millis(u64::try_from(now_ms - proven).unwrap_or(0))),
    }
}

/// How far one stream was read. Pure: what it returns is the instant, in milliseconds, for which there is proof now.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    attachment: u64,
    is_attached: bool,
    /// What the heads told is worked on.
    is_settled: bool,
    reached: u64,
    /// When the leader was asked, and the sequence that it named.
    asked: Option<(i64, u64)>,
}

impl Reading {
    /// Contact stands; what comes next has a sequence above `after`. Returns the number of this attachment.
    pub(crate) fn attached(&mut self, after: u64) -> u64 {
        *self = Reading {
            attachment: self.attachment + 1,
            is_attached: true,
            reached: after,
            ..Reading::default()
        };
        self.attachment
    }

    /// Whether contact still stands as it came to stand then.
    pub(crate) fn is_current(&self, attachment: u64) -> bool {
        self.is_attached && attachment == self.attachment
    }

    /// What the heads of this attachment told is worked on.
    pub(crate) fn settled(&mut self, attachment: u64) {
        self.is_settled |= self.is_current(attachment);
    }

    /// Contact is lost.
    pub(crate) fn detached(&mut self) {
        (self.is_attached, self.is_settled, self.asked) = (false, false, None);
    }

    /// The attachment whose stream may be asked for its end now.
    pub(crate) fn askable(&self) -> Option<u64> {
        (self.is_attached && self.is_settled).then_some(self.attachment)
    }

    /// All messages up to this one are finished, which the broker stored at `stored_at_ms` by its clock.
    pub(crate) fn taken(&mut self, sequence: u64, stored_at_ms: i64, now_ms: i64) -> Option<i64> {
        // What was under way when contact was lost may be finished after more was reached again.
        self.reached = self.reached.max(sequence);
        let by_message = stored_at_ms.min(now_ms);
        self.is_settled.then(|| self.by_leader().map_or(by_message, |asked_at| asked_at.max(by_message)))
    }

    /// The leader, asked at `asked_at_ms` during `attachment`, says that its last message is `last_sequence`.
    pub(crate) fn told(&mut self, attachment: u64, asked_at_ms: i64, last_sequence: u64) -> Option<i64> {
        if self.askable() != Some(attachment) {
            return None;
        }
        self.asked = Some((asked_at_ms, last_sequence));
        self.by_leader()
    }

    fn by_leader(&self) -> Option<i64> {
        self.asked.filter(|(_, last)| *last <= self.reached).map(|(asked_at_ms, _)| asked_at_ms)
    }
}

/// What is shared about one stream by whoever reads it and whoever asks for its end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proofs {
    stream: &'static str,
    reading: Arc<Mutex<Reading>>,
    freshness: Freshness,
    clock: Clock,
}

impl Proofs {
    /// About `stream`, for `freshness`.
    pub(crate) fn new(stream: &'static str, freshness: Freshness, clock: Clock) -> Proofs {
        Proofs { stream, reading: Arc::default(), freshness, clock }
    }

    /// How far the stream was read, to be told what happens to it.
    pub(crate) fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All messages up to this one are finished.
    pub(crate) fn taken(&self, sequence: u64, stored_at_ms: i64) {
        let now_ms = self.clock.now_ms();
        let proof = self.reading().taken(sequence, stored_at_ms, now_ms);
        self.proven(proof, now_ms);
    }

    /// Asks the leader for the stream's end whenever nothing else proves freshness, for as long as it is polled.
    pub(crate) async fn probe(&self, bus: &Bus, interval: Duration) {
        let mut looking = every(LOOK);
        // Validators that were started together do not ask together.
        let mut patience = interval.mul_f64(0.75 + fastrand::f64() / 2.0);
        loop {
            looking.tick().await;
            let asked_at_ms = self.clock.now_ms();
            let age = self.freshness.age_of(self.stream, asked_at_ms);
            let askable = self.reading().askable();
            let Some(attachment) = askable.filter(|_| age.is_none_or(|age| age >= patience)) else {
                continue;
            };
            patience = interval.mul_f64(0.75 + fastrand::f64() / 2.0);
            match bus.stream_state(self.stream).await {
                Ok(state) => {
                    let proof = self.reading().told(attachment, asked_at_ms, state.last_sequence);
                    self.proven(proof, self.clock.now_ms());
                }
                Err(error) => debug!(stream = self.stream, %error, "its end is not known"),
            }
        }
    }

    fn proven(&self, proof: Option<i64>, now_ms: i64) {
        if let Some(at_ms) = proof {
            self.freshness.proven(self.stream, at_ms, now_ms);
        }
    }
}

/// What is shown of freshness.
#[derive(Clone)]
pub(crate) struct FreshnessCounts {
    age: Gauge,
    degraded: Gauge,
}

impl FreshnessCounts {
    pub(crate) fn new(metrics: &Metrics) -> FreshnessCounts {
        let age = metrics.gauge(
            "revocast_freshness_seconds",
            "seconds for which nothing proves that the newest of a stream is known",
        );
        let degraded =
            metrics.gauge("revocast_degraded", "1 while the broker's streams are not provably known, else 0");
        FreshnessCounts { age, degraded }
    }
}

/// Shows freshness in metrics and readiness, for as long as it is polled.
pub(crate) async fn show(freshness: &Freshness, counts: &FreshnessCounts, health: &Health, clock: &Clock) {
    let started_ms = clock.now_ms();
    let mut looking = every(LOOK);
    loop {
        looking.tick().await;
        let now_ms = clock.now_ms();
        let since_start = Duration::from_millis(u64::try_from(now_ms - started_ms).unwrap_or(0));
        for stream in STREAMS {
            let age = freshness.age_of(stream, now_ms).unwrap_or(since_start);
            counts.age.set(&[("stream", stream)], age.as_secs_f64());
        }
        let kept = freshness.is_kept(now_ms);
        counts.degraded.set(&[], f64::from(u8::from(!kept)));
        if kept {
            health.well("freshness");
        } else {
            let known = freshness.age(now_ms).map_or_else(
                || "they were not read yet".to_owned(),
                |age| format!("the last proof is {} s old", age.as_secs()),
            );
            health
                .degraded("freshness", format!("nothing proves that the streams' newest is known: {known}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attached behind sequence 10, with the heads worked on.
    fn settled() -> Reading {
        let mut reading = Reading::default();
        let attachment = reading.attached(10);
        reading.settled(attachment);
        reading
    }

    #[test]
    fn a_message_proves_what_was_stored_before_it_and_nothing_later() {
        let mut reading = settled();
        assert_eq!(reading.taken(11, 5_000, 9_000), Some(5_000));
        // The broker's clock is ahead: no proof reaches beyond now.
        assert_eq!(reading.taken(12, 99_000, 9_500), Some(9_500));
    }

    #[test]
    fn a_leader_proves_the_moment_of_the_question_once_its_last_message_is_reached() {
        let mut reading = settled();
        assert_eq!(reading.told(1, 7_000, 10), Some(7_000));
        assert_eq!(reading.told(1, 8_000, 12), None);
        assert_eq!(reading.taken(11, 1_000, 8_100), Some(1_000));
        assert_eq!(reading.taken(12, 1_001, 8_200), Some(8_000));
    }

    #[test]
    fn nothing_is_proven_before_the_heads_are_worked_on_or_without_contact() {
        let mut reading = Reading::default();
        let attachment = reading.attached(10);
        assert_eq!((reading.askable(), reading.taken(11, 1, 2)), (None, None));
        assert_eq!(reading.told(attachment, 5, 11), None);
        reading.settled(attachment);
        assert_eq!(reading.askable(), Some(1));
        reading.detached();
        assert_eq!(reading.told(attachment, 6, 11), None);
        // An answer, and the end of work, of an attachment that is over.
        reading.attached(3);
        reading.settled(attachment);
        assert_eq!((reading.askable(), reading.told(attachment, 7, 3)), (None, None));
        assert!(reading.is_current(attachment + 1) && !reading.is_current(attachment));
    }

    fn freshness() -> Freshness {
        Freshness::new(&FreshnessConfig::default())
    }

    #[test]
    fn freshness_is_that_of_the_stream_that_is_known_least() {
        let freshness = freshness();
        freshness.proven(subjects::NOTICES, 10_000, 10_000);
        assert_eq!((freshness.age(10_000), freshness.is_kept(10_000)), (None, false));
        freshness.proven(subjects::SIGHTINGS, 4_000, 10_000);
        assert_eq!(freshness.age(10_000), Some(Duration::from_secs(6)));
        // An earlier proof takes nothing back.
        freshness.proven(subjects::SIGHTINGS, 3_000, 10_000);
        assert!(freshness.is_kept(19_000) && !freshness.is_kept(19_001));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_nothing_proven_until_there_is_new_proof() {
        let freshness = freshness();
        for stream in STREAMS {
            freshness.proven(stream, 3_600_000, 3_600_000);
        }
        assert_eq!(freshness.age(1_000), None);
        for stream in STREAMS {
            freshness.proven(stream, 1_500, 2_000);
        }
        assert_eq!(freshness.age(2_000), Some(Duration::from_millis(500)));
    }
}
