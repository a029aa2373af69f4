//! Issuers without whose CRLs the validator is of no use: until a current one of each is enforced, it is not ready (I13).

use std::sync::Arc;
use std::time::Duration;

use revocast_daemon::{Clock, Health, every};
use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlKind, IssuerId};

use crate::question::Policies;
use crate::state::Live;

/// What readiness calls it.
const ABOUT: &str = "required";

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// What is looked at. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Required {
    issuers: Arc<[IssuerId]>,
    /// The longest that any policy grants.
    grace_s: u32,
    live: Arc<Live>,
    health: Health,
    clock: Clock,
}

impl Required {
    pub(crate) fn new(
        issuers: &[IssuerId],
        policies: &Policies,
        live: &Arc<Live>,
        health: &Health,
        clock: &Clock,
    ) -> Required {
        let grace_s = policies.all().map(|policy| policy.requirements.grace_s).max().unwrap_or(0);
        let (live, health, clock) = (live.clone(), health.clone(), clock.clone());
        Required { issuers: issuers.into(), grace_s, live, health, clock }
    }

    /// Tells readiness what is missing at this moment.
    pub(crate) fn look(&self) {
        let at = Time::from_unix(self.clock.now_s());
        let lacking: Vec<&IssuerId> =
            self.issuers.iter().filter(|issuer| !self.has_current(**issuer, at)).collect();
        match lacking.first() {
            None => self.health.well(ABOUT),
            Some(issuer) => {
                let others = match lacking.len() - 1 {
                    0 => String::new(),
                    others => format!(", nor of {others} others"),
                };
                self.health
                    .not_ready(ABOUT, format!("no current CRL of issuer {issuer} is enforced{others}"));
            }
        }
    }

    /// The same, for as long as it is polled.
    pub(crate) async fn show(self) {
        let mut looking = every(LOOK);
        loop {
            looking.tick().await;
            self.look();
        }
    }

    /// Whether a complete CRL of the issuer is enforced that counts at this instant; of one that has shards, any.
    fn has_current(&self, issuer: IssuerId, at: Time) -> bool {
        let scopes = self.live.scope_keys().into_iter();
        let mut complete = scopes.filter(|scope| scope.0 == issuer && scope.2 == CrlKind::Complete);
        complete.any(|scope| {
            let next = self.live.enforced(&scope).and_then(|enforced| enforced.crl.next_update());
            next.is_some_and(|next| at <= next.plus(i64::from(self.grace_s)))
        })
    }
}

#[cfg(test)]
mod tests {
    use revocast_messages::Source;
    use revocast_pki::crl::Crl;
    use revocast_pki::identity::ScopeId;
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;
    use crate::state::Enforced;

    const NOW: Time = Time::from_unix(1_795_305_600);

    /// A CRL of `issuer` that is current for so many seconds more.
    fn enforce(live: &Live, issuer: IssuerId, kind: CrlKind, left_s: i64) {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let template = CrlTemplate::new(name("CN=CA").unwrap(), 1_u64, NOW.plus(-3_600), NOW.plus(left_s));
        let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
        let (signer, source) = (key.spki().to_vec(), Source::Inline);
        let enforced = Enforced { crl, conflicting: Vec::new(), signer, applied_at_ms: 0, source };
        live.swap((issuer, ScopeId([kind as u8; 16]), kind), enforced);
    }

    #[test]
    fn it_is_not_ready_before_a_current_complete_crl_of_each_required_issuer_is_enforced() {
        let (live, health) = (Arc::new(Live::new()), Health::default());
        let (one, other) = (IssuerId([1; 16]), IssuerId([2; 16]));
        let clock = Clock::held_at(NOW.unix() * 1_000);
        let issuers = [one, other].into();
        let required = Required { issuers, grace_s: 60, live: live.clone(), health: health.clone(), clock };
        let why = || health.reasons().first().map(|reason| reason.why.clone());
        required.look();
        assert!(!health.is_ready());
        assert_eq!(why(), Some(format!("no current CRL of issuer {one} is enforced, nor of 1 others")));
        enforce(&live, one, CrlKind::Complete, 10);
        enforce(&live, other, CrlKind::Delta, 10);
        enforce(&live, other, CrlKind::Complete, -61);
        required.look();
        assert_eq!(why(), Some(format!("no current CRL of issuer {other} is enforced")));
        enforce(&live, other, CrlKind::Complete, -60);
        required.look();
        assert!(health.is_ready(), "within the grace of a policy");
    }
}
