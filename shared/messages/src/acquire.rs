//! Acquisition: get a certificate for me, if it is valid for me.

use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::question::{Answer, QuestionOptions};
use crate::search::SearchBy;
use crate::subjects::Instance;

/// Where a certificate is to be had from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AcquireFrom {
    /// A URL. The validator's configuration says which URLs it may be sent to.
    Url(String),
    /// Whoever has it: the validator itself, or a repository.
    Search(SearchBy),
}

/// Asks for a certificate under one policy. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcquireRequest {
    /// Which certificate.
    pub from: AcquireFrom,
    /// Certificates that may help to build paths, DER; never trusted by being here. At most
    /// [`Question::MAX_INTERMEDIATES`](crate::Question::MAX_INTERMEDIATES).
    #[serde(default)]
    pub intermediates: Vec<Blob>,
    /// What is narrowed.
    #[serde(default)]
    pub options: QuestionOptions,
}

impl AcquireRequest {
    /// At most this many certificates that fit are judged for one request.
    pub const MAX_JUDGED: usize = 8;
}

impl Message for AcquireRequest {
    const NAME: &'static str = "acquisition";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1 << 20;
}

/// Why nothing was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum AcquireRefusal {
    /// The request itself is wrong.
    #[error("{why}")]
    Malformed {
        /// What is wrong, with the limit.
        why: String,
    },
    /// The validator may not be sent to that URL.
    #[error("{why}")]
    Forbidden {
        /// Which rule forbids it.
        why: String,
    },
    /// Whoever was asked does not have it.
    #[error("{why}")]
    Absent {
        /// Who was asked.
        why: String,
    },
    /// Whoever should have it does not answer: ask again later.
    #[error("{why}")]
    Unavailable {
        /// Who does not answer.
        why: String,
    },
    /// The validator is stopping or overloaded: ask again, elsewhere.
    #[error("{why}")]
    Busy {
        /// In words.
        why: String,
    },
}

/// A validator's answer: the certificate, if it is valid for the asker, and the verdict in any case. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcquireAnswer {
    /// Who answers.
    pub validator: Instance,
    /// Where it was found: `known`, `repository`, or the URL at which a redirect ended; absent if it was not found.
    pub source: Option<String>,
    /// The certificate, DER; only if a judgement below says that it is valid.
    pub certificate: Option<Blob>,
    /// The verdicts on what was found, in the order in which it was found; absent if nothing was.
    pub answer: Option<Answer>,
    /// Set instead when nothing was judged.
    pub refused: Option<AcquireRefusal>,
}

impl Message for AcquireAnswer {
    const NAME: &'static str = "acquisition answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 4 << 20;
}
