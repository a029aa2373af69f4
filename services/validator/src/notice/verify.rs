//! Step 5: from bytes to a CRL that counts. A key that is entitled to sign for the issuer must have signed the very
//! bytes, and the CRL must be of the scope that the notice tells of.
//!
//! Entitled is a key whose certificate has a path to an anchor of one of this validator's policies (revocation is
//! left to the questions). Anybody can announce a CRL of an issuer of their own making: it is never taken in.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use revocast_daemon::{short, standing_back};
use revocast_faults::fail_point;
use revocast_messages::{CrlNotice, Source};
use revocast_pki::asn1::{Asn1Error, Time};
use revocast_pki::certificate::{Certificate, KeyUsage};
use revocast_pki::crl::{Crl, Header, IntakeError};
use revocast_pki::identity::{CertId, IssuerId};
use revocast_pki::name::Name;
use revocast_pki::path::CertificateSource;

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
    /// No notice says whose it is, and nobody is known who is entitled to sign for its issuer.
    #[error("no certificate of its issuer with a path to an anchor is known")]
    Nobody,
    /// The issuer's name in the notice is none.
    #[error("the issuer's name: {0}")]
    Name(#[from] Asn1Error),
    /// They cannot be read, or the issuer's key did not sign them.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// It is a CRL of the issuer, but another one than it should be.
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

    /// Holds it against what a notice of its scope says of it.
    pub(crate) fn held_against(&self, notice: &CrlNotice) -> Result<(), Unverified> {
        if self.crl.id() != notice.crl_id {
            return Err(Unverified::Other("identity"));
        }
        if self.crl.order() != notice.order() {
            return Err(Unverified::Other("number or time"));
        }
        Ok(())
    }

    /// SubjectPublicKeyInfo DER of the key that signed it.
    pub(crate) fn signer(&self) -> &[u8] {
        &self.signer
    }

    pub(crate) fn into_parts(self) -> (Crl, Vec<u8>, Source) {
        (self.crl, self.signer, self.source)
    }
}

/// Entitlements are looked up anew after this many seconds: certificates end.
const ENTITLED_FOR_S: i64 = 60;

/// At most this many keys of a name are tried on one CRL. Real names have two or three at a time.
const MAX_SIGNERS: usize = 8;

/// A CRL of so many octets is read and verified in about the time of the signature check alone.
const SMALL: usize = 16 << 10;

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

    /// Reads, indexes and verifies `bytes`, on a thread of its own: they are a CRL of the scope that a notice tells of.
    /// Whether it is the very CRL is for [`Verified::held_against`] to say.
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
        let (octets, at) = (bytes.len(), Time::from_unix(now_s));
        let known = self.known_signer(issuer, &name, &live, at).filter(|_| octets <= SMALL);
        let verified = match known {
            // What panics here does so in the notice's own task, which puts it aside.
            Some(signer) => short(move || verifier.verify_by(signer, issuer, &name, bytes, source)).await?,
            None => {
                let work = move || verifier.verify_of(issuer, &name, bytes, source, &live, at);
                let verified = AssertUnwindSafe(standing_back(octets, work)).catch_unwind().await;
                verified.map_err(|_| Unverified::Interrupted)??
            }
        };
        if verified.scope() == (notice.issuer, notice.scope, notice.kind) {
            Ok(verified)
        } else {
            Err(Unverified::Other("scope"))
        }
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

    /// Whether somebody is known who is entitled to sign for an issuer. Of a name that cannot be read the verification
    /// will say so. Searches for paths: for a thread that may block.
    pub(crate) fn knows_signer(&self, issuer: IssuerId, name: Bytes, live: &Live, now_s: i64) -> bool {
        let at = Time::from_unix(now_s);
        Name::decode(name).map_or(true, |name| self.signer(issuer, &name, live, at).is_some())
    }

    /// Reads a CRL that no notice told of, and verifies it by whichever key signed it of those that are entitled to sign
    /// for its issuer. Searches and hashes: for a thread that may block.
    pub(crate) fn verify_found(&self, bytes: Bytes, live: &Live, now_s: i64) -> Result<Verified, Unverified> {
        let header = Header::decode(bytes.clone()).map_err(IntakeError::from)?;
        let name = header.issuer();
        let mut failed = Unverified::Nobody;
        for signer in self.signers(&header, live, Time::from_unix(now_s)) {
            match Crl::decode_and_verify(bytes.clone(), &signer, &self.policies.widest_algorithms()) {
                Ok(crl) => {
                    let issuer = IssuerId::of(name, &signer);
                    return Ok(Verified { crl, issuer, signer, source: Source::Repository });
                }
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }

    /// The keys that may have signed: anchors of the name, and keys whose certificate has a path to an anchor. The ones
    /// that the CRL names are first.
    fn signers(&self, header: &Header, live: &Live, at: Time) -> Vec<Vec<u8>> {
        let mut found = live.by_subject(header.issuer());
        found.retain(may_sign_crls);
        let wanted = header.authority_key_id().and_then(|identifier| identifier.key_id);
        found.sort_by_key(|certificate| wanted.is_none() || certificate.subject_key_id() != wanted);
        let entitled = found.into_iter().filter(|certificate| self.is_entitled(certificate, live, at));
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let anchors = self.policies.anchor_keys(header.issuer());
        for key in anchors.chain(entitled.map(|certificate| certificate.spki().to_vec())) {
            if keys.len() < MAX_SIGNERS && !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Whether a certificate leads to an anchor of one of the policies, revocation left aside: then what it says counts.
    pub(crate) fn is_chained(&self, certificate: &Certificate, live: &Live, now_s: i64) -> bool {
        self.policies.anchor_certificates().any(|anchor| anchor == certificate)
            || self.is_entitled(certificate, live, Time::from_unix(now_s))
    }

    /// Everybody who may sign CRLs: the anchors, and the CAs that lead to one. Searches for paths: for a thread that may
    /// block.
    pub(crate) fn issuers(&self, live: &Live, now_s: i64) -> BTreeMap<IssuerId, Name> {
        let mut known = live.all_certificates();
        known.retain(|one| one.is_ca() && may_sign_crls(one) && self.is_chained(one, live, now_s));
        known.iter().map(|one| (one.as_issuer(), one.subject().clone())).collect()
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
        self.verify_by(signer, issuer, name, bytes, source)
    }

    fn verify_by(
        &self,
        signer: Vec<u8>,
        issuer: IssuerId,
        name: &Name,
        bytes: Bytes,
        source: Source,
    ) -> Result<Verified, Unverified> {
        fail_point!("verify-by");
        let crl = Crl::decode_and_verify(bytes, &signer, &self.policies.widest_algorithms())?;
        if crl.issuer() != name {
            return Err(Unverified::Other("issuer"));
        }
        Ok(Verified { crl, issuer, signer, source })
    }

    /// The same without any search: of an anchor, or as it was found within the last minute.
    fn known_signer(&self, issuer: IssuerId, name: &Name, live: &Live, at: Time) -> Option<Vec<u8>> {
        if let Some(anchor) = self.policies.anchor(issuer) {
            return Some(anchor);
        }
        let entitled = self.lock();
        let is_entitled = |candidate: &Certificate| {
            may_sign_crls(candidate) && entitled.get(&candidate.id()).is_some_and(|until| at.unix() < *until)
        };
        live.certificates_of(issuer, name).into_iter().find(is_entitled).map(|found| found.spki().to_vec())
    }

    /// The key of an issuer, if one of its certificates has a path to an anchor.
    fn signer(&self, issuer: IssuerId, name: &Name, live: &Live, at: Time) -> Option<Vec<u8>> {
        if let Some(anchor) = self.policies.anchor(issuer) {
            return Some(anchor);
        }
        let mut candidates = live.certificates_of(issuer, name);
        candidates.retain(may_sign_crls);
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

fn may_sign_crls(certificate: &Certificate) -> bool {
    certificate.key_usage().is_none_or(|usage| usage.contains(KeyUsage::CRL_SIGN))
}
