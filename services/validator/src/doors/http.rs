//! Questions over HTTP. [`table`] is the list of all routes: the router is made from it, and a test holds `openapi.json`
//! against it. Whatever is refused is told as `{"error": "..."}`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use revocast_daemon::{Context, Counter, RequestLimits, limited, refused, router, with_refusals};
use revocast_messages::headers::says_json;
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

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Doors {
    pub judge: Judge,
    pub acquirer: Arc<Acquirer>,
    pub live: Arc<Live>,
    pub events: EventDoor,
}

/// One route.
pub(crate) struct Route {
    pub method: Method,
    pub path: &'static str,
    handler: MethodRouter<Doors>,
}

/// All routes of a validator but the operational ones.
pub(crate) fn table() -> Vec<Route> {
    let route = |method, path, handler| Route { method, path, handler };
    vec![
        route(Method::POST, "/v1/validate", post(validate)),
        route(Method::POST, "/v1/acquire", post(acquire)),
        route(Method::GET, "/v1/issuers", get(issuers)),
        route(Method::GET, "/v1/scopes", get(scopes)),
        route(Method::GET, "/v1/events", get(events)),
        route(Method::GET, "/openapi.json", get(openapi)),
    ]
}

/// The router of all routes, the operational ones among them.
pub(crate) fn routes(doors: Doors, limits: &RequestLimits, context: &Context) -> Router {
    let answers = context.metrics.counter("revocast_http_answers", "answers by method, route and status");
    let routes = table()
        .into_iter()
        .fold(Router::new(), |routes, route| routes.route(route.path, counted(route, answers.clone())));
    let routes = limited(routes.with_state(doors), limits, Question::MAX_BYTES, &context.metrics);
    with_refusals(routes.merge(router(context)))
}

/// Counts a route's answers; the series of success is there from the start.
fn counted(route: Route, answers: Counter) -> MethodRouter<Doors> {
    let Route { method, path, handler } = route;
    let count = move |status: &str, n| {
        answers.add(&[("method", method.as_str()), ("route", path), ("status", status)], n);
    };
    count("200", 0);
    handler.route_layer(from_fn(move |request: Request, next: Next| {
        let count = count.clone();
        async move {
            let answer = next.run(request).await;
            count(answer.status().as_str(), 1);
            answer
        }
    }))
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
async fn validate(
    State(doors): State<Doors>,
    asked: Result<Query<Asked>, QueryRejection>,
    lines: HeaderMap,
    body: Bytes,
) -> Response {
    let read = asked
        .map_err(|why| (StatusCode::BAD_REQUEST, why.body_text()))
        .and_then(|Query(asked)| question(asked, &lines, body));
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
        None => Json(answer).into_response(),
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

async fn scopes(State(doors): State<Doors>) -> Json<Vec<ScopeState>> {
    let mut all = doors.live.all();
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
    Json(states.collect())
}
