//! Acquisition over NATS (`pki.acquire` for the queue group of all validators, `pki.acquire.<instance>` for this one)
//! and over HTTP (`POST /v1/acquire`).
//!
//! A service of its own beside the one for questions: requests here wait for repositories, and must not hold the places
//! of those that do not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use revocast_bus::{Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_daemon::refused;
use revocast_messages::headers::{self, JSON, says_json};
use revocast_messages::{
    AcquireAnswer, AcquireRefusal, AcquireRequest, Headers, codec, decode, encode, subjects,
};
use tracing::warn;

use super::http::Doors;
use super::nats::GROUP;
use crate::acquire::Acquirer;

/// After a failure the door is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the door over NATS open for as long as it is polled.
pub(crate) async fn keep_open(bus: &Bus, acquirer: &Arc<Acquirer>, concurrency: usize) -> Infallible {
    loop {
        match open(bus, acquirer.clone(), concurrency).await {
            Ok(service) => {
                let _open = service;
                std::future::pending::<Infallible>().await;
            }
            Err(error) => {
                warn!(%error, "certificates cannot be asked for over NATS yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn open(bus: &Bus, acquirer: Arc<Acquirer>, concurrency: usize) -> Result<Service, BusError> {
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
    let json = says_json(call.header(headers::CONTENT_TYPE));
    let request =
        if json { codec::from_json::<AcquireRequest>(&call.payload) } else { decode(&call.payload) };
    let answer = acquirer.acquire(request.map_err(|error| error.to_string())?).await;
    let body = if json { codec::to_json(&answer) } else { encode(&answer) };
    let kind = if json { vec![(headers::CONTENT_TYPE, JSON.to_owned())] } else { Vec::new() };
    Ok((kind, body.map_err(|error| error.to_string())?.into()))
}

/// JSON in the form of [`AcquireRequest`]. A verdict is an answer, whatever it is: status 200.
pub(super) async fn acquire(doors: Arc<Doors>, head: Parts, body: Bytes) -> Response {
    let kind = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    if !says_json(kind) {
        let why = format!("a body of this type is not read: {JSON}");
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why);
    }
    match codec::from_json::<AcquireRequest>(&body) {
        Ok(request) => answered(doors.acquirer.acquire(request).await),
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
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
    refused(status, &answer.refused.map_or_else(String::new, |why| why.to_string()))
}
