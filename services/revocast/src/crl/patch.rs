//! `revocast crl patch`.

use std::path::PathBuf;

use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::Digest;
use serde::Serialize;

use super::files::{self, unreadable};
use super::verify::{Verification, verify};
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CRL that the difference starts from.
    old: PathBuf,
    /// The difference, as `crl diff -o` writes it.
    difference: PathBuf,
    /// Write the new CRL here (DER).
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The issuer's certificate: nothing is written unless its key signed the result.
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
    /// Which algorithms and keys count.
    #[arg(long, value_enum, default_value_t, requires = "issuer")]
    algorithms: super::Algorithms,
    #[command(flatten)]
    reach: files::Reach,
}

#[derive(Serialize)]
struct Report {
    size_bytes: usize,
    sha256: Digest,
    verified: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let old = files::crl(&args.old, &args.reach, output)?;
    let encoded = files::read(&args.difference)?;
    let difference = Difference::decode(encoded).map_err(|error| unreadable(&args.difference, error))?;
    let der = difference.apply(&old).map_err(|error| unreadable(&args.difference, error))?;
    if let Some(issuer) = &args.issuer {
        match verify(&der, &files::certificates(issuer)?, &args.algorithms.into()) {
            Verification::Good { .. } => {}
            Verification::Bad(why) => return Err(unreadable(&args.difference, why)),
        }
    } else {
        Crl::decode(der.clone()).map_err(|error| unreadable(&args.difference, error))?;
    }
    files::write(&args.out, &der)?;
    let report = Report { size_bytes: der.len(), sha256: Digest::of(&der), verified: args.issuer.is_some() };
    output.result(&report, || report.text());
    Ok(Exit::Ok)
}

impl Report {
    fn text(&self) -> String {
        let trust = if self.verified {
            "signed by the issuer"
        } else {
            "NOT verified: name the issuer to have it verified"
        };
        format!("{} bytes, SHA-256 {}, {trust}", self.size_bytes, self.sha256)
    }
}
