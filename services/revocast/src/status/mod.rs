//! `revocast status`: who enforces what, by scope; or, by validator, how each is (`members`).

mod members;

use std::time::Duration;

use clap::Args;
use revocast_fleet::instances::instances;
use revocast_fleet::{LagView, Overview, ScopeView, ValidatorView};
use revocast_messages::instant;
use revocast_pki::asn1::Time;
use revocast_pki::identity::CrlNumber;
use serde::Serialize;

use crate::bus::{BusArgs, block_on};
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

/// Options of `status`.
#[derive(Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    bus: BusArgs,
    /// Show it again and again, with this pause.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "1s", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Show the validators instead: their subscriptions, versions, readiness and its reasons.
    #[arg(long)]
    validators: bool,
    /// Show how it was at this instant, by the receipts that the broker still has: RFC 3339, or seconds since the Unix epoch.
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with_all = ["watch", "validators"])]
    at: Option<Time>,
}

pub(crate) fn run(args: &StatusArgs, output: &Output) -> Result<Exit, Failure> {
    block_on(async {
        let bus = args.bus.connect().await?;
        loop {
            let fleet = match args.at {
                None => Overview::read(&bus, now_ms()).await,
                Some(at) => Overview::read_at(&bus, at.unix().saturating_mul(1_000)).await,
            };
            let fleet = fleet.map_err(Failure::io)?;
            let scopes = fleet.scopes();
            if args.validators {
                let running = instances(&bus).await.map_err(Failure::io)?;
                let members = fleet.members(&scopes, &running);
                show(args, output, &members, || members::text(&members));
            } else {
                show(args, output, &scopes, || text(&scopes));
            }
            match args.watch {
                None => {
                    let behind = scopes.iter().any(|scope| !scope.behind.is_empty());
                    return Ok(if behind { Exit::Indeterminate } else { Exit::Ok });
                }
                Some(pause) => tokio::time::sleep(pause).await,
            }
        }
    })
}

fn show(args: &StatusArgs, output: &Output, view: &impl Serialize, text: impl FnOnce() -> String) {
    match args.watch {
        None => output.result(view, text),
        Some(_) => output.record(view, || format!("{}\n", text())),
    }
}

fn text(scopes: &[ScopeView]) -> String {
    if scopes.is_empty() {
        return "No CRL was announced yet.".into();
    }
    let rows = scopes.iter().flat_map(|scope| {
        let nobody = scope.validators.is_empty().then(|| row(scope, None));
        nobody.into_iter().chain(scope.validators.iter().map(|validator| row(scope, Some(validator))))
    });
    let scopes = scopes.iter().map(summary);
    format!(
        "{}\n\n{}",
        table(
            ["ISSUER", "SCOPE", "KIND", "NEWEST", "WATERMARK", "NEXT UPDATE", "LAG", "BEHIND", "UNPROVEN"],
            scopes
        ),
        table(["ISSUER", "SCOPE", "KIND", "NEWEST", "AGE", "VALIDATOR", "ENFORCES", "LAG", "STATE"], rows)
    )
}

/// A scope in one line; lags as the first, half, nine of ten, and the last of its validators.
fn summary(scope: &ScopeView) -> [String; 9] {
    let lag =
        |lag: LagView| format!("{} {} {} {} ms", lag.least_ms, lag.half_ms, lag.nine_of_ten_ms, lag.most_ms);
    let behind: Vec<String> = scope.behind.iter().map(ToString::to_string).collect();
    let unproven = scope.unproven.iter().map(|told| format!("{} by {}", number(told.number), told.instance));
    let unproven: Vec<String> = unproven.collect();
    [
        scope.issuer_name.clone(),
        scope.scope.to_string().chars().take(8).collect(),
        scope.kind.to_string(),
        number(scope.number),
        number(scope.watermark),
        scope.next_update.map_or_else(|| "-".into(), |time| time.to_string()),
        scope.lag.map_or_else(|| "-".into(), lag),
        match behind.as_slice() {
            [] if scope.validators.is_empty() => "nobody subscribed".into(),
            [] => "-".into(),
            some => some.join(" "),
        },
        if unproven.is_empty() { "-".into() } else { unproven.join(", ") },
    ]
}

fn number(number: Option<CrlNumber>) -> String {
    number.map_or_else(|| "-".into(), |number| number.to_string())
}

fn row(scope: &ScopeView, validator: Option<&ValidatorView>) -> [String; 9] {
    let state = match validator {
        None => "nobody subscribed",
        Some(validator) if validator.unknown => "unknown: its lease lapsed",
        Some(validator) if validator.current => "enforces",
        Some(_) if scope.this_update.is_none() => "nothing is proven",
        Some(_) => "BEHIND",
    };
    [
        scope.issuer_name.clone(),
        scope.scope.to_string().chars().take(8).collect(),
        scope.kind.to_string(),
        number(scope.number),
        scope.age_s.map_or_else(|| "-".into(), |age| format!("{age} s")),
        validator.map_or_else(|| "-".into(), |validator| validator.validator.to_string()),
        validator.map_or_else(|| "-".into(), |validator| number(validator.number)),
        validator
            .and_then(|validator| validator.lag_ms)
            .map_or_else(|| "-".into(), |lag| format!("{lag} ms")),
        state.into(),
    ]
}
