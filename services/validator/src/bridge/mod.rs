//! Other broker domains: this validator answers subscriptions of their validators, and forwards to them what it
//! enforces (functions 406, 408 and 411 of the original, its claims 14 and 17).
//!
//! A bridge leads one way, from the domain in which this validator lives into another; the way back is the bridge of a
//! validator that lives there. It carries CRLs that the notice walk has applied, and so verified, and the certificates
//! that lead from their signers to an anchor; whoever receives them verifies them again. What it heard is never
//! forwarded, so a lie ends here.
//!
//! Begin with [`open`]. [`answer`] takes subscriptions, as far as nobody of a higher class over there does.
//! [`decide`] knows who subscribed and what is due (pure), [`forward`] drives it, [`carry`] brings one scope over,
//! [`chain`] finds the certificates that go with it.
//!
//! Nothing circulates, whatever the graph of bridges: a CRL goes into a domain only if no head there, of any class, is
//! it or a better one that can be had and verifies. So each domain takes a CRL once per scope and class, and a ring
//! ends where it began. That needs no list of hops: one could be forged to keep a CRL out of a domain.

mod answer;
mod carry;
mod chain;
mod config;
mod decide;
mod forward;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use revocast_bus::{Bus, BusError};
use revocast_daemon::{Clock, Counter, Gauge, Health, Metrics};
use revocast_messages::Instance;

pub use config::{BridgeConfig, SpeaksFor};

use crate::events::Events;
use crate::notice::verify::Verifier;
use crate::state::Live;

/// What a bridge needs of the validator that it belongs to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Home {
    pub live: Arc<Live>,
    pub verifier: Verifier,
    pub events: Events,
    pub instance: Instance,
    pub clock: Clock,
    pub health: Health,
}

/// A way into another domain.
pub(crate) struct Bridge {
    config: BridgeConfig,
    home: Home,
    bus: Bus,
    counts: Counts,
}

/// Sets up every bridge of a configuration; the other domains need not be there yet.
pub(crate) async fn open(
    configs: &[BridgeConfig],
    home: &Home,
    metrics: &Metrics,
) -> Result<Vec<Bridge>, BusError> {
    let domains: BTreeSet<&Instance> = configs.iter().map(|config| &config.domain).collect();
    if domains.len() < configs.len() {
        return Err(BusError::Settings("two bridges lead to one domain".into()));
    }
    if configs.is_empty() {
        return Ok(Vec::new());
    }
    let (counts, mut bridges) = (Counts::new(metrics), Vec::new());
    for config in configs {
        let name = format!("revocast/bridge/{}", home.instance);
        let bus = Bus::connect_eventually(&config.bus, &name).await?;
        let (config, home, counts) = (config.clone(), home.clone(), counts.clone());
        bridges.push(Bridge { config, home, bus, counts });
    }
    Ok(bridges)
}

impl Bridge {
    /// Answers and forwards for as long as it is polled.
    pub(crate) async fn run(self) -> Infallible {
        tokio::select! {
            never = answer::answer(&self) => never,
            never = forward::forward(&self) => never,
        }
    }

    /// What is wrong with it is told under this word: the validator is degraded by it, never unready.
    fn about(&self) -> String {
        format!("bridge {}", self.config.domain)
    }
}

/// What bridges count, by `domain`.
#[derive(Clone)]
struct Counts {
    /// Scopes that were carried, by `outcome`: `stored`, `already_there`, `superseded` or `known` when another class
    /// tells it there, `gone`, `refused`, `failed`.
    carried: Counter,
    /// Subscriptions in the other domain.
    subscriptions: Gauge,
    /// Scopes that wait to be carried.
    waiting: Gauge,
}

impl Counts {
    fn new(metrics: &Metrics) -> Counts {
        Counts {
            carried: metrics
                .counter("revocast_bridge_carried", "scopes looked at or told over there, by outcome"),
            subscriptions: metrics.gauge("revocast_bridge_subscriptions", "living subscriptions over there"),
            waiting: metrics.gauge("revocast_bridge_waiting", "scopes that wait to be carried"),
        }
    }
}
