//! Path building as in RFC 4158: from the target up, depth first, the best issuer first, back again on failure.
//!
//! A path is never extended by a key that it already has under the same name, so the search ends; its cost is
//! bounded by the budget. Whatever can be told of an issuer alone is asked before its signature arithmetic.

use std::ops::ControlFlow;

use super::anchor::{Anchor, Anchors};
use super::budget::Exhausted;
use super::names::AskedName;
use super::question::{Requirements, RevocationMode, Sources};
use super::session::Session;
use super::signers::PathSigners;
use super::validation::{Inputs, Path, Stop, Validated, may_issue, valid_at, validate};
use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::name::Name;
use crate::revocation::{self, Status};
use crate::signature;
use crate::verdict::{Candidate, Check, Evidence, Failure, Outcome, Reason, Rule};

/// What a search is for.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'a> {
    pub(super) target: &'a Certificate,
    pub(super) at: Time,
    pub(super) trust: Trust<'a>,
    pub(super) requirements: &'a Requirements,
    pub(super) name: Option<&'a AskedName>,
    pub(super) depth: usize,
    pub(super) told: usize,
}

/// Which anchors a path may end at.
#[derive(Clone, Copy)]
pub(super) enum Trust<'a> {
    Any(&'a Anchors),
    /// The one at which the path of the certificate ends whose CRL is judged (RFC 5280 6.3.3 (f)).
    Only(&'a Anchor),
}

impl<'a> Trust<'a> {
    fn named(self, name: &Name) -> &'a [Anchor] {
        match self {
            Trust::Any(anchors) => anchors.named(name),
            Trust::Only(anchor) if anchor.name() == name => std::slice::from_ref(anchor),
            Trust::Only(_) => &[],
        }
    }
}

/// How a search ended.
#[derive(Default)]
pub(super) struct Ended {
    /// The valid path, with its policies.
    pub(super) found: Option<(Candidate, Vec<String>)>,
    /// The path that tells most, where none is valid.
    pub(super) telling: Option<Candidate>,
    /// Other paths that were tried.
    pub(super) others: Vec<Candidate>,
    pub(super) exhausted: Option<Exhausted>,
}

/// A search under way.
pub(super) struct Search<'a, 's, 'b> {
    inquiry: Inquiry<'a>,
    sources: Sources<'a>,
    session: &'s mut Session<'b>,
    /// From the target up.
    path: Vec<Certificate>,
    ended: Ended,
}

/// Goes on with the next candidate, or ends: `Err` if the budget is exhausted.
type Step = ControlFlow<Result<(), Exhausted>>;

impl<'a, 's, 'b> Search<'a, 's, 'b> {
    pub(super) fn new(inquiry: Inquiry<'a>, sources: Sources<'a>, session: &'s mut Session<'b>) -> Self {
        let mut path = Vec::with_capacity(4);
        path.push(inquiry.target.clone());
        Search { inquiry, sources, session, path, ended: Ended::default() }
    }

    /// Searches until a path is valid, all were tried, or the budget is exhausted.
    pub(super) fn run(mut self) -> Ended {
        if let ControlFlow::Break(Err(exhausted)) = self.extend() {
            self.ended.exhausted = Some(exhausted);
        }
        self.ended
    }

    /// Tries every way on from the last certificate of the path.
    fn extend(&mut self) -> Step {
        let Some(last) = self.path.last().cloned() else { return ControlFlow::Continue(()) };
        let anchors = self.inquiry.trust.named(last.issuer());
        for anchor in by_fitness(anchors, |anchor| fitness(&last, anchor.certificate())) {
            charge(self.session.budget.candidate())?;
            self.try_anchor(anchor)?;
        }
        let issuers = self.issuers(&last);
        if issuers.is_empty() && anchors.is_empty() {
            self.fail(Rule::Issuer, Reason::NoPath);
        }
        for issuer in by_fitness(&issuers, |issuer| self.rank(&last, issuer)) {
            charge(self.session.budget.candidate())?;
            self.try_issuer(&last, issuer)?;
        }
        ControlFlow::Continue(())
    }

    /// Certificates of the issuer's name that are not on the path yet, nor the same key under the same name. Copies
    /// of anchors that issued themselves are left out: they lead where the anchor itself leads.
    fn issuers(&self, last: &Certificate) -> Vec<Certificate> {
        if last.issuer().is_empty() {
            return Vec::new();
        }
        let mut found = self.sources.certificates.by_subject(last.issuer());
        found.retain(|issuer| {
            let mut on_path = self.path.iter();
            let is_copy = || {
                let mut anchors = self.inquiry.trust.named(issuer.subject()).iter();
                issuer.is_self_issued() && anchors.any(|anchor| anchor.spki() == issuer.spki())
            };
            !on_path.any(|known| known.spki() == issuer.spki() && known.subject() == issuer.subject())
                && !is_copy()
        });
        found
    }

    /// The better, the smaller: key identifier, anchor near, validity, newer.
    fn rank(&self, last: &Certificate, issuer: &Certificate) -> impl Ord + use<> {
        let anchored = !self.inquiry.trust.named(issuer.issuer()).is_empty();
        let valid = valid_at(issuer, self.inquiry.at).is_ok();
        (fitness(last, Some(issuer)), !valid, !anchored, -issuer.not_before().unix())
    }

    fn try_issuer(&mut self, last: &Certificate, issuer: &Certificate) -> Step {
        let fit = charge(self.fits(last, issuer))?;
        self.path.push(issuer.clone());
        let step = match fit {
            Ok(()) => self.extend(),
            Err((rule, reason)) => {
                self.fail(rule, reason);
                ControlFlow::Continue(())
            }
        };
        self.path.pop();
        step
    }

    /// Whether a path may go on through `issuer`, as far as that can be told without an anchor.
    fn fits(
        &mut self,
        last: &Certificate,
        issuer: &Certificate,
    ) -> Result<Result<(), (Rule, Reason)>, Exhausted> {
        let constraints = issuer.basic_constraints();
        // The target is no intermediate, whatever it is.
        let between = self.path.iter().skip(1).filter(|below| !below.is_self_issued()).count();
        let limit =
            constraints.and_then(|constraints| constraints.path_length).map_or(usize::MAX, |n| n as usize);
        let alone = [
            (Rule::Issuer, if self.path.len() > self.inquiry.depth { Err(Reason::Depth) } else { Ok(()) }),
            (Rule::Validity, valid_at(issuer, self.inquiry.at)),
            (Rule::PathLength, if between > limit { Err(Reason::PathLength) } else { Ok(()) }),
        ];
        for (rule, result) in alone.into_iter().chain(may_issue(issuer)) {
            if let Err(reason) = result {
                return Ok(Err((rule, reason)));
            }
        }
        // A key without its parameters is judged when its path is whole.
        if signature::needs_parameters(issuer.spki()) {
            return Ok(Ok(()));
        }
        let signed = self.session.verify(last, issuer.spki())?;
        Ok(signed.map_err(|reason| (Rule::Signature, reason)))
    }

    /// Judges the path whole, under this anchor.
    fn try_anchor(&mut self, anchor: &'a Anchor) -> Step {
        let certificates = std::mem::take(&mut self.path);
        let mut checks = Vec::with_capacity(16 * certificates.len());
        let mut evidence = Vec::new();
        let judged = self.judge(Path { certificates: &certificates, anchor }, &mut checks, &mut evidence);
        let candidate = |failure| Candidate {
            certificates: certificates.clone(),
            anchor: Some(anchor.clone()),
            checks,
            evidence,
            failure,
        };
        let step = match judged {
            Ok(policies) => {
                self.ended.found = Some((candidate(None), policies));
                ControlFlow::Break(Ok(()))
            }
            Err(Stop::Failed(failure)) => {
                let candidate = candidate(Some(failure));
                self.tell(candidate);
                ControlFlow::Continue(())
            }
            Err(Stop::Exhausted(exhausted)) => ControlFlow::Break(Err(exhausted)),
        };
        self.path = certificates;
        step
    }

    fn judge(
        &mut self,
        path: Path<'_>,
        checks: &mut Vec<Check>,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Vec<String>, Stop> {
        let Inquiry { requirements, name, at, .. } = self.inquiry;
        let validated = validate(path, Inputs { requirements, name, at }, self.session, checks)?;
        if requirements.revocation != RevocationMode::None {
            self.judge_revocation(path, &validated, checks, evidence)?;
        }
        Ok(validated.policies.iter().map(ToString::to_string).collect())
    }

    /// Asks about each certificate, from the anchor down. One that is revoked decides, wherever it stands.
    fn judge_revocation(
        &mut self,
        path: Path<'_>,
        validated: &Validated<'_>,
        checks: &mut Vec<Check>,
        evidence: &mut Vec<Evidence>,
    ) -> Result<(), Stop> {
        let soft = self.inquiry.requirements.revocation == RevocationMode::Soft;
        let mut unknown = None;
        for (index, certificate) in path.certificates.iter().enumerate().rev() {
            let mut signers = PathSigners {
                inquiry: self.inquiry,
                sources: self.sources,
                session: self.session,
                path,
                keys: &validated.keys,
            };
            let (at, overdue) = (self.inquiry.at, self.inquiry.requirements.overdue(self.inquiry.at));
            let status = revocation::status(certificate, self.sources.crls, at, overdue, &mut signers)?;
            let seen = evidence.len();
            evidence.extend(status.findings);
            evidence[seen..].iter_mut().for_each(|found| found.certificate = index);
            let failure = match status.status {
                Status::Good => None,
                Status::Revoked => Some(Reason::Revoked),
                Status::Unknown(why) => Some(Reason::RevocationUnknown(why)),
            };
            checks.push(Check { certificate: index, rule: Rule::Revocation, failure });
            match failure {
                Some(reason @ Reason::Revoked) => {
                    return Err(Stop::Failed(Failure { reason, certificate: index }));
                }
                Some(reason) if !soft => {
                    unknown.get_or_insert(Failure { reason, certificate: index });
                }
                _ => {}
            }
        }
        unknown.map_or(Ok(()), |failure| Err(Stop::Failed(failure)))
    }

    /// Records that the path as it stands leads no further.
    fn fail(&mut self, rule: Rule, reason: Reason) {
        let certificate = self.path.len() - 1;
        let candidate = Candidate {
            certificates: self.path.clone(),
            anchor: None,
            checks: vec![Check { certificate, rule, failure: Some(reason) }],
            evidence: Vec::new(),
            failure: Some(Failure { reason, certificate }),
        };
        self.tell(candidate);
    }

    /// Keeps the candidate if it tells more than the one kept, and the other one as long as there is room.
    fn tell(&mut self, candidate: Candidate) {
        let other = match &self.ended.telling {
            Some(kept) if weight(kept) >= weight(&candidate) => Some(candidate),
            _ => self.ended.telling.replace(candidate),
        };
        if self.ended.others.len() < self.inquiry.told {
            self.ended.others.extend(other);
        }
    }
}

/// How much a failed path tells: a revoked target most; then what cannot be told, since with more information the path
/// might be valid; then what is wrong with a path that reached an anchor, the further down the more.
fn weight(candidate: &Candidate) -> (u8, usize) {
    let Some(Failure { reason, certificate }) = candidate.failure else { return (u8::MAX, 0) };
    match (reason.outcome(), reason) {
        (Outcome::Revoked, _) if certificate == 0 => (5, 0),
        (Outcome::Indeterminate, _) => (4, 0),
        (Outcome::Revoked, _) => (3, 0),
        _ if candidate.anchor.is_some() => (2, candidate.checks.len()),
        (_, Reason::NoPath) => (0, 0),
        _ => (1, 0),
    }
}

/// How well an issuer's key fits what the certificate says of it (4.2.1.1): the smaller, the better.
fn fitness(certificate: &Certificate, issuer: Option<&Certificate>) -> u8 {
    let wanted = certificate.authority_key_id().and_then(|authority| authority.key_id);
    match (wanted, issuer.and_then(Certificate::subject_key_id)) {
        (Some(wanted), Some(found)) if wanted == found => 0,
        (Some(_), Some(_)) => 2,
        _ => 1,
    }
}

/// The items, those with the smallest rank first; a single one is not ranked at all.
fn by_fitness<T, R: Ord>(items: &[T], rank: impl Fn(&T) -> R) -> Vec<&T> {
    let mut sorted: Vec<&T> = items.iter().collect();
    if sorted.len() > 1 {
        sorted.sort_by_cached_key(|item| rank(item));
    }
    sorted
}

/// Turns an exhausted budget into the end of the search.
fn charge<T>(result: Result<T, Exhausted>) -> ControlFlow<Result<(), Exhausted>, T> {
    match result {
        Ok(value) => ControlFlow::Continue(value),
        Err(exhausted) => ControlFlow::Break(Err(exhausted)),
    }
}
