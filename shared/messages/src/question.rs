//! Questions and answers: is this certificate valid for me?

use revocast_pki::asn1::{NotATime, Time};
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, IssuerId, ScopeId};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::blob::Blob;
use crate::codec::{Binary, Message, Unwritten};
use crate::subjects::Instance;
use crate::written;

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
    /// Asks what was true at this instant, as far as it is known; in JSON RFC 3339, or seconds since the Unix epoch.
    #[serde(deserialize_with = "optional_instant")]
    pub as_of: Option<Time>,
    /// Asks what the validator knew at this instant; without `as_of` of that very instant.
    #[serde(deserialize_with = "optional_instant")]
    pub as_known_at: Option<Time>,
}

impl QuestionOptions {
    /// Whether the question is about the past: only the validator's history can answer it.
    pub fn is_historical(&self) -> bool {
        self.as_of.is_some() || self.as_known_at.is_some()
    }
}

/// An instant as people and programs write it: RFC 3339, or seconds since the Unix epoch.
pub fn instant(text: &str) -> Result<Time, NotATime> {
    text.parse().map(Time::from_unix).or_else(|_| text.parse())
}

fn optional_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Seconds(i64),
        Words(String),
    }
    if !deserializer.is_human_readable() {
        return Option::deserialize(deserializer);
    }
    match Option::<Said>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Said::Seconds(seconds)) => Ok(Some(Time::from_unix(seconds))),
        Some(Said::Words(words)) => instant(&words).map(Some).map_err(de::Error::custom),
    }
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
    /// Seconds for which nothing proves that the newest of the notice streams is known; `None` if nothing ever did.
    pub freshness_s: Option<u32>,
    /// One per certificate asked about.
    pub judgements: Vec<Judgement>,
    /// Set instead of judgements when the question was refused.
    pub refused: Option<Refusal>,
    /// Set when the answer is about the past.
    pub past: Option<Past>,
}

/// Of what past an answer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The certificates were judged at this instant.
    pub as_of: Time,
    /// By what the validator knew at this one.
    pub as_known_at: Time,
}

impl Message for Answer {
    const NAME: &'static str = "answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 4 << 20;

    fn write(&self, to: &mut Binary) -> Result<(), Unwritten> {
        written::binary(self, to)
    }

    fn write_json(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        written::json(self, to)
    }
}
