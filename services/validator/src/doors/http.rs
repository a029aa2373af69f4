//! Questions over HTTP. [`table`] is the list of all routes: the router is made from it, and a test holds `openapi.json`
//! against it. Whatever is refused is told as `{"error": "..."}`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, Query, Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use revocast_daemon::{
    Context, Counter, Limits, Metrics, RequestLimits, blocking, refused, router, with_refusals,
};
use revocast_messages::headers::{JSON, says_json};
use revocast_messages::{Answer, Message, Question, QuestionOptions, Refusal, codec, instant};
use revocast_pki::bundle::{self, Item};
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
    /// A handler behind the porter. The series of success is there from the start.
    fn new<T: 'static>(
        porter: &Porter,
        method: Method,
        path: &'static str,
        handler: impl Handler<T, Arc<Doors>>,
    ) -> Route {
        let Porter { limits, answers } = porter.clone();
        let well = answers.series(&[("method", method.as_str()), ("route", path), ("status", "200")]);
        // What every request of the route shares, in one place: it is cloned with the handler each time.
        let shared = Arc::new((limits, answers, well, method.clone()));
        let behind = move |State(doors): State<Arc<Doors>>, request: Request| {
            let (handler, shared) = (handler.clone(), shared.clone());
            async move {
                let (limits, answers, well, method) = &*shared;
                let answer = match limits.admit(request).await {
                    Ok((request, _place)) => handler.call(request, doors).await,
                    Err(refusal) => refusal,
                };
                match answer.status() {
                    StatusCode::OK => well.add_one(),
                    other => answers.add_one(&[
                        ("method", method.as_str()),
                        ("route", path),
                        ("status", other.as_str()),
                    ]),
                }
                answer
            }
        };
        let handler = if method == Method::POST { post(behind) } else { get(behind) };
        Route { method, path, handler }
    }
}

/// The whole body of a request that the porter let in, and so within its limits.
pub(super) struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Whole, Response> {
        Whole::of(request.into_body()).await
    }
}

impl Whole {
    async fn of(body: Body) -> Result<Whole, Response> {
        let whole = axum::body::to_bytes(body, Question::MAX_BYTES).await;
        whole.map(Whole).map_err(|error| refused(StatusCode::BAD_REQUEST, &error.to_string()))
    }
}

/// All routes of a validator but the operational ones.
pub(crate) fn table(porter: &Porter) -> Vec<Route> {
    vec![
        Route::new(porter, Method::POST, "/v1/validate", validate),
        Route::new(porter, Method::POST, "/v1/acquire", acquire),
        Route::new(porter, Method::GET, "/v1/issuers", issuers),
        Route::new(porter, Method::GET, "/v1/scopes", scopes),
        Route::new(porter, Method::GET, "/v1/events", events),
        Route::new(porter, Method::GET, "/openapi.json", openapi),
    ]
}

/// The router of all routes, the operational ones among them.
pub(crate) fn routes(doors: Doors, porter: &Porter, context: &Context) -> Router {
    let routes = table(porter)
        .into_iter()
        .fold(Router::new(), |routes, route| routes.route(route.path, route.handler))
        .with_state(Arc::new(doors));
    with_refusals(routes.merge(router(context)))
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
async fn validate(State(doors): State<Arc<Doors>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Whole(body) = match Whole::of(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let asked = match head.uri.query() {
        None | Some("") => Ok(Asked::default()),
        Some(_) => Query::try_from_uri(&head.uri).map(|Query(asked)| asked),
    };
    let read = asked
        .map_err(|why| (StatusCode::BAD_REQUEST, why.body_text()))
        .and_then(|asked| question(asked, &head.headers, body));
    match read {
        Ok(question) => answered(doors.judge.answer(question).await),
        Err((status, why)) => refused(status, &why),
    }
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
    let media = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if media.as_ref().is_some_and(|media| !CERTIFICATES.contains(&media.as_str())) {
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
async fn scopes(State(doors): State<Arc<Doors>>) -> Response {
    let listed = blocking(move || scope_states(&doors.live)).await;
    match listed {
        Ok(body) => json(body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response()
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
