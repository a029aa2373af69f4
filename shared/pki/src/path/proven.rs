//! [`ProvenPath`]: a path that was found valid, kept so that the same certificate is answered at once.
//!
//! What is kept never says that a certificate is good: it is the path and the CRLs that decided over it. Each answer
//! asks the source of CRLs again and looks every certificate up, so a newer CRL is obeyed by the very next
//! question. Only while the source gives the very same CRLs is the work saved of finding out which of them decide
//! and who signed them; and only where their signers stand on the path itself, as then nothing else may have changed.
//!
//! Whoever keeps such paths keys them by certificate, anchors and [`Requirements`]; the name asked for is checked
//! apart, by [`ProvenPath::bears`].

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use super::anchor::Anchor;
use super::budget::{Budget, Limits};
use super::names::AskedName;
use super::question::{Question, Requirements, RevocationMode, Sources};
use super::search::{Inquiry, Trust};
use super::session::Session;
use super::signers::PathSigners;
use super::validation::{Path, working_keys};
use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::crl::Crl;
use crate::identity::IssuerId;
use crate::revocation::{self, Deciding, Inspected, Status};
use crate::verdict::{Evidence, Outcome, Reason, Verdict};

/// A valid path with all that does not depend on revocation.
pub struct ProvenPath {
    certificates: Vec<Certificate>,
    anchor: Anchor,
    keys: Vec<Vec<u8>>,
    policies: Vec<String>,
    requirements: Requirements,
    limits: Limits,
    /// The validity that all certificates, and an anchor that binds by it, have in common.
    not_before: Time,
    not_after: Time,
    /// For each certificate, which CRLs decide.
    bound: Vec<Mutex<Option<Arc<Bound>>>>,
}

/// Which of some CRLs decide over a certificate.
struct Bound {
    /// All that the source gave for the issuer's name.
    seen: Vec<Crl>,
    /// thisUpdate of the newest of them: before, another one may decide.
    since: Time,
    deciding: Deciding,
}

/// The answer about a proven path at some instant.
#[derive(Clone, Debug)]
pub struct Rechecked {
    /// Valid, revoked or indeterminate.
    pub outcome: Outcome,
    /// Why it is not valid.
    pub reason: Option<Reason>,
    /// What the CRLs said.
    pub evidence: Vec<Evidence>,
}

impl ProvenPath {
    /// Keeps the path of a verdict that is valid; `None` if it is not.
    pub fn of(verdict: &Verdict, question: &Question<'_>) -> Option<ProvenPath> {
        let path = verdict.path.as_ref().filter(|_| verdict.is_valid())?;
        let anchor = path.anchor.clone()?;
        let keys = working_keys(Path { certificates: &path.certificates, anchor: &anchor });
        let keys = keys.into_iter().map(Cow::into_owned).collect();
        let all = || path.certificates.iter().chain(anchor.constraints());
        let not_before = all().map(Certificate::not_before).max()?;
        let not_after = all().map(Certificate::not_after).min()?;
        Some(ProvenPath {
            certificates: path.certificates.clone(),
            keys,
            policies: verdict.policies.clone(),
            requirements: question.requirements.clone(),
            limits: question.limits,
            not_before,
            not_after,
            bound: path.certificates.iter().map(|_| Mutex::new(None)).collect(),
            anchor,
        })
    }

    /// From the target up, the anchor left out.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Where the path ends.
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The user-constrained policy set, dotted.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Whether every certificate is within its validity at `at`. Where it is not, the path must be searched for anew.
    pub fn holds_at(&self, at: Time) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// Whether the target bears the name.
    pub fn bears(&self, name: &AskedName) -> bool {
        self.certificates.first().is_some_and(|target| name.is_borne_by(target))
    }

    /// Lets go of the CRLs that decided last, where `is_gone` says so of one of them. A path keeps them in memory until
    /// it is asked about again: whoever swaps CRLs calls this for the paths that are kept.
    pub fn let_go(&self, is_gone: impl Fn(&Crl) -> bool) {
        for bound in &self.bound {
            let mut bound = bound.lock().unwrap_or_else(PoisonError::into_inner);
            if bound.as_ref().is_some_and(|bound| bound.seen.iter().any(&is_gone)) {
                *bound = None;
            }
        }
    }

    /// Looks every certificate up anew, at `at`, in the CRLs that `sources` holds now.
    pub fn recheck(&self, at: Time, sources: Sources<'_>) -> Rechecked {
        let mut rechecked = Rechecked {
            outcome: Outcome::Valid,
            reason: None,
            evidence: Vec::with_capacity(self.certificates.len()),
        };
        let expired = if at < self.not_before { Reason::NotYetValid } else { Reason::Expired };
        if !self.holds_at(at) {
            rechecked.decide(expired);
            return rechecked;
        }
        if self.requirements.revocation == RevocationMode::None {
            return rechecked;
        }
        for index in (0..self.certificates.len()).rev() {
            let inspected = self.inspect(index, at, sources);
            let seen = rechecked.evidence.len();
            rechecked.evidence.extend(inspected.findings);
            rechecked.evidence.iter_mut().skip(seen).for_each(|found| found.certificate = index);
            match inspected.status {
                Status::Good => {}
                Status::Revoked => {
                    rechecked.decide(Reason::Revoked);
                    return rechecked;
                }
                Status::Unknown(_) if self.requirements.revocation == RevocationMode::Soft => {}
                Status::Unknown(why) => rechecked.decide(Reason::RevocationUnknown(why)),
            }
        }
        rechecked
    }

    fn inspect(&self, index: usize, at: Time, sources: Sources<'_>) -> Inspected {
        let certificate = &self.certificates[index];
        let crls = sources.crls.by_issuer(certificate.issuer());
        let bound = self.bound[index].lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bound) = bound.filter(|bound| bound.since <= at && same_objects(&bound.seen, &crls)) {
            return bound.deciding.status(certificate, at);
        }
        let budget = Budget::new(self.limits, None);
        let mut session = Session::new(budget, sources.memory, self.requirements.algorithms);
        let keys: Vec<Cow<'_, [u8]>> = self.keys.iter().map(|key| Cow::Borrowed(&key[..])).collect();
        let mut signers = PathSigners {
            inquiry: self.inquiry(at),
            sources,
            session: &mut session,
            path: Path { certificates: &self.certificates, anchor: &self.anchor },
            keys: &keys,
        };
        if !revocation::crl_issuers(certificate).is_empty() {
            return revocation::status(certificate, sources.crls, at, &mut signers)
                .unwrap_or_else(|_| Inspected::unknown());
        }
        let mut deciding = Deciding::default();
        if deciding.add(certificate, &crls, at, &mut signers).is_err() {
            return Inspected::unknown();
        }
        let inspected = deciding.status(certificate, at);
        self.bind(index, at, crls, deciding);
        inspected
    }

    /// Keeps which CRLs decide, where nothing but the CRLs themselves can change that.
    fn bind(&self, index: usize, at: Time, seen: Vec<Crl>, deciding: Deciding) {
        let since = seen.iter().map(Crl::this_update).max().unwrap_or(at);
        let has_signer = deciding.signers().count() > 0;
        if since <= at && has_signer && deciding.signers().all(|signer| self.is_on_path(signer)) {
            let bound = Some(Arc::new(Bound { seen, since, deciding }));
            *self.bound[index].lock().unwrap_or_else(PoisonError::into_inner) = bound;
        }
    }

    fn is_on_path(&self, signer: IssuerId) -> bool {
        self.anchor.as_issuer() == signer
            || self.certificates.iter().any(|certificate| certificate.as_issuer() == signer)
    }

    fn inquiry(&self, at: Time) -> Inquiry<'_> {
        Inquiry {
            target: &self.certificates[0],
            at,
            trust: Trust::Only(&self.anchor),
            requirements: &self.requirements,
            name: None,
            depth: self.limits.depth,
            told: 0,
        }
    }
}

impl Rechecked {
    fn decide(&mut self, reason: Reason) {
        (self.outcome, self.reason) = (reason.outcome(), Some(reason));
    }
}

/// Whether both lists hold the very same objects: the kept ones keep their octets alive, so that no other CRL can
/// stand where they stand.
fn same_objects(a: &[Crl], b: &[Crl]) -> bool {
    let same = |(a, b): (&Crl, &Crl)| {
        std::ptr::eq(a.der().as_ptr(), b.der().as_ptr()) && a.der().len() == b.der().len()
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

impl std::fmt::Debug for ProvenPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvenPath").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}
