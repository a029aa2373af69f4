//! Steps 6 and 7 in one go: a CRL's turn, one at a time, so that marks and readers agree.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use revocast_daemon::{LARGE, blocking, short, standing_back};
use revocast_faults::fail_point;
use revocast_pki::identity::CrlOrder;
use tracing::{info, warn};

use super::dedup::{self, Standing};
use super::persist::{Before, Changed, Written, keep, persist};
use super::receipt::Receipts;
use super::swap::{Swapped, swap};
use super::verify::Verified;
use super::walk::Outcome;
use crate::events::Events;
use crate::metrics::Counts;
use crate::state::live::MAX_SCOPES;
use crate::state::{Journal, JournalError, Live, ScopeKey};

/// What a CRL's turn needs, apart from the CRL.
pub(super) struct Turn {
    pub(super) live: Arc<Live>,
    pub(super) journal: Arc<Journal>,
    pub(super) counts: Counts,
    pub(super) events: Events,
    pub(super) receipts: Receipts,
    /// Whose turn it is.
    pub(super) applying: Arc<Mutex<()>>,
    pub(super) at_ms: i64,
    pub(super) told_on: String,
    pub(super) arrived: Instant,
    /// How long it was written to the disk so far.
    pub(super) writing: Duration,
}

/// A CRL that readers see.
pub(super) struct Done {
    pub(super) applied: Swapped,
    pub(super) before: Before,
}

/// Where a CRL stands to what is enforced; where nothing is, to the marks, whose files may have been damaged.
pub(super) fn standing(live: &Live, scope: &ScopeKey, order: &CrlOrder) -> Standing {
    live.look(scope, |enforced, withheld| match withheld {
        Some(withheld) => dedup::standing_to_withheld(withheld, order),
        None => dedup::standing(enforced, order),
    })
}

impl Turn {
    /// Writes and shows it; else says what became of the notice. Judged once more when its turn comes, against what came
    /// to be enforced in the meantime.
    pub(super) async fn take(mut self, verified: Verified) -> Result<Result<Done, Outcome>, JournalError> {
        let octets = verified.crl().der().len();
        if octets < LARGE {
            return short(move || {
                let changed = self.keep(&verified)?;
                changed.map_or(Ok(Err(Outcome::Obsolete)), |changed| self.finish(verified, &changed))
            })
            .await;
        }
        // Only the writing of the file is long, and stands back for long: others wait for the turn.
        let kept =
            standing_back(octets, move || self.keep(&verified).map(|changed| (self, verified, changed)));
        match kept.await? {
            (_, _, None) => Ok(Err(Outcome::Obsolete)),
            (turn, verified, Some(changed)) => blocking(move || turn.finish(verified, &changed)).await,
        }
    }

    /// `None` if it is no news.
    fn keep(&mut self, verified: &Verified) -> Result<Option<Changed>, JournalError> {
        let scope = verified.scope();
        if !standing(&self.live, &scope, &verified.crl().order()).is_news() {
            return Ok(None);
        }
        let held = self.live.enforced(&scope).map(|held| held.crl);
        let begun = Instant::now();
        let kept = keep(&self.journal, verified.crl(), held.as_ref()).map(Some);
        self.writing += begun.elapsed();
        kept
    }

    fn finish(
        mut self,
        verified: Verified,
        changed: &Changed,
    ) -> Result<Result<Done, Outcome>, JournalError> {
        let (scope, order) = (verified.scope(), verified.crl().order());
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = standing(&self.live, &scope, &order);
        if !standing.is_news() {
            return Ok(Err(Outcome::Obsolete));
        }
        let held = self.live.enforced(&scope);
        if held.is_none() && self.live.scopes() >= MAX_SCOPES {
            let why = format!("{MAX_SCOPES} scopes are enforced, and no more are taken in");
            return Ok(Err(Outcome::Aside { word: "limit", why }));
        }
        if standing == Standing::Conflict {
            self.counts.conflicts.add_one(&[]);
            warn!(crl = %verified.crl().id(), "two CRLs of one number, or a lower number at a later time: what either revokes is revoked");
        }
        let before = Before { withheld: self.live.withheld(&scope).filter(|_| held.is_none()), held };
        let told = (self.told_on.as_str(), self.arrived);
        let begun = Instant::now();
        let written = persist(&self.journal, verified, &before, changed, told, self.at_ms)?;
        self.writing += begun.elapsed();
        let persisted = match written {
            Written::Whole(persisted) if persisted.dropped > 0 => {
                self.counts.conflicts_dropped.add(&[], persisted.dropped as u64);
                warn!(issuer = %scope.0, scope = %scope.1, dropped = persisted.dropped, "more CRLs conflict than are joined: what only the oldest of them revoke is let go");
                persisted
            }
            Written::Whole(persisted) => persisted,
            Written::Part(withheld) => {
                warn!(issuer = %scope.0, scope = %scope.1, lost = withheld.lost.len(), "a CRL is kept, and nothing enforced: one that it is joined with is lost");
                self.live.withhold(scope, withheld);
                return Ok(Err(Outcome::Withheld));
            }
        };
        fail_point!("swap");
        let applied = swap(&self.live, persisted, &self.counts);
        fail_point!("swapped");
        // Within the turn: of two CRLs of a scope, the newer one is told last.
        self.events.tell(applied.event());
        self.receipts.tell(applied.receipt(self.arrived.elapsed()));
        info!(
            issuer = %scope.0, scope = %scope.1, crl_number = applied.number.map(|number| number.to_string()),
            source = ?applied.source, took_us = self.arrived.elapsed().as_micros() as u64,
            persist_us = self.writing.as_micros() as u64, "enforced"
        );
        self.counts.persist_seconds.observe(self.writing);
        Ok(Ok(Done { applied, before }))
    }
}
