//! What a service keeps on its disk.
//!
//! [`Store`] is files by their hash, whole or not there. [`Shelf`] is CRLs and certificates in such files, with an
//! index in memory ([`Holdings`]) of which CRL stands highest in its scope and who signed it; the index is made anew
//! from the files at each start. [`read_certificates`] reads what an operator put somewhere.

mod certificates;
mod files;
mod holdings;
mod shelf;
mod signer;
#[cfg(test)]
mod tests;

pub use certificates::{CertificateFileError, read_certificates};
pub use files::Store;
pub use holdings::{Held, Holdings, MAX_CERTIFICATE_OCTETS, MAX_CERTIFICATES, MAX_SCOPES, Rank, ScopeKey};
pub use shelf::{Full, Kept, Shelf, ShelfError};
pub use signer::{MAX_SIGNERS, find_signer, has_signed};
