//! What is counted of watched verdicts.

use revocast_daemon::{Counter, Gauge, Metrics};

/// The series of watched verdicts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WatchCounts {
    /// Verdicts that are watched.
    pub watched: Gauge,
    /// Those of them that wait to be judged anew.
    pub due: Gauge,
    /// Verdicts that were judged anew.
    pub judged: Counter,
    /// Changes that this validator told, by outcome.
    pub told: Counter,
    /// Tellings in which another validator was faster.
    pub conflicts: Counter,
    /// Verdicts other than the one told that were not told, by reason: `behind`, `equal`.
    pub silent: Counter,
    /// Registrations that were not taken, by reason.
    pub refused: Counter,
}

impl WatchCounts {
    pub(crate) fn new(metrics: &Metrics) -> WatchCounts {
        WatchCounts {
            watched: metrics.gauge("revocast_watched", "certificates whose verdict is watched"),
            due: metrics.gauge("revocast_watch_due", "watched verdicts that wait to be judged anew"),
            judged: metrics.counter("revocast_watch_judged", "watched verdicts judged anew"),
            told: metrics.counter("revocast_watch_told", "changes of watched verdicts told, by outcome"),
            conflicts: metrics.counter("revocast_watch_conflicts", "tellings in which another was faster"),
            silent: metrics
                .counter("revocast_watch_silent", "verdicts held back for want of newer evidence, by reason"),
            refused: metrics.counter("revocast_watch_refused", "watches that were not taken, by reason"),
        }
    }
}
