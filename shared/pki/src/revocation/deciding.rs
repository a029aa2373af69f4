//! Which CRLs decide among several of one scope, and which delta brings one up to date.
//!
//! A CRL is superseded by another of its scope that has a higher number and is no older. Several remain only where a CA
//! made a fault: two lists under one number, or a lower number at a later time. Then each of them is looked into,
//! so that revoked in any of them is revoked (PROMISES, I4). None of this depends on the order of the CRLs.

use super::{Relevant, Signers};
use crate::asn1::Time;
use crate::crl::Crl;
use crate::identity::{CrlKind, CrlNumber};
use crate::path::Exhausted;

/// Those that no other supersedes.
pub(super) fn of(mut relevant: Vec<Relevant>) -> Vec<Relevant> {
    if relevant.len() < 2 {
        return relevant;
    }
    // One CRL may be held twice, as two copies under different signatures.
    relevant.sort_by_key(|one| one.crl.id());
    relevant.dedup_by_key(|one| (one.crl.id(), one.standing.signer));
    let superseded: Vec<bool> = (0..relevant.len())
        .map(|i| {
            (0..relevant.len()).any(|j| {
                relevant[i].standing.scope == relevant[j].standing.scope
                    && supersedes(&relevant[j].crl, &relevant[i].crl)
            })
        })
        .collect();
    let mut superseded = superseded.into_iter();
    relevant.retain(|_| superseded.next() == Some(false));
    relevant
}

fn supersedes(newer: &Crl, older: &Crl) -> bool {
    match (newer.number(), older.number()) {
        (None, None) => newer.this_update() > older.this_update(),
        (a, b) => a > b && newer.this_update() >= older.this_update(),
    }
}

/// The newest delta that may be combined with a complete CRL (5.2.4, 6.3.3 (c)): of the same issuer, key and scope,
/// based on no more than what the complete CRL has, and no older than it.
pub(super) fn delta_for(
    base: &Relevant,
    crls: &[Crl],
    at: Time,
    signers: &mut dyn Signers,
) -> Result<Option<Crl>, Exhausted> {
    newest_delta(base, crls, at, signers, |delta, number| {
        delta.base_number().is_some_and(|based_on| based_on <= number)
            && delta.number().is_some_and(|delta_number| delta_number >= number)
    })
}

/// The newest delta of the same issuer, key and scope that is based on more than the complete CRL has: proof that there is a
/// newer complete one, which is not at hand.
pub(super) fn delta_ahead_of(
    base: &Relevant,
    crls: &[Crl],
    at: Time,
    signers: &mut dyn Signers,
) -> Result<Option<Crl>, Exhausted> {
    newest_delta(base, crls, at, signers, |delta, number| {
        delta.base_number().is_some_and(|based_on| based_on > number)
    })
}

fn newest_delta(
    base: &Relevant,
    crls: &[Crl],
    at: Time,
    signers: &mut dyn Signers,
    counts: impl Fn(&Crl, CrlNumber) -> bool,
) -> Result<Option<Crl>, Exhausted> {
    let Some(number) = base.crl.number() else { return Ok(None) };
    let mut newest: Option<&Crl> = None;
    for delta in crls.iter().filter(|delta| is_of(delta, &base.crl, at) && counts(delta, number)) {
        signers.consider()?;
        let newer = newest.is_none_or(|newest| delta.order() > newest.order());
        if newer && signers.signer_of(delta)? == Some(base.standing.signer) {
            newest = Some(delta);
        }
    }
    Ok(newest.cloned())
}

fn is_of(delta: &Crl, base: &Crl, at: Time) -> bool {
    delta.kind() == CrlKind::Delta
        && delta.this_update() <= at
        && delta.number().is_some()
        && delta.distribution_point() == base.distribution_point()
        && same_key(delta, base)
}

/// Both name the same key, or both name none (6.3.3 (c)(3)).
fn same_key(delta: &Crl, base: &Crl) -> bool {
    let key = |crl: &Crl| crl.authority_key_id().and_then(|authority| authority.key_id.map(<[u8]>::to_vec));
    key(delta) == key(base)
}
