//! Discovery beyond what is at hand: the issuers that neither the question nor the local graph has.
//!
//! Begin with [`Discover::beyond`]: it stands behind the first judgement, and only what was found invalid goes on here.
//! `gaps` says where what is known ends, `plan` whom to ask about it, [`Elsewhere`] asks (remembered for a while, one
//! at a time for the same thing), `expedition` keeps the account for one question. What leads on is judged again with
//! the question, and goes into the local graph once it has a path to an anchor of its own (`learn`).
//!
//! Nothing of what is found is believed: it enters as candidates, bounded in number and octets, only if its key signed
//! what it should have issued. A liar can cost signature checks and a deadline. What could not be asked makes an
//! invalid verdict indeterminate, never anything else.

mod config;
mod expedition;
mod gaps;
mod learn;
mod plan;
mod remembered;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use revocast_daemon::{Clock, Counter, Metrics, blocking};
use revocast_messages::{Answer, Question};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use tokio::sync::Semaphore;

use super::policy::Policies;
use crate::elsewhere::{Elsewhere, NotHad};
use crate::notice::verify::Verifier;
use crate::state::Live;
pub use config::DiscoveryConfig;
use expedition::{Expedition, Found, Surroundings};
pub(crate) use learn::Learner;
use plan::{Ask, Errand};
use remembered::{Brought, Remembered};

/// What discovery counts.
#[derive(Clone)]
pub(crate) struct DiscoveryCounts {
    /// Discoveries, by outcome.
    discoveries: Counter,
    /// Asks, by source and outcome; `remembered` ones cost nothing.
    asks: Counter,
    /// Certificates that went into the local graph.
    learned: Counter,
}

impl DiscoveryCounts {
    pub(crate) fn new(metrics: &Metrics) -> DiscoveryCounts {
        let counts = DiscoveryCounts {
            discoveries: metrics.counter("revocast_discoveries", "searches for unknown issuers, by outcome"),
            asks: metrics
                .counter("revocast_discovery_asks", "sources asked for issuers, by source and outcome"),
            learned: metrics.counter("revocast_discovery_learned", "found certificates that were kept"),
        };
        counts.learned.add(&[], 0);
        counts
    }
}

/// What discovery works with.
pub(crate) struct DiscoverParts {
    pub elsewhere: Elsewhere,
    pub live: Arc<Live>,
    pub policies: Arc<Policies>,
    pub verifier: Verifier,
    pub learner: Learner,
    pub clock: Clock,
    pub config: DiscoveryConfig,
    pub counts: DiscoveryCounts,
}

/// Looks further than what is at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Discover(Arc<Inner>);

struct Inner {
    parts: DiscoverParts,
    remembered: Remembered,
    gate: Semaphore,
}

impl Discover {
    pub(crate) fn new(parts: DiscoverParts) -> Discover {
        let gate = Semaphore::new(parts.config.concurrent.max(1));
        Discover(Arc::new(Inner { parts, remembered: Remembered::default(), gate }))
    }

    /// Looks for the issuers that the invalid certificates of an answer want, at most until `until`. `None`, at once,
    /// for an answer without invalid certificates.
    pub(crate) async fn beyond(&self, question: &Question, answer: &Answer, until: Instant) -> Option<Found> {
        let at = Time::from_unix(self.0.parts.clock.now_s());
        let expedition = Expedition::of(question, answer, at)?;
        let policy = question.options.policy.clone();
        let found = self.search(expedition, policy, until).await;
        self.0.parts.counts.discoveries.add_one(&[("outcome", found.word())]);
        if !found.certificates.is_empty() {
            let learned = self.0.parts.learner.learn(&found, &self.0.parts.policies, at, until).await;
            self.0.parts.counts.learned.add(&[], learned as u64);
        }
        Some(found)
    }

    async fn search(&self, expedition: Expedition, policy: Option<String>, until: Instant) -> Found {
        let (mut expedition, mut errands) = self.advance(expedition, Vec::new(), policy.clone()).await;
        if errands.is_empty() {
            return expedition.end();
        }
        let Ok(Ok(_place)) = tokio::time::timeout_at(until.into(), self.0.gate.acquire()).await else {
            expedition.doubt("too many are under way");
            return expedition.end();
        };
        for _ in 0..self.0.parts.config.rounds {
            let brought = join_all(errands.into_iter().map(|errand| self.run(errand, until))).await;
            (expedition, errands) = self.advance(expedition, brought, policy.clone()).await;
            if errands.is_empty() {
                return expedition.end();
            }
        }
        expedition.doubt("there is more to ask than one question may");
        expedition.end()
    }

    /// Signature arithmetic, off the runtime.
    async fn advance(
        &self,
        mut expedition: Expedition,
        brought: Vec<(Errand, Brought)>,
        policy: Option<String>,
    ) -> (Expedition, Vec<Errand>) {
        let inner = self.0.clone();
        blocking(move || {
            let parts = &inner.parts;
            // A question under a policy that is not there was refused before.
            let Some(policy) = parts.policies.get(policy.as_deref()) else { return (expedition, Vec::new()) };
            let around = Surroundings {
                live: &*parts.live,
                memory: &parts.live.memory,
                policy,
                config: &parts.config,
                admits: &|url, below| inner.admits(url, below),
            };
            let errands = expedition.advance(brought, &around);
            (expedition, errands)
        })
        .await
    }

    /// Asks, unless somebody did lately or is about to.
    async fn run(&self, errand: Errand, until: Instant) -> (Errand, Brought) {
        let (parts, remembered) = (&self.0.parts, &self.0.remembered);
        let cell = remembered.cell(&errand.ask, parts.config.remember, Instant::now());
        let mut is_new = false;
        let asking = cell.get_or_init(async || {
            is_new = true;
            let brought = self.0.ask(&errand.ask, until).await;
            remembered.filled(&errand.ask, &brought, Instant::now());
            brought
        });
        let brought = match tokio::time::timeout_at(until.into(), asking).await {
            Ok(brought) => brought.clone(),
            Err(_) => Err(NotHad::Unavailable("the question's deadline has passed".into())),
        };
        let outcome = if is_new { word(&brought) } else { "remembered" };
        parts.counts.asks.add_one(&[("source", errand.ask.source()), ("outcome", outcome)]);
        (errand, brought)
    }
}

impl Inner {
    async fn ask(&self, ask: &Ask, until: Instant) -> Brought {
        let patience = until.saturating_duration_since(Instant::now());
        match (ask.search(), ask) {
            (Some(search), _) => self.parts.elsewhere.search(&search, patience).await,
            (None, Ask::Url(url)) => {
                self.parts.elsewhere.get(url, patience).await.map(|(certificates, _)| certificates)
            }
            (None, Ask::Repository(..)) => Ok(Vec::new()),
        }
    }

    /// A URL counts if the configuration names its prefix, or the certificate that names it leads to an anchor.
    fn admits(&self, url: &str, below: &Certificate) -> bool {
        let DiscoverParts { config, verifier, live, clock, .. } = &self.parts;
        config.issuer_urls.admits(url)
            || (config.fetch_issuers && verifier.is_entitled(below, live, Time::from_unix(clock.now_s())))
    }
}

fn word(brought: &Brought) -> &'static str {
    match brought {
        Ok(certificates) if certificates.is_empty() => "nothing",
        Ok(_) => "found",
        Err(NotHad::Absent(_)) => "absent",
        Err(NotHad::Nobody(_)) => "nobody",
        Err(NotHad::Unavailable(_)) => "unavailable",
        Err(NotHad::Forbidden(_)) => "forbidden",
    }
}
