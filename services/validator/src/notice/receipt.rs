//! Step 8: tells the fleet what is enforced. A receipt that cannot be told now is told later; of one scope only the
//! newest matters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use revocast_bus::Bus;
use revocast_faults::fail_point;
use revocast_messages::{Instance, Receipt, Source, encode, subjects};
use revocast_pki::identity::{CrlId, CrlNumber};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::events::{Event, Events};
use crate::state::{Enforced, ScopeKey};

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

/// Receipts on their way. Cheap to clone; bounded by the number of scopes.
#[derive(Clone, Default)]
pub(crate) struct Receipts {
    waiting: Arc<Mutex<HashMap<ScopeKey, Told>>>,
    arrived: Arc<Notify>,
    events: Events,
}

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

impl Receipts {
    /// Receipts whose telling is told to `events`.
    pub(crate) fn new(events: Events) -> Receipts {
        Receipts { events, ..Receipts::default() }
    }

    /// Hands a receipt over; a waiting one of the same scope is replaced.
    pub(crate) fn tell(&self, told: Told) {
        self.lock().insert(told.scope, told);
        self.arrived.notify_one();
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
        let waiting: Vec<Told> = self.lock().drain().map(|(_, told)| told).collect();
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
                self.lock().entry(told.scope).or_insert(told);
            }
        }
        clean
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ScopeKey, Told>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
