//! The paths of a validator, and those of the fleet (functions 402, 407 and list 409 of the original).
//!
//! Begin with [`Paths`]: what was found, who searches, who asked in vain. Around it, a file each:
//!
//! - [`share`]: a path that was newly found is told to the fleet
//! - [`receive`]: what others tell is a candidate, judged whole like any other before it is kept; and told to nobody
//! - [`upkeep`]: what a newer CRL or certificate makes of kept paths, and paths built before anybody asks again
//! - [`pace`]: how much of others' telling is worked on
//!
//! All of it is work that saves work: nothing here changes a verdict, and each part may drop what it cannot do at once.

mod config;
mod metrics;
mod offered;
mod pace;
mod receive;
mod share;
#[cfg(test)]
mod tests;
mod upkeep;
mod wanted;

use std::sync::Arc;

use revocast_bus::Bus;
use revocast_daemon::Metrics;
use revocast_pki::path::ProvenPath;
use revocast_pki::verdict::{Outcome, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use config::PathsConfig;
pub(crate) use metrics::PathCounts;

use crate::events::Events;
use crate::question::Judge;
use crate::question::cache::{Cache, Key};
use crate::question::flight::Flights;
use crate::question::ids::CertIds;
use crate::question::policy::{Effective, Policy};
use crate::question::search::Found;
pub(crate) use share::Offer;
use wanted::{Target, Wanted};

/// Newly found paths that may wait to be told; beyond, they are only kept.
const OFFERS: usize = 256;

/// What a validator knows of paths. Shared by all questions.
pub(crate) struct Paths {
    pub(crate) cache: Cache,
    /// What the targets of kept paths are called.
    pub(crate) ids: CertIds,
    pub(crate) flights: Flights<Found>,
    pub(crate) counts: PathCounts,
    wanted: Wanted,
    offers: mpsc::Sender<Offer>,
}

/// Begins what keeps paths up, tells them, and hears of others'.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    bus: &Bus,
    judge: &Judge,
    events: &Events,
    offers: mpsc::Receiver<Offer>,
    config: &PathsConfig,
) {
    tasks.spawn(upkeep::keep(judge.clone(), events.changes()));
    if !config.share {
        return;
    }
    let (told, heard) = (config.told_per_second, config.judged_per_second);
    tasks.spawn({
        let (bus, judge) = (bus.clone(), judge.clone());
        async move { share::publish(offers, &bus, &judge, told).await }
    });
    tasks.spawn({
        let (bus, judge) = (bus.clone(), judge.clone());
        async move { receive::follow(judge, &bus, heard).await }
    });
}

impl Paths {
    /// Without any, and where those come out that are to be told.
    pub(crate) fn new(config: &PathsConfig, metrics: &Metrics) -> (Arc<Paths>, mpsc::Receiver<Offer>) {
        let (offers, offered) = mpsc::channel(OFFERS);
        let paths = Paths {
            cache: Cache::new(config.cache_bytes),
            ids: CertIds::default(),
            flights: Flights::new(),
            counts: PathCounts::new(metrics),
            wanted: Wanted::default(),
            offers,
        };
        (Arc::new(paths), offered)
    }

    /// A path was found for a question: it is kept, and told to the fleet.
    pub(crate) fn found(&self, key: Key, path: Arc<ProvenPath>) {
        self.keep(key, path.clone());
        if self.offers.try_send(Offer { key, path }).is_err() {
            self.counts.share("dropped").add_one();
        }
    }

    /// A path was heard of from another validator and judged, or built before anybody asked: it is kept, and told to
    /// nobody.
    pub(crate) fn keep(&self, key: Key, path: Arc<ProvenPath>) {
        self.wanted.remove(&key);
        self.cache.insert(key, path);
    }

    /// A question found no valid path. It is tried again when a certificate comes that may complete one; that the
    /// certificate itself is revoked, no other path changes.
    pub(crate) fn wanted(&self, verdict: &Verdict, policy: &Arc<Policy>, effective: &Arc<Effective>) {
        let failed_at =
            verdict.path.as_ref().and_then(|path| path.failure).map(|failure| failure.certificate);
        if (verdict.outcome, failed_at) != (Outcome::Revoked, Some(0)) {
            self.wanted.note(Target {
                certificate: verdict.target.clone(),
                policy: policy.clone(),
                effective: effective.clone(),
                undecided: verdict.outcome == Outcome::Indeterminate,
            });
        }
    }

    /// A path that was searched for before anybody asked is not valid.
    pub(crate) fn not_built(&self, key: &Key, verdict: &Verdict) {
        self.cache.remove(key);
        self.wanted.still(key, verdict.outcome == Outcome::Indeterminate);
    }
}
