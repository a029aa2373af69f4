//! Questions over HTTP. [`table`] is the list of all routes: the router is made from it, and a test holds `openapi.json`
//! against it. Whatever is refused is told as `{"error": "..."}`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use revocast_daemon::{
    Admitted, Context, Counter, Limits, Metrics, RequestLimits, Series, Site, blocking, refused, router,
    with_refusals,
};
use revocast_messages::headers::{JSON, says_json};
use revocast_messages::{Answer, Message, Question, QuestionOptions, Refusal, codec, instant};
use revocast_pki::bundle::{self, Item};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::acquire::acquire;
use super::events::{EventDoor, events};
use super::issuers::issuers;
use super::openapi::openapi;
use crate::acquire::Acquirer;
use crate::question::Judge;
use crate::state::Live;

/// What the handlers need.
pub(crate) struct Doors {
    pub judge: Judge,
    pub acquirer: Arc<Acquirer>,
    pub live: Arc<Live>,
    pub events: EventDoor,
}

/// What stands before every handler.
#[derive(Clone)]
pub(crate) struct Porter {
    limits: Limits,
    answers: Counter,
}

impl Porter {
    pub(crate) fn new(limits: &RequestLimits, metrics: &Metrics) -> Porter {
        Porter {
            limits: Limits::new(limits, Question::MAX_BYTES, metrics),
            answers: metrics.counter("revocast_http_answers", "answers by method, route and status"),
        }
    }
}

/// One route.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the document is held against it"))]
    pub method: Method,
    pub path: &'static str,
    handler: MethodRouter<Arc<Doors>>,
}

impl Route {
    /// A handler behind the porter: it gets the head and the whole body of a request.
    fn new<H, F>(porter: &Porter, method: Method, path: &'static str, handler: H) -> Route
    where
        H: Fn(Arc<Doors>, Parts, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
    {
        let gate = Arc::new(Gate::new(porter, &method, path));
        let behind = move |State(doors): State<Arc<Doors>>, request: Request| {
            let (handler, gate) = (handler.clone(), gate.clone());
            async move { gate.pass(doors, request, &handler).await }
        };
        let handler = if method == Method::POST { post(behind) } else { get(behind) };
        Route { method, path, handler }
    }
}

/// The porter at one route.
struct Gate {
    limits: Limits,
    method: Method,
    path: &'static str,
    answers: Counter,
    well: Series,
}

impl Gate {
    /// The series of success is there from the start.
    fn new(porter: &Porter, method: &Method, path: &'static str) -> Gate {
        let Porter { limits, answers } = porter.clone();
        let well = answers.series(&[("method", method.as_str()), ("route", path), ("status", "200")]);
        Gate { limits, method: method.clone(), path, answers, well }
    }

    async fn pass<B, H, F>(&self, doors: Arc<Doors>, request: Request<B>, handler: &H) -> Response
    where
        B: HttpBody<Data = Bytes> + Unpin,
        H: Fn(Arc<Doors>, Parts, Bytes) -> F,
        F: Future<Output = Response>,
    {
        let answer = match self.limits.admit(request).await {
            Ok(Admitted { head, body, .. }) => handler(doors, head, body).await,
            Err(refusal) => refusal,
        };
        match answer.status() {
            StatusCode::OK => self.well.add_one(),
            other => self.answers.add_one(&[
                ("method", self.method.as_str()),
                ("route", self.path),
                ("status", other.as_str()),
            ]),
        }
        answer
    }
}

/// The route of questions.
const QUESTIONS: (Method, &str) = (Method::POST, "/v1/validate");

/// All routes of a validator but the operational ones.
pub(crate) fn table(porter: &Porter) -> Vec<Route> {
    vec![
        Route::new(porter, QUESTIONS.0, QUESTIONS.1, validate),
        Route::new(porter, Method::POST, "/v1/acquire", acquire),
        Route::new(porter, Method::GET, "/v1/issuers", issuers),
        Route::new(porter, Method::GET, "/v1/scopes", scopes),
        Route::new(porter, Method::GET, "/v1/events", events),
        Route::new(porter, Method::GET, "/openapi.json", openapi),
    ]
}

/// All routes, the operational ones among them. That of questions comes before the router, which would take about as
/// long as an answer.
pub(crate) fn site(doors: Doors, porter: &Porter, context: &Context) -> Site {
    let doors = Arc::new(doors);
    let routes = table(porter)
        .into_iter()
        .fold(Router::new(), |routes, route| routes.route(route.path, route.handler))
        .with_state(doors.clone());
    let router = with_refusals(routes.merge(router(context)));
    let (method, path) = QUESTIONS;
    let gate = Arc::new(Gate::new(porter, &method, path));
    Site::from(router).with_first(method, path, move |request| {
        let (doors, gate) = (doors.clone(), gate.clone());
        async move { gate.pass(doors, request, &validate).await }
    })
}

/// Query parameters of a question whose body is certificates.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    policy: Option<String>,
    dns: Option<String>,
    eku: Option<String>,
    explain: bool,
    as_of: Option<String>,
    as_known_at: Option<String>,
    /// Every certificate of the body is asked about, not only the first.
    each: bool,
}

/// JSON in the form of [`Question`]; or certificates in DER, PEM or PKCS #7 with the options as query parameters: the
/// first is asked about and the others are offered along, or each is asked about.
async fn validate(doors: Arc<Doors>, head: Parts, body: Bytes) -> Response {
    let read = options(&head.uri).and_then(|asked| question(asked, &head.headers, body));
    match read {
        Ok(question) => answered(doors.judge.answer(question).await),
        Err((status, why)) => refused(status, &why),
    }
}

/// The options in a URL, or the status and the words of their refusal.
pub(super) fn options<T: Default + DeserializeOwned>(uri: &Uri) -> Result<T, (StatusCode, String)> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(T::default());
    }
    let read = Query::try_from_uri(uri).map(|Query(asked)| asked);
    read.map_err(|why| (StatusCode::BAD_REQUEST, why.body_text()))
}

/// Media types of bodies that hold certificates; `application/x-www-form-urlencoded` is what `curl --data-binary` says
/// of them when it is told nothing.
const CERTIFICATES: [&str; 9] = [
    "application/pkix-cert",
    "application/x-x509-ca-cert",
    "application/x-x509-user-cert",
    "application/pem-certificate-chain",
    "application/x-pem-file",
    "application/pkcs7-mime",
    "application/x-pkcs7-certificates",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
];

/// The question, or the status and the words of its refusal.
fn question(asked: Asked, lines: &HeaderMap, body: Bytes) -> Result<Question, (StatusCode, String)> {
    let wrong = |why: String| (StatusCode::BAD_REQUEST, why);
    let kind = lines.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    if says_json(kind) {
        if asked != Asked::default() {
            return Err(wrong("the options of a question in JSON stand in its body, not in the URL".into()));
        }
        return codec::from_json(&body).map_err(|error| wrong(error.to_string()));
    }
    let media = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if media.is_some_and(|media| !CERTIFICATES.iter().any(|known| known.eq_ignore_ascii_case(media))) {
        let why = format!("a body of this type is not read: application/json, {}", CERTIFICATES.join(", "));
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    of_certificates(body, asked).map_err(wrong)
}

fn of_certificates(body: Bytes, asked: Asked) -> Result<Question, String> {
    if body.is_empty() {
        return Err("the body is empty: JSON, DER, PEM or PKCS #7 is asked for".into());
    }
    let items = bundle::items(body).map_err(|error| error.to_string())?;
    let mut certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            Item::Certificate(der) => Some(der.into()),
            Item::Crl(_) => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err("the body holds no certificate: JSON, DER, PEM or PKCS #7 is asked for".into());
    }
    let intermediates = if asked.each { Vec::new() } else { certificates.split_off(1) };
    let Asked { policy, dns, eku, explain, as_of, as_known_at, each: _ } = asked;
    let at =
        |said: Option<String>| said.map(|text| instant(&text).map_err(|why| why.to_string())).transpose();
    let (as_of, as_known_at) = (at(as_of)?, at(as_known_at)?);
    let options = QuestionOptions { policy, dns, eku, explain, as_of, as_known_at };
    Ok(Question { certificates, intermediates, options })
}

fn answered(answer: Answer) -> Response {
    match &answer.refused {
        None => match codec::to_json(&answer) {
            Ok(body) => json(body),
            Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Some(Refusal::Malformed { why }) => refused(StatusCode::UNPROCESSABLE_ENTITY, why),
        Some(Refusal::Busy { why }) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// What is enforced for one scope.
#[derive(Serialize)]
struct ScopeState {
    issuer: String,
    issuer_name: String,
    scope: String,
    kind: String,
    number: Option<String>,
    entries: usize,
    this_update: String,
    next_update: Option<String>,
    crl_id: String,
    /// Others of the same number: what they revoke is revoked, too.
    conflicting: Vec<String>,
    applied_at_ms: i64,
    source: revocast_messages::Source,
}

/// Of ten thousand scopes it takes a moment: beside the runtime.
async fn scopes(doors: Arc<Doors>, _: Parts, _: Bytes) -> Response {
    let listed = blocking(move || scope_states(&doors.live)).await;
    match listed {
        Ok(body) => json(body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) fn json(body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    answer
}

fn scope_states(live: &Live) -> serde_json::Result<Vec<u8>> {
    let mut all = live.all();
    all.sort_by_key(|(scope, _)| *scope);
    let states = all.into_iter().map(|((issuer, scope, kind), enforced)| ScopeState {
        issuer: issuer.to_string(),
        issuer_name: enforced.crl.issuer().to_string(),
        scope: scope.to_string(),
        kind: kind.to_string(),
        number: enforced.crl.number().map(|number| number.to_string()),
        entries: enforced.crl.entries(),
        this_update: enforced.crl.this_update().to_string(),
        next_update: enforced.crl.next_update().map(|time| time.to_string()),
        crl_id: enforced.crl.id().to_string(),
        conflicting: enforced.conflicting.iter().map(|crl| crl.id().to_string()).collect(),
        applied_at_ms: enforced.applied_at_ms,
        source: enforced.source,
    });
    serde_json::to_vec(&states.collect::<Vec<_>>())
}
