//! [`Limits`]: what one request may take: a place among those at once, so many octets, so long. Whatever is refused is
//! told as JSON with the limit in words.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::metrics::{Counter, Metrics};

/// What requests may take, all together and one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLimits {
    /// Requests at once; further ones are answered with 503.
    pub at_once: usize,
    /// How long a request's body may take.
    #[serde(with = "humantime_serde")]
    pub body_deadline: Duration,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits { at_once: 512, body_deadline: Duration::from_secs(30) }
    }
}

/// An error as every door tells it: `{"error": "..."}`; whoever is refused for being too many may try again soon.
pub fn refused(status: StatusCode, why: &str) -> Response {
    let mut answer = (status, axum::Json(serde_json::json!({ "error": why }))).into_response();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Tells paths and methods that a router does not have as JSON.
pub fn with_refusals(router: Router) -> Router {
    router
        .fallback(async |uri: Uri| {
            refused(StatusCode::NOT_FOUND, &format!("there is nothing at {}", uri.path()))
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            refused(StatusCode::METHOD_NOT_ALLOWED, &format!("{} does not take {method}", uri.path()))
        })
}

const REQUESTS: &str = "requests";
const SIZE: &str = "body_bytes";
const TIME: &str = "body_deadline";

/// A body that is too large is read on for at most this many octets, and thrown away: most clients hear the answer only
/// after they have sent everything.
const THROWN_AWAY: usize = 8 << 20;

/// What all requests at a door share. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    places: Semaphore,
    at_once: usize,
    max_body: usize,
    body_deadline: Duration,
    refusals: Counter,
}

impl Limits {
    /// For bodies of at most `max_body` octets.
    pub fn new(config: &RequestLimits, max_body: usize, metrics: &Metrics) -> Limits {
        let refusals = metrics.counter("revocast_http_refused", "requests refused for a limit, by which");
        for why in [REQUESTS, SIZE, TIME] {
            refusals.add(&[("limit", why)], 0);
        }
        Limits(Arc::new(Shared {
            places: Semaphore::new(config.at_once.max(1)),
            at_once: config.at_once.max(1),
            max_body,
            body_deadline: config.body_deadline,
            refusals,
        }))
    }

    /// Takes a request in if there is a place for it (else 503), its body has at most so many octets (413) and is there
    /// in time (408).
    pub async fn admit<B>(&self, request: Request<B>) -> Result<Admitted<'_>, Response>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let shared = &*self.0;
        let Ok(place) = shared.places.try_acquire() else {
            let why = format!("{} requests are under way, and no more are taken: try again", shared.at_once);
            return Err(shared.refuse(REQUESTS, StatusCode::SERVICE_UNAVAILABLE, &why));
        };
        let (head, body) = request.into_parts();
        let body = shared.in_time(shared.whole(&head.headers, body)).await??;
        Ok(Admitted { head, body, _place: place })
    }
}

/// A request that was let in. Its place is given back when this is dropped.
pub struct Admitted<'a> {
    /// What came before the body.
    pub head: Parts,
    /// The whole body.
    pub body: Bytes,
    _place: SemaphorePermit<'a>,
}

impl Shared {
    /// Most bodies have come with their heads, and are handed over by the second time that they are asked for. Only
    /// for the others is there a timer.
    async fn in_time<T>(&self, whole: impl Future<Output = T>) -> Result<T, Response> {
        let mut whole = std::pin::pin!(whole);
        if let Poll::Ready(whole) = futures::poll!(whole.as_mut()) {
            return Ok(whole);
        }
        ask_again().await;
        if let Poll::Ready(whole) = futures::poll!(whole.as_mut()) {
            return Ok(whole);
        }
        tokio::time::timeout(self.body_deadline, whole).await.map_err(|_| {
            let why = format!("the body was not there within {:?}", self.body_deadline);
            self.refuse(TIME, StatusCode::REQUEST_TIMEOUT, &why)
        })
    }

    async fn whole<B>(&self, headers: &HeaderMap, mut body: B) -> Result<Bytes, Response>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let told = headers.get(header::CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse().ok());
        if told.is_some_and(|told: usize| told > self.max_body.saturating_add(THROWN_AWAY)) {
            return Err(self.too_large());
        }
        let broken = |_| refused(StatusCode::BAD_REQUEST, "the body ended in the middle");
        let first = octets(&mut body).await.transpose().map_err(broken)?.unwrap_or_default();
        if told == Some(first.len()) && first.len() <= self.max_body {
            // Most bodies come in one piece, and are not copied.
            return Ok(first);
        }
        let mut whole = Vec::with_capacity(told.unwrap_or(0).min(self.max_body));
        let mut seen = 0_usize;
        let mut next = Some(first);
        while let Some(chunk) = next {
            seen = seen.saturating_add(chunk.len());
            if seen <= self.max_body {
                whole.extend_from_slice(&chunk);
            } else if seen > self.max_body.saturating_add(THROWN_AWAY) {
                break;
            } else {
                whole = Vec::new();
            }
            next = octets(&mut body).await.transpose().map_err(broken)?;
        }
        if seen > self.max_body { Err(self.too_large()) } else { Ok(whole.into()) }
    }

    fn too_large(&self) -> Response {
        let why = format!("the body is above the limit of {} bytes", self.max_body);
        self.refuse(SIZE, StatusCode::PAYLOAD_TOO_LARGE, &why)
    }

    fn refuse(&self, limit: &str, status: StatusCode, why: &str) -> Response {
        self.refusals.add_one(&[("limit", limit)]);
        refused(status, why)
    }
}

/// The next octets of a body; trailers are passed over.
async fn octets<B>(body: &mut B) -> Option<Result<Bytes, B::Error>>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    loop {
        match poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await?.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Lets the connection look at what else has come.
async fn ask_again() {
    let mut is_asked = false;
    poll_fn(|task| {
        if std::mem::replace(&mut is_asked, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
