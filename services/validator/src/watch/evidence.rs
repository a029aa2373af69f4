//! The algebra of tellings: may this validator's verdict take the place of the one that was told last? Pure.
//!
//! A head says which CRLs its teller enforced and which certificates it knew. Whoever knows less is *behind* and keeps
//! silent: a laggard takes nothing back. Whoever knows more may tell. At equal evidence only what time alone has brought
//! about is told (an expiry, a nextUpdate that passed), and revoked, which beats everything else. Each telling carries
//! on what the one before it had seen, so the evidence behind a head never goes back, and there are no more tellings than
//! there is news.

use std::collections::BTreeSet;

use revocast_messages::{Outcome, Seen, VerdictChanged};
use revocast_pki::asn1::Time;
use revocast_pki::identity::CertId;

use crate::notice::dedup::supersedes;

/// What this validator would tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ours {
    /// Its verdict.
    pub outcome: Outcome,
    /// The CRLs that it enforces in every scope that the head names, and those that decided.
    pub seen: Vec<Seen>,
    /// The certificates above the target that it knows.
    pub known: BTreeSet<CertId>,
    /// It has been behind this head for longer than a fleet takes to converge: what it lacks cannot be had.
    pub waited: bool,
}

/// Why a verdict is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing was told before.
    First,
    /// A newer CRL, or one of another scope.
    NewerCrl,
    /// A certificate that the head's teller did not know.
    NewerCertificate,
    /// Revoked beats everything else at equal evidence.
    Revoked,
    /// The instant has passed up to which the head holds.
    TimePassed,
    /// The head rests on CRLs that cannot be had, and hides a revocation.
    Unconfirmed,
    /// The same as before, so that the stream does not forget it.
    Again,
}

/// Why a verdict is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is what was told.
    Same,
    /// The head rests on something that this validator does not have.
    Behind,
    /// Nothing is newer than what the head rests on.
    Equal,
}

impl Silence {
    /// One word for counting.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Silence::Same => "same",
            Silence::Behind => "behind",
            Silence::Equal => "equal",
        }
    }
}

/// Whether this validator tells its verdict at `at`, where `head` was told last.
pub(crate) fn decide(head: Option<&VerdictChanged>, ours: &Ours, at: Time) -> Result<Why, Silence> {
    let Some(head) = head else { return Ok(Why::First) };
    if head.outcome == ours.outcome {
        return Err(Silence::Same);
    }
    // A revocation that the CA has signed is hidden by nobody's word for long.
    let overdue = ours.waited && ours.outcome == Outcome::Revoked;
    if lacks(&ours.seen, &head.seen) {
        return if overdue { Ok(Why::Unconfirmed) } else { Err(Silence::Behind) };
    }
    let newer = lacks(&head.seen, &ours.seen);
    let spent = head.until.is_some_and(|until| until < at);
    let knows_all = head.known.iter().all(|id| ours.known.contains(id));
    let may_tell = knows_all || spent || (overdue && newer);
    if !may_tell {
        return Err(Silence::Behind);
    }
    if newer {
        return Ok(Why::NewerCrl);
    }
    if ours.known.len() > head.known.len() {
        return Ok(Why::NewerCertificate);
    }
    if ours.outcome == Outcome::Revoked {
        return Ok(Why::Revoked);
    }
    if spent { Ok(Why::TimePassed) } else { Err(Silence::Equal) }
}

/// What the next head will have seen: what is carried on from `head`, with what is ours. Where the head could not be
/// confirmed, only what is ours.
pub(crate) fn carried(head: Option<&VerdictChanged>, ours: &[Seen], why: Why) -> Vec<Seen> {
    let before = head.filter(|_| why != Why::Unconfirmed).map_or(&[][..], |head| &head.seen);
    join(before, ours)
}

/// The CRLs of both that none of both supersedes: a join, whatever the order.
pub(crate) fn join(a: &[Seen], b: &[Seen]) -> Vec<Seen> {
    let all: Vec<&Seen> = a.iter().chain(b).collect();
    let superseded = |one: &Seen| all.iter().any(|other| other.crl_id != one.crl_id && covers(other, one));
    let mut left: Vec<Seen> = all.iter().copied().filter(|one| !superseded(one)).copied().collect();
    left.sort_by_key(|seen| (seen.scope, seen.order()));
    left.dedup_by_key(|seen| (seen.scope, seen.crl_id));
    if left.len() > VerdictChanged::MAX_SEEN {
        left.sort_by_key(|seen| std::cmp::Reverse((seen.this_update, seen.crl_id)));
        left.truncate(VerdictChanged::MAX_SEEN);
        left.sort_by_key(|seen| (seen.scope, seen.order()));
    }
    left
}

/// Whether `a` lacks something that `b` has.
fn lacks(a: &[Seen], b: &[Seen]) -> bool {
    b.iter().any(|theirs| !a.iter().any(|ours| covers(ours, theirs)))
}

/// Whether whoever enforces `a` knows what `b` says.
fn covers(a: &Seen, b: &Seen) -> bool {
    a.scope == b.scope && (a.crl_id == b.crl_id || supersedes(&a.order(), &b.order()))
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
