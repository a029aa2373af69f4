//! Acquisition over NATS (`pki.acquire` for the queue group of all validators, `pki.acquire.<instance>` for this one)
//! and over HTTP (`POST /v1/acquire`).
//!
//! A service of its own beside the one for questions: requests here wait for repositories, and must not hold the places
//! of those that do not.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use revocast_bus::{Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_messages::{
    AcquireAnswer, AcquireRefusal, AcquireRequest, Headers, Message, codec, decode, encode, headers, subjects,
};

use crate::acquire::Acquirer;

/// The queue group that all validators of a fleet join.
const GROUP: &str = "validators";

const JSON: &str = "application/json";

/// Opens the door over NATS; it is open until the service is stopped or dropped.
pub(crate) async fn open(
    bus: &Bus,
    acquirer: Arc<Acquirer>,
    concurrency: usize,
) -> Result<Service, BusError> {
    let spec = ServiceSpec {
        name: "revocast-acquisition".into(),
        description: "gets certificates that are valid for whoever asks".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        metadata: [("instance".to_owned(), acquirer.instance().to_string())].into(),
        concurrency,
    };
    let endpoints =
        [(subjects::ACQUIRE.to_owned(), Some(GROUP)), (subjects::acquire_at(acquirer.instance()), None)];
    serve(bus, spec, &endpoints, move |call| {
        let acquirer = acquirer.clone();
        async move { answer(&acquirer, &call).await }
    })
    .await
}

async fn answer(acquirer: &Acquirer, call: &Call) -> Result<(Headers, Bytes), String> {
    let json = call.header(headers::CONTENT_TYPE) == Some(JSON);
    let request =
        if json { codec::from_json::<AcquireRequest>(&call.payload) } else { decode(&call.payload) };
    let answer = acquirer.acquire(request.map_err(|error| error.to_string())?).await;
    let body = if json { codec::to_json(&answer) } else { encode(&answer) };
    let kind = if json { vec![(headers::CONTENT_TYPE, JSON.to_owned())] } else { Vec::new() };
    Ok((kind, body.map_err(|error| error.to_string())?.into()))
}

/// The routes.
pub(crate) fn routes(acquirer: Arc<Acquirer>) -> Router {
    Router::new()
        .route("/v1/acquire", post(acquire))
        .layer(DefaultBodyLimit::max(AcquireRequest::MAX_BYTES))
        .with_state(acquirer)
}

/// JSON in the form of [`AcquireRequest`]. A verdict is an answer, whatever it is: status 200.
async fn acquire(State(acquirer): State<Arc<Acquirer>>, body: Bytes) -> Response {
    match codec::from_json::<AcquireRequest>(&body) {
        Ok(request) => answered(acquirer.acquire(request).await),
        Err(error) => {
            let why = Json(serde_json::json!({ "error": error.to_string() }));
            (StatusCode::BAD_REQUEST, why).into_response()
        }
    }
}

fn answered(answer: AcquireAnswer) -> Response {
    let status = match &answer.refused {
        None => return Json(answer).into_response(),
        Some(AcquireRefusal::Malformed { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(AcquireRefusal::Forbidden { .. }) => StatusCode::FORBIDDEN,
        Some(AcquireRefusal::Absent { .. }) => StatusCode::NOT_FOUND,
        Some(AcquireRefusal::Unavailable { .. }) => StatusCode::BAD_GATEWAY,
        Some(AcquireRefusal::Busy { .. }) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let why = answer.refused.map_or_else(String::new, |refused| refused.to_string());
    (status, Json(serde_json::json!({ "error": why }))).into_response()
}
