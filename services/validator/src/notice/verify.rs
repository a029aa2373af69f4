//! Step 5: from bytes to a CRL that counts. A key that is entitled to sign for the issuer must have signed the very
//! bytes, and the CRL must be the one that the notice announced.
//!
//! Entitled is a key whose certificate has a path to an anchor of one of this validator's policies (revocation is
//! left to the questions). Anybody can announce a CRL of an issuer of their own making: it is never taken in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use revocast_messages::{CrlNotice, Source};
use revocast_pki::asn1::{Asn1Error, Time};
use revocast_pki::certificate::{Certificate, KeyUsage};
use revocast_pki::crl::{Crl, IntakeError};
use revocast_pki::identity::{CertId, IssuerId};
use revocast_pki::name::Name;

use crate::question::Policies;
use crate::question::anchored::leads_to_anchor;
use crate::state::{Live, ScopeKey};

/// Why bytes do not count as the CRL of a notice.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unverified {
    /// Nobody is known who is entitled to sign for the issuer.
    #[error("no certificate of issuer {issuer} with a path to an anchor is known yet")]
    NoSigner {
        /// Who should have signed.
        issuer: IssuerId,
    },
    /// The issuer's name in the notice is none.
    #[error("the issuer's name: {0}")]
    Name(#[from] Asn1Error),
    /// They cannot be read, or the issuer's key did not sign them.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// It is a CRL of the issuer, but another one than the notice says.
    #[error("the CRL's {0} is not as announced")]
    Other(&'static str),
    /// The work was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl Unverified {
    /// Whether trying again later can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Unverified::NoSigner { .. } | Unverified::Interrupted)
    }
}

/// A CRL that an entitled key signed. Made only here.
pub(crate) struct Verified {
    crl: Crl,
    issuer: IssuerId,
    signer: Vec<u8>,
    source: Source,
}

impl Verified {
    pub(crate) fn crl(&self) -> &Crl {
        &self.crl
    }

    pub(crate) fn scope(&self) -> ScopeKey {
        (self.issuer, self.crl.scope(self.issuer), self.crl.kind())
    }

    pub(crate) fn into_parts(self) -> (Crl, Vec<u8>, Source) {
        (self.crl, self.signer, self.source)
    }
}

/// Entitlements are looked up anew after this many seconds: certificates end.
const ENTITLED_FOR_S: i64 = 60;

/// At most this many entitlements are remembered.
const MAX_REMEMBERED: usize = 65_536;

/// Verifies CRLs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Verifier {
    policies: Arc<Policies>,
    entitled: Arc<Mutex<HashMap<CertId, i64>>>,
}

impl Verifier {
    pub(crate) fn new(policies: Arc<Policies>) -> Verifier {
        Verifier { policies, entitled: Arc::default() }
    }

    /// Reads, indexes and verifies `bytes`, on a thread of its own.
    pub(crate) async fn verify(
        &self,
        notice: &CrlNotice,
        bytes: Bytes,
        source: Source,
        live: &Arc<Live>,
        now_s: i64,
    ) -> Result<Verified, Unverified> {
        let name = Name::decode(notice.issuer_name.0.clone())?;
        let (verifier, live, issuer) = (self.clone(), live.clone(), notice.issuer);
        let work = move || verifier.verify_of(issuer, &name, bytes, source, &live, Time::from_unix(now_s));
        let verified = tokio::task::spawn_blocking(work).await.map_err(|_| Unverified::Interrupted)??;
        announced(&verified, notice)?;
        Ok(verified)
    }

    /// Verifies a CRL that this validator kept, at start.
    pub(crate) fn verify_kept(
        &self,
        scope: &ScopeKey,
        bytes: Bytes,
        signer: &[u8],
    ) -> Result<Verified, Unverified> {
        let policy = self.policies.widest_algorithms();
        let crl = Crl::decode_and_verify(bytes, signer, &policy)?;
        let issuer = IssuerId::of(crl.issuer(), signer);
        let verified = Verified { crl, issuer, signer: signer.to_vec(), source: Source::Store };
        if verified.scope() == *scope { Ok(verified) } else { Err(Unverified::Other("scope")) }
    }

    fn verify_of(
        &self,
        issuer: IssuerId,
        name: &Name,
        bytes: Bytes,
        source: Source,
        live: &Live,
        at: Time,
    ) -> Result<Verified, Unverified> {
        let signer = self.signer(issuer, name, live, at).ok_or(Unverified::NoSigner { issuer })?;
        let crl = Crl::decode_and_verify(bytes, &signer, &self.policies.widest_algorithms())?;
        if crl.issuer() != name {
            return Err(Unverified::Other("issuer"));
        }
        Ok(Verified { crl, issuer, signer, source })
    }

    /// The key of an issuer, if one of its certificates has a path to an anchor.
    fn signer(&self, issuer: IssuerId, name: &Name, live: &Live, at: Time) -> Option<Vec<u8>> {
        if let Some(anchor) = self.policies.anchor(issuer) {
            return Some(anchor);
        }
        let signs = |certificate: &Certificate| {
            certificate.key_usage().is_none_or(|usage| usage.contains(KeyUsage::CRL_SIGN))
        };
        let mut candidates = live.certificates_of(issuer, name);
        candidates.retain(signs);
        let entitled = candidates.into_iter().find(|candidate| self.is_entitled(candidate, live, at))?;
        Some(entitled.spki().to_vec())
    }

    /// Whether a certificate has a path to an anchor of one of this validator's policies; revocation is left out.
    pub(crate) fn is_entitled(&self, certificate: &Certificate, live: &Live, at: Time) -> bool {
        let id = certificate.id();
        if self.lock().get(&id).is_some_and(|until| at.unix() < *until) {
            return true;
        }
        let found = self.policies.iter().any(|policy| leads_to_anchor(certificate, policy, live, at));
        if found {
            let mut entitled = self.lock();
            if entitled.len() >= MAX_REMEMBERED {
                entitled.clear();
            }
            entitled.insert(id, at.unix() + ENTITLED_FOR_S);
        }
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CertId, i64>> {
        self.entitled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a verified CRL against what the notice said of it.
fn announced(verified: &Verified, notice: &CrlNotice) -> Result<(), Unverified> {
    let crl = verified.crl();
    for (same, what) in [
        (verified.scope() == (notice.issuer, notice.scope, notice.kind), "scope"),
        (crl.id() == notice.crl_id, "identity"),
        (crl.order() == notice.order(), "number or time"),
    ] {
        if !same {
            return Err(Unverified::Other(what));
        }
    }
    Ok(())
}
