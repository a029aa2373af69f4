//! The fleet by validator: what each subscribed to, how far it is, and how it says that it is.

use std::collections::BTreeSet;

use revocast_messages::{Instance, Payload, Registration};
use revocast_pki::asn1::Time;
use revocast_pki::identity::IssuerId;
use serde::Serialize;

use crate::instances::{InstanceView, Instances};
use crate::overview::{Overview, ScopeView};

/// One validator, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its name.
    pub validator: Instance,
    /// What it says of itself; `None` if it does not answer.
    pub running: Option<InstanceView>,
    /// What it subscribed to.
    pub subscriptions: Vec<SubscriptionView>,
    /// Whether all its leases lapsed: what it does is unknown.
    pub unknown: bool,
    /// How many scopes it should enforce.
    pub scopes: usize,
    /// How many of them it enforces with an older CRL than the newest, or not at all.
    pub behind: usize,
}

/// One subscription, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionView {
    /// To whose CRLs; `None`: to all.
    pub issuer: Option<IssuerId>,
    /// What is wished in notices.
    pub payload: Payload,
    /// Who answered it.
    pub responsible: Instance,
    /// When its lease lapses.
    pub lapses: Time,
}

impl Overview {
    /// Every validator that subscribed or runs, by name. `scopes` are [`Overview::scopes`].
    pub fn members(&self, scopes: &[ScopeView], running: &Instances) -> Vec<MemberView> {
        let names: BTreeSet<&Instance> = self.subscribers.keys().chain(running.keys()).collect();
        names.into_iter().map(|name| self.member(name, scopes, running)).collect()
    }

    fn member(&self, name: &Instance, scopes: &[ScopeView], running: &Instances) -> MemberView {
        let registrations = self.subscribers.get(name).map_or(&[][..], Vec::as_slice);
        let of_it = || scopes.iter().flat_map(|scope| &scope.validators).filter(|one| one.validator == *name);
        MemberView {
            validator: name.clone(),
            running: running.get(name).cloned(),
            subscriptions: registrations.iter().map(subscription).collect(),
            unknown: registrations.iter().all(|registration| registration.lapses_at_ms < self.now_ms),
            scopes: of_it().count(),
            behind: scopes.iter().filter(|scope| scope.behind.contains(name)).count(),
        }
    }
}

fn subscription(registration: &Registration) -> SubscriptionView {
    SubscriptionView {
        issuer: registration.issuer,
        payload: registration.payload,
        responsible: registration.responsible.clone(),
        lapses: Time::from_unix(registration.lapses_at_ms.div_euclid(1_000)),
    }
}
