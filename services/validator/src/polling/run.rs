//! [`Polling`]: takes the turns, and keeps the table of URLs.

use std::sync::Arc;
use std::time::Duration;

use revocast_daemon::{Counter, Gauge, Metrics, blocking, every};
use revocast_pki::name::Name;
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::decide::Contact;
use super::poll::Poller;
use super::targets::{Board, Kept, MAX_TARGETS, Turn};
use super::urls;
use crate::events::Event;
use crate::freshness::Freshness;
use crate::state::JournalError;

/// How often it is looked whether URLs are due.
const LOOK: Duration = Duration::from_millis(250);
/// Certificates that came are looked through for URLs this often at the most: they come in thousands at a start.
const SEARCH_PAUSE: Duration = Duration::from_secs(2);

/// What is counted of polling.
#[derive(Clone)]
pub(crate) struct PollingCounts {
    /// Requests by what came of them.
    pub polls: Counter,
    /// Sightings that the broker confirmed, by outcome.
    pub published: Counter,
    urls: Gauge,
}

impl PollingCounts {
    pub(crate) fn new(metrics: &Metrics) -> PollingCounts {
        let polls =
            metrics.counter("revocast_repository_polls", "URLs asked without a notice, by what came of it");
        for outcome in ["new", "known", "not_modified", "leased", "unverified"] {
            polls.add(&[("outcome", outcome)], 0);
        }
        let published =
            metrics.counter("revocast_notices_published", "sightings that the broker confirmed, by outcome");
        for outcome in ["stored", "already_there", "superseded"] {
            published.add(&[("outcome", outcome)], 0);
        }
        let urls = metrics.gauge("revocast_repository_urls", "URLs that may be asked without a notice");
        PollingCounts { polls, published, urls }
    }
}

/// Polls repositories.
pub(crate) struct Polling {
    pub poller: Poller,
    pub freshness: Freshness,
    pub counts: PollingCounts,
    pub degraded_after: Duration,
}

impl Polling {
    /// Works for as long as it is polled.
    pub(crate) async fn work(self) {
        let mut events = self.poller.walk.events.changes();
        if let Err(error) = self.recall().await {
            warn!(%error, "which URLs were asked is not known");
        }
        let mut looking = every(LOOK);
        let mut searching = every(SEARCH_PAUSE);
        let mut under_way = JoinSet::new();
        let mut contact = Meeting::begun(self.now_ms(), self.degraded_after);
        let mut came = true;
        loop {
            tokio::select! {
                _ = looking.tick() => came |= self.hear(&mut events),
                _ = searching.tick(), if came => {
                    came = false;
                    self.search().await;
                }
                Some(_) = under_way.join_next() => continue,
            }
            let now_ms = self.now_ms();
            let live = &self.poller.walk.live;
            let kept = self.freshness.is_kept(now_ms);
            self.board().contact_is(contact.is(kept, now_ms), live);
            for turn in self.board().begin(now_ms, live) {
                under_way.spawn(take(self.poller.clone(), turn));
            }
            self.counts.urls.set(&[], self.board().len() as f64);
            write_down(&self.poller, self.board().take_unkept()).await;
        }
    }

    fn board(&self) -> &Arc<Board> {
        &self.poller.walk.board
    }

    fn now_ms(&self) -> i64 {
        self.poller.walk.clock.now_ms()
    }

    async fn recall(&self) -> Result<(), JournalError> {
        let journal = self.poller.walk.journal.clone();
        for kept in blocking(move || journal.polled(MAX_TARGETS)).await? {
            self.board().insert(kept, &self.poller.walk.live, self.now_ms());
        }
        Ok(())
    }

    /// Takes to heart what has happened since the last look; `true` if a certificate came.
    fn hear(&self, events: &mut broadcast::Receiver<Event>) -> bool {
        let (live, mut came) = (&self.poller.walk.live, false);
        loop {
            match events.try_recv() {
                Ok(Event::Applied { scope, .. }) => {
                    let issuer: Option<Name> =
                        live.enforced(&scope).map(|enforced| enforced.crl.issuer().clone());
                    self.board().held_changed(issuer.as_ref(), live);
                }
                Ok(Event::Learned(_)) => came = true,
                Ok(_) => {}
                Err(TryRecvError::Lagged(_)) => {
                    self.board().held_changed(None, live);
                    came = true;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return came,
            }
        }
    }

    /// Looks through the known certificates for URLs: those count whose certificate leads to an anchor.
    async fn search(&self) {
        let (walk, board, now_ms) = (self.poller.walk.clone(), self.board().clone(), self.now_ms());
        blocking(move || {
            for certificate in walk.live.all_certificates() {
                let mut urls = urls::named_by(&certificate);
                urls.retain(|(url, _)| !board.knows(url));
                if urls.is_empty()
                    || !walk.verifier.is_chained(&certificate, &walk.live, now_ms.div_euclid(1_000))
                {
                    continue;
                }
                for (url, kind) in urls {
                    let issuer = certificate.issuer().clone();
                    board.insert(Kept { url, issuer, kind, used_ms: now_ms, gave: None }, &walk.live, now_ms);
                }
            }
        })
        .await;
    }
}

async fn take(poller: Poller, turn: Turn) {
    let came = poller.poll(&turn.url, &turn.validators, turn.contact).await;
    poller.walk.board.done(&turn, came, poller.walk.clock.now_ms(), &poller.walk.live);
}

async fn write_down(poller: &Poller, all: Vec<Kept>) {
    if all.is_empty() {
        return;
    }
    let journal = poller.walk.journal.clone();
    let written = blocking(move || all.iter().try_for_each(|kept| journal.keep_polled(kept))).await;
    if let Err(error) = written {
        debug!(%error, "what URLs gave is not written down");
    }
}

/// Since when contact is lost. A start is given time to make contact.
struct Meeting {
    started_ms: i64,
    grace_ms: i64,
    lost_ms: Option<i64>,
    ever: bool,
}

impl Meeting {
    fn begun(now_ms: i64, grace: Duration) -> Meeting {
        let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        Meeting { started_ms: now_ms, grace_ms, lost_ms: None, ever: false }
    }

    fn is(&mut self, kept: bool, now_ms: i64) -> Contact {
        self.ever |= kept;
        // A clock that was ahead may have been set right.
        self.started_ms = self.started_ms.min(now_ms);
        let in_grace = !self.ever && self.lost_ms.is_none() && now_ms - self.started_ms < self.grace_ms;
        if kept || in_grace {
            self.lost_ms = None;
            return Contact::Kept;
        }
        let since_ms = self.lost_ms.map_or(now_ms, |lost_ms| lost_ms.min(now_ms));
        self.lost_ms = Some(since_ms);
        Contact::Lost { since_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_has_time_to_make_contact_and_a_loss_begins_when_it_is_seen() {
        let mut meeting = Meeting::begun(0, Duration::from_secs(15));
        assert_eq!(meeting.is(false, 14_999), Contact::Kept);
        assert_eq!(meeting.is(false, 15_000), Contact::Lost { since_ms: 15_000 });
        assert_eq!(meeting.is(false, 20_000), Contact::Lost { since_ms: 15_000 });
        assert_eq!(meeting.is(true, 21_000), Contact::Kept);
        assert_eq!(meeting.is(false, 22_000), Contact::Lost { since_ms: 22_000 });
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_loss_later_than_now_and_no_start_longer() {
        let mut meeting = Meeting::begun(100_000, Duration::from_secs(15));
        assert_eq!(meeting.is(false, 1_000), Contact::Kept);
        assert_eq!(meeting.is(false, 16_000), Contact::Lost { since_ms: 16_000 });
        assert_eq!(meeting.is(false, 9_000), Contact::Lost { since_ms: 9_000 });
        assert_eq!(meeting.is(false, 12_000), Contact::Lost { since_ms: 9_000 });
    }
}
