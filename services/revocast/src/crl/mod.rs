//! `revocast crl ...`: look at CRLs, compare them, rebuild one from another, verify, lint. No broker is needed.

mod diff;
mod files;
mod inspect;
mod lint;
mod patch;
mod verify;

#[cfg(test)]
mod tests;

use clap::{Subcommand, ValueEnum};
use revocast_pki::signature::AlgorithmPolicy;

use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum CrlVerb {
    /// What a CRL says: issuer, number, times, scope, extensions, entries.
    ///
    /// Examples:
    ///   revocast crl inspect issuing.crl
    ///   revocast crl inspect issuing.crl --serial 4f3a --json
    ///   revocast crl inspect http://ca.example/issuing.crl --entries
    #[command(verbatim_doc_comment)]
    Inspect(inspect::Args),
    /// What changed from one CRL to another, and how large the difference is.
    ///
    /// Example: revocast crl diff old.crl new.crl -o new.difference
    #[command(verbatim_doc_comment)]
    Diff(diff::Args),
    /// Rebuild a CRL, byte for byte, from an older one and a difference.
    ///
    /// Example: revocast crl patch old.crl new.difference -o new.crl --issuer ca.crt
    #[command(verbatim_doc_comment)]
    Patch(patch::Args),
    /// Read and index a CRL, and verify its issuer's signature.
    ///
    /// Example: revocast crl verify issuing.crl --issuer ca.crt
    #[command(verbatim_doc_comment)]
    Verify(verify::Args),
    /// Find what RFC 5280 or the CA/Browser Forum would not allow, with citations.
    ///
    /// Example: revocast crl lint new.crl --previous old.crl --issuer ca.crt --profile baseline
    #[command(verbatim_doc_comment)]
    Lint(lint::Args),
}

/// Which algorithms and keys count.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Algorithms {
    /// What is safe today.
    #[default]
    Default,
    /// Also SHA-1, MD5, short RSA keys and DSA.
    Legacy,
}

impl From<Algorithms> for AlgorithmPolicy {
    fn from(algorithms: Algorithms) -> AlgorithmPolicy {
        match algorithms {
            Algorithms::Default => AlgorithmPolicy::DEFAULT,
            Algorithms::Legacy => AlgorithmPolicy::LEGACY,
        }
    }
}

pub(crate) fn run(verb: CrlVerb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        CrlVerb::Inspect(args) => inspect::run(&args, output),
        CrlVerb::Diff(args) => diff::run(&args, output),
        CrlVerb::Patch(args) => patch::run(&args, output),
        CrlVerb::Verify(args) => verify::run(&args, output),
        CrlVerb::Lint(args) => lint::run(&args, output),
    }
}
