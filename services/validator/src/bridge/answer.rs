//! Answers subscriptions of the other domain's validators (function 411 of the original), in the role of a validator:
//! the authority, the repository and the watchers over there come first (`revocast_fleet::registrar`).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use revocast_bus::BusError;
use revocast_daemon::Clock;
use revocast_fleet::registrar::{Knowledge, Responsible, keep_answering};
use revocast_messages::{Role, ScopeState};
use revocast_pki::identity::IssuerId;

use super::Bridge;
use super::config::SpeaksFor;
use crate::state::Live;

/// Answers for as long as it is polled.
pub(super) async fn answer(bridge: &Bridge) -> Infallible {
    let (config, home) = (&bridge.config, &bridge.home);
    let who = Responsible {
        role: Role::Validator,
        instance: home.instance.clone(),
        issuers: Vec::new(),
        longest_lease: config.longest_lease,
    };
    let known = Known {
        live: home.live.clone(),
        clock: home.clock.clone(),
        speaks_for: Arc::new(config.issuers.clone()),
    };
    let about = format!("{} subscriptions", bridge.about());
    let told = |error: Option<&BusError>| match error {
        None => home.health.well(&about),
        Some(error) => home.health.degraded(&about, error.to_string()),
    };
    let issuers = || known.issuers();
    keep_answering(&bridge.bus, who, known.clone(), issuers, told).await
}

/// What the bridge knows at the moment of an answer.
#[derive(Clone)]
struct Known {
    live: Arc<Live>,
    clock: Clock,
    speaks_for: Arc<SpeaksFor>,
}

impl Known {
    /// Whose subscriptions are answered by name, in ascending order.
    fn issuers(&self) -> Vec<IssuerId> {
        let issuers: BTreeSet<IssuerId> = match &*self.speaks_for {
            SpeaksFor::All => self.live.scope_keys().into_iter().map(|(issuer, ..)| issuer).collect(),
            SpeaksFor::Only(issuers) => issuers.iter().copied().collect(),
        };
        issuers.into_iter().collect()
    }
}

impl Knowledge for Known {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    async fn scopes(&self, issuer: Option<IssuerId>) -> Vec<ScopeState> {
        let mut keys = self.live.scope_keys();
        keys.retain(|(of, ..)| issuer.is_none_or(|issuer| issuer == *of) && self.speaks_for.covers(*of));
        let state = |key| {
            let (issuer, scope, kind) = key;
            Some(ScopeState { issuer, scope, kind, number: self.live.enforced(&key)?.crl.number() })
        };
        keys.into_iter().filter_map(state).collect()
    }
}
