//! `revocast status`: who enforces what.

use std::time::Duration;

use clap::Args;
use revocast_fleet::{Overview, ScopeView, ValidatorView};

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
}

pub(crate) fn run(args: &StatusArgs, output: &Output) -> Result<Exit, Failure> {
    block_on(async {
        let bus = args.bus.connect().await?;
        loop {
            let scopes = Overview::read(&bus, now_ms()).await.map_err(Failure::io)?.scopes();
            match args.watch {
                None => {
                    output.result(&scopes, || text(&scopes));
                    let enforced = scopes.iter().all(|scope| scope.enforced);
                    return Ok(if enforced { Exit::Ok } else { Exit::Indeterminate });
                }
                Some(pause) => {
                    output.record(&scopes, || format!("{}\n", text(&scopes)));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    })
}

fn text(scopes: &[ScopeView]) -> String {
    if scopes.is_empty() {
        return "No CRL was announced yet.".into();
    }
    let rows = scopes.iter().flat_map(|scope| {
        let nobody = scope.validators.is_empty().then(|| row(scope, None));
        nobody.into_iter().chain(scope.validators.iter().map(|validator| row(scope, Some(validator))))
    });
    table(["ISSUER", "SCOPE", "KIND", "NEWEST", "AGE", "VALIDATOR", "ENFORCES", "LAG", "STATE"], rows)
}

fn row(scope: &ScopeView, validator: Option<&ValidatorView>) -> [String; 9] {
    let number = |number: Option<_>| {
        number.map_or_else(|| "-".into(), |number: revocast_pki::identity::CrlNumber| number.to_string())
    };
    let state = match validator {
        None => "nobody subscribed",
        Some(validator) if validator.unknown => "unknown: its lease lapsed",
        Some(validator) if validator.current => "enforces",
        Some(_) => "BEHIND",
    };
    [
        scope.issuer_name.clone(),
        scope.scope.to_string().chars().take(8).collect(),
        scope.kind.to_string(),
        number(scope.number),
        format!("{} s", scope.age_s),
        validator.map_or_else(|| "-".into(), |validator| validator.validator.to_string()),
        validator.map_or_else(|| "-".into(), |validator| number(validator.number)),
        validator
            .and_then(|validator| validator.lag_ms)
            .map_or_else(|| "-".into(), |lag| format!("{lag} ms")),
        state.into(),
    ]
}
