//! A CRL that somebody posts: judged by its signature alone, whoever brings it.

use bytes::Bytes;
use revocast_pki::crl::{Crl, CrlError};
use revocast_pki::identity::CrlNumber;
use revocast_store::{Held, Kept, Shelf, ShelfError, find_signer};

/// A posted CRL that is on the shelf.
#[derive(Clone, Debug)]
pub(crate) enum Posted {
    /// It stands highest now; the one that it replaced.
    New { held: Held, before: Option<Crl> },
    /// It was there.
    Known(Held),
}

/// Why a posted CRL is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("not a CRL: {0}")]
    Malformed(#[from] CrlError),
    #[error("no certificate of {issuer} is known, so its signature cannot be verified")]
    UnknownIssuer { issuer: String },
    #[error("its signature is by none of the known keys of {issuer}")]
    Unsigned { issuer: String },
    #[error("a CRL with number {} is held, which stands above it", number(held))]
    Superseded { held: Option<CrlNumber> },
    #[error("another CRL with the same number {} is held: the CA issued two", number(held))]
    Conflict { held: Option<CrlNumber> },
    #[error(transparent)]
    Shelf(#[from] ShelfError),
}

/// Verifies a CRL against the known certificates and keeps it. Blocks on the disk.
pub(crate) fn take(shelf: &Shelf, der: Bytes) -> Result<Posted, NotTaken> {
    let crl = Crl::decode(der)?;
    let candidates = shelf.read(|holdings| holdings.by_subject(crl.issuer()).to_vec());
    let issuer = || crl.issuer().to_string();
    if candidates.is_empty() {
        return Err(NotTaken::UnknownIssuer { issuer: issuer() });
    }
    let signer = find_signer(&crl, &candidates).ok_or_else(|| NotTaken::Unsigned { issuer: issuer() })?;
    match shelf.keep_crl(&crl, &signer, true)? {
        Kept::Highest { held, before } => Ok(Posted::New { held, before: before.map(|before| before.crl) }),
        Kept::Same(held) => Ok(Posted::Known(held)),
        Kept::Lower(held) => {
            let (ours, theirs) = (held.crl.number(), crl.number());
            let is_conflict = ours.is_some() && ours == theirs;
            Err(if is_conflict {
                NotTaken::Conflict { held: ours }
            } else {
                NotTaken::Superseded { held: ours }
            })
        }
    }
}

fn number(number: &Option<CrlNumber>) -> String {
    number.map_or_else(|| "(none)".into(), |number| number.to_string())
}
