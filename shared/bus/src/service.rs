//! Services: questions arrive, answers go back. Built on the NATS Services API, so that `nats service ls|stats`
//! shows the fleet.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, ServiceExt};
use async_nats::{HeaderMap, PublishError, PublishErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, warn};

use crate::connect::Bus;
use crate::error::BusError;
use crate::message::{Headers, header_map, one_line};

/// What a service is called, and where it listens.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name: letters, digits, `-`, `_`.
    pub name: String,
    /// What it does, for whoever lists services.
    pub description: String,
    /// Semantic version of the release.
    pub version: String,
    /// Free words for whoever lists services.
    pub metadata: HashMap<String, String>,
    /// Questions that may be under way at once; further ones wait in the subscription.
    pub concurrency: usize,
}

/// The answer to a question: header lines and body, or why there is none.
pub type Answered = Result<(Headers, Bytes), String>;

/// One question.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its body.
    pub payload: Bytes,
    subject: async_nats::Subject,
    headers: Option<HeaderMap>,
}

impl Call {
    fn of(message: &async_nats::Message) -> Call {
        Call {
            payload: message.payload.clone(),
            subject: message.subject.clone(),
            headers: message.headers.clone(),
        }
    }

    /// The subject it came on.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    fn is_json(&self) -> bool {
        self.header("Content-Type").is_some_and(|kind| kind.starts_with(JSON))
    }

    /// A header line by name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(|value| value.as_str())
    }
}

/// A running service. Dropping it ends it; [`Service::stop`] ends it after the questions under way are answered.
pub struct Service {
    inner: async_nats::service::Service,
    gate: Arc<Semaphore>,
    concurrency: u32,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Service {
    /// Takes no more questions, and returns when those under way are answered, or after [`STOP_PATIENCE`].
    pub async fn stop(self) {
        let stopped = async {
            if let Err(error) = self.inner.stop().await {
                debug!(%error, "the service was gone already");
            }
            // What the broker has handed over is answered, too.
            futures::future::join_all(self.tasks).await;
            let _ = self.gate.acquire_many(self.concurrency).await;
        };
        if tokio::time::timeout(STOP_PATIENCE, stopped).await.is_err() {
            debug!("questions under way are cut off");
        }
    }
}

/// A service that stops waits no longer than this for its answers.
const STOP_PATIENCE: Duration = Duration::from_millis(700);

/// Serves `endpoints`, each a subject and the queue group in which its questions are shared out
/// (`None`: every instance gets every question), with one handler.
///
/// An `Err` of the handler is sent as a service error: code 400 and the words, in the headers and, to those who asked in
/// JSON, as `{"error": "..."}`.
pub async fn serve<H, F>(
    bus: &Bus,
    spec: ServiceSpec,
    endpoints: &[(String, Option<&str>)],
    handler: H,
) -> Result<Service, BusError>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    serve_with(bus, spec, endpoints, || serde_json::Value::Null, |_| None, handler).await
}

/// As [`serve`], with words of the service's own in its statistics: `data`, made anew whenever somebody asks. It must be
/// quick, since it holds up the service's other answers. So must `at_hand`, which is asked first: what it knows is
/// answered on the spot, and only the rest gets a place among those at once and a task of its own.
pub async fn serve_with<S, Q, H, F>(
    bus: &Bus,
    spec: ServiceSpec,
    endpoints: &[(String, Option<&str>)],
    statistics: S,
    at_hand: Q,
    handler: H,
) -> Result<Service, BusError>
where
    S: Fn() -> serde_json::Value + Send + Sync + 'static,
    Q: Fn(&Call) -> Option<Answered> + Clone + Send + Sync + 'static,
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answered> + Send + 'static,
{
    let always = move |call| {
        let answer = handler(call);
        async move { Some(answer.await) }
    };
    serve_all(bus, spec, endpoints, statistics, at_hand, always).await
}

/// As [`serve`], for questions that reach several services: with `None` this one leaves the answer to another.
pub async fn serve_or_pass<H, F>(
    bus: &Bus,
    spec: ServiceSpec,
    endpoints: &[(String, Option<&str>)],
    handler: H,
) -> Result<Service, BusError>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Answered>> + Send + 'static,
{
    serve_all(bus, spec, endpoints, || serde_json::Value::Null, |_| None, handler).await
}

async fn serve_all<S, Q, H, F>(
    bus: &Bus,
    spec: ServiceSpec,
    endpoints: &[(String, Option<&str>)],
    statistics: S,
    at_hand: Q,
    handler: H,
) -> Result<Service, BusError>
where
    S: Fn() -> serde_json::Value + Send + Sync + 'static,
    Q: Fn(&Call) -> Option<Answered> + Clone + Send + Sync + 'static,
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Answered>> + Send + 'static,
{
    let failed =
        |error: async_nats::Error| BusError::Refused { what: spec.name.clone(), why: error.to_string() };
    let inner = bus
        .client
        .service_builder()
        .description(&spec.description)
        .metadata(spec.metadata.clone())
        .stats_handler(move |_, _| statistics())
        .start(&spec.name, &spec.version)
        .await
        .map_err(failed)?;
    let concurrency = u32::try_from(spec.concurrency.max(1)).unwrap_or(u32::MAX);
    let gate = Arc::new(Semaphore::new(concurrency as usize));
    let mut tasks = Vec::new();
    for (subject, group) in endpoints {
        // Without a group of its own an endpoint joins the default one; a group named after nobody else is "every instance".
        let alone = format!("only-{}", inner.info().await.id);
        let endpoint = inner
            .endpoint_builder()
            .name(subject.replace('.', "-"))
            .queue_group(group.unwrap_or(&alone))
            .add(subject)
            .await
            .map_err(failed)?;
        let answering = answer_all(endpoint, gate.clone(), at_hand.clone(), handler.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(answering)));
    }
    // Whoever is told that the service runs will ask it soon.
    if let Err(error) = bus.client.flush().await {
        debug!(%error, "the broker has not confirmed the service yet");
    }
    Ok(Service { inner, gate, concurrency, tasks })
        .inspect(|service| debug_assert!(!service.tasks.is_empty()))
}

/// The code of a question that cannot be answered as it is.
const FAILED: usize = 400;

const JSON: &str = "application/json";

/// The client library sends the words of a failure in the headers only, where clients in other languages seldom look.
fn failure_in_json(why: &str) -> (HeaderMap, Bytes) {
    let headers = vec![
        ("Content-Type", JSON.to_owned()),
        (NATS_SERVICE_ERROR, why.to_owned()),
        (NATS_SERVICE_ERROR_CODE, FAILED.to_string()),
    ];
    (header_map(&headers), serde_json::json!({ "error": why }).to_string().into())
}

/// Questions that are taken up together where so many have come: their answers go out in one write.
const TOGETHER: usize = 64;

/// Takes questions as they come. What is at hand is answered on the spot.
async fn answer_all<Q, H, F>(
    endpoint: async_nats::service::endpoint::Endpoint,
    gate: Arc<Semaphore>,
    at_hand: Q,
    handler: H,
) where
    Q: Fn(&Call) -> Option<Answered>,
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Answered>> + Send + 'static,
{
    let mut come = endpoint.ready_chunks(TOGETHER);
    while let Some(requests) = come.next().await {
        let (mut known, mut left) = (Vec::with_capacity(requests.len()), Vec::new());
        for request in requests {
            let call = Call::of(&request.message);
            // A question at which the service panics takes no other along, and goes the long way to its end.
            let answer = catch_unwind(AssertUnwindSafe(|| at_hand(&call))).unwrap_or_else(|_| {
                error!("a question made the service panic");
                None
            });
            match answer {
                Some(answer) => known.push((request, answer)),
                None => left.push((request, call)),
            }
        }
        for (request, answer) in known {
            respond(&request, Some(answer)).await;
        }
        for (request, call) in left {
            let Ok(permit) = gate.clone().acquire_owned().await else { return };
            let answering = handler(call);
            tokio::spawn(async move {
                let answer = answering.await;
                respond(&request, answer).await;
                drop(permit);
            });
        }
    }
}

/// The words for an answer that the broker does not carry.
fn too_large(octets: usize) -> String {
    format!(
        "the answer of {octets} bytes is above what the broker carries: ask about fewer certificates at once"
    )
}

async fn respond(request: &async_nats::service::Request, answer: Option<Answered>) {
    let Some(answer) = answer else { return };
    let octets = answer.as_ref().map_or(0, |(_, answer)| answer.len());
    let mut sent = send(request, answer).await;
    if sent.as_ref().is_err_and(|error| error.kind() == PublishErrorKind::MaxPayloadExceeded) {
        sent = send(request, Err(too_large(octets))).await;
    }
    if let Err(error) = sent {
        warn!(%error, "an answer could not be sent");
    }
}

async fn send(request: &async_nats::service::Request, answer: Answered) -> Result<(), PublishError> {
    match answer {
        Ok((headers, answer)) if headers.is_empty() => request.respond(Ok(answer)).await,
        Ok((headers, answer)) => request.respond_with_headers(Ok(answer), header_map(&headers)).await,
        Err(why) if Call::of(&request.message).is_json() => {
            let (headers, body) = failure_in_json(&why);
            request.respond_with_headers(Ok(body), headers).await
        }
        Err(why) => {
            let status = one_line(&why);
            request.respond(Err(async_nats::service::error::Error { status, code: FAILED })).await
        }
    }
}
