//! `revocast cert`: questions about certificates, answered here without network.
//!
//! `check` reads what a question names (`asked`, `files`), asks the path engine, and prints the verdict; `batch` does so
//! for many questions, one line each.

mod asked;
mod batch;
mod files;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use revocast_pki::asn1::Time;
use revocast_pki::signature::Memory;
use revocast_pki::verdict::Outcome;

use asked::{Asked, AskedError};
use files::Files;

/// Signatures remembered over a batch: as many as two thousand questions with new certificates make.
const REMEMBERED: usize = 1 << 16;

/// Questions about certificates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CertCommand {
    /// Says whether a certificate is valid, revoked, invalid, or cannot be judged, and why.
    #[command(after_help = EXAMPLES)]
    Check(CheckArgs),
}

const EXAMPLES: &str = "Examples:
  revocast cert check --anchor root.pem --cert leaf.pem --untrusted chain.pem --crl crls/
  revocast cert check --anchor root.pem --cert leaf.pem --revocation none --dns www.example.org --eku serverAuth
  revocast cert check --batch questions.jsonl

Exit codes: 0 valid, 1 invalid or revoked, 2 indeterminate, 3 usage, 4 a file that cannot be read.";

/// What `check` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    asked: Asked,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// Read one question per line as JSON, its keys named as the options, and print one verdict per line as JSON.
    /// Paths are relative to the file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["anchor", "cert"])]
    batch: Option<PathBuf>,
}

/// How a command ended, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Valid, or all questions answered.
    Well = 0,
    /// Invalid or revoked.
    Refused = 1,
    /// Cannot be told.
    Indeterminate = 2,
    /// The question makes no sense.
    Usage = 3,
    /// A file cannot be read, or nothing can be printed.
    Io = 4,
}

/// Carries the command out at `now`, the instant asked about where no other is given.
pub(crate) fn run(command: &CertCommand, now: Time, out: &mut dyn Write, errors: &mut dyn Write) -> Ended {
    let CertCommand::Check(args) = command;
    let done = match &args.batch {
        Some(file) => batch::run(file, now, out).map(|()| Ended::Well),
        None => check(args, now, out, errors),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads no more needs no message.
        let _ = writeln!(errors, "revocast: {error}");
        Ended::Io
    })
}

fn check(args: &CheckArgs, now: Time, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Ended> {
    let memory = Memory::new(REMEMBERED);
    let answer = match args.asked.answer(&mut Files::default(), &memory, now) {
        Ok(answer) => answer,
        Err(error) => {
            writeln!(errors, "revocast: {error}")?;
            return Ok(match error {
                AskedError::Usage(_) => Ended::Usage,
                AskedError::File(..) => Ended::Io,
            });
        }
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &answer)?;
        writeln!(out)?;
    } else {
        answer.warnings.iter().try_for_each(|warning| writeln!(errors, "revocast: {warning}"))?;
        write!(out, "{}", answer.report)?;
    }
    Ok(match answer.report.outcome {
        Outcome::Valid => Ended::Well,
        Outcome::Revoked | Outcome::Invalid => Ended::Refused,
        Outcome::Indeterminate => Ended::Indeterminate,
    })
}
