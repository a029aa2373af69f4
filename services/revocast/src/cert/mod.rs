//! `revocast cert`: questions about certificates, answered here without network, or by the fleet.
//!
//! `check` reads what a question names (`asked`, `files`), asks the path engine, and prints the verdict; `batch` does so
//! for many questions, one line each; `fleet` puts the question to a validator, and `get` asks it for a certificate;
//! `watch` has the fleet tell whenever its verdict changes.

mod asked;
mod batch;
mod files;
mod fleet;
mod get;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use revocast_pki::asn1::Time;
use revocast_pki::signature::Memory;
use revocast_pki::verdict::Outcome;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use asked::{Asked, AskedError};
use files::Files;
use fleet::FleetArgs;
use get::GetArgs;
use watch::WatchArgs;

/// Signatures remembered over a batch: as many as ten thousand questions with new certificates make.
const REMEMBERED: usize = 1 << 16;

#[derive(Subcommand)]
pub(crate) enum CertVerb {
    /// Say whether a certificate is valid, revoked, invalid, or cannot be judged, and why.
    ///
    /// Examples:
    ///   revocast cert check --anchor root.pem --cert leaf.pem --untrusted chain.pem --crl crls/
    ///   revocast cert check --anchor root.pem --cert leaf.pem --revocation none --dns www.example.org
    ///   revocast cert check --batch questions.jsonl
    ///   revocast cert check --cert leaf.pem --validator any --nats nats://127.0.0.1:4222
    ///   revocast cert check --cert leaf.pem --validator validator-1 --as-of 2026-11-22T15:00:00Z
    #[command(verbatim_doc_comment)]
    Check(CheckArgs),
    /// Get a certificate from the fleet: fetched or searched for by a validator, handed over if it is valid.
    ///
    /// Examples:
    ///   revocast cert get http://repository.example/certificates/www.crt -o www.crt
    ///   revocast cert get --id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    ///   revocast cert get --issuer @issuing.crt --serial 4f3a --validator validator-1
    ///   revocast cert get --subject "CN=Issuing,O=Example" --key-id 5b:0c:...:9e --policy strict --json
    ///
    /// Exit code 4 if nobody has it, 3 if the validator may not be sent to that URL.
    #[command(verbatim_doc_comment)]
    Get(Box<GetArgs>),
    /// Be told whenever the fleet's verdict on a certificate changes, until interrupted.
    ///
    /// With --until, the exit code is that of the verdict that ended it.
    ///
    /// Examples:
    ///   revocast cert watch www.crt
    ///   revocast cert watch *.crt --until revoked --json
    ///   revocast cert watch peer.crt --exec 'test "$REVOCAST_OUTCOME" = valid || ./cut-session peer'
    #[command(verbatim_doc_comment)]
    Watch(WatchArgs),
}

/// What `check` is asked.
#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    asked: Asked,
    /// Read one question per line as JSON, its keys named as the options, and print one verdict per line as JSON.
    /// Paths are relative to the file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["anchor", "cert"])]
    batch: Option<PathBuf>,
    #[command(flatten)]
    fleet: FleetArgs,
}

impl CheckArgs {
    /// Whoever judges is told of every option: one that would be dropped on the way is refused.
    fn fit(&self) -> Result<(), Failure> {
        if self.fleet.is_asked() {
            return match self.asked.not_carried().next() {
                None => Ok(()),
                Some(option @ ("--at" | "--crl")) => Err(Failure::usage(format!(
                    "{option} cannot be asked of a validator, which has its own CRLs: ask about the past with --as-of"
                ))),
                Some(option) => Err(Failure::usage(format!(
                    "{option} cannot be asked of a validator: its policy decides that (--policy-name)"
                ))),
            };
        }
        if let Some(option) = self.fleet.given().next() {
            return Err(Failure::usage(format!(
                "{option} asks a validator (--validator): what is judged here is judged at --at, by what the options say"
            )));
        }
        match self.asked.given().next().filter(|_| self.batch.is_some()) {
            Some(option) => Err(Failure::usage(format!(
                "{option} says nothing about a batch: each line says it for itself"
            ))),
            None => Ok(()),
        }
    }
}

pub(crate) fn run(verb: CertVerb, output: &Output) -> Result<Exit, Failure> {
    let args = match verb {
        CertVerb::Check(args) => args,
        CertVerb::Get(args) => return get::run(&args, output),
        CertVerb::Watch(args) => return args.run(output),
    };
    args.fit()?;
    if args.fleet.is_asked() {
        return args.fleet.run(&args.asked.carried(), output);
    }
    match &args.batch {
        Some(file) => batch::run(file, now()).map(|()| Exit::Ok),
        None => check(&args.asked, output),
    }
}

fn check(asked: &Asked, output: &Output) -> Result<Exit, Failure> {
    let memory = Memory::new(REMEMBERED);
    let answer = asked.answer(&mut Files::default(), &memory, now()).map_err(|error| match error {
        AskedError::Usage(_) => Failure::usage(error),
        AskedError::File(..) => Failure::io(error),
    })?;
    output.result(&answer, || {
        let warnings: String = answer.warnings.iter().map(|warning| format!("\n  {warning}")).collect();
        format!("{}{warnings}", answer.report.to_string().trim_end())
    });
    Ok(match answer.report.outcome {
        Outcome::Valid => Exit::Ok,
        Outcome::Revoked | Outcome::Invalid => Exit::Invalid,
        Outcome::Indeterminate => Exit::Indeterminate,
    })
}

/// The instant asked about where no other is given.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
