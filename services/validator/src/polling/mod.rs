//! Asking repositories: what keeps a validator from being stale when nobody tells it anything.
//!
//! Begin with [`decide`]: when is a URL asked next? Near the nextUpdate of what is held, at the start when nothing is,
//! and, while nothing proves that the fleet's newest is known, in a steady pace. [`targets`] is the table of URLs with
//! what each gave last, [`urls`] says which there are: distribution points of certificates that lead to an anchor, and
//! no others. [`poll`] asks one: under a lease of the fleet while the broker is there, so that one validator asks for all;
//! what comes goes the way of every CRL: verify, persist, swap. [`tell`] announces what was news. [`demand`] is the
//! question's side: a question that wants for a CRL has it fetched, and is judged once more. [`run`] takes the turns.

mod config;
mod decide;
mod demand;
mod poll;
mod run;
mod targets;
mod tell;
pub(crate) mod urls;

use std::sync::Arc;

use revocast_bus::Bus;
use revocast_daemon::Metrics;
use revocast_fetch::Fetcher;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::poll::Poller;
use self::run::{Polling, PollingCounts};
use self::tell::Teller;
use crate::config::ValidatorConfig;
use crate::freshness::Freshness;
use crate::notice::Walk;

pub use config::PollingConfig;
pub(crate) use demand::Demand;
pub(crate) use targets::{Board, Kept};
pub(crate) use tell::{Found, Telling};

/// What asking repositories needs.
pub(crate) struct Needs<'a> {
    pub walk: &'a Arc<Walk>,
    pub fetcher: Fetcher,
    pub bus: &'a Bus,
    pub freshness: &'a Freshness,
    pub config: &'a ValidatorConfig,
    pub telling: Telling,
    pub found: mpsc::Receiver<Found>,
}

impl Needs<'_> {
    /// Begins to ask, in turn and for questions, and to announce what is found.
    pub(crate) fn start(self, demand: &Demand, metrics: &Metrics, tasks: &mut JoinSet<()>) {
        let counts = PollingCounts::new(metrics);
        let poller = Poller {
            walk: self.walk.clone(),
            fetcher: self.fetcher,
            bus: self.bus.clone(),
            instance: self.config.instance.clone(),
            max_crl_bytes: self.config.max_crl_bytes,
            telling: self.telling,
            counted: counts.polls.clone(),
        };
        let teller = Teller {
            walk: self.walk.clone(),
            bus: self.bus.clone(),
            instance: self.config.instance.clone(),
            freshness: self.freshness.clone(),
            published: counts.published.clone(),
        };
        demand.served_by(poller.clone());
        tasks.spawn(teller.work(self.found));
        let degraded_after = self.config.freshness.degraded_after;
        let freshness = self.freshness.clone();
        tasks.spawn(Polling { poller, freshness, counts, degraded_after }.work());
    }
}
