//! `revocast`: every role of the system as a subcommand, the client's verbs, the operator's verbs, and a demo.
//!
//! Each subcommand is a module. What they print goes through [`output`]; how they end is an [`exit::Exit`].

mod broker;
mod bus;
mod ca;
mod cert;
mod clock;
mod crl;
mod demo;
mod drill;
mod exit;
mod nats;
mod notices;
mod output;
mod service;
mod status;
mod unsubscribe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Certificate validation that is never stale.
///
/// Exit codes: 0 valid or done, 1 invalid or revoked, 2 indeterminate, 3 usage, 4 input/output or internal.
#[derive(Parser)]
#[command(name = "revocast", version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    /// Print JSON, for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A certification authority: issues, revokes, tells.
    #[command(subcommand)]
    Authority(service::AuthorityVerb),
    /// Work with the CAs of an authority's ledger.
    #[command(subcommand)]
    Ca(ca::CaVerb),
    /// Ask about certificates.
    #[command(subcommand)]
    Cert(cert::CertVerb),
    /// See the main job: nine CAs, a fleet of validators, a revocation enforced within milliseconds.
    ///
    /// Example: revocast demo --validators 8 --nats-server ./nats-server
    #[command(verbatim_doc_comment)]
    Demo(demo::DemoArgs),
    /// Look at CRLs, compare, rebuild, verify, lint them.
    #[command(subcommand)]
    Crl(crl::CrlVerb),
    /// Rehearse a mass revocation: CRLs of any size, a fleet, and what it costs.
    ///
    /// Example: revocast drill --entries 1000000 --revoke 200000 --validators 8 --nats-server ./nats-server
    #[command(verbatim_doc_comment)]
    Drill(drill::DrillArgs),
    /// What the broker must have.
    #[command(subcommand)]
    Nats(nats::NatsVerb),
    /// What travels between the services.
    #[command(subcommand)]
    Notices(notices::NoticesVerb),
    /// A repository: keeps certificates and CRLs, serves them, takes new ones.
    #[command(subcommand)]
    Repository(service::RepositoryVerb),
    /// Who enforces what: each scope, each validator, its number, lag and age.
    ///
    /// Exit code 2 if a subscriber is behind.
    ///
    /// Examples:
    ///   revocast status
    ///   revocast status --watch --json
    ///   revocast status --validators
    ///   revocast status --at 2026-11-22T15:00:00Z
    #[command(verbatim_doc_comment)]
    Status(status::StatusArgs),
    /// A validator: enforces CRLs, answers questions.
    #[command(subcommand)]
    Validator(service::ValidatorVerb),
    /// A watcher: looks at the URLs of CAs that announce nothing, and announces their new CRLs.
    #[command(subcommand)]
    Watcher(service::WatcherVerb),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; clap's own exit code for wrong words is ours for "indeterminate".
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let output = Output::new(cli.json);
    match run(cli.command, &output) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Authority(verb) => service::authority(verb, output),
        Command::Ca(verb) => ca::run(verb, output),
        Command::Cert(verb) => cert::run(verb, output),
        Command::Drill(args) => drill::run(&args, output),
        Command::Demo(args) => demo::run(&args, output),
        Command::Crl(verb) => crl::run(verb, output),
        Command::Nats(verb) => nats::run(verb, output),
        Command::Notices(verb) => notices::run(&verb, output),
        Command::Repository(verb) => service::repository(verb, output),
        Command::Status(args) => status::run(&args, output),
        Command::Validator(verb) => service::validator(verb, output),
        Command::Watcher(verb) => service::watcher(verb, output),
    }
}
