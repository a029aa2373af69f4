//! How the bytes of one CRL become those of the next: a few kilobytes instead of megabytes, trusted by nobody.
//!
//! A [`Difference`] rebuilds the DER of a new CRL, byte for byte, from one that is at hand: *copies* take octets from
//! the base's TBSCertList, *inserts* bring all else, header and signature included. Copies begin and end between
//! entries, so the size follows what changed and not how long the list is. Whoever applies one verifies the CA's
//! signature on the result, hence needs to believe neither the sender nor the courier.
//!
//! Laws, held by property tests and a fuzz target, for any CRLs a, b, c:
//!
//! - `construct(a, b).apply(a) == b.der()`, also for `b == a`, for lists in another order, of other issuers;
//! - `construct(a, b).merge(construct(b, c)).apply(a) == c.der()`;
//! - a difference is refused by any other base, by its [`CrlId`], before any work;
//! - no octet of an encoded difference can be changed without its being refused.
//!
//! # Encoding, version 1
//!
//! | octets | meaning |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | [`CrlId`] of the base |
//! | 32 | [`CrlId`] of the CRL that is made |
//! | varint | octets of the DER that is made |
//! | ... | runs, until that many octets are made: a varint and as many octets to insert; then, unless all is made, a varint and the octets to copy: how many, and (zigzag) from where in the base's TBSCertList, counted from the end of the copy before |
//! | 16 | the first half of SHA-256 over all of the above |
//!
//! A varint has seven bits per octet, lowest first, the high bit set on all but the last; the shortest form only.
//! The checksum guards against accidents on the way; what it costs to forge does not matter.

mod apply;
mod construct;
mod encoding;
mod merge;
mod varint;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::{Crl, IntakeError};
use crate::identity::CrlId;
use crate::signature::AlgorithmPolicy;

/// First octet of every encoded difference.
pub const DIFFERENCE_VERSION: u8 = 1;

/// Larger differences are refused unread and never made by merging: whoever changes so much sends the CRL.
pub const MAX_DIFFERENCE_OCTETS: usize = 1 << 26;

/// A difference above this share of the CRL (one half) is not worth its trouble: applying it costs the receiver a
/// copy of the list, which fetching it whole does not.
const WORTHWHILE_SHARE: usize = 2;

/// What is made may be this many times as large as the base, and what was sent, together. Lists grow by entries that
/// must be sent; only one that repeats the base's entries could grow by more.
const MAX_GROWTH: usize = 4;

/// What is made may have this many octets whatever the base has: small lists may repeat what they like.
const FREE_OCTETS: usize = 1 << 20;

/// Why a difference cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DifferenceError {
    /// A version that is not known.
    #[error("a difference of version {0}")]
    Version(u8),
    /// The octets do not have the form of a difference, or were damaged.
    #[error("not the encoding of a difference, or a damaged one")]
    Malformed,
    /// Above [`MAX_DIFFERENCE_OCTETS`], or makes more than it may of so little.
    #[error("a difference that is too large, or makes too much of its base")]
    TooLarge,
    /// It is made for another base.
    #[error("made for the CRL {wanted}, not for {found}")]
    OtherBase {
        /// The base that it is made for.
        wanted: CrlId,
        /// The one that was given.
        found: CrlId,
    },
    /// A copy reaches beyond the base.
    #[error("it copies what the base does not have")]
    OutOfBase,
}

/// What turns one CRL into another; see the [module](self).
#[derive(Clone, PartialEq, Eq)]
pub struct Difference {
    base: CrlId,
    target: CrlId,
    /// Octets of the DER that is made.
    made: usize,
    /// The whole encoding.
    encoded: Bytes,
    /// Where the runs begin in it.
    runs_at: usize,
}

/// A part of the DER that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run<'a> {
    Insert(&'a [u8]),
    /// Octets of the base's TBSCertList.
    Copy {
        start: usize,
        length: usize,
    },
}

impl Difference {
    /// What turns `old` into `new`. Always possible; see [`Difference::is_worthwhile`].
    pub fn construct(old: &Crl, new: &Crl) -> Difference {
        construct::construct(old, new)
    }

    /// Decodes an encoded difference, whole: what comes out can be applied if the base is the right one and has
    /// what is copied.
    pub fn decode(encoded: impl Into<Bytes>) -> Result<Difference, DifferenceError> {
        encoding::decode(encoded.into())
    }

    /// The octets that travel.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The CRL that it starts from.
    pub fn base(&self) -> CrlId {
        self.base
    }

    /// The CRL that it claims to make.
    pub fn target(&self) -> CrlId {
        self.target
    }

    /// Octets of the DER that it makes.
    pub fn target_octets(&self) -> usize {
        self.made
    }

    /// Whether it is small enough, against the CRL that it makes, to be sent in its place.
    pub fn is_worthwhile(&self) -> bool {
        self.encoded.len() <= MAX_DIFFERENCE_OCTETS && self.encoded.len() <= self.made / WORTHWHILE_SHARE
    }

    /// Makes the DER of the new CRL. It is worth nothing until the CA's signature on it is verified.
    pub fn apply(&self, old: &Crl) -> Result<Bytes, DifferenceError> {
        if old.id() != self.base {
            return Err(DifferenceError::OtherBase { wanted: self.base, found: old.id() });
        }
        if !self.is_bounded_by(old) {
            return Err(DifferenceError::TooLarge);
        }
        apply::apply(self, old.tbs())
    }

    /// [Applies](Difference::apply) it and takes in the result: reads, indexes and verifies it.
    ///
    /// The index is made anew: that takes less time than the hash which the signature needs and which is computed
    /// beside it, so making it from the old one would save nothing.
    pub fn apply_and_verify(
        &self,
        old: &Crl,
        spki: &[u8],
        policy: &AlgorithmPolicy,
    ) -> Result<Crl, ApplyError> {
        Ok(Crl::decode_and_verify(self.apply(old)?, spki, policy)?)
    }

    /// What turns this one's base into `next`'s target. Fails if `next` does not start where this one ends.
    pub fn merge(&self, next: &Difference) -> Result<Difference, DifferenceError> {
        merge::merge(self, next)
    }

    /// Whether what is made stays in proportion to the base and to what was sent, so that a few octets cannot
    /// take hold of much memory.
    fn is_bounded_by(&self, old: &Crl) -> bool {
        let grown = MAX_GROWTH * (old.der().len() + self.encoded.len());
        self.made <= grown.max(FREE_OCTETS)
    }
}

/// Why applying a difference did not lead to a CRL that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The difference cannot be used on this base.
    #[error(transparent)]
    Difference(#[from] DifferenceError),
    /// What came out is not a CRL that the key signed.
    #[error("what the difference makes is not to be relied upon: {0}")]
    Result(#[from] IntakeError),
}

impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Difference({} to {}, {} octets)", self.base, self.target, self.encoded.len())
    }
}
