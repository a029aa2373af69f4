//! Questions and answers: is this certificate valid for me?

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, IssuerId, ScopeId};
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::subjects::Instance;

/// What a question may narrow; it can never widen the validator's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionOptions {
    /// A policy of the validator's configuration, by name; `None` asks under its default.
    pub policy: Option<String>,
    /// A DNS name that the certificate must be for.
    pub dns: Option<String>,
    /// The extended key usage that is asked for, by name or dotted OID.
    pub eku: Option<String>,
    /// Wants the candidate paths and checks told.
    pub explain: bool,
}

/// Asks about certificates under one policy. Layout version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Certificates to be judged, DER: 1 to [`Question::MAX_CERTIFICATES`].
    pub certificates: Vec<Blob>,
    /// Certificates that may help to build paths, DER; never trusted by being here.
    #[serde(default)]
    pub intermediates: Vec<Blob>,
    /// What is narrowed.
    #[serde(default)]
    pub options: QuestionOptions,
}

impl Question {
    /// Certificates judged in one question.
    pub const MAX_CERTIFICATES: usize = 256;
    /// Certificates offered along.
    pub const MAX_INTERMEDIATES: usize = 64;
}

impl Message for Question {
    const NAME: &'static str = "question";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1 << 20;
}

/// The four verdicts. Indeterminate is a verdict, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A path to an anchor was found and every certificate on it is good.
    Valid,
    /// A certificate on every path is revoked.
    Revoked,
    /// No path satisfies RFC 5280 6.1 and the policy.
    Invalid,
    /// It cannot be told: no usable CRL, a budget exhausted.
    Indeterminate,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Outcome::Valid => "valid",
            Outcome::Revoked => "revoked",
            Outcome::Invalid => "invalid",
            Outcome::Indeterminate => "indeterminate",
        })
    }
}

/// The CRL that decided about one certificate on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The certificate it decided about.
    pub certificate: CertId,
    /// Who signed the CRL.
    pub issuer: IssuerId,
    /// What it covers.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// Which CRL.
    pub crl_id: CrlId,
    /// CRLNumber.
    pub number: Option<CrlNumber>,
    /// thisUpdate.
    pub this_update: Time,
    /// nextUpdate.
    pub next_update: Option<Time>,
    /// Seconds from thisUpdate to the moment of the answer.
    pub age_s: i64,
}

/// The verdict on one certificate, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which certificate; the hash of the bytes that were asked about, readable or not.
    pub certificate: CertId,
    /// The verdict.
    pub outcome: Outcome,
    /// Why, in words; empty for valid.
    pub reason: String,
    /// The path from the certificate to the anchor, by identity, when one was found.
    pub path: Vec<CertId>,
    /// The CRLs that decided.
    pub evidence: Vec<Evidence>,
    /// When asked for: the candidate paths and checks, as text.
    pub explanation: Option<String>,
}

/// A question that was not answered with verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// The question itself is wrong.
    #[error("{why}")]
    Malformed {
        /// What is wrong, with the limit.
        why: String,
    },
    /// The validator is stopping or overloaded: ask again, elsewhere.
    #[error("{why}")]
    Busy {
        /// In words.
        why: String,
    },
}

/// A validator's answer: one judgement per certificate, in the order of the question. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub validator: Instance,
    /// The policy that was applied.
    pub policy: String,
    /// Milliseconds since the Unix epoch at which it was judged, by the validator's clock.
    pub judged_at_ms: i64,
    /// Seconds since the validator last heard from the broker's notice streams; `None` if it never has.
    pub freshness_s: Option<u32>,
    /// One per certificate asked about.
    pub judgements: Vec<Judgement>,
    /// Set instead of judgements when the question was refused.
    pub refused: Option<Refusal>,
}

impl Message for Answer {
    const NAME: &'static str = "answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 4 << 20;
}
