//! Step 8: tells the fleet what is enforced, of the issuers that the validator subscribes to. A receipt that cannot be
//! told now is told later; of one scope only the newest matters, and what has just come to be enforced is told before
//! what was enforced already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use revocast_bus::Bus;
use revocast_daemon::afterwards;
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
    /// It was enforced before.
    pub again: bool,
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
            again: true,
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

/// What waits, also while it is being told: only the broker's word ends the waiting.
#[derive(Default)]
struct Waiting {
    /// Counts what came.
    count: u64,
    told: HashMap<ScopeKey, (Turn, Told)>,
    queue: BTreeMap<Turn, ScopeKey>,
    about: Audience,
}

/// What is told again comes after all else.
type Turn = (bool, u64);

/// Whoever enforces a CRL first leaves the broker to those whom its notice has yet to reach; and what comes in a burst is
/// told once.
const REST: Duration = Duration::from_millis(15);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// Told at once; the others wait for their turn.
const UNDER_WAY: usize = 64;

impl Waiting {
    /// Takes the place of what waits of the same scope.
    fn insert(&mut self, told: Told) {
        self.count += 1;
        let turn = (told.again, self.count);
        if let Some((before, _)) = self.told.insert(told.scope, (turn, told.clone())) {
            self.queue.remove(&before);
        }
        self.queue.insert(turn, told.scope);
    }

    /// The first whose scope is not being told of.
    fn next(&self, busy: &HashSet<ScopeKey>) -> Option<(Turn, Told)> {
        let scope = self.queue.values().find(|scope| !busy.contains(scope))?;
        self.told.get(scope).cloned()
    }

    /// Nothing is told of those who are not among whom it is told of.
    fn forget_strangers(&mut self) {
        let Waiting { told, queue, about, .. } = self;
        told.retain(|scope, _| is_about(about, scope));
        queue.retain(|_, scope| is_about(about, scope));
    }

    /// It was told, unless another has taken its place since.
    fn remove(&mut self, turn: Turn) {
        if let Some(scope) = self.queue.remove(&turn) {
            self.told.remove(&scope);
        }
    }
}

impl Receipts {
    /// Receipts whose telling is told to `events`.
    pub(crate) fn new(about: Audience, events: Events) -> Receipts {
        let waiting = Waiting { about, ..Waiting::default() };
        Receipts { waiting: Arc::new(Mutex::new(waiting)), events, ..Receipts::default() }
    }

    /// Hands a receipt over, if it is of an issuer of whom it is told; a waiting one of the same scope is replaced.
    pub(crate) fn tell(&self, told: Told) {
        let mut waiting = self.lock();
        if is_about(&waiting.about, &told.scope) {
            waiting.insert(told);
            drop(waiting);
            let arrived = self.arrived.clone();
            afterwards(move || arrived.notify_one());
        }
    }

    /// From now on it is told of these issuers: what is enforced already of those of whom it was not told before, and
    /// nothing any more of those who are not among them.
    pub(crate) fn follow(&self, about: Audience, live: &Live) {
        let mut waiting = self.lock();
        let before = std::mem::replace(&mut waiting.about, about);
        waiting.forget_strangers();
        let joined = live.scope_keys().into_iter().filter(|scope| !is_about(&before, scope));
        let joined: Vec<ScopeKey> = joined
            .filter(|scope| is_about(&waiting.about, scope) && !waiting.told.contains_key(scope))
            .collect();
        // What is applied meanwhile is told by whoever applies it, after this: it waits for the lock.
        for scope in joined {
            if let Some(enforced) = live.enforced(&scope) {
                waiting.insert(Told::again(scope, &enforced));
            }
        }
        self.arrived.notify_one();
    }

    /// Publishes what is handed over, for as long as it is polled.
    pub(crate) async fn publish(&self, bus: &Bus, validator: &Instance) {
        loop {
            self.arrived.notified().await;
            tokio::time::sleep(REST).await;
            while !self.flush(bus, validator).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Publishes all that waits; `false` if something is left. Begins nothing more once one failed.
    pub(crate) async fn flush(&self, bus: &Bus, validator: &Instance) -> bool {
        self.flush_by(|told| publish_one(bus, validator, told)).await
    }

    async fn flush_by<F: Future<Output = bool>>(&self, publish: impl Fn(Told) -> F) -> bool {
        let (mut busy, mut clean) = (HashSet::new(), true);
        let mut telling = FuturesUnordered::new();
        loop {
            while clean
                && telling.len() < UNDER_WAY
                && let Some((turn, told)) = self.next(&busy)
            {
                busy.insert(told.scope);
                let publishing = publish(told.clone());
                telling.push(async move { (publishing.await, turn, told) });
            }
            if telling.is_empty() {
                return clean;
            }
            tokio::select! {
                Some((published, turn, told)) = telling.next() => {
                    busy.remove(&told.scope);
                    clean &= published;
                    if published {
                        self.lock().remove(turn);
                        self.events.tell(Event::Receipt { scope: told.scope, crl_id: told.crl_id });
                    }
                }
                () = self.arrived.notified(), if clean => {}
            }
        }
    }

    fn next(&self, busy: &HashSet<ScopeKey>) -> Option<(Turn, Told)> {
        self.lock().next(busy)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_about(about: &Audience, scope: &ScopeKey) -> bool {
    about.as_ref().is_none_or(|issuers| issuers.contains(&scope.0))
}

/// `true` when it was published, or never can be.
async fn publish_one(bus: &Bus, validator: &Instance, told: Told) -> bool {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use revocast_pki::identity::{CrlKind, IssuerId, ScopeId};

    use super::*;

    fn told(scope: u8, number: u64, again: bool) -> Told {
        Told {
            scope: (IssuerId([1; 16]), ScopeId([scope; 16]), CrlKind::Complete),
            number: Some(number.into()),
            crl_id: CrlId([scope; 32]),
            applied_at_ms: 0,
            source: Source::Inline,
            took_us: 0,
            again,
        }
    }

    /// What is told, in its order, while `came` comes in the midst of it.
    async fn tell_all(receipts: &Receipts, came: Option<Told>) -> Vec<(u8, Option<CrlNumber>)> {
        let (heard, came) = (RefCell::new(Vec::new()), RefCell::new(came));
        let clean = receipts
            .flush_by(|told| {
                heard.borrow_mut().push((told.scope.1.0[0], told.number));
                let came = came.borrow_mut().take();
                came.into_iter().for_each(|came| receipts.tell(came));
                async { true }
            })
            .await;
        assert!(clean);
        heard.into_inner()
    }

    #[tokio::test]
    async fn what_is_new_is_told_before_what_is_told_again() {
        let receipts = Receipts::default();
        (0..200).for_each(|scope| receipts.tell(told(scope, 1, true)));
        receipts.tell(told(250, 1, false));
        let heard = tell_all(&receipts, Some(told(251, 1, false))).await;
        assert_eq!((heard.len(), heard[0].0), (202, 250));
        let nth = heard.iter().position(|(scope, _)| *scope == 251).unwrap();
        assert!(nth <= UNDER_WAY, "it waited for {nth}");
    }

    #[tokio::test]
    async fn of_one_scope_the_newer_is_told_after_the_older_and_never_lost() {
        let receipts = Receipts::default();
        receipts.tell(told(1, 1, true));
        let heard = tell_all(&receipts, Some(told(1, 2, false))).await;
        assert_eq!(heard, [(1, Some(1.into())), (1, Some(2.into()))]);
        assert!(receipts.lock().told.is_empty() && receipts.lock().queue.is_empty());
    }

    #[tokio::test]
    async fn what_the_broker_has_not_confirmed_waits_however_the_telling_ended() {
        let receipts = Receipts::default();
        (0..3).for_each(|scope| receipts.tell(told(scope, 1, false)));
        assert!(!receipts.flush_by(|told| async move { told.scope.1.0[0] != 1 }).await);
        let breaking_off = receipts.flush_by(|_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(10), breaking_off).await.is_err());
        assert_eq!(tell_all(&receipts, None).await, [(1, Some(1.into()))]);
    }
}
