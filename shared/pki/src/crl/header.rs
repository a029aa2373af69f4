//! What stands around the entries of a CRL: who, when, which, and the signature. It can be read, and relied
//! upon as far as it goes, before a single entry is.

use std::ops::Range;

use bytes::Bytes;

use super::extensions::Extensions;
use super::{CrlError, IssuingDistributionPoint, MAX_OCTETS, Unusable};
use crate::asn1::{Reader, SequenceOf, Tag, Time};
use crate::certificate::{
    AccessDescription, AuthorityKeyId, Extension, access, distribution_points, general_names,
};
use crate::distribution_point::DistributionPoints;
use crate::general_name::GeneralNames;
use crate::identity::{CrlKind, CrlNumber, IssuerId, ScopeId};
use crate::name::Name;

/// The version of a CRL (RFC 5280 5.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Without version field; should be without extensions.
    V1,
    /// With extensions.
    V2,
}

/// A CRL without its entries; they are not looked at.
#[derive(Clone)]
pub struct Header {
    der: Bytes,
    tbs: Range<usize>,
    version: Version,
    algorithm: Range<usize>,
    issuer: Name,
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<Range<usize>>,
    extensions: Extensions,
    signature: Range<usize>,
}

impl Header {
    /// Decodes a CRL but for its entries: nothing may be wrong around them, nothing may follow.
    pub fn decode(der: impl Into<Bytes>) -> Result<Header, CrlError> {
        let der = der.into();
        if der.len() > MAX_OCTETS {
            return Err(CrlError::TooLarge(der.len()));
        }
        let mut outer = Reader::single(&der, Tag::SEQUENCE)?.reader();
        let tbs = outer.expect(Tag::SEQUENCE)?;
        let outer_algorithm = outer.expect(Tag::SEQUENCE)?;
        let signature_end = outer.at() + outer.rest().len();
        // One that does not hold whole octets is no signature: it verifies by no key (PKITS 4.4.4).
        let signature = match outer.bit_string()? {
            (octets, 0) => octets,
            _ => &[],
        };
        outer.finish()?;

        let mut fields = tbs.reader();
        let version = read_version(&mut fields)?;
        let algorithm = fields.expect(Tag::SEQUENCE)?;
        if algorithm.raw != outer_algorithm.raw {
            return Err(CrlError::AlgorithmMismatch);
        }
        let issuer = fields.expect(Tag::SEQUENCE)?;
        let this_update = fields.time()?;
        let next_update = match fields.peek() {
            Some(Tag::UTC_TIME | Tag::GENERALIZED_TIME) => Some(fields.time()?),
            _ => None,
        };
        let revoked = fields.optional(Tag::SEQUENCE)?;
        let extensions = match fields.optional(Tag::context_constructed(0))? {
            Some(explicit) => Extensions::decode(&der, explicit.reader())?,
            None => Extensions::default(),
        };
        fields.finish()?;
        Ok(Header {
            tbs: tbs.at..tbs.at + tbs.raw.len(),
            version,
            algorithm: algorithm.at..algorithm.at + algorithm.raw.len(),
            issuer: Name::decode(der.slice_ref(issuer.raw)).map_err(|error| error.within(issuer.at))?,
            this_update,
            next_update,
            revoked: revoked.map(|list| list.content_at()..list.content_at() + list.content.len()),
            extensions,
            signature: signature_end - signature.len()..signature_end,
            der,
        })
    }

    /// The whole CRL as it arrived.
    pub fn der(&self) -> &Bytes {
        &self.der
    }

    /// What is signed: the DER of the TBSCertList.
    pub fn tbs(&self) -> &[u8] {
        self.octets(&self.tbs)
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// AlgorithmIdentifier DER of the signature.
    pub fn signature_algorithm(&self) -> &[u8] {
        self.octets(&self.algorithm)
    }

    /// The octets of the signature.
    pub fn signature(&self) -> &[u8] {
        self.octets(&self.signature)
    }

    /// In whose name it is signed.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// When it was issued.
    pub fn this_update(&self) -> Time {
        self.this_update
    }

    /// When the next one is due at the latest.
    pub fn next_update(&self) -> Option<Time> {
        self.next_update
    }

    /// cRLNumber (RFC 5280 5.2.3).
    pub fn number(&self) -> Option<CrlNumber> {
        self.extensions.number
    }

    /// The number of the base that a delta CRL is made for (5.2.4).
    pub fn base_number(&self) -> Option<CrlNumber> {
        self.extensions.base_number
    }

    /// A delta CRL is one that names its base.
    pub fn kind(&self) -> CrlKind {
        if self.extensions.base_number.is_some() { CrlKind::Delta } else { CrlKind::Complete }
    }

    /// The issuing distribution point, if it has one (5.2.5).
    pub fn distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.extensions.distribution_point.as_ref()
    }

    /// The scope of the CRL when `signer` signed it.
    pub fn scope(&self, signer: IssuerId) -> ScopeId {
        let form = self.distribution_point().map(IssuingDistributionPoint::normal_form);
        ScopeId::of(signer, &form.unwrap_or_default())
    }

    /// Which key signed, if it says so (5.2.1).
    pub fn authority_key_id(&self) -> Option<AuthorityKeyId<'_>> {
        AuthorityKeyId::decode(self.extensions.authority_key_id.as_ref()?).ok()
    }

    /// Other names of the issuer (5.2.2).
    pub fn issuer_alt_names(&self) -> Option<GeneralNames<'_>> {
        general_names(self.extensions.issuer_alt_names.as_ref()?).ok()
    }

    /// Where its delta CRLs are (5.2.6).
    pub fn freshest_crl(&self) -> Option<DistributionPoints<'_>> {
        distribution_points(self.extensions.freshest_crl.as_ref()?).ok()
    }

    /// Where the certificate of its issuer is (5.2.7).
    pub fn authority_info_access(&self) -> Option<SequenceOf<'_, AccessDescription<'_>>> {
        access(self.extensions.authority_info_access.as_ref()?).ok()
    }

    /// Its extensions, as they stand.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.extensions.iter()
    }

    /// Whether the field revokedCertificates is there, be it empty.
    pub fn has_list(&self) -> bool {
        self.revoked.is_some()
    }

    /// Where the entries stand in the DER.
    pub(super) fn entries(&self) -> Range<usize> {
        self.revoked.clone().unwrap_or(0..0)
    }

    /// Where the TBSCertList begins in the DER.
    pub(super) fn tbs_at(&self) -> usize {
        self.tbs.start
    }

    pub(super) fn is_indirect(&self) -> bool {
        self.distribution_point().is_some_and(|point| point.indirect)
    }

    pub(super) fn unusable(&self) -> Option<Unusable> {
        if let Some(oid) = &self.extensions.unknown_critical {
            return Some(Unusable::UnknownCriticalExtension(oid.clone()));
        }
        if self.distribution_point().is_some_and(IssuingDistributionPoint::contradicts_itself) {
            return Some(Unusable::ContradictoryScope);
        }
        (self.kind() == CrlKind::Delta && self.number().is_none()).then_some(Unusable::DeltaWithoutNumber)
    }

    fn octets(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or_default()
    }
}

/// The version field, which only v2 has; its value is 1.
fn read_version(fields: &mut Reader<'_>) -> Result<Version, CrlError> {
    if fields.peek() != Some(Tag::INTEGER) {
        return Ok(Version::V1);
    }
    match fields.small_integer()? {
        1 => Ok(Version::V2),
        other => Err(CrlError::Version(other)),
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header")
            .field("issuer", &self.issuer)
            .field("number", &self.number())
            .field("this_update", &self.this_update)
            .finish_non_exhaustive()
    }
}
