//! Services: questions arrive, answers go back, as the NATS services protocol has it (ADR-32), so that `nats service ls|stats`
//! shows the fleet.
//!
//! The client library's own service clones a connection, looks its statistics up by name and divides 128-bit numbers for
//! every question, which is a third of what a question costs beyond the echo of its octets. Here only its messages are used.

mod discovery;
mod endpoint;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::connect::Bus;
use crate::error::BusError;
use crate::follower::unique;
use crate::message::Headers;
use discovery::Discovery;
use endpoint::{Endpoint, QUEUE_KIB, Told};

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
    /// Questions that may be worked on at once; further ones wait, up to 4,096 or 64 MiB of them, and then are refused as
    /// busy. Those whose answer is at hand wait for nobody.
    pub concurrency: usize,
}

/// The answer to a question: header lines and body, or why there is none.
pub type Answered = Result<(Headers, Bytes), String>;

/// One question.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its body.
    pub payload: Bytes,
    /// When the service took it up.
    pub taken: Instant,
    subject: Subject,
    headers: Option<HeaderMap>,
}

impl Call {
    /// The subject it came on.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A header line by name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(|value| value.as_str())
    }
}

/// A running service. Dropping it ends it; [`Service::stop`] ends it after the questions under way are answered.
pub struct Service {
    _discovery: AbortOnDropHandle<()>,
    /// One for each task.
    endings: Vec<oneshot::Sender<()>>,
    queue: Arc<Semaphore>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Service {
    /// Takes no more questions, and returns when those under way are answered, or after [`STOP_PATIENCE`].
    pub async fn stop(self) {
        let stopped = async {
            for ending in self.endings {
                // A task that ended by itself does not mind.
                let _ = ending.send(());
            }
            // What the broker has handed over is answered, too.
            futures::future::join_all(self.tasks).await;
            let _ = self.queue.acquire_many(QUEUE_KIB).await;
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
/// JSON, as `{"error": "..."}`. So is code 503 where too many questions wait ([`ServiceSpec::concurrency`]).
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
    let (id, client) = (unique(), bus.client.clone());
    let places = spec.concurrency.clamp(1, Semaphore::MAX_PERMITS);
    let (gate, queue) = (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(QUEUE_KIB as usize)));
    let (mut tasks, mut endings, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for (subject, group) in endpoints {
        // A group named after nobody else is "every instance".
        let group = group.map_or_else(|| format!("only-{id}"), str::to_owned);
        let questions = client
            .queue_subscribe(subject.clone(), group.clone())
            .await
            .map_err(|error| BusError::Refused { what: subject.clone(), why: error.to_string() })?;
        let endpoint = Endpoint {
            client: client.clone(),
            gate: gate.clone(),
            queue: queue.clone(),
            told: Arc::new(Told::new(subject, group)),
        };
        told.push(endpoint.told.clone());
        let (ending, ended) = oneshot::channel();
        endings.push(ending);
        let answering = endpoint.answer_all(questions, ended, at_hand.clone(), handler.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(answering)));
    }
    let discovery = Discovery::new(client, id, spec, told).await?;
    let discovery = AbortOnDropHandle::new(tokio::spawn(discovery.answer_all(statistics)));
    // Whoever is told that the service runs will ask it soon. The subscriptions are on their way then; who asks over this
    // connection comes behind them.
    if let Err(error) = bus.client.flush().await {
        debug!(%error, "the broker has not confirmed the service yet");
    }
    Ok(Service { _discovery: discovery, endings, queue, tasks })
}
