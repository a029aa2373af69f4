//! Step 6: the CRL and its high-water mark on the disk, before any reader sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::{blocking, every};
use revocast_pki::crl::{Changes, Crl};
use revocast_pki::identity::{CrlId, CrlKind, CrlOrder, Digest};
use tracing::warn;

use super::dedup::supersedes;
use super::verify::Verified;
use crate::state::live::MAX_CONFLICTING;
use crate::state::{Applied, Enforced, Journal, JournalError, ScopeKey, Withheld};

/// What is on the disk, and not yet seen by readers. Made only here.
pub(crate) struct Persisted {
    pub(super) scope: ScopeKey,
    pub(super) next: Enforced,
    pub(super) obsolete: Vec<Digest>,
    /// Conflicting CRLs beyond those that are joined.
    pub(super) dropped: usize,
}

/// What came of writing a CRL.
pub(crate) enum Written {
    /// It is to be enforced, with those that it is joined with.
    Whole(Persisted),
    /// One that it is joined with is lost: nothing is to be enforced.
    Part(Withheld),
}

/// What stands when a CRL's turn comes.
#[derive(Default)]
pub(crate) struct Before {
    /// What is enforced.
    pub held: Option<Enforced>,
    /// What is not, for want of a file.
    pub withheld: Option<Withheld>,
}

/// Two figures of the audit record: how many entries came and went.
pub(crate) struct Changed {
    since: Option<CrlId>,
    added: u64,
    removed: u64,
}

/// Superseded CRLs are removed this often.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

/// Above this many entries the audit record tells sizes instead of exact changes.
const COUNTED_ENTRIES: usize = 200_000;

/// Writes the CRL's file, if it is to have one, and compares it with what is enforced. Done before the turn of the scope's
/// mark: other issuers' CRLs do not wait for the disk and the processor that a large one takes. Without a mark the file says
/// nothing, and is swept at the next start. Blocks.
pub(crate) fn keep(journal: &Journal, crl: &Crl, held: Option<&Crl>) -> Result<Changed, JournalError> {
    journal.keep_crl(crl)?;
    Ok(changed(held, crl))
}

/// Writes what is to be enforced next, and an audit record of how it came to be. Blocks.
pub(crate) fn persist(
    journal: &Journal,
    verified: Verified,
    before: &Before,
    changed: &Changed,
    (told_on, arrived): (&str, Instant),
    at_ms: i64,
) -> Result<Written, JournalError> {
    let scope = verified.scope();
    let (crl, signer, source) = verified.into_parts();
    let (added, removed) = changed.since(before.held.as_ref().map(|held| &held.crl), &crl);
    let Joined { highest, others, lost, dropped } = join(before, crl);
    if !lost.is_empty() {
        let crls = std::iter::once(highest).chain(others).collect();
        let withheld = Withheld { crls, lost };
        journal.withhold(&scope, &withheld, &signer, at_ms)?;
        return Ok(Written::Part(withheld));
    }
    let next = Enforced { crl: highest, conflicting: others, signer, applied_at_ms: at_ms, source };
    let obsolete = journal.apply(&Applied {
        scope,
        crl: &next.crl,
        conflicting: &next.conflicting,
        signer: &next.signer,
        at_ms,
        told_by: told_on.to_owned(),
        source: next.source,
        added,
        removed,
        took_us: u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX),
    })?;
    Ok(Written::Whole(Persisted { scope, next, obsolete, dropped }))
}

/// Removes CRLs that were superseded, for as long as it is polled. It is no part of a CRL's turn, and what is not removed
/// now is removed at the next start.
pub(crate) async fn forget(journal: Arc<Journal>) {
    let mut ticking = every(FORGET_INTERVAL);
    loop {
        ticking.tick().await;
        let (journal, due) = (journal.clone(), journal.due_to_forget());
        if !due.is_empty()
            && let Err(error) = blocking(move || journal.forget(&due)).await
        {
            warn!(%error, "superseded CRLs are not removed from the disk");
        }
    }
}

/// CRLs of a scope of which none supersedes another.
pub(crate) struct Joined {
    pub(crate) highest: Crl,
    /// The others that are at hand, the highest first; at most [`MAX_CONFLICTING`].
    pub(crate) others: Vec<Crl>,
    /// Where those stand that are not.
    lost: Vec<CrlOrder>,
    /// How many more there were.
    dropped: usize,
}

/// What stands once `crl` has come: all that no other supersedes. Any multiset of CRLs, in any order, joins to the same
/// (PROMISES, I4), and one that is lost has its place as if it were at hand.
pub(crate) fn join(before: &Before, crl: Crl) -> Joined {
    let held = before.held.iter().flat_map(Enforced::crls);
    let (at_hand, lost) =
        before.withheld.as_ref().map_or((&[][..], &[][..]), |it| (&it.crls[..], &it.lost[..]));
    let mut all: Vec<Crl> = held.chain(at_hand).cloned().collect();
    all.push(crl.clone());
    let mut lost: Vec<CrlOrder> = lost.iter().copied().filter(|lost| lost.id != crl.id()).collect();
    let orders: Vec<CrlOrder> = all.iter().map(Crl::order).chain(lost.iter().copied()).collect();
    let stands = |one: &CrlOrder| !orders.iter().any(|other| supersedes(other, one));
    all.retain(|one| stands(&one.order()));
    lost.retain(stands);
    lost.truncate(MAX_CONFLICTING + 1);
    all.sort_by_key(|one| std::cmp::Reverse(one.order()));
    let mut left = all.into_iter();
    // What just came is superseded by nothing that stands, or it would not have come this far.
    let highest = left.next().unwrap_or(crl);
    let others: Vec<Crl> = left.by_ref().take(MAX_CONFLICTING).collect();
    Joined { highest, others, lost, dropped: left.count() }
}

impl Changed {
    /// Exact, if what they were counted against is still what stands; else sizes.
    fn since(&self, old: Option<&Crl>, new: &Crl) -> (u64, u64) {
        match old {
            _ if self.since == old.map(Crl::id) => (self.added, self.removed),
            Some(old) => sizes(old, new),
            None => (new.entries() as u64, 0),
        }
    }
}

fn changed(old: Option<&Crl>, new: &Crl) -> Changed {
    let (added, removed) = match old {
        None => (new.entries() as u64, 0),
        Some(old)
            if new.kind() == CrlKind::Complete && old.entries().max(new.entries()) <= COUNTED_ENTRIES =>
        {
            let changes = Changes::between(old, new);
            (changes.revoked.len() as u64, (changes.dropped.len() + changes.released.len()) as u64)
        }
        Some(old) => sizes(old, new),
    };
    Changed { since: old.map(Crl::id), added, removed }
}

fn sizes(old: &Crl, new: &Crl) -> (u64, u64) {
    let (before, after) = (old.entries() as u64, new.entries() as u64);
    (after.saturating_sub(before), before.saturating_sub(after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use revocast_messages::Source;
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

    use super::super::dedup::{Standing, standing, standing_to_withheld};
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

    fn enforced(joined: Joined) -> Enforced {
        let Joined { highest, others, lost, .. } = joined;
        assert!(lost.is_empty());
        let (crl, conflicting) = (highest, others);
        Enforced { crl, conflicting, signer: Vec::new(), applied_at_ms: 0, source: Source::Inline }
    }

    /// What stands after these, in this order, if those of the number `lost` get lost as they come: what is at hand, the
    /// highest first, and what is lost.
    fn standing_after(crls: &[Crl], lost: Option<u64>) -> (Vec<CrlId>, Vec<CrlId>) {
        let mut before =
            Before { held: None, withheld: Some(Withheld { crls: Vec::new(), lost: Vec::new() }) };
        for crl in crls {
            let Some(withheld) = &before.withheld else { break };
            if standing_to_withheld(withheld, &crl.order()).is_news() {
                let Joined { highest, others, lost: mut gone, .. } = join(&before, crl.clone());
                let (kept, goes): (Vec<Crl>, Vec<Crl>) = std::iter::once(highest)
                    .chain(others)
                    .partition(|one| lost.is_none_or(|lost| one.number() != Some(lost.into())));
                gone.extend(goes.iter().map(Crl::order));
                before.withheld = Some(Withheld { crls: kept, lost: gone });
            }
        }
        let Withheld { crls, mut lost } = before.withheld.unwrap();
        lost.sort_unstable();
        (crls.iter().map(Crl::id).collect(), lost.iter().map(|order| order.id).collect())
    }

    /// What is enforced after these, in this order: by identity, the highest first.
    fn enforced_after(crls: &[Crl]) -> Vec<CrlId> {
        let mut before = Before::default();
        for crl in crls {
            if standing(before.held.as_ref(), &crl.order()).is_news() {
                before.held = Some(enforced(join(&before, crl.clone())));
            }
        }
        before.held.iter().flat_map(Enforced::crls).map(Crl::id).collect()
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
            // The same where files get lost, each as soon as it is written.
            let with_losses = standing_after(&crls, Some(2));
            prop_assert_eq!(standing_after(&shuffled, Some(2)), with_losses.clone());
            let mut all = [with_losses.0, with_losses.1].concat();
            let mut whole = enforced_after(&crls);
            all.sort_unstable();
            whole.sort_unstable();
            prop_assert_eq!(all, whole);
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

    /// I5.
    #[test]
    fn of_two_that_are_joined_the_one_at_hand_waits_for_the_lost_one_or_for_what_supersedes_both() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (here, gone) = (minted(&key, (3, 0, 1)), minted(&key, (3, 0, 2)));
        let withheld = Some(Withheld { crls: vec![here.clone()], lost: vec![gone.order()] });
        let before = Before { held: None, withheld };
        let another = join(&before, minted(&key, (3, 0, 3)));
        assert_eq!(another.lost, [gone.order()], "joined with both, and still not whole");
        let whole = enforced(join(&before, gone.clone()));
        assert!(whole.holds(here.id()) && whole.holds(gone.id()));
        let next = minted(&key, (4, 0, 4));
        assert_eq!(
            enforced(join(&before, next.clone())).crls().map(Crl::id).collect::<Vec<_>>(),
            [next.id()]
        );
    }

    #[test]
    fn of_more_that_conflict_than_are_joined_the_oldest_go_and_are_counted_in_any_order() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let all: Vec<Crl> = (0..7).map(|n| minted(&key, (1, n, 1))).collect();
        let newest: Vec<CrlId> = all.iter().rev().take(MAX_CONFLICTING + 1).map(Crl::id).collect();
        let reversed: Vec<Crl> = all.iter().rev().cloned().collect();
        assert_eq!((enforced_after(&all), enforced_after(&reversed)), (newest.clone(), newest));
        let held = all.iter().take(MAX_CONFLICTING + 1).fold(Before::default(), |before, crl| Before {
            held: Some(enforced(join(&before, crl.clone()))),
            ..Before::default()
        });
        assert_eq!(join(&held, all[6].clone()).dropped, 1);
    }

    #[test]
    fn a_crl_that_was_superseded_is_no_news() {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (old, new) = (minted(&key, (1, 0, 1)), minted(&key, (2, 0, 1)));
        let enforced = enforced(join(&Before::default(), new.clone()));
        assert_eq!(standing(Some(&enforced), &old.order()), Standing::Older);
        assert_eq!(standing(Some(&enforced), &new.order()), Standing::Held);
    }
}
