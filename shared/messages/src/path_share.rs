//! Path shares: a certification path that a validator found, offered to the others as a candidate.

use revocast_pki::asn1::Time;
use revocast_pki::identity::CertId;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::codec::Message;
use crate::subjects::Instance;

/// A path from a target towards an anchor; receivers verify all of it themselves. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathShare {
    /// Who found it; must agree with the subject.
    pub validator: Instance,
    /// Hash of the effective policy under which it was found.
    pub policy: [u8; 16],
    /// The target.
    pub target: CertId,
    /// Certificates from the target (first) towards the anchor, which is left out; at most
    /// [`PathShare::MAX_CERTIFICATES`].
    pub certificates: Vec<Blob>,
    /// The earliest notAfter on the path: the share's life.
    pub valid_until: Time,
}

impl PathShare {
    /// As deep as a path may be (PROMISES: depth 32).
    pub const MAX_CERTIFICATES: usize = 32;
}

impl Message for PathShare {
    const NAME: &'static str = "path share";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 256 * 1024;
}
