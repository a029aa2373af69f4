//! [`ProvenPath`]: a path that was found valid, kept so that the same certificate is answered at once.
//!
//! What is kept never says that a certificate is good: it is the path and the CRLs that decided over it. Each answer
//! asks the source for its CRLs again, or whether anything has changed, and looks every certificate up, so a newer CRL is
//! obeyed by the very next question. Only while the source gives the very same CRLs is the work saved of finding out which
//! of them decide and who signed them; and only where their signers stand on the path itself, as then nothing else may have
//! changed.
//!
//! Whoever keeps such paths keys them by certificate, anchors and [`Requirements`]; the name asked for is checked
//! apart, by [`ProvenPath::bears`].

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

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
use crate::name::Name;
use crate::revocation::{self, CrlSource, Deciding, Placed, Revision, Status};
use crate::verdict::{Evidence, Finding, Outcome, Reason, Unknown, Verdict};

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
    bound: Vec<RwLock<Option<Bound>>>,
}

/// Where the work was not done to its end.
const UNFINISHED: Status = Status::Unknown(Unknown::NoSigner);

/// Which of some CRLs decide over a certificate. The CRLs themselves are not held: a path that nobody asks for any
/// more must not keep a list alive that was superseded.
struct Bound {
    /// All that the source gave for the issuer's name.
    seen: Weak<[Crl]>,
    /// The last revision of a source that is known to give that, or 0.
    revision: AtomicU64,
    /// thisUpdate of the newest of them: before, another one may decide.
    since: Time,
    placed: Placed,
}

/// It must be found out first which CRLs decide: [`ProvenPath::recheck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("which CRLs decide is to be found out first")]
pub struct Unbound;

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
            bound: path.certificates.iter().map(|_| RwLock::new(None)).collect(),
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

    /// The last second at which it holds.
    pub fn not_after(&self) -> Time {
        self.not_after
    }

    /// Whether every certificate is within its validity at `at`. Where it is not, the path must be searched for anew.
    pub fn holds_at(&self, at: Time) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// Whether the target bears the name.
    pub fn bears(&self, name: &AskedName) -> bool {
        self.certificates.first().is_some_and(|target| name.is_borne_by(target))
    }

    /// Looks every certificate up anew, at `at`, in the CRLs that `sources` holds now.
    pub fn recheck(&self, at: Time, sources: Sources<'_>) -> Rechecked {
        let mut evidence = Vec::with_capacity(self.certificates.len());
        let Ok(reason) = self.judge::<Infallible>(at, |index| {
            let mut found =
                |found: Finding<'_>| evidence.push(Finding { certificate: index, ..found }.to_evidence());
            let bound = self.bound_to(index, at, sources.crls, &mut found);
            Ok(bound.unwrap_or_else(|| self.inspect(index, at, sources, &mut found)))
        });
        Rechecked { outcome: reason.map_or(Outcome::Valid, Reason::outcome), reason, evidence }
    }

    /// The same where it takes look-ups and nothing else; [`Unbound`] if it must be found out first which CRLs decide,
    /// since the source gives others than at the last [`recheck`](ProvenPath::recheck). Returns why it is not valid, `None`
    /// if it is. `found` is told what each CRL says, which is void with `Unbound`; it must be quick, and ask nothing of this
    /// path.
    pub fn look_up(
        &self,
        at: Time,
        crls: &dyn CrlSource,
        mut found: impl FnMut(Finding<'_>),
    ) -> Result<Option<Reason>, Unbound> {
        self.judge(at, |index| {
            let mut found = |one: Finding<'_>| found(Finding { certificate: index, ..one });
            self.bound_to(index, at, crls, &mut found).ok_or(Unbound)
        })
    }

    fn judge<E>(
        &self,
        at: Time,
        mut status_of: impl FnMut(usize) -> Result<Status, E>,
    ) -> Result<Option<Reason>, E> {
        if !self.holds_at(at) {
            return Ok(Some(if at < self.not_before { Reason::NotYetValid } else { Reason::Expired }));
        }
        if self.requirements.revocation == RevocationMode::None {
            return Ok(None);
        }
        let mut reason = None;
        for index in (0..self.certificates.len()).rev() {
            match status_of(index)? {
                Status::Good => {}
                Status::Revoked => return Ok(Some(Reason::Revoked)),
                Status::Unknown(_) if self.requirements.revocation == RevocationMode::Soft => {}
                Status::Unknown(why) => reason = Some(Reason::RevocationUnknown(why)),
            }
        }
        Ok(reason)
    }

    /// What the CRLs say that decide, if it was found out before which do, and nothing has changed since.
    fn bound_to(
        &self,
        index: usize,
        at: Time,
        crls: &dyn CrlSource,
        found: &mut dyn FnMut(Finding<'_>),
    ) -> Option<Status> {
        let bound = self.bound[index].read().unwrap_or_else(PoisonError::into_inner);
        let bound = bound.as_ref().filter(|bound| bound.since <= at)?;
        let certificate = &self.certificates[index];
        let list = bound.list(crls, certificate.issuer())?;
        Some(bound.placed.status(&list, certificate, self.requirements.overdue(at), found))
    }

    fn inspect(
        &self,
        index: usize,
        at: Time,
        sources: Sources<'_>,
        found: &mut dyn FnMut(Finding<'_>),
    ) -> Status {
        let certificate = &self.certificates[index];
        let crls = sources.crls.by_issuer(certificate.issuer());
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
        let overdue = self.requirements.overdue(at);
        if !revocation::crl_issuers(certificate).is_empty() {
            return match revocation::status(certificate, sources.crls, at, overdue, &mut signers) {
                Ok(inspected) => {
                    inspected.findings.iter().map(Evidence::as_finding).for_each(found);
                    inspected.status
                }
                Err(_) => UNFINISHED,
            };
        }
        let mut deciding = Deciding::default();
        if deciding.add(certificate, &crls, at, &mut signers).is_err() {
            return UNFINISHED;
        }
        let status = deciding.status(certificate, overdue, found);
        self.bind(index, at, &crls, &deciding);
        status
    }

    /// Keeps which CRLs decide, where nothing but the CRLs themselves can change that.
    fn bind(&self, index: usize, at: Time, crls: &Arc<[Crl]>, deciding: &Deciding) {
        let since = crls.iter().map(Crl::this_update).max().unwrap_or(at);
        if since > at || !deciding.signers().all(|signer| self.is_on_path(signer)) {
            return;
        }
        if let Some(placed) = deciding.placed(crls) {
            let bound = Bound { seen: Arc::downgrade(crls), revision: AtomicU64::new(0), since, placed };
            *self.bound[index].write().unwrap_or_else(PoisonError::into_inner) = Some(bound);
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

impl Bound {
    /// The list in which they were placed, if it is the one that the source gives now.
    fn list(&self, crls: &dyn CrlSource, issuer: &Name) -> Option<Arc<[Crl]>> {
        let revision = crls.revision().map_or(0, |Revision(revision)| revision);
        if revision != 0
            && revision == self.revision.load(Ordering::Relaxed)
            && let Some(list) = self.seen.upgrade()
        {
            return Some(list);
        }
        let list = crls.by_issuer(issuer);
        // As long as the weak reference is kept, no other list can stand where that one stood.
        let is_same = std::ptr::eq(self.seen.as_ptr(), Arc::as_ptr(&list));
        if is_same {
            self.revision.store(revision, Ordering::Relaxed);
        }
        is_same.then_some(list)
    }
}

impl std::fmt::Debug for ProvenPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvenPath").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}
