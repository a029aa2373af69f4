//! What is counted of paths.

use revocast_daemon::{Counter, Gauge, Metrics, Series};

/// The series of paths. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PathCounts {
    /// Certificates answered from a kept path.
    pub(crate) kept: Series,
    /// Certificates for which the engine searched.
    pub(crate) searched: Series,
    /// Certificates that shared the search of an equal question.
    pub(crate) joined: Series,
    /// Paths that are kept.
    pub(crate) held: Gauge,
    shares: Counter,
    evicted: Counter,
    built: Counter,
}

impl PathCounts {
    pub(crate) fn new(metrics: &Metrics) -> PathCounts {
        let ways = metrics.counter(
            "revocast_path_questions",
            "certificates asked about, by how their path came: kept, searched, joined (the search of an equal question)",
        );
        let way = |way| ways.series(&[("way", way)]);
        PathCounts {
            kept: way("kept"),
            searched: way("searched"),
            joined: way("joined"),
            held: metrics.gauge("revocast_paths_kept", "paths that are kept"),
            shares: metrics.counter("revocast_path_shares", "paths told and heard, by what became of them"),
            evicted: metrics.counter("revocast_paths_evicted", "kept paths that were forgotten, by why"),
            built: metrics
                .counter("revocast_paths_built", "paths searched before anybody asked, by what came of it"),
        }
    }

    /// Paths told and heard, by what became of them.
    pub(crate) fn share(&self, outcome: &str) -> Series {
        self.shares.series(&[("outcome", outcome)])
    }

    /// Paths forgotten before their time: `revoked` or `replaced`.
    pub(crate) fn evicted(&self, why: &str) -> Series {
        self.evicted.series(&[("why", why)])
    }

    /// Paths searched before anybody asked: `valid` or not (`none`).
    pub(crate) fn built(&self, found: bool) -> Series {
        self.built.series(&[("outcome", if found { "valid" } else { "none" })])
    }
}
