//! Step 8: tells the fleet what is enforced, of the issuers that the validator subscribes to. A receipt that cannot be
//! told now is told later; of one scope only the newest matters.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use revocast_bus::Bus;
use revocast_faults::fail_point;
use revocast_messages::{Instance, Receipt, Source, encode, subjects};
use revocast_pki::identity::{CrlId, CrlNumber, IssuerId};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::events::{Event, Events};
use crate::state::{Enforced, Live, ScopeKey};

/// What is to be told of one scope.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub scope: ScopeKey,
    pub number: Option<CrlNumber>,
    pub crl_id: CrlId,
    pub applied_at_ms: i64,
    pub source: Source,
    pub took_us: u64,
}

impl Told {
    /// Of what is enforced already, for instance after a start.
    pub(crate) fn again(scope: ScopeKey, enforced: &Enforced) -> Told {
        Told {
            scope,
            number: enforced.crl.number(),
            crl_id: enforced.crl.id(),
            applied_at_ms: enforced.applied_at_ms,
            source: enforced.source,
            took_us: 0,
        }
    }
}

/// Of whose CRLs it is told: of these issuers', or (`None`) of everybody's.
pub(crate) type Audience = Option<BTreeSet<IssuerId>>;

/// Receipts on their way. Cheap to clone; bounded by the number of scopes.
#[derive(Clone, Default)]
pub(crate) struct Receipts {
    waiting: Arc<Mutex<Waiting>>,
    arrived: Arc<Notify>,
    events: Events,
}

#[derive(Default)]
struct Waiting {
    told: HashMap<ScopeKey, Told>,
    about: Audience,
}

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

impl Receipts {
    /// Receipts whose telling is told to `events`.
    pub(crate) fn new(about: Audience, events: Events) -> Receipts {
        let waiting = Waiting { told: HashMap::new(), about };
        Receipts { waiting: Arc::new(Mutex::new(waiting)), events, ..Receipts::default() }
    }

    /// Hands a receipt over, if it is of an issuer of whom it is told; a waiting one of the same scope is replaced.
    pub(crate) fn tell(&self, told: Told) {
        let mut waiting = self.lock();
        if is_about(&waiting.about, &told.scope) {
            waiting.told.insert(told.scope, told);
            self.arrived.notify_one();
        }
    }

    /// From now on it is told of these issuers: what is enforced already of those of whom it was not told before, and
    /// nothing any more of those who are not among them.
    pub(crate) fn follow(&self, about: Audience, live: &Live) {
        let mut waiting = self.lock();
        let before = std::mem::replace(&mut waiting.about, about);
        let Waiting { told, about } = &mut *waiting;
        told.retain(|scope, _| is_about(about, scope));
        let joined: Vec<ScopeKey> =
            live.scope_keys().into_iter().filter(|scope| !is_about(&before, scope)).collect();
        drop(waiting);
        // Whatever is applied from here on is told by whoever applies it.
        for scope in joined {
            if let Some(enforced) = live.enforced(&scope) {
                self.tell(Told::again(scope, &enforced));
            }
        }
    }

    /// Publishes what is handed over, for as long as it is polled.
    pub(crate) async fn publish(&self, bus: &Bus, validator: &Instance) {
        loop {
            self.arrived.notified().await;
            while !self.flush(bus, validator).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Publishes all that waits; `false` if something is left. At most one try each.
    pub(crate) async fn flush(&self, bus: &Bus, validator: &Instance) -> bool {
        let waiting: Vec<Told> = self.lock().told.drain().map(|(_, told)| told).collect();
        let mut clean = true;
        let publishing = waiting.into_iter().map(|told| async move {
            let published = publish_one(bus, validator, &told).await;
            (told, published)
        });
        for (told, published) in futures::future::join_all(publishing).await {
            if published {
                self.events.tell(Event::Receipt { scope: told.scope, crl_id: told.crl_id });
            } else {
                clean = false;
                // A newer one may have been handed over in the meantime.
                self.lock().told.entry(told.scope).or_insert(told);
            }
        }
        clean
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_about(about: &Audience, scope: &ScopeKey) -> bool {
    about.as_ref().is_none_or(|issuers| issuers.contains(&scope.0))
}

/// `true` when it was published, or never can be.
async fn publish_one(bus: &Bus, validator: &Instance, told: &Told) -> bool {
    let (issuer, scope, kind) = told.scope;
    let receipt = Receipt {
        validator: validator.clone(),
        issuer,
        scope,
        kind,
        number: told.number,
        crl_id: told.crl_id,
        applied_at_ms: told.applied_at_ms,
        source: told.source,
        took_us: told.took_us,
    };
    let Ok(body) = encode(&receipt) else { return true };
    let subject = receipt.subject().to_string();
    fail_point!("receipt");
    let published = bus.publish(subjects::RECEIPTS, &subject, &Vec::new(), body.into()).await;
    fail_point!("receipt-told");
    match published {
        Ok(_) => true,
        Err(error) if error.is_passing() => {
            debug!(%error, "a receipt waits");
            false
        }
        Err(error) => {
            warn!(%error, "a receipt cannot be told");
            true
        }
    }
}
