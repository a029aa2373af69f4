//! Path shares: a certification path that a validator found, offered to the others as a candidate.

use std::collections::HashSet;

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CertId, PolicyId};
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::notice::Disagreement;
use crate::subjects::{Instance, Subject};

/// A certificate of a shared path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathElement {
    /// Its DER.
    Der(Blob),
    /// Its identity alone: a certificate notice has told it to everybody.
    Id(CertId),
}

impl PathElement {
    /// Which certificate; for DER a hash is computed.
    pub fn id(&self) -> CertId {
        match self {
            PathElement::Der(der) => CertId::of(der),
            PathElement::Id(id) => *id,
        }
    }
}

/// A path from a target towards an anchor; receivers verify all of it themselves. Layout version 2: version 1 had no
/// [`PathElement::Id`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathShare {
    /// Who found it; must agree with the subject.
    pub validator: Instance,
    /// The policy under which it was found; must agree with the subject.
    pub policy: PolicyId,
    /// The target; must agree with the subject.
    pub target: CertId,
    /// Certificates from the target (first) towards the anchor, which is left out: 1 to
    /// [`PathShare::MAX_CERTIFICATES`], each once.
    pub certificates: Vec<PathElement>,
    /// The earliest notAfter on the path: the share's life.
    pub valid_until: Time,
}

impl PathShare {
    /// As deep as a path may be (PROMISES: depth 32).
    pub const MAX_CERTIFICATES: usize = 32;

    /// The subject on which it is published.
    pub fn subject(&self) -> Subject {
        Subject::PathShare { validator: self.validator.clone(), policy: self.policy, target: self.target }
    }

    /// Holds it against the subject that it came on, and its length and its first certificate against what it says.
    pub fn agrees_with(&self, subject: &Subject) -> Result<(), Disagreement> {
        let about = |what| Err(Disagreement { place: "subject", what });
        if *subject != self.subject() {
            return about("validator, policy or target");
        }
        let ids: HashSet<CertId> =
            self.certificates.iter().take(PathShare::MAX_CERTIFICATES).map(PathElement::id).collect();
        if ids.len() != self.certificates.len() {
            return about("the number of certificates");
        }
        match self.certificates.first().map(PathElement::id) {
            Some(first) if first == self.target => Ok(()),
            _ => about("the target"),
        }
    }
}

impl Message for PathShare {
    const NAME: &'static str = "path share";
    const VERSION: u8 = 2;
    const MAX_BYTES: usize = 256 * 1024;
}
