//! Subscriptions: "send me the notices of this issuer", started and stopped by message
//! (the CRL issuance notification request message 10 of the original).

use revocast_pki::identity::{CrlKind, CrlNumber, IssuerId, ScopeId};
use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::subjects::{Instance, Role, Subject};

/// The wished payload of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// That a CRL was issued, no more.
    Announce,
    /// The difference where the publisher has one.
    Difference,
    /// The CRL itself where it is small enough.
    Full,
}

/// Whether the subscriber wants notices from now on, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interest {
    /// From now on, for the lease.
    Start {
        /// What is wished.
        payload: Payload,
        /// Seconds until the subscription lapses unless it is renewed: 1 to [`SubscriptionRequest::MAX_LEASE_S`].
        lease_s: u32,
    },
    /// No longer: leaves the watermark, too.
    Stop,
}

/// Asks for notices, or for no more of them. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRequest {
    /// Who asks; must agree with the subject.
    pub validator: Instance,
    /// Whose CRLs; `None` asks for every issuer that the responsible one speaks for.
    pub issuer: Option<IssuerId>,
    /// Start or stop.
    pub interest: Interest,
    /// URLs at which the issuer's CRLs are found: they tell a watcher what to watch.
    pub locations: Vec<String>,
}

impl Message for SubscriptionRequest {
    const NAME: &'static str = "subscription request";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

impl SubscriptionRequest {
    /// A lease of more than a day would leave the watermark waiting for the dead.
    pub const MAX_LEASE_S: u32 = 86_400;

    /// The subject on which it is asked.
    pub fn subject(&self) -> Subject {
        Subject::Subscribe { issuer: self.issuer, validator: self.validator.clone() }
    }
}

/// The current state of one scope, told to a new subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeState {
    /// Who signs.
    pub issuer: IssuerId,
    /// What is covered.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// Number of the newest CRL.
    pub number: Option<CrlNumber>,
}

/// The responsible one's answer. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionAnswer {
    /// Written into the registry.
    Accepted {
        /// Who answers.
        role: Role,
        /// Its instance.
        instance: Instance,
        /// What it holds now.
        scopes: Vec<ScopeState>,
    },
    /// Taken out of the registry.
    Stopped,
    /// Not accepted.
    Refused {
        /// Why, in words.
        why: String,
    },
}

impl Message for SubscriptionAnswer {
    const NAME: &'static str = "subscription answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 512 * 1024;
}

/// What the registry holds of one subscription (bucket `subscriptions`). Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Who subscribed.
    pub validator: Instance,
    /// To whose CRLs.
    pub issuer: Option<IssuerId>,
    /// What is wished.
    pub payload: Payload,
    /// Milliseconds since the Unix epoch at which the lease lapses.
    pub lapses_at_ms: i64,
    /// Where the CRLs are found.
    pub locations: Vec<String>,
    /// Who answered the request.
    pub responsible: Instance,
}

impl Message for Registration {
    const NAME: &'static str = "registration";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

impl Registration {
    /// The registry's key: `<issuer or all>.<validator>`.
    pub fn key(&self) -> String {
        registry_key(self.issuer, &self.validator)
    }
}

/// The registry's key of a subscription.
pub fn registry_key(issuer: Option<IssuerId>, validator: &Instance) -> String {
    match issuer {
        Some(issuer) => format!("{issuer}.{validator}"),
        None => format!("all.{validator}"),
    }
}

/// Reads a registry's key back: whose CRLs, and who subscribed.
pub fn parse_registry_key(key: &str) -> Option<(Option<IssuerId>, Instance)> {
    let (issuer, validator) = key.split_once('.')?;
    let issuer = if issuer == "all" { None } else { Some(issuer.parse().ok()?) };
    Some((issuer, validator.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_key_is_read_back_as_it_was_written() {
        let validator: Instance = "v-1".parse().unwrap();
        for issuer in [None, Some(IssuerId([0x11; 16]))] {
            let key = registry_key(issuer, &validator);
            assert_eq!(parse_registry_key(&key), Some((issuer, validator.clone())));
        }
        for foreign in ["", "all", "some.v-1", "all.v.1"] {
            assert_eq!(parse_registry_key(foreign), None, "{foreign}");
        }
    }
}
