//! Making certificates and CRLs: for the authority, for drills, and for every test.
//!
//! Begin with [`SigningKey`] and [`CertificateTemplate`] or [`CrlTemplate`]: a template is what is said, `sign`
//! makes it DER. A template writes exactly what it is given, also what RFC 5280 forbids (a CA flag without
//! key usage, a padded serial number, a v1 CRL with numbers), since tests need all of it; the profile is the
//! caller's to keep. Serial numbers and times are given too: nothing here looks at a clock, and only keys and
//! signatures draw on randomness.

mod certificate;
mod crl;
mod extension;
mod key;
mod name;

pub use certificate::{AccessMethod, CertificateTemplate, PolicyStatement};
pub use crl::{CrlTemplate, DistributionScope, RevokedEntry};
pub use extension::{DistributionPoint, DistributionPointName, Extension, GeneralName, GeneralSubtrees};
pub use key::{KeyKind, SigningKey, key_id};
pub use name::name;

/// Why nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The text is not a distinguished name, with the offset of what is wrong.
    #[error("not a distinguished name as RFC 4514 writes it: {what} at character {at}")]
    Name {
        /// What is wrong.
        what: &'static str,
        /// Where, counted in octets.
        at: usize,
    },
    /// The private key cannot be used.
    #[error("not a private key that can sign: {0}")]
    Key(&'static str),
    /// The system gives no randomness, or the signature failed for want of it.
    #[error("the system gives no randomness")]
    Randomness,
}

#[cfg(test)]
mod tests;
