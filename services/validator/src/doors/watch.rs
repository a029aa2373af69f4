//! The door for watches: service `pki.watch`, for the queue group of all validators. Binary by default; JSON when the
//! request's header says so.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_messages::{Headers, Instance, WatchRequest, codec, decode, encode, headers, subjects};
use tracing::warn;

use super::nats::GROUP;
use crate::watch::Watches;

/// Requests that are worked on at once; further ones wait. They write to the registry, so they wait for the broker.
const CONCURRENCY: usize = 64;
/// After a failure the door is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the door open for as long as it is polled.
pub(crate) async fn keep_open(bus: &Bus, watches: &Watches, instance: &Instance) -> Infallible {
    loop {
        match open(bus, watches.clone(), instance).await {
            Ok(service) => {
                let _open = service;
                std::future::pending::<Infallible>().await;
            }
            Err(error) => {
                warn!(%error, "watches cannot be taken yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn open(bus: &Bus, watches: Watches, instance: &Instance) -> Result<Service, BusError> {
    let spec = ServiceSpec {
        name: "revocast-watch".into(),
        description: "takes certificates under watch: changed verdicts are told".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        metadata: [("instance".to_owned(), instance.to_string())].into(),
        concurrency: CONCURRENCY,
    };
    serve(bus, spec, &[(subjects::WATCH.to_owned(), Some(GROUP))], move |call| {
        let watches = watches.clone();
        async move { answer(&watches, &call).await }
    })
    .await
}

async fn answer(watches: &Watches, call: &Call) -> Result<(Headers, Bytes), String> {
    let json = headers::says_json(call.header(headers::CONTENT_TYPE));
    let request = if json { codec::from_json::<WatchRequest>(&call.payload) } else { decode(&call.payload) };
    let answer = watches.answer(&request.map_err(|error| error.to_string())?).await;
    let body = if json { codec::to_json(&answer) } else { encode(&answer) };
    let body = body.map_err(|error| error.to_string())?;
    let kind = if json { vec![(headers::CONTENT_TYPE, headers::JSON.to_owned())] } else { Vec::new() };
    Ok((kind, body.into()))
}
