//! Certificate revocation lists (RFC 5280 section 5): read once, verified, asked often.
//!
//! Begin with [`Crl`]. [`Crl::decode`] reads a list whole and strictly, in one pass over the bytes that arrived and
//! without an object per entry: [`Header`] is what stands around the entries, `scan` walks the entries, `index`
//! files them. [`Crl::verify`] is about the signature, [`Crl::usable`] about what a relying party must not ignore.
//! What two lists have to do with one another is told by [`Changes`] (what was revoked between them),
//! [`Difference`] (how the bytes of one become those of the other) and [`Effective`] (a base and its delta).
//!
//! The bytes are kept and everything points into them: the signature, the hashes, and each answer.

mod changes;
pub mod difference;
mod effective;
mod entry;
mod extensions;
mod header;
mod index;
pub mod lint;
mod reason;
mod scan;
mod scope;
mod serial;
mod serial_hash;
mod verification;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use changes::{Changed, Changes, RevokedCertificate};
pub use difference::{ApplyError, DIFFERENCE_VERSION, Difference, DifferenceError, MAX_DIFFERENCE_OCTETS};
pub use effective::{Effective, NotCombinable};
pub use entry::{Entries, Entry};
pub use header::{Header, Version};
pub use reason::{NotAReason, Reason};
pub use scope::{IssuingDistributionPoint, SCOPE_FORM_VERSION};
pub use serial::{NotASerial, Serial};
pub use verification::IntakeError;

use crate::asn1::{Asn1Error, Time, minimal_integer};
use crate::certificate::AuthorityKeyId;
use crate::distribution_point::DistributionPoints;
use crate::identity::{CrlId, CrlKind, CrlNumber, CrlOrder, Digest, IssuerId, ScopeId};
use crate::name::Name;
use index::Index;
use scan::Issuers;
use verification::VerifiedBy;

/// Larger lists are refused unread: the largest that are published stay below 100 MB, and offsets take 32 bits.
pub const MAX_OCTETS: usize = 1 << 30;

/// At most this many entries: what [`MAX_OCTETS`] could hold is more, but no PKI has revoked as many.
pub const MAX_ENTRIES: usize = 1 << 25;

/// At most this many extensions of a list; real ones have about five. A bound on the search for duplicates.
pub const MAX_EXTENSIONS: usize = 64;

/// At most this many extensions of an entry; RFC 5280 knows three.
pub const MAX_ENTRY_EXTENSIONS: usize = 16;

/// Why bytes are not a CRL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Not the DER of a CRL.
    #[error(transparent)]
    Malformed(#[from] Asn1Error),
    /// Above [`MAX_OCTETS`].
    #[error("a CRL of {0} bytes, more than {MAX_OCTETS}")]
    TooLarge(usize),
    /// Above [`MAX_ENTRIES`].
    #[error("a CRL of more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// A thousand times the same serial: look-ups would not be bounded.
    #[error("a CRL that repeats a serial number over and over")]
    Repetitions,
    /// More than [`MAX_EXTENSIONS`] on the list or [`MAX_ENTRY_EXTENSIONS`] on an entry.
    #[error("more extensions than are read, at byte {0}")]
    TooManyExtensions(usize),
    /// A version that does not exist (RFC 5280 5.1.2.1).
    #[error("a CRL whose version field is {0}")]
    Version(u32),
    /// The algorithm outside of what is signed differs from the one inside (5.1.1.2).
    #[error("two different signature algorithms, inside and outside of what is signed")]
    AlgorithmMismatch,
    /// An extension that occurs twice (4.2), with its offset.
    #[error("the extension {0} twice, at byte {1}")]
    DuplicateExtension(String, usize),
    /// A known extension of the list with a wrong value.
    #[error("the extension {0}: {1}")]
    Extension(String, Asn1Error),
    /// A CRL number that is negative or above 20 octets (5.2.3).
    #[error("a CRL number that is negative or longer than 20 octets")]
    Number,
}

/// Why a list that was read must not be relied upon for a good answer. What it revokes is revoked all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A critical extension of the list that is not known (RFC 5280 5.2).
    #[error("the critical extension {0} is not known")]
    UnknownCriticalExtension(String),
    /// A critical extension of an entry that is not known (5.3).
    #[error("the critical entry extension {0} is not known")]
    UnknownCriticalEntryExtension(String),
    /// An entry names a certificate issuer although the list is not indirect (5.3.3), or one without a
    /// directory name.
    #[error("an entry with a certificate issuer that cannot stand there")]
    CertificateIssuer,
    /// More than one of onlyContainsUserCerts, onlyContainsCACerts and onlyContainsAttributeCerts (5.2.5).
    #[error("an issuing distribution point that contradicts itself")]
    ContradictoryScope,
    /// A delta CRL without a number of its own (5.2.4).
    #[error("a delta CRL without a number")]
    DeltaWithoutNumber,
}

/// A CRL: cheap to clone; equal to another if its DER is.
#[derive(Clone)]
pub struct Crl(Arc<Inner>);

struct Inner {
    header: Header,
    index: Index,
    issuers: Issuers,
    unusable: Option<Unusable>,
    id: OnceLock<CrlId>,
    digest: OnceLock<Digest>,
    verified_by: VerifiedBy,
}

impl Crl {
    /// Decodes the DER of one CRL whole, and indexes its entries.
    pub fn decode(der: impl Into<Bytes>) -> Result<Crl, CrlError> {
        Crl::read(Header::decode(der)?)
    }

    /// Reads the entries behind a header.
    pub fn read(header: Header) -> Result<Crl, CrlError> {
        let scan = scan::scan(&header)?;
        let unusable = header.unusable().or(scan.unusable);
        Ok(Crl(Arc::new(Inner {
            header,
            index: scan.index,
            issuers: scan.issuers,
            unusable,
            id: OnceLock::new(),
            digest: OnceLock::new(),
            verified_by: VerifiedBy::default(),
        })))
    }

    /// What stands around the entries.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// The whole CRL as it arrived.
    pub fn der(&self) -> &Bytes {
        self.0.header.der()
    }

    /// What is signed: the DER of the TBSCertList.
    pub fn tbs(&self) -> &[u8] {
        self.0.header.tbs()
    }

    /// SHA-256 of the TBSCertList; computed when it is first asked for.
    pub fn id(&self) -> CrlId {
        *self.0.id.get_or_init(|| CrlId::of(self.tbs()))
    }

    /// SHA-256 of the whole DER; computed when it is first asked for.
    pub fn digest(&self) -> Digest {
        *self.0.digest.get_or_init(|| Digest::of(self.der()))
    }

    /// In whose name it is signed.
    pub fn issuer(&self) -> &Name {
        self.0.header.issuer()
    }

    /// cRLNumber.
    pub fn number(&self) -> Option<CrlNumber> {
        self.0.header.number()
    }

    /// Complete, or a delta to a base.
    pub fn kind(&self) -> CrlKind {
        self.0.header.kind()
    }

    /// The number of the base that a delta CRL is made for (RFC 5280 5.2.4).
    pub fn base_number(&self) -> Option<CrlNumber> {
        self.0.header.base_number()
    }

    /// When it was issued.
    pub fn this_update(&self) -> Time {
        self.0.header.this_update()
    }

    /// When the next one is due at the latest.
    pub fn next_update(&self) -> Option<Time> {
        self.0.header.next_update()
    }

    /// Where it stands among the CRLs of its scope and kind.
    pub fn order(&self) -> CrlOrder {
        CrlOrder { number: self.number(), this_update: self.this_update(), id: self.id() }
    }

    /// The issuing distribution point, if it has one.
    pub fn distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.0.header.distribution_point()
    }

    /// The scope of the CRL when `signer` signed it.
    pub fn scope(&self, signer: IssuerId) -> ScopeId {
        self.0.header.scope(signer)
    }

    /// Which key signed, if it says so (5.2.1).
    pub fn authority_key_id(&self) -> Option<AuthorityKeyId<'_>> {
        self.0.header.authority_key_id()
    }

    /// Where its delta CRLs are (5.2.6).
    pub fn freshest_crl(&self) -> Option<DistributionPoints<'_>> {
        self.0.header.freshest_crl()
    }

    /// Whether a serial that is not on the list may be taken as good by it.
    pub fn usable(&self) -> Result<(), Unusable> {
        self.0.unusable.clone().map_or(Ok(()), Err)
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.0.index.len()
    }

    /// The entries, in the order of the list.
    pub fn iter(&self) -> Entries<'_> {
        Entries::from(self.0.header.entries().start, &self.0.header, &self.0.issuers)
    }

    /// The entry of a certificate of the CRL's own issuer, by its serial's content octets, padded or not.
    ///
    /// Should a serial occur more than once, an entry that revokes comes before one that removes.
    pub fn find(&self, serial: &[u8]) -> Option<Entry<'_>> {
        self.find_of(Issuers::OWN, serial)
    }

    /// The entry of a certificate of `issuer`, which in an indirect CRL may be another than the CRL's (5.3.3).
    pub fn find_issued_by(&self, issuer: &Name, serial: &[u8]) -> Option<Entry<'_>> {
        self.find_of(self.0.issuers.ordinal(self.issuer(), issuer)?, serial)
    }

    /// Octets kept for the index, beyond the DER.
    pub fn index_size(&self) -> usize {
        self.0.index.size() + self.0.issuers.size()
    }

    /// Whether this is that very object, and not only an equal one.
    pub(crate) fn is_same_object(&self, other: &Crl) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The entries that follow `entry`, which is of this CRL.
    fn iter_behind(&self, entry: &Entry<'_>) -> Entries<'_> {
        Entries::from(entry.offset() + entry.der().len(), &self.0.header, &self.0.issuers)
    }

    fn find_of(&self, issuer: u32, serial: &[u8]) -> Option<Entry<'_>> {
        let serial = minimal_integer(serial);
        let hash = serial_hash::hash(serial, issuer);
        let mut removal = None;
        for offset in self.0.index.candidates(hash) {
            let name = self.0.issuers.name(issuer, self.issuer());
            let entry = Entry::at(self.der(), offset as usize, name)?;
            if minimal_integer(entry.serial()) != serial || self.0.issuers.at(offset) != issuer {
                continue;
            }
            // Only delta CRLs remove, so that nobody else pays for looking.
            if self.kind() == CrlKind::Complete || entry.reason() != Reason::RemoveFromCrl {
                return Some(entry);
            }
            removal.get_or_insert(entry);
        }
        removal
    }
}

impl PartialEq for Crl {
    fn eq(&self, other: &Crl) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.der() == other.der()
    }
}

impl Eq for Crl {}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", self.issuer())
            .field("kind", &self.kind())
            .field("number", &self.number())
            .field("this_update", &self.this_update())
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}
