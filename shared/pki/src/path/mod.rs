//! The path engine: is this certificate valid, at that instant, for whom we believe?
//!
//! Begin with [`judge`]. It answers a [`Question`] in three steps that are three files: `search` finds candidate paths
//! from the target up (RFC 4158), best first and with full backtracking; `validation` judges each whole path
//! (RFC 5280 6.1 with RFC 9618); [`revocation`](crate::revocation) asks CRLs about each certificate of a path that is
//! otherwise valid (6.3), and `signers` finds out who signed them, which may need paths of its own. All of it
//! happens under one [`Limits`] budget.

mod anchor;
mod budget;
mod constraints;
mod graph;
mod names;
mod policy;
mod policy_id;
mod proven;
mod question;
mod search;
mod session;
mod signers;
#[cfg(test)]
pub(crate) mod tests;
mod validation;

pub use anchor::{Anchor, Anchors};
pub(crate) use budget::Budget;
pub use budget::{Exhausted, Limits, Resource, Work};
pub use graph::{CertificateSource, Graph};
pub use names::AskedName;
pub use policy::ANY_POLICY;
pub use policy_id::AnchorsDigest;
pub use proven::{ProvenPath, Rechecked, Unbound};
pub use question::{Question, Requirements, RevocationMode, Sources};

use crate::verdict::{Candidate, Outcome, Reason, Verdict};
use search::{Ended, Inquiry, Search, Trust};
use session::Session;

/// Answers a question.
pub fn judge(question: &Question<'_>, sources: Sources<'_>) -> Verdict {
    let budget = Budget::new(question.limits, question.expired);
    let mut session = Session::new(budget, sources.memory, question.requirements.algorithms);
    let inquiry = Inquiry {
        target: &question.target,
        at: question.at,
        trust: Trust::Any(question.anchors),
        requirements: question.requirements,
        name: question.name.as_ref(),
        depth: question.limits.depth,
        told: question.told,
    };
    let ended = Search::new(inquiry, sources, &mut session).run();
    verdict(question, ended, &session)
}

fn verdict(question: &Question<'_>, ended: Ended, session: &Session<'_>) -> Verdict {
    let telling = ended.telling.as_ref().and_then(told_reason);
    let reason = match (&ended.found, ended.exhausted) {
        (Some(_), _) => None,
        // That the target itself is revoked holds whatever else might have been found.
        (None, Some(exhausted)) if telling != Some((Reason::Revoked, 0)) => Some(Reason::Budget(exhausted.0)),
        (None, _) => Some(telling.map_or(Reason::NoPath, |(reason, _)| reason)),
    };
    let (path, policies) = match ended.found {
        Some((candidate, policies)) => (Some(candidate), policies),
        None => (ended.telling, Vec::new()),
    };
    Verdict {
        outcome: reason.map_or(Outcome::Valid, Reason::outcome),
        reason,
        at: question.at,
        target: question.target.clone(),
        path,
        policies,
        others: ended.others,
        work: session.budget.work(),
    }
}

fn told_reason(candidate: &Candidate) -> Option<(Reason, usize)> {
    candidate.failure.map(|failure| (failure.reason, failure.certificate))
}
