//! [`Verdict`]: the answer to a question, with its evidence.
//!
//! Four words with their certainty: valid, revoked, invalid, indeterminate. Indeterminate is an answer and not an
//! error: what to do with it is the caller's policy. A verdict keeps the path that was chosen and the others that were
//! tried, each check with the clause that asks for it, and the CRLs that decided; [`Report`] is the same in words.

mod reason;
mod report;

use crate::asn1::Time;
use crate::certificate::Certificate;
use crate::crl::{self, Crl};
use crate::identity::{IssuerId, ScopeId};
use crate::path::{Anchor, Work};

pub use reason::{Outcome, Reason, Rule, Unknown};
pub use report::{CertificateReport, CheckReport, CrlReport, PathReport, Report};

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The answer in one word.
    pub outcome: Outcome,
    /// Why it is not valid; `None` if it is.
    pub reason: Option<Reason>,
    /// The instant that was asked for.
    pub at: Time,
    /// What was asked about.
    pub target: Certificate,
    /// The valid path, or the one that tells most.
    pub path: Option<Candidate>,
    /// The user-constrained policy set (RFC 9618 5.6), dotted; anyPolicy stands for every policy.
    pub policies: Vec<String>,
    /// The other paths that were tried, in that order, up to the number that the question allows.
    pub others: Vec<Candidate>,
    /// What the answer cost.
    pub work: Work,
}

impl Verdict {
    /// Whether the answer is valid.
    pub fn is_valid(&self) -> bool {
        self.outcome == Outcome::Valid
    }

    /// The CRLs that decided, for each certificate of the path that has some.
    pub fn evidence(&self) -> &[Evidence] {
        self.path.as_ref().map_or(&[], |path| &path.evidence)
    }
}

/// A path that was tried, whole or as far as it came.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// From the target up, the anchor left out.
    pub certificates: Vec<Certificate>,
    /// The anchor, if one was reached.
    pub anchor: Option<Anchor>,
    /// What was checked, in that order.
    pub checks: Vec<Check>,
    /// The CRLs that were looked into.
    pub evidence: Vec<Evidence>,
    /// Why the path is not valid; `None` if it is.
    pub failure: Option<Failure>,
}

/// Why a path is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub reason: Reason,
    /// Index of the certificate concerned, counted from the target.
    pub certificate: usize,
}

/// One check of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Index of the certificate, counted from the target.
    pub certificate: usize,
    /// What was checked.
    pub rule: Rule,
    /// Why it failed; `None` if it passed.
    pub failure: Option<Reason>,
}

/// What a CRL said of a certificate.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Index of the certificate, counted from the target.
    pub certificate: usize,
    /// The complete CRL.
    pub crl: Crl,
    /// The delta CRL that brought it up to date.
    pub delta: Option<Crl>,
    /// Who signed both.
    pub signer: IssuerId,
    /// The scope of both.
    pub scope: ScopeId,
    /// The entry, if the certificate is on the list.
    pub revocation: Option<Revocation>,
}

/// The same at the moment at which it is found.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'c> {
    /// Index of the certificate, counted from the target.
    pub certificate: usize,
    /// The complete CRL.
    pub crl: &'c Crl,
    /// The delta CRL that brought it up to date.
    pub delta: Option<&'c Crl>,
    /// Who signed both.
    pub signer: IssuerId,
    /// The scope of both.
    pub scope: ScopeId,
    /// The entry, if the certificate is on the list.
    pub revocation: Option<Revocation>,
}

impl Finding<'_> {
    /// Keeps it.
    pub fn to_evidence(self) -> Evidence {
        let Finding { certificate, crl, delta, signer, scope, revocation } = self;
        Evidence { certificate, crl: crl.clone(), delta: delta.cloned(), signer, scope, revocation }
    }
}

impl Evidence {
    /// As it was found.
    pub fn as_finding(&self) -> Finding<'_> {
        let Evidence { certificate, ref crl, ref delta, signer, scope, revocation } = *self;
        Finding { certificate, crl, delta: delta.as_ref(), signer, scope, revocation }
    }
}

/// An entry of a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Why.
    pub reason: crl::Reason,
    /// Since when.
    pub date: Time,
    /// Since when the certificate must be held invalid, if the CRL says so.
    pub invalid_since: Option<Time>,
}
