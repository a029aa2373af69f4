//! `revocast crl lint`.

use std::path::PathBuf;

use clap::ValueEnum;
use revocast_pki::crl::lint::{Company, Finding, Profile, Severity, lint};

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CRL.
    #[arg(value_name = "FILE|URL")]
    crl: PathBuf,
    /// The CRL that was issued before it.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// The certificate of the key that signed it.
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
    /// Certificates that it is meant to answer for.
    #[arg(long, value_name = "FILE")]
    covered: Vec<PathBuf>,
    /// Whose rules apply.
    #[arg(long, value_enum, default_value = "rfc5280")]
    profile: ProfileChoice,
    #[command(flatten)]
    reach: files::Reach,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileChoice {
    Rfc5280,
    /// RFC 5280 and the CA/Browser Forum's TLS Baseline Requirements.
    Baseline,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let crl = files::crl(&args.crl, &args.reach, output)?;
    let previous = args.previous.as_ref().map(|path| files::crl(path, &args.reach, output)).transpose()?;
    let issuers = args.issuer.as_ref().map(|path| files::certificates(path)).transpose()?.unwrap_or_default();
    let mut covered = Vec::new();
    for path in &args.covered {
        covered.extend(files::certificates(path)?);
    }
    let profile = match args.profile {
        ProfileChoice::Rfc5280 => Profile::Rfc5280,
        ProfileChoice::Baseline => Profile::BaselineRequirements,
    };
    let company = Company { issuer: issuers.first(), previous: previous.as_ref(), covered: &covered };
    let findings = lint(&crl, profile, &company);
    output.result(&findings, || text(&findings));
    let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if broken { Exit::Invalid } else { Exit::Ok })
}

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found".to_owned();
    }
    let rows = findings.iter().map(|finding| {
        let detail = if finding.detail.is_empty() { String::new() } else { format!(" ({})", finding.detail) };
        [
            finding.severity.to_string(),
            finding.rule.to_string(),
            format!("{}{detail}", finding.demand),
            finding.citation.to_owned(),
        ]
    });
    table(["", "RULE", "DEMAND", "SOURCE"], rows)
}
