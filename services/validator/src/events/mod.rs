//! What happens in a validator, as it happens: for whoever watches from within (cached paths, watched verdicts, the
//! event door). A hint, never a record: a listener that is too slow misses some, is told so, and looks at the live state.

pub(crate) mod feed;

use std::sync::Arc;

use revocast_daemon::Clock;
use revocast_messages::VerdictChanged;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{CrlId, CrlNumber};
use tokio::sync::broadcast;

use self::feed::Feed;
use crate::state::ScopeKey;

/// Events that a slow listener may be behind before it misses some.
const CAPACITY: usize = 1_024;

/// Something happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A notice was worked on.
    Notice {
        /// The subject it came on.
        subject: Arc<str>,
        /// What became of it: `applied`, `learned`, `obsolete`, `withheld`, `owed` or `aside`.
        outcome: &'static str,
    },
    /// A CRL is enforced from now on.
    Applied {
        /// Its scope and kind.
        scope: ScopeKey,
        /// Which CRL.
        crl_id: CrlId,
        /// Its number.
        number: Option<CrlNumber>,
    },
    /// A CA or cross-certificate is known from now on.
    Learned(Certificate),
    /// A watched verdict was told, by whichever validator of the fleet.
    Verdict(Arc<VerdictChanged>),
    /// A receipt was told to the fleet.
    Receipt {
        /// Of which scope and kind.
        scope: ScopeKey,
        /// Which CRL.
        crl_id: CrlId,
    },
}

impl Event {
    /// Whether verdicts may be others from now on.
    fn is_change(&self) -> bool {
        matches!(self, Event::Applied { .. } | Event::Learned(_))
    }
}

/// Hands events on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Events {
    /// All that happens, for those who listen from outside.
    pub feed: Feed,
    /// Apart: most notices say nothing new, and wake nobody who waits for news.
    changes: broadcast::Sender<Event>,
    clock: Clock,
}

impl Default for Events {
    fn default() -> Events {
        Events::new(Clock::default())
    }
}

impl Events {
    /// Nothing has happened yet.
    pub(crate) fn new(clock: Clock) -> Events {
        Events { feed: Feed::new(clock.now_ms()), changes: broadcast::Sender::new(CAPACITY), clock }
    }

    /// Tells all who listen, and waits for nobody.
    pub(crate) fn tell(&self, event: Event) {
        if event.is_change() {
            let _ = self.changes.send(event.clone());
        }
        self.feed.tell(event, self.clock.now_ms());
    }

    /// Listens from now on to what changes verdicts: [`Event::Applied`] and [`Event::Learned`].
    pub(crate) fn changes(&self) -> broadcast::Receiver<Event> {
        self.changes.subscribe()
    }
}
