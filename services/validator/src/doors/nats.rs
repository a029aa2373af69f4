//! Questions over NATS: `pki.validate` and `pki.explain` for the queue group of all validators,
//! `pki.validate.<instance>` for this one. Binary by default; JSON when the question's header says so.

use std::sync::Arc;

use revocast_bus::{Answered, Bus, BusError, Call, Service, ServiceSpec, serve_with};
use revocast_daemon::Health;
use revocast_messages::headers::{self, JSON, says_json};
use revocast_messages::{Answer, PlainQuestion, Question, codec, decode, encode, subjects};

use super::statistics::{Position, metadata, statistics};
use crate::config::ValidatorConfig;
use crate::question::Judge;

/// The queue group that all validators of a fleet join.
pub(super) const GROUP: &str = "validators";

/// What the door needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Questions {
    pub judge: Judge,
    pub config: Arc<ValidatorConfig>,
    pub positions: Vec<Arc<Position>>,
    pub health: Health,
}

/// Opens the door; it is open until the service is stopped or dropped.
pub(crate) async fn open(bus: &Bus, questions: &Questions) -> Result<Service, BusError> {
    let Questions { judge, config, positions, health } = questions.clone();
    let spec = ServiceSpec {
        name: "revocast-validator".into(),
        description: "judges certificates against live CRLs".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        metadata: metadata(&config, &judge),
        concurrency: config.concurrent_questions.saturating_mul(WAITING),
    };
    let endpoints = [
        (subjects::VALIDATE.to_owned(), Some(GROUP)),
        (subjects::EXPLAIN.to_owned(), Some(GROUP)),
        (subjects::validate_at(&judge.instance), None),
    ];
    let told = {
        let judge = judge.clone();
        move || statistics(&judge, &positions, &health)
    };
    let judge = Arc::new(judge);
    let known = {
        let judge = judge.clone();
        move |call: &Call| at_hand(&judge, call)
    };
    serve_with(bus, spec, &endpoints, told, known, move |call| {
        let judge = judge.clone();
        async move { answer(&judge, &call).await }
    })
    .await
}

/// Questions that wait for others, a repository or a path of theirs, for one that is searched for: one issuer that does not
/// answer is not to keep the questions about all others waiting.
const WAITING: usize = 16;

/// Octets of a question that is answered on the spot, if it can be.
const SMALL: usize = 16 << 10;

/// The answer to a small question about certificates whose paths are kept.
fn at_hand(judge: &Judge, call: &Call) -> Option<Answered> {
    if call.payload.len() > SMALL || call.subject() == subjects::EXPLAIN {
        return None;
    }
    let json = says_json(call.header(headers::CONTENT_TYPE));
    let answer = if json {
        let question = codec::from_json::<Question>(&call.payload).ok()?;
        judge.at_hand(&PlainQuestion::of(&question)?, call.taken)
    } else {
        judge.at_hand(&PlainQuestion::read(&call.payload)?, call.taken)
    };
    Some(told(&answer?, json))
}

async fn answer(judge: &Judge, call: &Call) -> Answered {
    let json = says_json(call.header(headers::CONTENT_TYPE));
    let question = if json { codec::from_json::<Question>(&call.payload) } else { decode(&call.payload) };
    let mut question = question.map_err(|error| error.to_string())?;
    question.options.explain |= call.subject() == subjects::EXPLAIN;
    told(&judge.answer(question).await, json)
}

fn told(answer: &Answer, json: bool) -> Answered {
    let body = if json { codec::to_json(answer) } else { encode(answer) };
    let body = body.map_err(|error| error.to_string())?;
    let kind = if json { vec![(headers::CONTENT_TYPE, JSON.to_owned())] } else { Vec::new() };
    Ok((kind, body.into()))
}
