//! Questions over NATS: `pki.validate` and `pki.explain` for the queue group of all validators,
//! `pki.validate.<instance>` for this one. Binary by default; JSON when the question's header says so.

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_messages::{Headers, Question, codec, decode, encode, headers, subjects};

use crate::question::Judge;

/// The queue group that all validators of a fleet join.
pub(super) const GROUP: &str = "validators";

/// The content type of questions in JSON.
pub(super) const JSON: &str = "application/json";

/// Opens the door; it is open until the service is stopped or dropped.
pub(crate) async fn open(bus: &Bus, judge: Judge, concurrency: usize) -> Result<Service, BusError> {
    let spec = ServiceSpec {
        name: "revocast-validator".into(),
        description: "judges certificates against live CRLs".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        metadata: [("instance".to_owned(), judge.instance.to_string())].into(),
        concurrency,
    };
    let endpoints = [
        (subjects::VALIDATE.to_owned(), Some(GROUP)),
        (subjects::EXPLAIN.to_owned(), Some(GROUP)),
        (subjects::validate_at(&judge.instance), None),
    ];
    serve(bus, spec, &endpoints, move |call| {
        let judge = judge.clone();
        async move { answer(&judge, &call).await }
    })
    .await
}

async fn answer(judge: &Judge, call: &Call) -> Result<(Headers, Bytes), String> {
    let json = call.header(headers::CONTENT_TYPE) == Some(JSON);
    let question = if json { codec::from_json::<Question>(&call.payload) } else { decode(&call.payload) };
    let mut question = question.map_err(|error| error.to_string())?;
    question.options.explain |= call.subject == subjects::EXPLAIN;
    let answer = judge.answer(question).await;
    let body = if json { codec::to_json(&answer) } else { encode(&answer) };
    let body = body.map_err(|error| error.to_string())?;
    let kind = if json { vec![(headers::CONTENT_TYPE, JSON.to_owned())] } else { Vec::new() };
    Ok((kind, body.into()))
}
