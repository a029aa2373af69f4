//! `revocast crl verify`.

use std::path::PathBuf;

use bytes::Bytes;
use revocast_pki::certificate::{Certificate, KeyUsage};
use revocast_pki::crl::{Crl, Header, IntakeError};
use revocast_pki::identity::{IssuerId, ScopeId};
use revocast_pki::signature::{AlgorithmPolicy, SignatureError};
use serde::Serialize;

use super::files;
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The CRL.
    #[arg(value_name = "FILE|URL")]
    crl: PathBuf,
    /// Certificates of the issuer; one whose key signed is enough.
    #[arg(long, value_name = "FILE")]
    issuer: PathBuf,
    /// Which algorithms and keys count.
    #[arg(long, value_enum, default_value_t)]
    algorithms: super::Algorithms,
    #[command(flatten)]
    reach: files::Reach,
}

#[derive(Serialize)]
struct Report {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<IssuerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ScopeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<usize>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let certificates = files::certificates(&args.issuer)?;
    let der = files::crl_der(&args.crl, &args.reach, output)?;
    match verify(&der, &certificates, &args.algorithms.into()) {
        Verification::Good { crl, issuer } => {
            let (scope, entries) = (crl.scope(issuer), crl.entries());
            let report = Report {
                verified: true,
                because: None,
                issuer: Some(issuer),
                scope: Some(scope),
                entries: Some(entries),
            };
            output.result(&report, || {
                format!("signed by the issuer: {}, {entries} entries, scope {scope}", crl.issuer())
            });
            Ok(Exit::Ok)
        }
        Verification::Bad(why) => {
            let report =
                Report { verified: false, because: Some(why), issuer: None, scope: None, entries: None };
            output.result(&report, || {
                format!("not verified: {}", report.because.as_deref().unwrap_or_default())
            });
            Ok(Exit::Invalid)
        }
    }
}

/// How it went.
pub(super) enum Verification {
    Good { crl: Crl, issuer: IssuerId },
    Bad(String),
}

/// Whether one of the certificates is entitled to sign the CRL, and did.
pub(super) fn verify(der: &Bytes, certificates: &[Certificate], policy: &AlgorithmPolicy) -> Verification {
    let header = match Header::decode(der.clone()) {
        Ok(header) => header,
        Err(error) => return Verification::Bad(error.to_string()),
    };
    let mut why = format!("no certificate of {} was given", header.issuer());
    for certificate in certificates.iter().filter(|certificate| certificate.subject() == header.issuer()) {
        if certificate.key_usage().is_some_and(|usage| !usage.contains(KeyUsage::CRL_SIGN)) {
            "its issuer's key may not sign CRLs (RFC 5280 4.2.1.3)".clone_into(&mut why);
            continue;
        }
        match Crl::decode_and_verify(der.clone(), certificate.spki(), policy) {
            Ok(crl) => return Verification::Good { crl, issuer: certificate.as_issuer() },
            Err(IntakeError::Unverified(error @ (SignatureError::Wrong | SignatureError::KeyMismatch))) => {
                why = error.to_string();
            }
            Err(error) => return Verification::Bad(error.to_string()),
        }
    }
    Verification::Bad(why)
}
