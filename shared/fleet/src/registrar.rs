//! Subscriptions, received and answered (functions 104, 105 and 411 of the original): the registry is the list of
//! destinations, and whoever is responsible writes it: the authority, else the repository, else a watcher, else, across
//! domains, a validator. A request reaches all of them; each class waits a little longer than the one above it, looks
//! whether that one has registered the subscription meanwhile, and is silent then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bucket, Bus, BusError, Call, Entry, Service, ServiceSpec, serve_or_pass};
use revocast_messages::subjects;
use revocast_messages::{
    Headers, Instance, Interest, Registration, Role, ScopeState, SubscriptionAnswer, SubscriptionRequest,
    codec, decode, encode, headers, registry_key,
};
use revocast_pki::identity::{CrlKind, IssuerId, ScopeId};
use revocast_store::{Held, Shelf};
use tracing::{info, warn};

/// Requests that are answered at once; further ones wait. Most of them only wait for a class above.
const CONCURRENCY: usize = 128;
/// Time that each class has to register a subscription before the next one does: many times what a write takes, and
/// all of them together a tenth of an asker's patience.
const HEAD_START: Duration = Duration::from_millis(100);
/// The broker's clock, which dates the registry's entries, may be behind ours by this much.
const CLOCK_SLACK_MS: i64 = 500;

/// Who answers, and for whom.
#[derive(Clone, Debug)]
pub struct Responsible {
    /// Its role.
    pub role: Role,
    /// Its instance.
    pub instance: Instance,
    /// The issuers whose subscriptions it answers, besides those to all issuers.
    pub issuers: Vec<IssuerId>,
    /// The longest lease that it gives.
    pub longest_lease: Duration,
}

/// What the responsible one knows at the moment of the answer.
pub trait Knowledge: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
    /// The newest state of an issuer's scopes, or of all.
    fn scopes(&self, issuer: Option<IssuerId>) -> impl Future<Output = Vec<ScopeState>> + Send;
}

/// How often it is looked whether there are other issuers to answer for.
const ISSUERS_INTERVAL: Duration = Duration::from_secs(1);
/// At most this many issuers are answered for by name, one subscription at the broker each; requests for all issuers
/// reach every instance anyway.
const MAX_ISSUERS: usize = 4_096;

/// Answers requests for as long as it is polled, for the issuers that `issuers` names at each moment, in ascending
/// order; `told` hears `None` when that begins to work, and why it does not.
pub async fn keep_answering<K: Knowledge + Clone>(
    bus: &Bus,
    who: Responsible,
    knowledge: K,
    issuers: impl Fn() -> Vec<IssuerId>,
    told: impl Fn(Option<&BusError>),
) -> std::convert::Infallible {
    let mut looking = tokio::time::interval(ISSUERS_INTERVAL);
    looking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut answering: Option<(Vec<IssuerId>, Service)> = None;
    loop {
        looking.tick().await;
        let mut now = issuers();
        now.truncate(MAX_ISSUERS);
        if answering.as_ref().is_some_and(|(then, _)| *then == now) {
            continue;
        }
        let who = Responsible { issuers: now.clone(), ..who.clone() };
        match start(bus, who, knowledge.clone()).await {
            Ok(service) => {
                told(None);
                // The new one listens already, so that no request falls between the two.
                if let Some((_, before)) = answering.replace((now, service)) {
                    before.stop().await;
                }
            }
            Err(error) => {
                warn!(%error, "subscriptions cannot be answered yet");
                told(Some(&error));
            }
        }
    }
}

/// What a service knows whose CRLs are on a shelf. Cheap to clone.
#[derive(Clone)]
pub struct ShelfKnowledge {
    shelf: Arc<Shelf>,
    now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl ShelfKnowledge {
    /// Over `shelf`; `now_ms` tells the milliseconds since the Unix epoch.
    pub fn new(shelf: Arc<Shelf>, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> ShelfKnowledge {
        ShelfKnowledge { shelf, now_ms: Arc::new(now_ms) }
    }
}

impl Knowledge for ShelfKnowledge {
    fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }

    async fn scopes(&self, issuer: Option<IssuerId>) -> Vec<ScopeState> {
        self.shelf.read(|holdings| {
            let wanted = holdings.crls().filter(|((of, ..), _)| issuer.is_none_or(|issuer| issuer == *of));
            wanted.map(|(&(issuer, scope, kind), held)| state(issuer, scope, kind, held)).collect()
        })
    }
}

fn state(issuer: IssuerId, scope: ScopeId, kind: CrlKind, held: &Held) -> ScopeState {
    ScopeState { issuer, scope, kind, number: held.crl.number() }
}

struct Registrar<K> {
    registry: Bucket,
    who: Responsible,
    knowledge: K,
}

/// Answers requests until the service is dropped or stopped.
pub async fn start<K: Knowledge>(bus: &Bus, who: Responsible, knowledge: K) -> Result<Service, BusError> {
    // Each instance hears requests for all issuers; of several instances of a role one answers for one issuer.
    let group = who.role.token();
    let mut endpoints = vec![("pki.subscribe.all.*".to_owned(), None)];
    endpoints.extend(who.issuers.iter().map(|issuer| (format!("pki.subscribe.{issuer}.*"), Some(group))));
    let registry = bus.bucket(subjects::SUBSCRIPTIONS).await?;
    let spec = ServiceSpec {
        name: format!("revocast-{}-subscriptions", who.role),
        description: "answers subscriptions to CRL notices".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        metadata: [("instance".to_owned(), who.instance.to_string())].into(),
        concurrency: CONCURRENCY,
    };
    let registrar = Arc::new(Registrar { registry, who, knowledge });
    serve_or_pass(bus, spec, &endpoints, move |call| {
        let registrar = registrar.clone();
        async move { registrar.answer(&call).await.transpose() }
    })
    .await
}

/// How long a role leaves an answer to the roles above it.
fn head_start(role: Role) -> Duration {
    let above = Role::ALL.iter().take_while(|other| **other != role).count();
    HEAD_START * u32::try_from(above).unwrap_or(u32::MAX)
}

/// Whether a registry's entry shows that somebody else has answered a request that came at `arrived_ms`.
fn is_answered(entry: &Entry, arrived_ms: i64, own: &Instance) -> bool {
    let responsible = entry.value.as_ref().and_then(|value| decode::<Registration>(value).ok());
    entry.written_at_ms >= arrived_ms - CLOCK_SLACK_MS
        && responsible.is_none_or(|registration| registration.responsible != *own)
}

impl<K: Knowledge> Registrar<K> {
    /// `None` when the answer is another's.
    async fn answer(&self, call: &Call) -> Result<Option<(Headers, Bytes)>, String> {
        let json = headers::says_json(call.header(headers::CONTENT_TYPE));
        let request: SubscriptionRequest =
            if json { codec::from_json(&call.payload) } else { decode(&call.payload) }
                .map_err(|error| error.to_string())?;
        if self.is_anothers(&request).await {
            return Ok(None);
        }
        let answer = self.decide(call, &request).await;
        let body = if json { codec::to_json(&answer) } else { encode(&answer) };
        let body = body.map_err(|error| error.to_string())?;
        let kind = if json { vec![(headers::CONTENT_TYPE, headers::JSON.to_owned())] } else { Vec::new() };
        Ok(Some((kind, body.into())))
    }

    /// Gives the classes above their head start, and looks whether one of them used it.
    async fn is_anothers(&self, request: &SubscriptionRequest) -> bool {
        let (pause, arrived_ms) = (head_start(self.who.role), self.knowledge.now_ms());
        if pause.is_zero() {
            return false;
        }
        tokio::time::sleep(pause).await;
        match self.registry.get(&registry_key(request.issuer, &request.validator)).await {
            Ok(Some(entry)) => is_answered(&entry, arrived_ms, &self.who.instance),
            Ok(None) => false,
            Err(error) => {
                warn!(%error, "whether a subscription was answered is not known");
                false
            }
        }
    }

    async fn decide(&self, call: &Call, request: &SubscriptionRequest) -> SubscriptionAnswer {
        let refused = |why: String| SubscriptionAnswer::Refused { why };
        // The broker's permissions bind the validator's name to the subject: the body must not say another.
        if call.subject() != request.subject().to_string() {
            return refused(format!("the subject {} is another validator's or issuer's", call.subject()));
        }
        let registered = match request.interest {
            Interest::Stop => self
                .registry
                .delete(&registry_key(request.issuer, &request.validator))
                .await
                .map(|()| SubscriptionAnswer::Stopped),
            Interest::Start { payload, lease_s } => {
                let longest =
                    self.who.longest_lease.as_secs().min(u64::from(SubscriptionRequest::MAX_LEASE_S));
                if lease_s == 0 || u64::from(lease_s) > longest {
                    return refused(format!("a lease of {lease_s} s: 1 to {longest} s are given"));
                }
                let registration = Registration {
                    validator: request.validator.clone(),
                    issuer: request.issuer,
                    payload,
                    lapses_at_ms: self.knowledge.now_ms() + i64::from(lease_s) * 1_000,
                    locations: request.locations.clone(),
                    responsible: self.who.instance.clone(),
                };
                self.register(&registration).await
            }
        };
        registered.unwrap_or_else(|error| {
            warn!(%error, validator = %request.validator, "a subscription was not registered");
            refused(format!("the registry cannot be written: {error}"))
        })
    }

    async fn register(&self, registration: &Registration) -> Result<SubscriptionAnswer, BusError> {
        let body = encode(registration)
            .map_err(|error| BusError::Damaged { what: "a registration".into(), why: error.to_string() })?;
        self.registry.put(&registration.key(), body.into()).await?;
        info!(validator = %registration.validator, issuer = ?registration.issuer, "subscription");
        let scopes = self.knowledge.scopes(registration.issuer).await;
        Ok(SubscriptionAnswer::Accepted { role: self.who.role, instance: self.who.instance.clone(), scopes })
    }
}

#[cfg(test)]
mod tests {
    use revocast_messages::Payload;

    use super::*;

    fn entry(written_at_ms: i64, responsible: Option<&str>) -> Entry {
        let value = responsible.map(|responsible| {
            let registration = Registration {
                validator: "v".parse().unwrap(),
                issuer: None,
                payload: Payload::Full,
                lapses_at_ms: 0,
                locations: Vec::new(),
                responsible: responsible.parse().unwrap(),
            };
            encode(&registration).unwrap().into()
        });
        Entry { key: "all.v".into(), value, revision: 1, written_at_ms }
    }

    #[test]
    fn each_role_waits_for_those_above_it() {
        let pauses: Vec<u128> = Role::ALL.iter().map(|role| head_start(*role).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 300]);
    }

    #[test]
    fn what_was_written_since_the_request_came_is_its_answer() {
        let own: Instance = "own".parse().unwrap();
        for (entry, answered) in [
            (entry(10_000, Some("another")), true),
            // A request to stop leaves a marker.
            (entry(10_000, None), true),
            // The answer to an earlier request.
            (entry(9_000, Some("another")), false),
            (entry(10_000, Some("own")), false),
        ] {
            assert_eq!(is_answered(&entry, 10_000, &own), answered, "{entry:?}");
        }
    }
}
