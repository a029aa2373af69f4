//! Questions over HTTP: `POST /v1/validate` with JSON, DER or PEM; `GET /v1/scopes`; and the operational doors.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use revocast_daemon::{Context, router};
use revocast_messages::{Answer, Message, Question, QuestionOptions, Refusal, codec};
use revocast_pki::bundle::{self, Item};
use serde::Serialize;

use crate::question::Judge;
use crate::state::Live;

#[derive(Clone)]
struct Doors {
    judge: Judge,
    live: Arc<Live>,
}

/// All routes of a validator.
pub(crate) fn routes(judge: Judge, live: Arc<Live>, context: &Context) -> Router {
    Router::new()
        .route("/v1/validate", post(validate))
        .route("/v1/scopes", get(scopes))
        .layer(DefaultBodyLimit::max(Question::MAX_BYTES))
        .with_state(Doors { judge, live })
        .merge(router(context))
}

/// JSON in the form of [`Question`]; or certificates in DER, PEM or PKCS #7, the first of which is asked about, with
/// the options as query parameters.
async fn validate(
    State(doors): State<Doors>,
    Query(options): Query<QuestionOptions>,
    lines: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = lines.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let question = if kind.starts_with("application/json") {
        codec::from_json::<Question>(&body).map_err(|error| error.to_string())
    } else {
        of_certificates(body, options)
    };
    match question {
        Ok(question) => answered(doors.judge.answer(question).await),
        Err(why) => refused(StatusCode::BAD_REQUEST, &why),
    }
}

fn of_certificates(body: Bytes, options: QuestionOptions) -> Result<Question, String> {
    let items = bundle::items(body).map_err(|error| error.to_string())?;
    let mut certificates = items.into_iter().filter_map(|item| match item {
        Item::Certificate(der) => Some(der.into()),
        Item::Crl(_) => None,
    });
    let target = certificates.next().ok_or("the body holds no certificate: JSON, DER or PEM is asked for")?;
    Ok(Question { certificates: vec![target], intermediates: certificates.collect(), options })
}

fn answered(answer: Answer) -> Response {
    match &answer.refused {
        None => Json(answer).into_response(),
        Some(Refusal::Malformed { why }) => refused(StatusCode::UNPROCESSABLE_ENTITY, why),
        Some(Refusal::Busy { why }) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(serde_json::json!({ "error": why }))).into_response()
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
