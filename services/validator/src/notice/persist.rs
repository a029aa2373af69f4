//! Step 6: files and high-water mark on the disk, before any reader sees the CRL.

use std::sync::Arc;
use std::time::Instant;

use revocast_daemon::{Clock, blocking, standing_back};
use revocast_pki::crl::{Changes, Crl};
use revocast_pki::identity::{CrlKind, CrlOrder, Digest};

use super::dedup::supersedes;
use super::verify::Verified;
use crate::state::live::MAX_CONFLICTING;
use crate::state::{Applied, Enforced, Journal, JournalError, ScopeKey};

/// What is on the disk, and not yet seen by readers. Made only here.
pub(crate) struct Persisted {
    pub(super) scope: ScopeKey,
    pub(super) next: Enforced,
    pub(super) obsolete: Vec<Digest>,
}

/// Above this many entries the audit record tells sizes instead of exact changes.
const COUNTED_ENTRIES: usize = 200_000;

/// Writes the CRL's file. A large one takes the disk for long, so it is done before the turn of the scope's mark: other
/// issuers' CRLs do not wait for it. Without a mark the file says nothing, and is swept at the next start.
pub(crate) async fn keep(journal: &Arc<Journal>, verified: &Verified) -> Result<(), JournalError> {
    let (journal, crl) = (journal.clone(), verified.crl().clone());
    standing_back(crl.der().len(), move || journal.keep_crl(&crl)).await
}

/// Writes what is to be enforced next, and an audit record of how it came to be.
pub(crate) async fn persist(
    journal: &Arc<Journal>,
    verified: Verified,
    held: Option<&Enforced>,
    told_on: &str,
    arrived: Instant,
    clock: &Clock,
) -> Result<Persisted, JournalError> {
    let scope = verified.scope();
    let (crl, signer, source) = verified.into_parts();
    let (before, after) = (held.map(|held| held.crl.clone()), crl.clone());
    let next = join(held, crl, signer, clock.now_ms(), source);
    let (journal, told_by, kept) = (journal.clone(), told_on.to_owned(), next.clone());
    let write = move || {
        let (added, removed) = changes(before.as_ref(), &after);
        journal.apply(&Applied {
            scope,
            crl: &kept.crl,
            conflicting: &kept.conflicting,
            signer: &kept.signer,
            at_ms: kept.applied_at_ms,
            told_by,
            source: kept.source,
            added,
            removed,
            took_us: u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    };
    let obsolete = blocking(write).await?;
    Ok(Persisted { scope, next, obsolete })
}

/// What is enforced once `crl` has come: all that no other supersedes, the highest first. Any multiset of CRLs, in any
/// order, joins to the same (PROMISES, I4).
fn join(
    held: Option<&Enforced>,
    crl: Crl,
    signer: Vec<u8>,
    applied_at_ms: i64,
    source: revocast_messages::Source,
) -> Enforced {
    let mut all: Vec<Crl> = held.into_iter().flat_map(Enforced::crls).cloned().collect();
    all.push(crl.clone());
    let orders: Vec<CrlOrder> = all.iter().map(Crl::order).collect();
    all.retain(|one| !orders.iter().any(|other| supersedes(other, &one.order())));
    all.sort_by_key(|one| std::cmp::Reverse(one.order()));
    let mut left = all.into_iter();
    // What just came is superseded by nothing that is held, or it would not have come this far.
    let highest = left.next().unwrap_or(crl);
    Enforced {
        crl: highest,
        conflicting: left.take(MAX_CONFLICTING).collect(),
        signer,
        applied_at_ms,
        source,
    }
}

fn changes(old: Option<&Crl>, new: &Crl) -> (u64, u64) {
    match old {
        None => (new.entries() as u64, 0),
        Some(old)
            if new.kind() == CrlKind::Complete && old.entries().max(new.entries()) <= COUNTED_ENTRIES =>
        {
            let changes = Changes::between(old, new);
            (changes.revoked.len() as u64, (changes.dropped.len() + changes.released.len()) as u64)
        }
        Some(old) => {
            let (before, after) = (old.entries() as u64, new.entries() as u64);
            (after.saturating_sub(before), before.saturating_sub(after))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use revocast_messages::Source;
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

    use super::super::dedup::{Standing, standing};
    use super::*;

    /// A CRL of this number and time that revokes one serial number.
    fn minted(key: &SigningKey, (number, time, serial): (u64, i64, u8)) -> Crl {
        let at = Time::from_unix(1_795_305_600 + time);
        let mut template = CrlTemplate::new(name("CN=CA").unwrap(), number, at, at.plus(3_600));
        if number == 0 {
            template.number = None;
        }
        Crl::decode(template.sign([RevokedEntry::new(&[serial], at)], key).unwrap()).unwrap()
    }

    /// What is enforced after these, in this order: by identity, the highest first.
    fn enforced_after(crls: &[Crl]) -> Vec<revocast_pki::identity::CrlId> {
        let mut enforced: Option<Enforced> = None;
        for crl in crls {
            if standing(enforced.as_ref(), &crl.order()).is_news() {
                enforced = Some(join(enforced.as_ref(), crl.clone(), Vec::new(), 0, Source::Inline));
            }
        }
        enforced.iter().flat_map(Enforced::crls).map(Crl::id).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_order_and_multiset_of_crls_gives_the_same_state(
            made in proptest::collection::vec((0u64..3, 0i64..3, 1u8..3), 1..6),
            seed in any::<u64>(),
        ) {
            let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
            let crls: Vec<Crl> = made.into_iter().map(|one| minted(&key, one)).collect();
            // No more conflicts than are kept: beyond, the bound decides.
            let mut distinct: Vec<_> = crls.iter().map(Crl::id).collect();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assume!(distinct.len() <= MAX_CONFLICTING + 1);
            let mut shuffled: Vec<Crl> = crls.iter().chain(&crls).cloned().collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(enforced_after(&shuffled), enforced_after(&crls));
        }
    }

    #[test]
    fn a_lower_number_at_a_later_time_is_joined_whichever_comes_first() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (high, late) = (minted(&key, (3, 0, 1)), minted(&key, (1, 10, 2)));
        let both = enforced_after(&[high.clone(), late.clone()]);
        assert_eq!(both, [high.id(), late.id()]);
        assert_eq!(enforced_after(&[late.clone(), high.clone()]), both);
        let next = minted(&key, (4, 10, 3));
        assert_eq!(enforced_after(&[late, high, next.clone()]), [next.id()]);
    }

    #[test]
    fn a_crl_that_was_superseded_is_no_news() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (old, new) = (minted(&key, (1, 0, 1)), minted(&key, (2, 0, 1)));
        let enforced = join(None, new.clone(), Vec::new(), 0, Source::Inline);
        assert_eq!(standing(Some(&enforced), &old.order()), Standing::Older);
        assert_eq!(standing(Some(&enforced), &new.order()), Standing::Held);
    }
}
