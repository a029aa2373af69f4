//! [`Report`]: a verdict in words, for people and as a document.
//!
//! Everything is text or number, so that serialised reports mean the same everywhere and need nothing to be read.
//! Fields are only ever added.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Candidate, Evidence, Outcome, Verdict};
use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::identity::{CertId, CrlId, CrlKind, CrlNumber, IssuerId, ScopeId};
use crate::path::Work;

/// A verdict in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `valid`, `revoked`, `invalid` or `indeterminate`.
    pub outcome: Outcome,
    /// Why it is not valid, as a word.
    pub reason: Option<String>,
    /// The same as a sentence.
    pub explanation: String,
    /// The instant asked for.
    pub at: Time,
    /// The path, from the target to the anchor: the valid one, or the one that tells most.
    pub path: Vec<CertificateReport>,
    /// The user-constrained policy set, dotted.
    pub policies: Vec<String>,
    /// What was checked on that path.
    pub checks: Vec<CheckReport>,
    /// What CRLs said of its certificates.
    pub crls: Vec<CrlReport>,
    /// Other paths that were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<PathReport>,
    /// What the answer cost.
    pub work: Work,
}

/// A certificate of a path, or the anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// Its subject.
    pub subject: String,
    /// Its issuer; absent for an anchor that is only a name and a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its serial number in hex, as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SHA-256 of its DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertId>,
    /// Whether it is the anchor.
    pub anchor: bool,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Index of the certificate in the path.
    pub certificate: usize,
    /// What was checked.
    pub rule: String,
    /// The clause that asks for it.
    pub clause: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a CRL said of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlReport {
    /// Index of the certificate in the path.
    pub certificate: usize,
    /// The CRL's issuer.
    pub issuer: String,
    /// Who signed it.
    pub signer: IssuerId,
    /// Its scope.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// Its number.
    pub number: Option<CrlNumber>,
    /// SHA-256 of what is signed.
    pub crl: CrlId,
    /// thisUpdate.
    pub this_update: Time,
    /// nextUpdate.
    pub next_update: Option<Time>,
    /// Seconds from thisUpdate to the instant asked for.
    pub age_s: i64,
    /// Why the certificate is revoked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_since: Option<Time>,
}

/// Another path that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// From the target up.
    pub path: Vec<CertificateReport>,
    /// Why it is not valid.
    pub reason: Option<String>,
    /// Index of the certificate concerned.
    pub certificate: Option<usize>,
    /// What was checked.
    pub checks: Vec<CheckReport>,
}

impl Report {
    /// An answer that was given before there was a path to look at.
    pub fn without_path(outcome: Outcome, reason: &str, explanation: &str, at: Time) -> Report {
        Report {
            outcome,
            reason: Some(reason.to_owned()),
            explanation: explanation.to_owned(),
            at,
            path: Vec::new(),
            policies: Vec::new(),
            checks: Vec::new(),
            crls: Vec::new(),
            others: Vec::new(),
            work: Work::default(),
        }
    }
}

impl Verdict {
    /// The verdict in words.
    pub fn report(&self) -> Report {
        let decided = self.path.as_ref();
        Report {
            outcome: self.outcome,
            reason: self.reason.map(|reason| reason.code().to_owned()),
            explanation: self.explanation(),
            at: self.at,
            path: decided.map_or_else(|| vec![certificate(&self.target)], path),
            policies: self.policies.clone(),
            checks: decided.map_or_else(Vec::new, checks),
            crls: self.evidence().iter().flat_map(|evidence| crls(evidence, self.at)).collect(),
            others: self.others.iter().map(other).collect(),
            work: self.work,
        }
    }

    fn explanation(&self) -> String {
        let Some(reason) = self.reason else { return "the path is valid".to_owned() };
        let failure = self.path.as_ref().and_then(|path| Some((path, path.failure?)));
        match failure {
            Some((path, failure)) if failure.reason == reason => {
                match path.certificates.get(failure.certificate) {
                    Some(certificate) => format!("{}: {reason}", subject(certificate)),
                    None => format!("the anchor: {reason}"),
                }
            }
            _ => reason.to_string(),
        }
    }
}

/// The subject, or for a certificate without one its serial number.
fn subject(certificate: &Certificate) -> String {
    match certificate.subject().is_empty() {
        false => certificate.subject().to_string(),
        true => format!("serial {}", data_encoding::HEXLOWER.encode(certificate.serial())),
    }
}

fn path(candidate: &Candidate) -> Vec<CertificateReport> {
    let mut path: Vec<_> = candidate.certificates.iter().map(certificate).collect();
    path.extend(candidate.anchor.as_ref().map(|anchor| CertificateReport {
        subject: anchor.name().to_string(),
        issuer: anchor.certificate().map(|certificate| certificate.issuer().to_string()),
        serial: anchor.certificate().map(|certificate| data_encoding::HEXLOWER.encode(certificate.serial())),
        certificate: anchor.certificate().map(Certificate::id),
        anchor: true,
    }));
    path
}

fn certificate(certificate: &Certificate) -> CertificateReport {
    CertificateReport {
        subject: certificate.subject().to_string(),
        issuer: Some(certificate.issuer().to_string()),
        serial: Some(data_encoding::HEXLOWER.encode(certificate.serial())),
        certificate: Some(certificate.id()),
        anchor: false,
    }
}

fn checks(candidate: &Candidate) -> Vec<CheckReport> {
    let words = candidate.checks.iter().map(|check| CheckReport {
        certificate: check.certificate,
        rule: check.rule.code().to_owned(),
        clause: check.rule.clause().to_owned(),
        passed: check.failure.is_none(),
        failure: check.failure.map(|reason| reason.to_string()),
    });
    words.collect()
}

/// One report for the complete CRL and one for the delta; what was found stands with the newer of them.
fn crls(evidence: &Evidence, at: Time) -> Vec<CrlReport> {
    let lists = [Some(&evidence.crl), evidence.delta.as_ref()];
    let deciding = evidence.delta.as_ref().unwrap_or(&evidence.crl).id();
    let words = lists.into_iter().flatten().map(|crl| {
        let revocation = evidence.revocation.filter(|_| crl.id() == deciding);
        CrlReport {
            certificate: evidence.certificate,
            issuer: crl.issuer().to_string(),
            signer: evidence.signer,
            scope: evidence.scope,
            kind: crl.kind(),
            number: crl.number(),
            crl: crl.id(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            age_s: at.since(crl.this_update()),
            revoked: revocation.map(|revocation| revocation.reason.name().to_owned()),
            revoked_since: revocation.map(|revocation| revocation.date),
        }
    });
    words.collect()
}

fn other(candidate: &Candidate) -> PathReport {
    PathReport {
        path: path(candidate),
        reason: candidate.failure.map(|failure| failure.reason.code().to_owned()),
        certificate: candidate.failure.map(|failure| failure.certificate),
        checks: checks(candidate),
    }
}

/// For people: the answer, then the path with what failed and what CRLs said.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.outcome, self.explanation)?;
        for (index, certificate) in self.path.iter().enumerate() {
            let role = if certificate.anchor { "anchor " } else { "" };
            writeln!(f, "  {index} {role}{}", certificate.subject)?;
            show_checks(f, "      ", &self.checks, index)?;
            for crl in self.crls.iter().filter(|crl| crl.certificate == index) {
                writeln!(f, "      {crl}")?;
            }
        }
        if !self.policies.is_empty() {
            writeln!(f, "  policies {}", self.policies.join(" "))?;
        }
        for other in &self.others {
            let reason = other.reason.as_deref().unwrap_or("valid");
            let subjects: Vec<_> = other.path.iter().map(|certificate| &certificate.subject[..]).collect();
            writeln!(f, "  also tried: {reason}: {}", subjects.join(" <- "))?;
        }
        Ok(())
    }
}

fn show_checks(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    checks: &[CheckReport],
    certificate: usize,
) -> fmt::Result {
    for check in checks.iter().filter(|check| check.certificate == certificate) {
        match &check.failure {
            None => writeln!(f, "{indent}ok     {} ({})", check.rule, check.clause)?,
            Some(failure) => writeln!(f, "{indent}FAILED {} ({}): {failure}", check.rule, check.clause)?,
        }
    }
    Ok(())
}

impl fmt::Display for CrlReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CRL ", self.kind)?;
        match self.number {
            Some(number) => write!(f, "{number}")?,
            None => f.write_str("without number")?,
        }
        write!(f, " of {}, thisUpdate {}", self.issuer, self.this_update)?;
        match self.next_update {
            Some(next) => write!(f, ", nextUpdate {next}")?,
            None => f.write_str(", no nextUpdate")?,
        }
        match (&self.revoked, self.revoked_since) {
            (Some(reason), Some(since)) => write!(f, ": revoked since {since}, {reason}"),
            _ => f.write_str(": not listed"),
        }
    }
}
