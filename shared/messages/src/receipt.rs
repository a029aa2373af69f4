//! Receipts: a validator enforces a CRL. They close the loop that a revocation opens.

use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, IssuerId, ScopeId};
use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::subjects::{Instance, Subject};

/// How the bytes of a CRL came to a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It was inside the notice.
    Inline,
    /// Rebuilt from a difference.
    Difference,
    /// From the broker's object store.
    Object,
    /// From a repository, by URL.
    Repository,
    /// It was held already.
    Held,
    /// From the validator's own store, at start.
    Store,
}

impl Source {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Source::Inline => "inline",
            Source::Difference => "difference",
            Source::Object => "object",
            Source::Repository => "repository",
            Source::Held => "held",
            Source::Store => "store",
        }
    }
}

/// "I enforce this." Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who enforces; must agree with the subject.
    pub validator: Instance,
    /// Who signed.
    pub issuer: IssuerId,
    /// What is covered.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// CRLNumber.
    pub number: Option<CrlNumber>,
    /// Which CRL.
    pub crl_id: CrlId,
    /// When it came to be enforced: milliseconds since the Unix epoch, by the validator's clock.
    pub applied_at_ms: i64,
    /// How the bytes came.
    pub source: Source,
    /// Microseconds from the notice's arrival at the validator to the swap.
    pub took_us: u64,
}

impl Message for Receipt {
    const NAME: &'static str = "receipt";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1024;
}

impl Receipt {
    /// The subject on which it is published.
    pub fn subject(&self) -> Subject {
        Subject::Receipt {
            validator: self.validator.clone(),
            issuer: self.issuer,
            scope: self.scope,
            kind: self.kind,
        }
    }
}
