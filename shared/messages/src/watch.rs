//! Watched verdicts: "tell me when the verdict on this certificate changes".
//!
//! A client asks with [`WatchRequest`] and is answered with the verdict that stands. Every change is told as
//! [`VerdictChanged`] on the subject of the watch, whose last message is its *head*. A head says what its teller knew
//! ([`VerdictChanged::seen`]), so that a validator that knows less keeps silent.

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, CrlOrder, IssuerId, ScopeId, WatchId};
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::question::{Evidence, Outcome, QuestionOptions, Refusal};
use crate::subjects::{Instance, Subject};

/// Whether a verdict is to be watched from now on, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchInterest {
    /// From now on, for the lease. Asking again renews it.
    Start {
        /// Seconds until the watch lapses unless it is renewed: 1 to [`WatchRequest::MAX_LEASE_S`].
        lease_s: u32,
    },
    /// No longer. The lease of another client on the same verdict is left alone.
    Stop,
}

/// Asks for a verdict to be watched, or no longer. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// Who asks, under a name that is this client's alone: each has a lease of its own.
    pub client: Instance,
    /// The certificate, DER.
    pub certificate: Blob,
    /// Certificates that may help to build paths, DER, at most [`WatchRequest::MAX_INTERMEDIATES`]; never trusted by
    /// being here.
    #[serde(default)]
    pub intermediates: Vec<Blob>,
    /// What is narrowed, as in a question.
    #[serde(default)]
    pub options: QuestionOptions,
    /// Start or stop.
    pub interest: WatchInterest,
}

impl WatchRequest {
    /// A lease of more than a day would keep validators at work for the dead.
    pub const MAX_LEASE_S: u32 = 86_400;
    /// Certificates offered along: as many as a long chain has.
    pub const MAX_INTERMEDIATES: usize = 16;
}

impl Message for WatchRequest {
    const NAME: &'static str = "watch request";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 64 * 1024;
}

/// A validator's answer to a [`WatchRequest`]. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchAnswer {
    /// It is watched.
    Accepted {
        /// Which watch.
        watch: WatchId,
        /// Seconds until it lapses unless it is renewed.
        lease_s: u32,
        /// What was told last: the verdict that stands.
        verdict: Box<VerdictChanged>,
        /// Its sequence in the stream of verdicts.
        sequence: u64,
    },
    /// This client's lease is ended.
    Stopped,
    /// Not accepted.
    Refused(Refusal),
}

impl Message for WatchAnswer {
    const NAME: &'static str = "watch answer";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = VerdictChanged::MAX_BYTES + 1_024;
}

/// What the bucket `watches` holds of one client's watch. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRegistration {
    /// Who watches; must agree with the key.
    pub client: Instance,
    /// The certificate, DER.
    pub certificate: Blob,
    /// Certificates that may help to build paths, DER.
    pub intermediates: Vec<Blob>,
    /// What is narrowed.
    pub options: QuestionOptions,
    /// Milliseconds since the Unix epoch at which the lease lapses.
    pub lapses_at_ms: i64,
    /// Who took the request.
    pub validator: Instance,
}

impl Message for WatchRegistration {
    const NAME: &'static str = "watch registration";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = WatchRequest::MAX_BYTES + 1_024;
}

/// The bucket's key of one client's watch: `<watch>.<client>`.
pub fn watch_key(watch: WatchId, client: &Instance) -> String {
    format!("{watch}.{client}")
}

/// A CRL that the teller of a verdict enforced: who does not, is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// Who signed it.
    pub issuer: IssuerId,
    /// What it covers.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// CRLNumber.
    pub number: Option<CrlNumber>,
    /// thisUpdate.
    pub this_update: Time,
    /// Which CRL.
    pub crl_id: CrlId,
}

impl Seen {
    /// Where it stands among the CRLs of its scope.
    pub fn order(&self) -> CrlOrder {
        CrlOrder { number: self.number, this_update: self.this_update, id: self.crl_id }
    }
}

impl From<&Evidence> for Seen {
    fn from(evidence: &Evidence) -> Seen {
        let Evidence { issuer, scope, kind, number, this_update, crl_id, .. } = *evidence;
        Seen { issuer, scope, kind, number, this_update, crl_id }
    }
}

/// A watched verdict came to be another, or is told for the first time. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictChanged {
    /// Which watch; must agree with the subject.
    pub watch: WatchId,
    /// Which certificate.
    pub certificate: CertId,
    /// The policy that was applied, by its name at the teller.
    pub policy: String,
    /// The verdict.
    pub outcome: Outcome,
    /// Why, in words; empty for valid.
    pub reason: String,
    /// What was told before; `None` the first time.
    pub before: Option<Outcome>,
    /// The CRLs that decided.
    pub evidence: Vec<Evidence>,
    /// The instant after which this verdict may change although nothing is issued: a certificate of the path ends or
    /// begins, a CRL is due. `None` if there is none, and always for revoked.
    pub until: Option<Time>,
    /// Milliseconds since the Unix epoch at which it was judged, by the teller's clock.
    pub judged_at_ms: i64,
    /// Who tells.
    pub validator: Instance,
    /// The newest CRLs that this and earlier tellings of the watch rest on, and the teller enforced; at most
    /// [`VerdictChanged::MAX_SEEN`].
    pub seen: Vec<Seen>,
    /// The certificates above the target that the teller knew, ascending; at most [`VerdictChanged::MAX_KNOWN`].
    pub known: Vec<CertId>,
}

impl VerdictChanged {
    /// CRLs named in one telling: several for each certificate of the deepest path.
    pub const MAX_SEEN: usize = 128;
    /// Certificates named in one telling.
    pub const MAX_KNOWN: usize = 128;

    /// The subject on which it is told.
    pub fn subject(&self) -> Subject {
        Subject::Verdict { watch: self.watch }
    }
}

impl Message for VerdictChanged {
    const NAME: &'static str = "changed verdict";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 60 * 1024;
}
