//! What a document at a URL is: judged by the shelf and the known keys, without a word to anybody.

use bytes::Bytes;
use revocast_pki::crl::{Crl, CrlError};
use revocast_store::{Held, Kept, Shelf, ShelfError, find_signer};

/// What was seen.
#[derive(Debug)]
pub(crate) enum Sighting {
    /// A CRL that stands highest now and is on the shelf; the one that it replaced.
    New { held: Box<Held>, before: Option<Crl> },
    /// The CRL that is held.
    Known,
    /// A CRL that stands below the held one.
    Lower,
    /// A CRL that none of the known keys signed; one may become known.
    Pending(Crl),
    /// No CRL at all.
    Garbage(CrlError),
    /// It could not be kept.
    Unkept(ShelfError),
}

impl Sighting {
    /// One word for counting.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Sighting::New { .. } => "new",
            Sighting::Known => "known",
            Sighting::Lower => "lower",
            Sighting::Pending(_) => "pending",
            Sighting::Garbage(_) => "garbage",
            Sighting::Unkept(_) => "unkept",
        }
    }
}

/// Judges a document. Blocks on the disk.
pub(crate) fn sight(shelf: &Shelf, document: Bytes) -> Sighting {
    match Crl::decode(document) {
        Ok(crl) => sight_crl(shelf, crl),
        Err(error) => Sighting::Garbage(error),
    }
}

/// Judges a CRL, once more if it was pending. Blocks on the disk.
pub(crate) fn sight_crl(shelf: &Shelf, crl: Crl) -> Sighting {
    let candidates = shelf.read(|holdings| holdings.by_subject(crl.issuer()).to_vec());
    let Some(signer) = find_signer(&crl, &candidates) else { return Sighting::Pending(crl) };
    match shelf.keep_crl(&crl, &signer, true) {
        Ok(Kept::Highest { held, before }) => {
            Sighting::New { held: Box::new(held), before: before.map(|before| before.crl) }
        }
        Ok(Kept::Same(_)) => Sighting::Known,
        Ok(Kept::Lower(_)) => Sighting::Lower,
        Err(error) => Sighting::Unkept(error),
    }
}
