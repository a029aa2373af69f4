//! [`Telling`]: a CRL that this validator found by itself is announced to the fleet, as a sighting.
//!
//! Found while cut off, it is announced when contact is back, by each a little later or sooner: all validators of a fleet
//! find the same CRL then, and what the first one says stands for all. Nothing here is durable: what is lost costs the
//! fleet a poll.

use std::sync::Arc;
use std::time::Duration;

use revocast_bus::Bus;
use revocast_daemon::{Counter, every};
use revocast_fleet::{Announced, Announcement, Announcer, beat};
use revocast_messages::{Instance, Origin, Role};
use revocast_pki::crl::Crl;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::freshness::Freshness;
use crate::notice::Walk;
use crate::state::ScopeKey;

/// CRLs that wait to be announced; of more, the fleet's other validators find some.
const WAITING: usize = 256;
/// How often it is looked whether contact is back.
const LOOK: Duration = Duration::from_millis(250);
/// Validators that found the same CRL while cut off announce it within this time of each other, the first one for all.
const SPREAD_MS: i64 = 3_000;
/// A validator that announced something says for this long that it is alive.
const BEATS_FOR_MS: i64 = 600_000;
/// How often.
const BEAT_MS: i64 = 30_000;

/// A CRL that came to be enforced, and that nobody told of.
pub(crate) struct Found {
    /// Its series.
    pub scope: ScopeKey,
    /// The CRL.
    pub crl: Crl,
    /// SubjectPublicKeyInfo of the key that signed it.
    pub signer: Vec<u8>,
    /// What was enforced before.
    pub before: Option<Crl>,
    /// Where it was found.
    pub url: String,
    /// Whether it was fetched for the whole fleet.
    pub for_all: bool,
}

/// Hands over what was found. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Telling(mpsc::Sender<Found>);

impl Telling {
    /// A way to hand over, and where it comes out.
    pub(crate) fn new() -> (Telling, mpsc::Receiver<Found>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (Telling(queue), waiting)
    }

    pub(crate) fn found(&self, found: Found) {
        if self.0.try_send(found).is_err() {
            warn!("too many CRLs wait to be announced; the rest of the fleet finds one by itself");
        }
    }
}

/// Who announces.
pub(crate) struct Teller {
    pub walk: Arc<Walk>,
    pub bus: Bus,
    pub instance: Instance,
    pub freshness: Freshness,
    pub published: Counter,
}

/// What waits, and from when on it may be announced.
struct Waiting {
    found: Found,
    not_before_ms: i64,
}

impl Teller {
    /// Announces what is handed over, for as long as it is polled.
    pub(crate) async fn work(self, mut found: mpsc::Receiver<Found>) {
        let published = self.published.clone();
        let told = move |announced: &Announced| match announced {
            Ok(outcome) => published.add_one(&[("outcome", outcome.word())]),
            Err(error) => warn!(%error, "a sighting was not published"),
        };
        let announcer = Announcer::start(&self.bus, Role::Validator, &self.instance, told);
        let (mut looking, mut waiting) = (every(LOOK), Vec::<Waiting>::new());
        let (mut told_ms, mut beat_ms) = (i64::MIN / 2, i64::MIN / 2);
        loop {
            tokio::select! {
                Some(found) = found.recv(), if waiting.len() < WAITING => waiting.push(self.waiting(found)),
                _ = looking.tick() => {}
            }
            let now_ms = self.walk.clock.now_ms();
            // A clock that was ahead may have been set right.
            (told_ms, beat_ms) = (told_ms.min(now_ms), beat_ms.min(now_ms));
            if self.freshness.is_kept(now_ms) {
                for found in due(&mut waiting, now_ms) {
                    told_ms = now_ms;
                    self.announce(&announcer, found);
                }
                if now_ms - told_ms < BEATS_FOR_MS && now_ms - beat_ms >= BEAT_MS {
                    beat_ms = now_ms;
                    let interval_s = u32::try_from(BEAT_MS / 1_000).unwrap_or(u32::MAX);
                    beat(&self.bus, Role::Validator, &self.instance, interval_s, now_ms).await;
                }
            } else {
                // Whoever is back first is the first by chance, counted from then.
                waiting.iter_mut().for_each(|waiting| waiting.not_before_ms = by_chance(now_ms));
            }
        }
    }

    fn waiting(&self, found: Found) -> Waiting {
        let now_ms = self.walk.clock.now_ms();
        let not_before_ms = if found.for_all { now_ms } else { by_chance(now_ms) };
        Waiting { found, not_before_ms }
    }

    /// What stands no longer is not worth a word.
    fn announce(&self, announcer: &Announcer, found: Found) {
        if !self.walk.live.enforced(&found.scope).is_some_and(|enforced| enforced.holds(found.crl.id())) {
            return;
        }
        info!(issuer = %found.scope.0, url = %found.url, "announcing a CRL that nobody told of");
        let seen_at_ms = self.walk.clock.now_ms();
        let origin = Origin { role: Role::Validator, instance: self.instance.clone(), seen_at_ms };
        let (issuer, before) = (found.scope.0, found.before.as_ref());
        let announcement =
            Announcement::of_found(&found.crl, before, (issuer, found.signer), origin, vec![found.url]);
        // What comes of it is told by the announcer.
        drop(announcer.announce(announcement));
    }
}

fn by_chance(now_ms: i64) -> i64 {
    now_ms + fastrand::i64(0..=SPREAD_MS)
}

fn due(waiting: &mut Vec<Waiting>, now_ms: i64) -> Vec<Found> {
    let (due, later): (Vec<Waiting>, Vec<Waiting>) =
        std::mem::take(waiting).into_iter().partition(|waiting| is_due(waiting.not_before_ms, now_ms));
    *waiting = later;
    due.into_iter().map(|waiting| waiting.found).collect()
}

/// Nothing waits for longer than the spread: what seems to was put off by a clock that was ahead.
fn is_due(not_before_ms: i64, now_ms: i64) -> bool {
    !(1..=SPREAD_MS).contains(&not_before_ms.saturating_sub(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_waits_for_the_spread_at_most_however_the_clock_is_set() {
        let now_ms = 10_000;
        let at = [0, now_ms, now_ms + 1, now_ms + SPREAD_MS, now_ms + SPREAD_MS + 1];
        assert_eq!(at.map(|not_before_ms| is_due(not_before_ms, now_ms)), [true, true, false, false, true]);
    }
}
