//! [`Carrier`]: brings one scope into the other domain: the certificates that lead to its signer, then its CRL.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use revocast_bus::{BusError, Published};
use revocast_daemon::blocking;
use revocast_fleet::{Publisher, notice_of};
use revocast_messages::{CertificateNotice, CrlNotice, Origin, Payload, Role, headers};
use revocast_pki::asn1::Time;
use revocast_pki::crl::Crl;
use revocast_pki::identity::IssuerId;

use super::chain::chain;
use super::{Bridge, Home};
use crate::polling::urls;
use crate::state::{Enforced, ScopeKey};

/// A scope that takes longer than this is put back and carried later: time enough for the largest CRL on a slow line.
const PATIENCE: Duration = Duration::from_secs(120);
/// Whose heads are looked at besides our own class's. What one of them tells over there is not told again.
const OTHERS: [Role; 3] = [Role::Authority, Role::Repository, Role::Watcher];

/// How a scope came to stand in the other domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It was told, or had been told by a bridge.
    Told(Published),
    /// Another class tells it there.
    Known,
    /// Nothing is enforced for it any more.
    Gone,
}

impl Stands {
    /// One word for counting.
    pub(super) fn word(self) -> &'static str {
        match self {
            Stands::Told(published) => published.word(),
            Stands::Known => "known",
            Stands::Gone => "gone",
        }
    }
}

/// A scope to be carried.
pub(super) struct Load {
    pub scope: ScopeKey,
    /// What was carried last, if anything: differences lead from there.
    pub before: Option<Crl>,
    pub payload: Payload,
}

/// Carries scopes into one domain. Cheap to clone.
#[derive(Clone)]
pub(super) struct Carrier {
    home: Home,
    publisher: Publisher,
    vouched: Arc<Mutex<Vouched>>,
}

/// Issuers whose certificates stand there, as far as was looked since the last time that they were to be looked at anew.
#[derive(Default)]
struct Vouched {
    generation: u64,
    issuers: HashSet<IssuerId>,
}

impl Carrier {
    /// Over a bridge whose other end answers.
    pub(super) async fn new(bridge: &Bridge) -> Carrier {
        let (home, config) = (bridge.home.clone(), &bridge.config);
        let marks = vec![(headers::DOMAIN, config.home.to_string())];
        let publisher = Publisher::new(&bridge.bus, home.instance.as_str()).await.marking(marks);
        Carrier { home, publisher, vouched: Arc::default() }
    }

    /// Whether the other domain has an object store.
    pub(super) async fn has_store(&self) -> bool {
        self.publisher.objects().await.is_some()
    }

    /// Looks at all certificates anew when their issuers' scopes are carried next.
    pub(super) fn forget_certificates(&self) {
        let mut vouched = self.lock();
        vouched.generation += 1;
        vouched.issuers.clear();
    }

    /// Carries a scope; what is enforced at this moment, and is now known to stand there, is returned with it.
    pub(super) async fn carry(&self, load: Load) -> Result<(Stands, Option<Crl>), BusError> {
        match tokio::time::timeout(PATIENCE, self.carry_patiently(load)).await {
            Ok(carried) => carried,
            Err(_) => Err(BusError::Unreachable { what: format!("no end within {PATIENCE:?}") }),
        }
    }

    async fn carry_patiently(&self, load: Load) -> Result<(Stands, Option<Crl>), BusError> {
        let Some(enforced) = self.home.live.enforced(&load.scope) else { return Ok((Stands::Gone, None)) };
        // A certificate that cannot be told withholds no CRL.
        let vouched = self.vouch(load.scope.0, &enforced).await;
        let mut stands = Stands::Gone;
        // Those that conflict are told first: nothing takes the place of the highest.
        let mut rising: Vec<Crl> = enforced.crls().cloned().collect();
        rising.reverse();
        for crl in rising {
            stands = self.tell(&load, crl, &enforced.signer).await?;
        }
        vouched?;
        Ok((stands, Some(enforced.crl)))
    }

    async fn tell(&self, load: &Load, crl: Crl, signer: &[u8]) -> Result<Stands, BusError> {
        let issuer = load.scope.0;
        let bare = CrlNotice::of(&crl, issuer, self.origin());
        for class in OTHERS {
            if self.publisher.is_told(class, &bare, signer).await? {
                return Ok(Stands::Known);
            }
        }
        // Without an object store the CRL must be inside.
        let payload = if self.has_store().await { load.payload } else { Payload::Full };
        let (before, origin, told) = (load.before.clone(), self.origin(), crl.clone());
        let issued = self.home.live.issued_by(&bare.issuer_name);
        let locations = issued.iter().flat_map(urls::of_certificate).collect();
        let notice = move || shaped(&told, before.as_ref(), issuer, origin, locations, payload);
        let notice = blocking(notice).await;
        self.publisher.publish_crl(&notice, crl.der(), signer).await.map(Stands::Told)
    }

    /// Tells the certificates of an issuer and of those above it.
    async fn vouch(&self, issuer: IssuerId, enforced: &Enforced) -> Result<(), BusError> {
        let generation = {
            let vouched = self.lock();
            if vouched.issuers.contains(&issuer) {
                return Ok(());
            }
            vouched.generation
        };
        let (home, name) = (self.home.clone(), enforced.crl.issuer().clone());
        let at = Time::from_unix(home.clock.now_s());
        let certificates = blocking(move || chain(&home.live, &home.verifier, issuer, &name, at)).await;
        for (certificate, signed_by) in certificates {
            let notice = CertificateNotice {
                issuer: signed_by,
                certificate: certificate.der().clone().into(),
                origin: self.origin(),
                locations: Vec::new(),
            };
            self.tell_certificate(&notice).await?;
        }
        let mut vouched = self.lock();
        if vouched.generation == generation {
            vouched.issuers.insert(issuer);
        }
        Ok(())
    }

    async fn tell_certificate(&self, notice: &CertificateNotice) -> Result<(), BusError> {
        for class in OTHERS {
            if self.publisher.is_certificate_told(class, notice).await? {
                return Ok(());
            }
        }
        self.publisher.publish_certificate(notice).await.map(|_| ())
    }

    fn origin(&self) -> Origin {
        let (instance, seen_at_ms) = (self.home.instance.clone(), self.home.clock.now_ms());
        Origin { role: Role::Validator, instance, seen_at_ms }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vouched> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The notice of a CRL, with no more in it than `payload`.
fn shaped(
    crl: &Crl,
    before: Option<&Crl>,
    issuer: IssuerId,
    origin: Origin,
    locations: Vec<String>,
    payload: Payload,
) -> CrlNotice {
    let before = before.filter(|before| before.id() != crl.id());
    let mut notice = notice_of(crl, before, issuer, origin, locations);
    match payload {
        Payload::Full => {}
        Payload::Announce => (notice.crl, notice.difference) = (None, None),
        Payload::Difference => {
            let whole = notice.crl.take();
            if let Some(before) = before {
                notice.add_difference(before, crl);
            }
            if notice.difference.is_none() {
                notice.crl = whole;
            }
        }
    }
    notice
}

#[cfg(test)]
mod tests {
    use revocast_pki::identity::CrlNumber;
    use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

    use super::*;

    const NOW: Time = Time::from_unix(1_795_305_600);

    fn crl(key: &SigningKey, number: u64, entries: u32) -> Crl {
        let template = CrlTemplate::new(name("CN=CA").unwrap(), CrlNumber::from(number), NOW, NOW.plus(9));
        let entries = (0..entries).map(|n| RevokedEntry::new(&(n + 0x0100_0000).to_be_bytes(), NOW));
        Crl::decode(template.sign(entries, key).unwrap()).unwrap()
    }

    /// Whether the CRL, and whether a difference, is inside the notice of the second CRL.
    fn inside(before: &Crl, crl: &Crl, payload: Payload) -> (bool, bool) {
        let origin = Origin { role: Role::Validator, instance: "v".parse().unwrap(), seen_at_ms: 0 };
        let notice = shaped(crl, Some(before), IssuerId([1; 16]), origin, Vec::new(), payload);
        (notice.crl.is_some(), notice.difference.is_some())
    }

    #[test]
    fn a_notice_has_no_more_in_it_than_is_wished() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (old, new) = (crl(&key, 1, 500), crl(&key, 2, 501));
        for (payload, expected) in [
            (Payload::Announce, (false, false)),
            (Payload::Difference, (false, true)),
            (Payload::Full, (true, false)),
        ] {
            assert_eq!(inside(&old, &new, payload), expected, "{payload:?}");
        }
        // The same again has no difference, and whoever wishes one gets the CRL.
        assert_eq!(inside(&new, &new, Payload::Difference), (true, false));
        // Too large to be inside.
        let (old, new) = (crl(&key, 1, 12_000), crl(&key, 2, 12_001));
        assert_eq!(inside(&old, &new, Payload::Full), (false, true));
    }
}
