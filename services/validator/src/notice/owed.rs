//! Debts: notices whose CRL cannot be had or verified yet. Recorded durably, retried with growing pauses and at once
//! when a certificate arrives, and in nobody's way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_messages::{CrlNotice, decode};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::walk::{Outcome, Walk};
use crate::state::{JournalError, Owed};

/// At most this many notices are owed. Beyond, the newest are put aside and counted.
const MAX_DEBTS: i64 = 10_000;
/// Pause before the first retry; doubles.
const FIRST_PAUSE_MS: i64 = 500;
/// The longest pause.
const LONGEST_PAUSE_MS: i64 = 60_000;
/// After this many tries a debt is put aside: about two days.
const MAX_ATTEMPTS: u32 = 3_000;
/// How often debts are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Records a notice as owed; `false` when there are too many.
pub(crate) async fn record(
    walk: &Walk,
    subject: &str,
    body: bytes::Bytes,
    why: String,
) -> Result<bool, JournalError> {
    let owed = Owed {
        subject: subject.to_owned(),
        body,
        attempts: 1,
        next_at_ms: walk.clock.now_ms() + FIRST_PAUSE_MS,
        why,
    };
    let journal = walk.journal.clone();
    let recorded = tokio::task::spawn_blocking(move || {
        if journal.debts()? >= MAX_DEBTS {
            return Ok(false);
        }
        journal.owe(&owed).map(|()| true)
    });
    recorded.await.unwrap_or(Ok(false))
}

/// Retries debts for as long as it is polled. `nudge` makes all of them due.
pub(crate) async fn retry(walk: Arc<Walk>, nudge: Arc<Notify>) {
    let mut nudged = true;
    loop {
        if let Err(error) = look(&walk, nudged).await {
            warn!(%error, "debts cannot be looked at");
        }
        nudged = tokio::select! {
            () = nudge.notified() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
    }
}

/// Takes up the debts that are due, or all of them.
pub(crate) async fn look(walk: &Walk, all: bool) -> Result<(), JournalError> {
    let now = (!all).then(|| walk.clock.now_ms());
    for owed in walk.journal.owed(now)? {
        settle(walk, owed).await?;
    }
    walk.counts.owed.set(&[], walk.journal.debts()? as f64);
    Ok(())
}

async fn settle(walk: &Walk, owed: Owed) -> Result<(), JournalError> {
    let Ok(notice) = decode::<CrlNotice>(&owed.body) else {
        // Written by another release, or damaged: the stream's head tells it again.
        return walk.journal.settle(&owed);
    };
    match walk.take_crl(notice, &owed.subject, Instant::now()).await? {
        Outcome::Owed(why) if owed.attempts < MAX_ATTEMPTS => {
            let pause = FIRST_PAUSE_MS.saturating_mul(1 << owed.attempts.min(20)).min(LONGEST_PAUSE_MS);
            let jitter = fastrand::i64(0..=pause / 2);
            let next_at_ms = walk.clock.now_ms() + pause / 2 + jitter;
            debug!(subject = %owed.subject, %why, "still owed");
            walk.journal.owe(&Owed { attempts: owed.attempts + 1, next_at_ms, why, ..owed })
        }
        _ => walk.journal.settle(&owed),
    }
}
