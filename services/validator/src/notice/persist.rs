//! Step 6: files and high-water mark on the disk, before any reader sees the CRL.

use std::sync::Arc;
use std::time::Instant;

use revocast_daemon::{Clock, blocking};
use revocast_pki::crl::{Changes, Crl};
use revocast_pki::identity::{CrlKind, Digest};

use super::dedup::Standing;
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

/// Writes what is to be enforced next, and an audit record of how it came to be.
pub(crate) async fn persist(
    journal: &Arc<Journal>,
    verified: Verified,
    held: Option<&Enforced>,
    standing: Standing,
    told_on: &str,
    arrived: Instant,
    clock: &Clock,
) -> Result<Persisted, JournalError> {
    let scope = verified.scope();
    let (crl, signer, source) = verified.into_parts();
    let (added, removed) = changes(held.map(|held| &held.crl), &crl);
    let next = join(held, crl, signer, standing, clock.now_ms(), source);
    let (journal, told_by, kept) = (journal.clone(), told_on.to_owned(), next.clone());
    let write = move || {
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

/// The highest CRL, plus those that conflict with it.
fn join(
    held: Option<&Enforced>,
    crl: Crl,
    signer: Vec<u8>,
    standing: Standing,
    applied_at_ms: i64,
    source: revocast_messages::Source,
) -> Enforced {
    let Some(held) = held.filter(|_| standing == Standing::Conflict) else {
        return Enforced { crl, conflicting: Vec::new(), signer, applied_at_ms, source };
    };
    let mut all: Vec<Crl> =
        std::iter::once(held.crl.clone()).chain(held.conflicting.iter().cloned()).collect();
    all.push(crl);
    all.sort_by_key(|crl| std::cmp::Reverse(crl.order()));
    let highest = all.remove(0);
    all.truncate(MAX_CONFLICTING);
    Enforced { crl: highest, conflicting: all, signer, applied_at_ms, source }
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
