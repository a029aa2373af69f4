//! `revocast authority|repository|watcher|validator run`: a role as a service.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use revocast_daemon::{ConfigError, Context, Ended, LogFormat, load, run, show, start_logs};
use revocast_validator::ValidatorConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::unsubscribe::{self, UnsubscribeArgs};

#[derive(Subcommand)]
pub(crate) enum AuthorityVerb {
    /// Run the service: publish what the ledger decided, renew CRLs, answer subscriptions.
    ///
    /// Example: revocast authority run --config ops/authority.toml
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
}

#[derive(Subcommand)]
pub(crate) enum ValidatorVerb {
    /// Run the service: enforce CRLs the moment they are announced, answer whether certificates are valid.
    ///
    /// Example: revocast validator run --config ops/validator.toml
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
    /// Stop the subscriptions of a validator that is gone for good: no watermark waits for it any more.
    ///
    /// Exit code 1 if one was not stopped.
    ///
    /// Example: revocast validator unsubscribe validator-7
    #[command(verbatim_doc_comment)]
    Unsubscribe(UnsubscribeArgs),
}

#[derive(Subcommand)]
pub(crate) enum RepositoryVerb {
    /// Run the service: keep what the notice streams bring and what is posted, serve it over HTTP.
    ///
    /// Examples:
    ///   revocast repository run --config ops/repository.toml
    ///   curl -f --data-binary @ca.crl http://127.0.0.1:8442/v1/crls
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
}

#[derive(Subcommand)]
pub(crate) enum WatcherVerb {
    /// Run the service: look at URLs, announce each new CRL that a known key signed.
    ///
    /// Example: revocast watcher run --config ops/watcher.toml
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
}

/// Options of every service.
#[derive(Args)]
pub(crate) struct RunArgs {
    /// Configuration file (TOML). The environment stands above it: REVOCAST__BUS__SERVERS sets bus.servers.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the effective configuration and end.
    #[arg(long)]
    pub(crate) show_config: bool,
    /// What is logged: error, warn, info, debug, trace, or a filter.
    #[arg(long, value_name = "LEVEL", default_value = "info,async_nats=warn")]
    pub(crate) log: String,
    /// Log one JSON object a line.
    #[arg(long)]
    pub(crate) log_json: bool,
}

pub(crate) fn authority(verb: AuthorityVerb, output: &Output) -> Result<Exit, Failure> {
    let AuthorityVerb::Run(args) = verb;
    serve("authority", &args, output, |_| Ok(()), revocast_authority::run)
}

pub(crate) fn validator(verb: ValidatorVerb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        ValidatorVerb::Run(args) => {
            serve("validator", &args, output, ValidatorConfig::check, revocast_validator::run)
        }
        ValidatorVerb::Unsubscribe(args) => unsubscribe::run(&args, output),
    }
}

pub(crate) fn repository(verb: RepositoryVerb, output: &Output) -> Result<Exit, Failure> {
    let RepositoryVerb::Run(args) = verb;
    serve("repository", &args, output, |_| Ok(()), revocast_repository::run)
}

pub(crate) fn watcher(verb: WatcherVerb, output: &Output) -> Result<Exit, Failure> {
    let WatcherVerb::Run(args) = verb;
    serve("watcher", &args, output, |_| Ok(()), revocast_watcher::run)
}

/// Loads a service's configuration, looks with `check` whether it can be meant, shows it or runs the service with it.
pub(crate) fn serve<C, F, E>(
    name: &str,
    args: &RunArgs,
    output: &Output,
    check: impl FnOnce(&C) -> Result<(), String>,
    service: impl FnOnce(C, Context) -> F,
) -> Result<Exit, Failure>
where
    C: DeserializeOwned + Serialize,
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let config: C = load(args.config.as_deref(), LISTS).map_err(Failure::usage)?;
    check(&config).map_err(|why| Failure::usage(ConfigError::Wrong { file: args.config.clone(), why }))?;
    if args.show_config {
        let text = show(&config).map_err(Failure::io)?;
        output.result(&config, || text.trim_end().to_owned());
        return Ok(Exit::Ok);
    }
    start_logs(if args.log_json { LogFormat::Json } else { LogFormat::Text }, &args.log);
    match run(name, |context| service(config, context)) {
        Ended::Well => Ok(Exit::Ok),
        Ended::Badly => Err(Failure::io(format!("the {name} ended badly; its log says why"))),
    }
}

/// Keys whose value in the environment is a comma-separated list.
const LISTS: &[&str] = &[
    "acquire.urls",
    "bus.servers",
    "certificates",
    "discovery.issuer_urls",
    "fetch.allowed_networks",
    "policies.default.anchors",
    "repositories",
];
