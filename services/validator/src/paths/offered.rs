//! A path that another validator tells: read, then judged whole like any other.
//!
//! Nothing of it is believed. What it says of itself must agree with where it came from; its certificates are
//! candidates and nothing more; its target is judged by this validator's own policy of that name: every signature, all
//! of RFC 5280 6.1, and the live CRLs. Only a path that is valid by that is kept.

use std::sync::Arc;

use revocast_messages::subjects::Subject;
use revocast_messages::{DecodeError, PathElement, PathShare, decode};
use revocast_pki::certificate::Certificate;
use revocast_pki::name::Name;
use revocast_pki::path::{CertificateSource, Graph, Limits, Question};
use revocast_pki::verdict::Outcome;

use crate::question::cache::Key;
use crate::question::policy::{Effective, Policy};
use crate::question::{Judge, intake};
use crate::state::Live;
use crate::state::live::ToldBy;

/// Signatures that judging one offered path may cost: its own, those of CRLs, and those of CRL issuers' paths. The
/// longest real paths take about twenty.
const SIGNATURES: u32 = 40;

/// What became of a path that was told; in one word for counting.
pub(super) type Word = &'static str;

/// What can be told of a path from where it came alone: its key, unless there is nothing to be done.
pub(super) fn look_at(subject: &Subject, judge: &Judge) -> Result<Key, Word> {
    let Subject::PathShare { validator, policy, target } = subject else { return Err("foreign") };
    let key = (*target, *policy);
    if *validator == judge.instance {
        Err("own")
    } else if judge.policies.by_id(*policy).is_none() {
        Err("other_policy")
    } else if judge.paths.cache.holds(&key) {
        Err("held")
    } else {
        Ok(key)
    }
}

/// Decodes it, and holds it against where it came from.
pub(super) fn read(subject: &Subject, payload: &[u8]) -> Result<PathShare, Word> {
    let share: PathShare = decode(payload).map_err(|error| match error {
        DecodeError::UnknownVersion { .. } => "version",
        DecodeError::TooLarge { .. } => "size",
        DecodeError::Empty { .. } | DecodeError::Malformed { .. } => "undecodable",
    })?;
    share.agrees_with(subject).map_err(|_| "disagreement")?;
    Ok(share)
}

/// A path that can be judged.
pub(super) struct Offered {
    key: Key,
    target: Certificate,
    issuers: Graph,
    policy: Arc<Policy>,
    effective: Arc<Effective>,
}

impl Offered {
    /// With its certificates; `unknown` when one goes by an identity that no notice has told yet.
    pub(super) fn new(share: &PathShare, judge: &Judge) -> Result<Offered, Word> {
        let (policy, effective) = judge.policies.by_id(share.policy).cloned().ok_or("other_policy")?;
        let mut certificates = share.certificates.iter().map(|element| match element {
            PathElement::Der(der) => intake::decode(der).map_err(|_| "undecodable"),
            PathElement::Id(id) => judge.live.told(*id).ok_or("unknown"),
        });
        let target = certificates.next().ok_or("undecodable")??;
        let issuers = certificates.collect::<Result<Graph, Word>>()?;
        Ok(Offered { key: (share.target, share.policy), target, issuers, policy, effective })
    }

    /// Judges it, and keeps it if it is valid. Blocks on the processor.
    pub(super) fn judged(self, judge: &Judge) -> Word {
        let question = Question {
            limits: Limits { signatures: SIGNATURES, ..Limits::default() },
            ..Question::new(self.target, judge.now(), &self.policy.anchors, &self.effective.requirements)
        };
        let candidates = Candidates { offered: &self.issuers, live: &judge.live };
        let (verdict, path) = judge.searched(question, &candidates, judge.deadline());
        judge.adopt(&verdict, Some(ToldBy::Path));
        match (path, verdict.outcome) {
            (Some(path), _) => {
                judge.paths.keep(self.key, path);
                "kept"
            }
            (None, Outcome::Indeterminate) => "undecided",
            (None, _) => "refused",
        }
    }
}

/// The issuers that were offered, and what is known besides: other names, and other keys under the same names, as CRLs
/// may be signed by either. So a path is judged as it was offered, or not at all.
struct Candidates<'a> {
    offered: &'a Graph,
    live: &'a Live,
}

impl CertificateSource for Candidates<'_> {
    fn by_subject(&self, subject: &Name) -> Vec<Certificate> {
        let mut found = self.offered.by_subject(subject);
        let offered = found.len();
        for known in self.live.by_subject(subject) {
            if !found.iter().take(offered).any(|issuer| issuer.spki() == known.spki()) {
                found.push(known);
            }
        }
        found
    }
}
