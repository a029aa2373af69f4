//! `revocast validator unsubscribe`: a validator that is gone for good leaves the watermark.
//!
//! A lapsed lease makes a validator unknown, and only an explicit stop makes it gone. One that cannot say so itself any
//! more has it said by the operator.

use std::time::Duration;

use clap::Args;
use revocast_bus::{Bus, BusError};
use revocast_messages::{
    Instance, Interest, Registration, SubscriptionAnswer, SubscriptionRequest, decode, encode, subjects,
};
use serde::Serialize;

use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Options of `validator unsubscribe`.
#[derive(Args)]
pub(crate) struct UnsubscribeArgs {
    #[command(flatten)]
    bus: BusArgs,
    /// The validator, by its name among the instances. One that runs will subscribe again.
    #[arg(value_name = "NAME")]
    validator: Instance,
}

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of one subscription.
#[derive(Serialize)]
struct Stopped {
    /// Whose CRLs: an issuer's id, or `all`.
    issuer: String,
    stopped: bool,
    /// Why not.
    why: Option<String>,
}

pub(crate) fn run(args: &UnsubscribeArgs, output: &Output) -> Result<Exit, Failure> {
    block_on(async {
        let bus = args.bus.connect().await?;
        let mut all = Vec::new();
        for registration in registrations(&bus, &args.validator).await.map_err(Failure::io)? {
            all.push(stop(&bus, &args.validator, &registration).await);
        }
        output.result(&all, || text(&args.validator, &all));
        Ok(if all.iter().all(|one| one.stopped) { Exit::Ok } else { Exit::Invalid })
    })
}

async fn registrations(bus: &Bus, validator: &Instance) -> Result<Vec<Registration>, BusError> {
    let entries = bus.bucket(subjects::SUBSCRIPTIONS).await?.entries(">").await?;
    let read = entries.into_iter().filter_map(|entry| decode::<Registration>(&entry.value?).ok());
    Ok(read.filter(|registration| registration.validator == *validator).collect())
}

async fn stop(bus: &Bus, validator: &Instance, registration: &Registration) -> Stopped {
    let request = SubscriptionRequest {
        validator: validator.clone(),
        issuer: registration.issuer,
        interest: Interest::Stop,
        locations: Vec::new(),
    };
    let why = match ask(bus, &request).await {
        Ok(SubscriptionAnswer::Stopped) => None,
        Ok(SubscriptionAnswer::Refused { why }) => Some(why),
        Ok(SubscriptionAnswer::Accepted { .. }) => Some("it was taken for a start".into()),
        Err(why) => Some(why),
    };
    let issuer = registration.issuer.map_or_else(|| "all".into(), |issuer| issuer.to_string());
    Stopped { issuer, stopped: why.is_none(), why }
}

async fn ask(bus: &Bus, request: &SubscriptionRequest) -> Result<SubscriptionAnswer, String> {
    let body = encode(request).map_err(|error| error.to_string())?;
    let subject = request.subject().to_string();
    let answer = bus.ask(&subject, &Vec::new(), body.into(), PATIENCE).await;
    decode(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

fn text(validator: &Instance, all: &[Stopped]) -> String {
    if all.is_empty() {
        return format!("{validator} has no subscription.");
    }
    let line = |one: &Stopped| match &one.why {
        None => format!("{validator} is no longer subscribed to {}.", one.issuer),
        Some(why) => format!("{validator} is still subscribed to {}: {why}", one.issuer),
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}
