//! Subscribes by message, and renews (function 410 of the original). Whoever is responsible answers: the authority,
//! else the repository, else a watcher; until somebody does, the validator follows the streams all the same, but no
//! watermark waits for it. Only an explicit stop leaves the watermark: a lease that lapses makes the validator unknown.
//! Who is not wished for any more is said so, and receipts follow the wishes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use revocast_bus::{Bus, BusError};
use revocast_daemon::{Health, blocking};
use revocast_messages::{
    Instance, Interest, Message, Payload, SubscriptionAnswer, SubscriptionRequest, decode, encode,
};
use revocast_pki::identity::IssuerId;
use revocast_pki::name::Name;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::config::Subscribe;
use crate::notice::Walk;

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a refusal or silence it is asked again, later each time up to the pace of renewal.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// At the end, what was asked is waited for this long.
const ASKED_PATIENCE: Duration = Duration::from_millis(200);
/// A request may be registered this much later: the classes of publishers leave the answer to those above them.
const LATEST_REGISTRATION: Duration = Duration::from_millis(350);
/// How often it is looked what is to be asked.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked which issuers the anchors lead to.
const ISSUERS_INTERVAL: Duration = Duration::from_secs(5);
/// With more issuers than these a validator subscribes to all: one request instead of thousands.
const MAX_ISSUERS: usize = 1_024;
/// Requests under way at once.
const CONCURRENCY: usize = 16;
/// Octets of URLs in one request, half of what a request may have.
const MAX_LOCATIONS_SIZE: usize = SubscriptionRequest::MAX_BYTES / 2;

/// Whose CRLs: one issuer's, or everybody's.
type Wish = Option<IssuerId>;

/// Keeps subscriptions alive.
pub(crate) struct Subscriber {
    pub bus: Bus,
    pub walk: Arc<Walk>,
    pub validator: Instance,
    pub wish: Subscribe,
    pub payload: Payload,
    pub lease: Duration,
    pub health: Health,
    /// What was asked, and what came of it.
    pub states: Mutex<BTreeMap<Wish, State>>,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct State {
    next: Instant,
    pause: Duration,
    /// The issuer's name, where it is known.
    name: Option<Name>,
    /// `None` while it stands, or was not asked for yet.
    trouble: Option<String>,
    stands: bool,
    /// A request is on its way.
    asking: bool,
}

impl State {
    /// How long until it is asked again: the renewal while it stands, else twice as long each time, up to that.
    fn rest(&mut self, renewal: Duration) -> Duration {
        if self.stands {
            self.pause = FIRST_PAUSE;
            return renewal;
        }
        let pause = self.pause.min(renewal);
        // Who is never answered asks for as long as it runs: what is doubled must not grow beyond the renewal.
        self.pause = pause.saturating_mul(2).min(renewal);
        pause
    }
}

impl Subscriber {
    /// Keeps the subscriptions alive until `stop`; what was asked by then is waited for.
    pub(crate) async fn work(&self, stop: &CancellationToken) {
        let mut issuers_at = Instant::now();
        let mut gone = Vec::new();
        while !stop.is_cancelled() {
            if issuers_at <= Instant::now() {
                gone.extend(self.adjust(self.wishes().await));
                issuers_at = Instant::now() + ISSUERS_INTERVAL;
            }
            let due = self.due();
            futures::stream::iter(due)
                .take_until(stop.cancelled())
                .for_each_concurrent(CONCURRENCY, |wish| async move {
                    self.set_asking(wish, true);
                    let asked = self.ask(wish, self.start()).await;
                    self.take(wish, asked);
                })
                .await;
            // Once that stands which takes their place.
            self.stop(std::mem::take(&mut gone)).await;
            self.tell();
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Says to whoever is responsible that this validator leaves, once nothing asks for it to stay any more: `asking` is
    /// [`Subscriber::work`], told to stop. A request without an answer may be registered yet, and is followed by a second
    /// goodbye.
    pub(crate) async fn leave(&self, asking: AbortOnDropHandle<()>) {
        let _ = tokio::time::timeout(ASKED_PATIENCE, asking).await;
        let (standing, unanswered): (Vec<Wish>, Vec<Wish>) = {
            let states = self.states();
            let of = |holds: fn(&State) -> bool| {
                states.iter().filter(|(_, state)| holds(state)).map(|(wish, _)| *wish).collect()
            };
            (of(|state| state.stands || state.asking), of(|state| state.asking))
        };
        self.stop(standing).await;
        if !unanswered.is_empty() {
            tokio::time::sleep(LATEST_REGISTRATION).await;
            self.stop(unanswered).await;
        }
    }

    /// Says that these are not wished for any more.
    async fn stop(&self, wishes: Vec<Wish>) {
        futures::stream::iter(wishes)
            .for_each_concurrent(CONCURRENCY, |wish| async move {
                match self.ask(wish, Interest::Stop).await {
                    Ok(SubscriptionAnswer::Stopped) => info!(whose = whose(wish), "unsubscribed"),
                    Ok(answer) => warn!(?answer, "the subscription was not stopped"),
                    Err(error) => warn!(%error, "the subscription was not stopped; its lease lapses"),
                }
            })
            .await;
    }

    fn set_asking(&self, wish: Wish, asking: bool) {
        if let Some(state) = self.states().get_mut(&wish) {
            state.asking = asking;
        }
    }

    fn start(&self) -> Interest {
        let lease_s = u32::try_from(self.lease.as_secs().max(1)).unwrap_or(u32::MAX);
        Interest::Start { payload: self.payload, lease_s }
    }

    /// Whose CRLs are wished for at this moment.
    async fn wishes(&self) -> BTreeMap<Wish, Option<Name>> {
        match &self.wish {
            Subscribe::All => BTreeMap::from([(None, None)]),
            Subscribe::Issuers(issuers) => issuers.iter().map(|issuer| (Some(*issuer), None)).collect(),
            Subscribe::Anchors => {
                let (walk, now_s) = (self.walk.clone(), self.walk.clock.now_s());
                let issuers = blocking(move || walk.verifier.issuers(&walk.live, now_s)).await;
                if issuers.len() > MAX_ISSUERS {
                    return BTreeMap::from([(None, None)]);
                }
                issuers.into_iter().map(|(issuer, name)| (Some(issuer), Some(name))).collect()
            }
        }
    }

    /// Takes the wishes to heart; those that stood and are none any more.
    fn adjust(&self, wishes: BTreeMap<Wish, Option<Name>>) -> Vec<Wish> {
        self.walk.receipts.follow(wishes.keys().copied().collect(), &self.walk.live);
        let mut states = self.states();
        let mut gone = Vec::new();
        states.retain(|wish, state| {
            let wished = wishes.contains_key(wish);
            gone.extend((!wished && state.stands).then_some(*wish));
            wished
        });
        for (wish, name) in wishes {
            states.entry(wish).or_insert_with(|| State {
                next: Instant::now(),
                pause: FIRST_PAUSE,
                name,
                trouble: None,
                stands: false,
                asking: false,
            });
        }
        gone
    }

    fn due(&self) -> Vec<Wish> {
        let now = Instant::now();
        self.states().iter().filter(|(_, state)| state.next <= now).map(|(wish, _)| *wish).collect()
    }

    fn take(&self, wish: Wish, asked: Result<SubscriptionAnswer, BusError>) {
        let mut states = self.states();
        let Some(state) = states.get_mut(&wish) else { return };
        // Without an answer it may be registered yet.
        state.asking = asked.is_err();
        let whose = whose(wish);
        state.trouble = match asked {
            Ok(SubscriptionAnswer::Accepted { role, instance, scopes }) => {
                if !state.stands {
                    info!(%role, %instance, %whose, scopes = scopes.len(), "subscribed");
                }
                None
            }
            Ok(SubscriptionAnswer::Refused { why }) => {
                warn!(%whose, %why, "the subscription is refused");
                Some(format!("{whose}: {why}"))
            }
            Ok(SubscriptionAnswer::Stopped) => Some(format!("{whose}: stopped")),
            Err(error) => {
                debug!(%whose, %error, "nobody answers the subscription");
                Some(format!("{whose}: {error}"))
            }
        };
        state.stands = state.trouble.is_none();
        state.next = Instant::now() + state.rest(self.lease / 3);
    }

    fn tell(&self) {
        let states = self.states();
        let mut troubles = states.values().filter_map(|state| state.trouble.as_ref());
        match troubles.next() {
            None => self.health.well("subscription"),
            Some(first) => match troubles.count() {
                0 => self.health.degraded("subscription", first.clone()),
                more => self.health.degraded("subscription", format!("{first}; and {more} more")),
            },
        }
    }

    async fn ask(&self, wish: Wish, interest: Interest) -> Result<SubscriptionAnswer, BusError> {
        let request = SubscriptionRequest {
            validator: self.validator.clone(),
            issuer: wish,
            interest,
            locations: self.locations(wish),
        };
        ask(&self.bus, &request).await
    }

    /// Where the issuer's CRLs are, by certificates that lead to an anchor: it tells watchers what to watch.
    fn locations(&self, wish: Wish) -> Vec<String> {
        let name = self.states().get(&wish).and_then(|state| state.name.clone());
        if wish.is_some() && name.is_none() {
            return Vec::new();
        }
        let mut room = MAX_LOCATIONS_SIZE;
        let urls = self.walk.board.urls_of(name.as_ref(), MAX_ISSUERS);
        let fits = |url: &String| {
            room = room.saturating_sub(url.len() + 8);
            room > 0
        };
        urls.into_iter().take_while(fits).collect()
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Wish, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whose(wish: Wish) -> String {
    wish.map_or_else(|| "all issuers".to_owned(), |issuer| format!("issuer {issuer}"))
}

async fn ask(bus: &Bus, request: &SubscriptionRequest) -> Result<SubscriptionAnswer, BusError> {
    let damaged = |error: revocast_messages::DecodeError| BusError::Damaged {
        what: "a subscription".into(),
        why: error.to_string(),
    };
    let body = encode(request).map_err(damaged)?;
    let answer = bus.ask(&request.subject().to_string(), &Vec::new(), body.into(), PATIENCE).await?;
    decode(&answer).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_never_answered_asks_at_the_pace_of_renewal_for_as_long_as_it_runs() {
        let renewal = Duration::from_secs(20);
        let mut state = State {
            next: Instant::now(),
            pause: FIRST_PAUSE,
            name: None,
            trouble: None,
            stands: false,
            asking: false,
        };
        let rests: Vec<u64> = (0..200).map(|_| state.rest(renewal).as_secs()).collect();
        assert_eq!(rests[..6], [1, 2, 4, 8, 16, 20]);
        assert!(rests[5..].iter().all(|rest| *rest == 20));
        state.stands = true;
        assert_eq!(state.rest(renewal), renewal);
        state.stands = false;
        assert_eq!(state.rest(renewal), FIRST_PAUSE, "after it stood, it begins anew");
    }
}
