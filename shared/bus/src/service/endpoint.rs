//! One subject of a service: questions are taken up as they come, and answered.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::service::error::Error as Failure;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, endpoint};
use async_nats::{Client, HeaderMap, Message, PublishError, PublishErrorKind, Subject, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, poll};
use tokio::sync::{Semaphore, oneshot};
use tracing::{debug, error, warn};

use super::{Answered, Call};
use crate::message::{Headers, header_map, one_line};

/// Questions that are taken up together where so many have come: their answers go out in one write.
const TOGETHER: usize = 64;

/// Questions that are under way or wait for their turn may be of so much in all, in KiB; further ones are refused.
pub(super) const QUEUE_KIB: u32 = 64 << 10;

/// What a small question counts for in the queue, in KiB: it has a task, and what it searches.
const LEAST_KIB: usize = 16;

/// The code of a question that cannot be answered as it is.
const FAILED: usize = 400;

/// The code of one that could be, at another time or by another instance.
const BUSY: usize = 503;

const JSON: &str = "application/json";

/// What is told of an endpoint.
pub(super) struct Told {
    subject: String,
    group: String,
    requests: AtomicU64,
    errors: AtomicU64,
    busy_ns: AtomicU64,
    last_error: Mutex<Option<Failure>>,
}

impl Told {
    pub(super) fn new(subject: &str, group: String) -> Told {
        Told {
            subject: subject.to_owned(),
            group,
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    fn name(&self) -> String {
        self.subject.replace('.', "-")
    }

    pub(super) fn info(&self) -> endpoint::Info {
        endpoint::Info {
            name: self.name(),
            subject: self.subject.clone(),
            queue_group: self.group.clone(),
            metadata: Default::default(),
        }
    }

    /// With words of the service's own.
    pub(super) fn statistics(&self, data: serde_json::Value) -> endpoint::Stats {
        let requests = self.requests.load(Ordering::Relaxed);
        let busy_ns = self.busy_ns.load(Ordering::Relaxed);
        endpoint::Stats {
            name: self.name(),
            subject: self.subject.clone(),
            queue_group: self.group.clone(),
            requests: requests as usize,
            errors: self.errors.load(Ordering::Relaxed) as usize,
            processing_time: Duration::from_nanos(busy_ns),
            average_processing_time: Duration::from_nanos(busy_ns.checked_div(requests).unwrap_or(0)),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            data: Some(data),
        }
    }

    /// So many answers were sent, which took so long together.
    fn answered(&self, answers: u64, took: Duration) {
        self.requests.fetch_add(answers, Ordering::Relaxed);
        self.busy_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn failed(&self, failure: Failure) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

/// Why there is no answer.
struct Refused {
    code: usize,
    why: String,
}

/// Where an answer goes, and how it is written.
struct Asker {
    reply: Subject,
    json: bool,
}

/// What an endpoint goes on with.
enum Next {
    Question(Message),
    /// It is to end, once what was sent to it is answered.
    End,
    /// There will be no more questions.
    Gone,
}

/// One subject, and what answering takes.
pub(super) struct Endpoint {
    pub client: Client,
    /// Questions that are not at hand have one of its places while they are worked on.
    pub gate: Arc<Semaphore>,
    /// They hold permits of it, in KiB, from being taken up to being answered.
    pub queue: Arc<Semaphore>,
    pub told: Arc<Told>,
}

impl Endpoint {
    /// Takes questions as they come, until the service ends: `ending` is done. What is at hand is answered on the spot.
    pub(super) async fn answer_all<Q, H, F>(
        self,
        mut questions: Subscriber,
        mut ending: oneshot::Receiver<()>,
        at_hand: Q,
        handler: H,
    ) where
        Q: Fn(&Call) -> Option<Answered>,
        H: Fn(Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Answered>> + Send + 'static,
    {
        let endpoint = Arc::new(self);
        let mut is_ending = false;
        let (mut known, mut left) = (Vec::with_capacity(TOGETHER), Vec::new());
        loop {
            // One that was waited for has come alone, most likely, and is answered before it is asked whether there is
            // another. Otherwise there may be many.
            let mut was_waited_for = false;
            let next = poll_fn(|context| {
                if !is_ending && ending.poll_unpin(context).is_ready() {
                    return Poll::Ready(Next::End);
                }
                let next = questions.poll_next_unpin(context);
                was_waited_for |= next.is_pending();
                next.map(|message| message.map_or(Next::Gone, Next::Question))
            });
            let mut message = match next.await {
                Next::Question(message) => message,
                Next::Gone => return,
                Next::End => {
                    is_ending = true;
                    // What the broker has sent is still taken up.
                    if let Err(error) = questions.drain().await {
                        debug!(%error, "the connection was gone already");
                        return;
                    }
                    continue;
                }
            };
            let taken = Instant::now();
            let mut taken_up = 0;
            loop {
                if let Some((asker, call)) = question(message, taken) {
                    // A question at which the service panics takes no other along, and goes the long way to its end.
                    let answer = catch_unwind(AssertUnwindSafe(|| at_hand(&call))).unwrap_or_else(|_| {
                        error!("a question made the service panic");
                        None
                    });
                    match answer {
                        Some(answer) if was_waited_for => {
                            endpoint.respond(asker, answer).await;
                            endpoint.told.answered(1, taken.elapsed());
                        }
                        Some(answer) => known.push((asker, answer)),
                        None => left.push((asker, call)),
                    }
                }
                taken_up += 1;
                if was_waited_for || taken_up == TOGETHER {
                    break;
                }
                match poll!(questions.next()) {
                    Poll::Ready(Some(next)) => message = next,
                    _ => break,
                }
            }
            if !known.is_empty() {
                let answers = known.len() as u64;
                for (asker, answer) in known.drain(..) {
                    endpoint.respond(asker, answer).await;
                }
                endpoint.told.answered(answers, taken.elapsed());
            }
            // Nothing waits here for a place: those whose answer is at hand would wait with it.
            for (asker, call) in left.drain(..) {
                let Ok(queued) = endpoint.queue.clone().try_acquire_many_owned(kib(&call)) else {
                    endpoint.refuse(asker, Refused::busy()).await;
                    endpoint.told.answered(1, taken.elapsed());
                    continue;
                };
                let (handler, endpoint) = (handler.clone(), endpoint.clone());
                tokio::spawn(async move {
                    let Ok(_place) = endpoint.gate.acquire().await else { return };
                    if let Some(answer) = handler(call).await {
                        endpoint.respond(asker, answer).await;
                        endpoint.told.answered(1, taken.elapsed());
                    }
                    drop(queued);
                });
            }
        }
    }

    async fn respond(&self, asker: Asker, answer: Answered) {
        let sent = match answer {
            Ok((headers, answer)) if headers.is_empty() && answer.len() <= self.client.max_payload() => {
                self.client.publish(asker.reply, answer).await
            }
            answer => self.respond_with_headers(asker, answer.map_err(Refused::failed)).await,
        };
        tell_unsent(sent);
    }

    async fn refuse(&self, asker: Asker, why: Refused) {
        tell_unsent(self.respond_with_headers(asker, Err(why)).await);
    }

    /// The same where header lines are needed, if only to say that there is no answer.
    async fn respond_with_headers(
        &self,
        asker: Asker,
        answer: Result<(Headers, Bytes), Refused>,
    ) -> Result<(), PublishError> {
        let Asker { reply, json } = asker;
        let octets = answer.as_ref().map_or(0, |(_, answer)| answer.len());
        let (headers, body) = answer.map_or_else(
            |refused| self.failure(refused, json),
            |(headers, answer)| (header_map(&headers), answer),
        );
        match self.client.publish_with_headers(reply.clone(), headers, body).await {
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let (headers, body) = self.failure(Refused::failed(too_large(octets)), json);
                self.client.publish_with_headers(reply, headers, body).await
            }
            sent => sent,
        }
    }

    /// The words of a failure stand in the headers; clients in other languages, which seldom look there, are told in the
    /// body.
    fn failure(&self, refused: Refused, json: bool) -> (HeaderMap, Bytes) {
        let Refused { code, why } = refused;
        self.told.failed(Failure { code, status: one_line(&why) });
        let mut headers =
            vec![(NATS_SERVICE_ERROR, why.clone()), (NATS_SERVICE_ERROR_CODE, code.to_string())];
        let mut body = Bytes::new();
        if json {
            headers.push(("Content-Type", JSON.to_owned()));
            body = serde_json::json!({ "error": why }).to_string().into();
        }
        (header_map(&headers), body)
    }
}

impl Refused {
    fn failed(why: String) -> Refused {
        Refused { code: FAILED, why }
    }

    fn busy() -> Refused {
        let (questions, mib) = (QUEUE_KIB / LEAST_KIB as u32, QUEUE_KIB >> 10);
        let why = format!("busy: {questions} questions, or {mib} MiB of them, wait already; ask again");
        Refused { code: BUSY, why }
    }
}

fn tell_unsent(sent: Result<(), PublishError>) {
    if let Err(error) = sent {
        warn!(%error, "an answer could not be sent");
    }
}

/// What a question counts for in the queue.
fn kib(call: &Call) -> u32 {
    u32::try_from((call.payload.len() >> 10).max(LEAST_KIB)).unwrap_or(u32::MAX)
}

/// A message that nobody waits for an answer to is no question.
fn question(message: Message, taken: Instant) -> Option<(Asker, Call)> {
    let Message { subject, reply: Some(reply), payload, headers, .. } = message else {
        debug!(subject = &*message.subject, "a question without a subject for its answer");
        return None;
    };
    let call = Call { payload, taken, subject, headers };
    let json = call.header("Content-Type").is_some_and(|kind| kind.starts_with(JSON));
    Some((Asker { reply, json }, call))
}

/// The words for an answer that the broker does not carry.
fn too_large(octets: usize) -> String {
    format!(
        "the answer of {octets} bytes is above what the broker carries: ask about fewer certificates at once"
    )
}
