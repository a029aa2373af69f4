//! [`Certificate`]: an X.509 certificate as it arrived, read once and strictly (RFC 5280 4.1).
//!
//! Begin with [`Certificate::decode`]. What can be read is settled there, every extension that this crate knows
//! included; the accessors then walk the kept bytes and cannot fail. Strict means: no trailing bytes, no
//! duplicate extension, no difference between the algorithm inside and outside of what is signed. Lenient, since
//! real certificates need it: serial numbers of any sign and length, strings of any kind in names.

mod extension;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use extension::{
    AccessDescription, AuthorityKeyId, BasicConstraints, Extension, KeyUsage, NameConstraints,
    PolicyConstraints, PolicyMapping, Subtree,
};
pub(crate) use extension::{access, distribution_points, general_names};

use crate::asn1::{Asn1Error, Asn1ErrorKind, Oid, Reader, SequenceOf, Tag, Time};
use crate::distribution_point::DistributionPoints;
use crate::general_name::GeneralNames;
use crate::identity::{CertId, IssuerId};
use crate::name::Name;
use extension::{KNOWN, Known};

/// Larger certificates are refused before they are read: a bound on the work that one can cause.
/// The largest in Certificate Transparency logs stay below; ten thousand names take about 300 KiB.
pub const MAX_OCTETS: usize = 1 << 20;

/// At most this many extensions; real certificates have about ten. A bound on the search for duplicates.
pub const MAX_EXTENSIONS: usize = 128;

/// Why bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not the DER of a certificate.
    #[error(transparent)]
    Malformed(#[from] Asn1Error),
    /// Above [`MAX_OCTETS`].
    #[error("a certificate of {0} bytes, more than {MAX_OCTETS}")]
    TooLarge(usize),
    /// A version that does not exist (RFC 5280 4.1.2.1).
    #[error("a certificate of version {0}")]
    Version(u32),
    /// Extensions or unique identifiers that its version does not have (4.1.2.8, 4.1.2.9).
    #[error("fields that a certificate of its version does not have")]
    FieldsOfALaterVersion,
    /// The algorithm outside of what is signed differs from the one inside (4.1.1.2).
    #[error("two different signature algorithms, inside and outside of what is signed")]
    AlgorithmMismatch,
    /// An extension that occurs twice (4.2).
    #[error("the extension {0} twice")]
    DuplicateExtension(String),
    /// More than [`MAX_EXTENSIONS`] extensions.
    #[error("more than {MAX_EXTENSIONS} extensions")]
    TooManyExtensions,
    /// A known extension with a wrong value.
    #[error("the extension {0}: {1}")]
    Extension(String, Asn1Error),
}

/// The version of a certificate (RFC 5280 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Without extensions.
    V1,
    /// With unique identifiers.
    V2,
    /// With extensions.
    V3,
}

/// A certificate: cheap to clone, equal to another if its DER is.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Bytes,
    id: CertId,
    version: Version,
    tbs: Span,
    serial: Span,
    signature_algorithm: Span,
    issuer: Name,
    subject: Name,
    not_before: Time,
    not_after: Time,
    spki: Span,
    signature: Span,
    extensions: Option<Span>,
    known: [Option<Span>; KNOWN],
    unknown_critical: Option<Span>,
    as_issuer: OnceLock<IssuerId>,
}

/// Where something stands in the DER.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn at(start: usize, octets: &[u8]) -> Span {
        Span { start, end: start + octets.len() }
    }

    fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl Certificate {
    /// Decodes the DER of one certificate, whole.
    pub fn decode(der: impl Into<Bytes>) -> Result<Certificate, CertificateError> {
        let der = der.into();
        if der.len() > MAX_OCTETS {
            return Err(CertificateError::TooLarge(der.len()));
        }
        decode(der).map(|inner| Certificate(Arc::new(inner)))
    }

    /// The whole certificate as it arrived.
    pub fn der(&self) -> &Bytes {
        &self.0.der
    }

    /// What is signed: the DER of the TBSCertificate.
    pub fn tbs(&self) -> &[u8] {
        self.octets(self.0.tbs)
    }

    /// SHA-256 of the DER.
    pub fn id(&self) -> CertId {
        self.0.id
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Who issued it.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Whose key it certifies; may be empty when the names stand in subjectAltName (4.1.2.6).
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// The serial number's content octets as they stand, of any sign and length.
    pub fn serial(&self) -> &[u8] {
        self.octets(self.0.serial)
    }

    /// The first second of its validity.
    pub fn not_before(&self) -> Time {
        self.0.not_before
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> Time {
        self.0.not_after
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        self.octets(self.0.spki)
    }

    /// What the subject is called when it issues: its name and key as one identifier.
    pub fn as_issuer(&self) -> IssuerId {
        *self.0.as_issuer.get_or_init(|| IssuerId::of(self.subject(), self.spki()))
    }

    /// The DER of the AlgorithmIdentifier of the signature.
    pub fn signature_algorithm(&self) -> &[u8] {
        self.octets(self.0.signature_algorithm)
    }

    /// The octets of the signature.
    pub fn signature(&self) -> &[u8] {
        self.octets(self.0.signature)
    }

    /// Whether issuer and subject are the same name (6.1; says nothing of the key).
    pub fn is_self_issued(&self) -> bool {
        self.0.issuer == self.0.subject
    }

    /// All extensions in their order, those that this crate does not know included.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        let content = self.0.extensions.map_or(&[][..], |span| self.octets(span));
        let mut reader = Reader::new(content);
        std::iter::from_fn(move || Extension::read(&mut reader).ok())
    }

    /// The first critical extension that this crate does not process, if there is one (4.2).
    pub fn unknown_critical_extension(&self) -> Option<Oid<'_>> {
        Oid::from_content(self.octets(self.0.unknown_critical?))
    }

    /// basicConstraints (4.2.1.9).
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        BasicConstraints::decode(self.known(Known::BasicConstraints)?).ok()
    }

    /// Whether basicConstraints says that the subject is a CA.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints().is_some_and(|constraints| constraints.ca)
    }

    /// keyUsage (4.2.1.3).
    pub fn key_usage(&self) -> Option<KeyUsage> {
        KeyUsage::decode(self.known(Known::KeyUsage)?).ok()
    }

    /// The purposes in extKeyUsage (4.2.1.12).
    pub fn extended_key_usage(&self) -> Option<SequenceOf<'_, Oid<'_>>> {
        extension::oids(self.known(Known::ExtendedKeyUsage)?).ok()
    }

    /// subjectKeyIdentifier (4.2.1.2).
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        extension::octets(self.known(Known::SubjectKeyId)?).ok()
    }

    /// authorityKeyIdentifier (4.2.1.1).
    pub fn authority_key_id(&self) -> Option<AuthorityKeyId<'_>> {
        AuthorityKeyId::decode(self.known(Known::AuthorityKeyId)?).ok()
    }

    /// subjectAltName (4.2.1.6).
    pub fn subject_alt_names(&self) -> Option<GeneralNames<'_>> {
        general_names(self.known(Known::SubjectAltNames)?).ok()
    }

    /// issuerAltName (4.2.1.7).
    pub fn issuer_alt_names(&self) -> Option<GeneralNames<'_>> {
        general_names(self.known(Known::IssuerAltNames)?).ok()
    }

    /// nameConstraints (4.2.1.10).
    pub fn name_constraints(&self) -> Option<NameConstraints<'_>> {
        NameConstraints::decode(self.known(Known::NameConstraints)?).ok()
    }

    /// The policies in certificatePolicies (4.2.1.4), without their qualifiers.
    pub fn policies(&self) -> Option<SequenceOf<'_, Oid<'_>>> {
        extension::policies(self.known(Known::Policies)?).ok()
    }

    /// policyMappings (4.2.1.5).
    pub fn policy_mappings(&self) -> Option<SequenceOf<'_, PolicyMapping<'_>>> {
        extension::policy_mappings(self.known(Known::PolicyMappings)?).ok()
    }

    /// policyConstraints (4.2.1.11).
    pub fn policy_constraints(&self) -> Option<PolicyConstraints> {
        PolicyConstraints::decode(self.known(Known::PolicyConstraints)?).ok()
    }

    /// inhibitAnyPolicy (4.2.1.14): after how many more certificates anyPolicy counts no longer.
    pub fn inhibit_any_policy(&self) -> Option<u32> {
        extension::skip_certificates(self.known(Known::InhibitAnyPolicy)?).ok()
    }

    /// cRLDistributionPoints (4.2.1.13).
    pub fn crl_distribution_points(&self) -> Option<DistributionPoints<'_>> {
        distribution_points(self.known(Known::CrlDistributionPoints)?).ok()
    }

    /// freshestCRL (4.2.1.15): where delta CRLs are found.
    pub fn freshest_crl(&self) -> Option<DistributionPoints<'_>> {
        distribution_points(self.known(Known::FreshestCrl)?).ok()
    }

    /// authorityInfoAccess (4.2.2.1).
    pub fn authority_info_access(&self) -> Option<SequenceOf<'_, AccessDescription<'_>>> {
        access(self.known(Known::AuthorityInfoAccess)?).ok()
    }

    /// subjectInfoAccess (4.2.2.2).
    pub fn subject_info_access(&self) -> Option<SequenceOf<'_, AccessDescription<'_>>> {
        access(self.known(Known::SubjectInfoAccess)?).ok()
    }

    fn known(&self, which: Known) -> Option<&[u8]> {
        self.0.known.get(which as usize).copied().flatten().map(|value| self.octets(value))
    }

    fn octets(&self, span: Span) -> &[u8] {
        // Each span was cut from these very bytes by `decode`.
        self.0.der.get(span.range()).unwrap_or_default()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Certificate {}

impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = data_encoding::HEXLOWER.encode(self.serial());
        write!(f, "Certificate({} {serial} by {})", self.subject(), self.issuer())
    }
}

fn decode(der: Bytes) -> Result<Inner, CertificateError> {
    let mut whole = Reader::single(&der, Tag::SEQUENCE)?.reader();
    let tbs = whole.expect(Tag::SEQUENCE)?;
    let outer_algorithm = whole.expect(Tag::SEQUENCE)?;
    let signature_value = whole.expect(Tag::BIT_STRING)?;
    // One that does not hold whole octets is no signature: it verifies by no key (PKITS 4.1.2).
    let signature = match signature_value.as_bits()? {
        (octets, 0) => octets,
        _ => &[],
    };
    whole.finish()?;

    let mut fields = tbs.reader();
    let version = read_version(&mut fields)?;
    let serial_at = fields.at();
    let serial = fields.integer()?;
    let algorithm = fields.expect(Tag::SEQUENCE)?;
    if algorithm.raw != outer_algorithm.raw {
        return Err(CertificateError::AlgorithmMismatch);
    }
    let issuer = read_name(&der, &mut fields, None)?;
    let mut validity = fields.sequence()?;
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    validity.finish()?;
    let subject = read_name(&der, &mut fields, Some(&issuer))?;
    let spki = fields.expect(Tag::SEQUENCE)?;
    check_key_info(spki.reader())?;

    let unique_ids = [fields.optional(Tag::context(1))?, fields.optional(Tag::context(2))?];
    for id in unique_ids.iter().flatten() {
        id.as_bits()?;
    }
    let extensions = fields.optional(Tag::context_constructed(3))?;
    fields.finish()?;
    let too_new = (extensions.is_some() && version < Version::V3)
        || (unique_ids.iter().any(Option::is_some) && version < Version::V2);
    if too_new {
        return Err(CertificateError::FieldsOfALaterVersion);
    }

    let mut inner = Inner {
        id: CertId::of(&der),
        version,
        tbs: Span::at(tbs.at, tbs.raw),
        serial: Span::at(serial_at + header_octets(serial.len()), serial),
        signature_algorithm: Span::at(algorithm.at, algorithm.raw),
        issuer,
        subject,
        not_before,
        not_after,
        spki: Span::at(spki.at, spki.raw),
        signature: Span::at(signature_value.content_at() + 1, signature),
        extensions: None,
        known: [None; KNOWN],
        unknown_critical: None,
        as_issuer: OnceLock::new(),
        der: der.clone(),
    };
    if let Some(wrapped) = extensions {
        let list = wrapped.reader().only()?;
        if list.tag != Tag::SEQUENCE || list.content.is_empty() {
            let kind = Asn1ErrorKind::Value("not a SEQUENCE of extensions");
            return Err(Asn1Error { at: list.at, kind }.into());
        }
        inner.extensions = Some(Span::at(list.content_at(), list.content));
        take_extensions(list.reader(), &mut inner)?;
    }
    Ok(inner)
}

/// Octets of identifier and length before `length` octets of content.
fn header_octets(length: usize) -> usize {
    if length < 0x80 { 2 } else { 2 + (usize::BITS - length.leading_zeros()).div_ceil(8) as usize }
}

fn read_version(fields: &mut Reader<'_>) -> Result<Version, CertificateError> {
    let Some(tagged) = fields.optional(Tag::context_constructed(0))? else { return Ok(Version::V1) };
    let mut inside = tagged.reader();
    let version = inside.small_integer()?;
    inside.finish()?;
    match version {
        1 => Ok(Version::V2),
        2 => Ok(Version::V3),
        // Version 1 is the default, which DER does not spell out.
        other => Err(CertificateError::Version(other.saturating_add(1))),
    }
}

/// Reads a name; `like` saves the work of normalising the same octets again.
fn read_name(der: &Bytes, fields: &mut Reader<'_>, like: Option<&Name>) -> Result<Name, Asn1Error> {
    let value = fields.expect(Tag::SEQUENCE)?;
    match like {
        Some(name) if name.der() == value.raw => Ok(name.clone()),
        _ => Name::decode(der.slice_ref(value.raw)).map_err(|e| e.within(value.at)),
    }
}

/// SubjectPublicKeyInfo: an algorithm with its parameters, and whole octets of a key.
fn check_key_info(mut spki: Reader<'_>) -> Result<(), Asn1Error> {
    let mut algorithm = spki.sequence()?;
    algorithm.oid()?;
    if !algorithm.is_empty() {
        algorithm.any()?;
    }
    algorithm.finish()?;
    spki.octets_in_bit_string()?;
    spki.finish()
}

fn take_extensions(mut list: Reader<'_>, inner: &mut Inner) -> Result<(), CertificateError> {
    let mut seen: Vec<Oid<'_>> = Vec::with_capacity(12);
    while !list.is_empty() {
        let extension = Extension::read(&mut list)?;
        if seen.contains(&extension.oid) {
            return Err(CertificateError::DuplicateExtension(extension.oid.to_string()));
        }
        if seen.len() == MAX_EXTENSIONS {
            return Err(CertificateError::TooManyExtensions);
        }
        seen.push(extension.oid);
        let value = Span::at(extension.value_at, extension.value);
        match Known::of(extension.oid) {
            Some(which) => {
                which.check(extension.value).map_err(|e| {
                    CertificateError::Extension(extension.oid.to_string(), e.within(extension.value_at))
                })?;
                inner.known[which as usize] = Some(value);
            }
            None if extension.critical && inner.unknown_critical.is_none() => {
                inner.unknown_critical = Some(Span::at(extension.oid_at, extension.oid.content()));
            }
            None => {}
        }
    }
    Ok(())
}
