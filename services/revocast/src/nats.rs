//! `revocast nats apply|check`: what the broker must have, as files.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use revocast_bus::declare::{Applied, Declaration, Difference, built_in};
use serde::Serialize;

use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

#[derive(Subcommand)]
pub(crate) enum NatsVerb {
    /// Make the declared streams, buckets and object store, and change what can be changed without loss.
    ///
    /// Nothing is ever deleted. Exit code 1 if something differs that this does not change.
    ///
    /// Example: revocast nats apply --nats nats://127.0.0.1:4222
    #[command(verbatim_doc_comment)]
    Apply(NatsArgs),
    /// Compare only. Exit code 1 if the broker falls short of what is declared.
    ///
    /// Example: revocast nats check --json
    #[command(verbatim_doc_comment)]
    Check(NatsArgs),
}

#[derive(Args)]
pub(crate) struct NatsArgs {
    #[command(flatten)]
    bus: BusArgs,
    /// A folder of declarations (*.json) instead of those of this release.
    #[arg(long, value_name = "DIR")]
    streams: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row {
    stream: String,
    outcome: Applied,
    differences: Vec<Difference>,
}

pub(crate) fn run(verb: NatsVerb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        NatsVerb::Apply(args) => block_on(apply(args, output)),
        NatsVerb::Check(args) => block_on(check(args, output)),
    }
}

async fn apply(args: NatsArgs, output: &Output) -> Result<Exit, Failure> {
    let declarations = declarations(args.streams.as_deref())?;
    let bus = args.bus.connect().await?;
    let mut rows = Vec::new();
    for declaration in &declarations {
        let (outcome, differences) = bus.apply(declaration).await.map_err(Failure::io)?;
        rows.push(Row { stream: declaration.name().to_owned(), outcome, differences });
    }
    output.result(&rows, || {
        let word = |outcome| match outcome {
            Applied::Unchanged => "as declared",
            Applied::Created => "created",
            Applied::Changed => "changed",
            Applied::Differs => "DIFFERS, left as it is",
        };
        let lines = rows
            .iter()
            .map(|row| [row.stream.clone(), word(row.outcome).into(), sentences(&row.differences)]);
        table(["STREAM", "OUTCOME", "DIFFERENCES"], lines)
    });
    let settled = rows.iter().all(|row| row.outcome != Applied::Differs);
    Ok(if settled { Exit::Ok } else { Exit::Invalid })
}

async fn check(args: NatsArgs, output: &Output) -> Result<Exit, Failure> {
    let declarations = declarations(args.streams.as_deref())?;
    let differences = args.bus.connect().await?.check(&declarations).await.map_err(Failure::io)?;
    output.result(&differences, || match differences.as_slice() {
        [] => format!("The broker has all {} declared streams.", declarations.len()),
        differences => sentences(differences),
    });
    Ok(if differences.is_empty() { Exit::Ok } else { Exit::Invalid })
}

fn sentences(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn declarations(folder: Option<&Path>) -> Result<Vec<Declaration>, Failure> {
    let Some(folder) = folder else { return Ok(built_in()) };
    let unreadable = |path: &Path, error| Failure::io(format!("{}: {error}", path.display()));
    let mut declarations = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            declarations
                .push(Declaration::parse(&path.display().to_string(), &text).map_err(Failure::usage)?);
        }
    }
    if declarations.is_empty() {
        return Err(Failure::usage(format!("{}: no declaration (*.json) is in it", folder.display())));
    }
    Ok(declarations)
}
