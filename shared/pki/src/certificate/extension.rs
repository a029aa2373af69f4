//! The extensions of RFC 5280 4.2, read from the octets of their values.

use crate::asn1::{Asn1Error, Asn1ErrorKind, Oid, Reader, SequenceOf, Tag};
use crate::distribution_point::{DistributionPoint, DistributionPoints};
use crate::general_name::{GeneralName, GeneralNames};

/// One extension as it stands.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// Its type.
    pub oid: Oid<'a>,
    /// Whether who does not know it must refuse.
    pub critical: bool,
    /// The content of extnValue: the DER of the value.
    pub value: &'a [u8],
    pub(super) oid_at: usize,
    pub(super) value_at: usize,
}

impl<'a> Extension<'a> {
    /// Reads the next value as an Extension.
    pub fn read(reader: &mut Reader<'a>) -> Result<Extension<'a>, Asn1Error> {
        let mut fields = reader.sequence()?;
        let mut header = fields;
        let oid_at = header.expect(Tag::OID)?.content_at();
        let oid = fields.oid()?;
        let critical = fields.boolean_or_false()?;
        let value = fields.expect(Tag::OCTET_STRING)?;
        fields.finish()?;
        Ok(Extension { oid, critical, value: value.content, oid_at, value_at: value.content_at() })
    }
}

/// The extensions that this crate processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    BasicConstraints,
    KeyUsage,
    ExtendedKeyUsage,
    SubjectKeyId,
    AuthorityKeyId,
    SubjectAltNames,
    IssuerAltNames,
    NameConstraints,
    Policies,
    PolicyMappings,
    PolicyConstraints,
    InhibitAnyPolicy,
    CrlDistributionPoints,
    FreshestCrl,
    AuthorityInfoAccess,
    SubjectInfoAccess,
}

/// How many extensions are known.
pub(super) const KNOWN: usize = 16;

impl Known {
    pub(super) fn of(oid: Oid<'_>) -> Option<Known> {
        Some(match oid.content() {
            [0x55, 0x1d, 19] => Known::BasicConstraints,
            [0x55, 0x1d, 15] => Known::KeyUsage,
            [0x55, 0x1d, 37] => Known::ExtendedKeyUsage,
            [0x55, 0x1d, 14] => Known::SubjectKeyId,
            [0x55, 0x1d, 35] => Known::AuthorityKeyId,
            [0x55, 0x1d, 17] => Known::SubjectAltNames,
            [0x55, 0x1d, 18] => Known::IssuerAltNames,
            [0x55, 0x1d, 30] => Known::NameConstraints,
            [0x55, 0x1d, 32] => Known::Policies,
            [0x55, 0x1d, 33] => Known::PolicyMappings,
            [0x55, 0x1d, 36] => Known::PolicyConstraints,
            [0x55, 0x1d, 54] => Known::InhibitAnyPolicy,
            [0x55, 0x1d, 31] => Known::CrlDistributionPoints,
            [0x55, 0x1d, 46] => Known::FreshestCrl,
            [0x2b, 6, 1, 5, 5, 7, 1, 1] => Known::AuthorityInfoAccess,
            [0x2b, 6, 1, 5, 5, 7, 1, 11] => Known::SubjectInfoAccess,
            _ => return None,
        })
    }

    /// Reads the value whole, so that the accessors need not expect an error.
    pub(super) fn check(self, value: &[u8]) -> Result<(), Asn1Error> {
        match self {
            Known::BasicConstraints => BasicConstraints::decode(value).map(drop),
            Known::KeyUsage => KeyUsage::decode(value).map(drop),
            Known::ExtendedKeyUsage => oids(value).map(drop),
            Known::SubjectKeyId => octets(value).map(drop),
            Known::AuthorityKeyId => AuthorityKeyId::decode(value).map(drop),
            Known::SubjectAltNames | Known::IssuerAltNames => general_names(value).map(drop),
            Known::NameConstraints => NameConstraints::decode(value).map(drop),
            Known::Policies => policies(value).and_then(distinct),
            Known::PolicyMappings => policy_mappings(value).map(drop),
            Known::PolicyConstraints => PolicyConstraints::decode(value).map(drop),
            Known::InhibitAnyPolicy => skip_certificates(value).map(drop),
            Known::CrlDistributionPoints | Known::FreshestCrl => distribution_points(value).map(drop),
            Known::AuthorityInfoAccess | Known::SubjectInfoAccess => access(value).map(drop),
        }
    }
}

/// basicConstraints (RFC 5280 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is a CA.
    pub ca: bool,
    /// At most this many intermediate certificates that are not self-issued may follow in a path.
    pub path_length: Option<u32>,
}

impl BasicConstraints {
    pub(super) fn decode(value: &[u8]) -> Result<BasicConstraints, Asn1Error> {
        let mut fields = Reader::single(value, Tag::SEQUENCE)?.reader();
        let ca = fields.boolean_or_false()?;
        let path_length = if fields.is_empty() { None } else { Some(fields.small_integer()?) };
        fields.finish()?;
        Ok(BasicConstraints { ca, path_length })
    }
}

/// keyUsage (RFC 5280 4.2.1.3): bit n of the BIT STRING as bit n here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature (0).
    pub const DIGITAL_SIGNATURE: KeyUsage = KeyUsage(1);
    /// keyCertSign (5): signatures of certificates may be verified with the key.
    pub const KEY_CERT_SIGN: KeyUsage = KeyUsage(1 << 5);
    /// cRLSign (6): signatures of CRLs may be verified with the key.
    pub const CRL_SIGN: KeyUsage = KeyUsage(1 << 6);

    /// Whether each bit of `other` is set.
    pub fn contains(self, other: KeyUsage) -> bool {
        other.0 & !self.0 == 0
    }

    pub(super) fn decode(value: &[u8]) -> Result<KeyUsage, Asn1Error> {
        let (octets, _) = Reader::single(value, Tag::BIT_STRING)?.as_bits()?;
        let bit = |n: usize| octets.get(n / 8).is_some_and(|octet| octet & (0x80 >> (n % 8)) != 0);
        Ok(KeyUsage((0..9).filter(|n| bit(*n)).fold(0, |set, n| set | 1 << n)))
    }
}

/// authorityKeyIdentifier (RFC 5280 4.2.1.1).
#[derive(Clone, Copy, Debug)]
pub struct AuthorityKeyId<'a> {
    /// The subjectKeyIdentifier of the issuer's certificate.
    pub key_id: Option<&'a [u8]>,
    /// The names of the issuer of the issuer's certificate.
    pub issuer: Option<GeneralNames<'a>>,
    /// The serial number of the issuer's certificate: content octets.
    pub serial: Option<&'a [u8]>,
}

impl<'a> AuthorityKeyId<'a> {
    /// Decodes the value of the extension, which CRLs have too (RFC 5280 5.2.1).
    pub fn decode(value: &'a [u8]) -> Result<AuthorityKeyId<'a>, Asn1Error> {
        let mut fields = Reader::single(value, Tag::SEQUENCE)?.reader();
        let key_id = fields.optional(Tag::context(0))?.map(|tlv| tlv.content);
        let issuer = match fields.optional(Tag::context_constructed(1))? {
            Some(tlv) => Some(GeneralNames::decode(tlv.reader(), GeneralName::read)?),
            None => None,
        };
        let serial = fields.optional(Tag::context(2))?.map(|tlv| tlv.content);
        fields.finish()?;
        Ok(AuthorityKeyId { key_id, issuer, serial })
    }
}

/// nameConstraints (RFC 5280 4.2.1.10).
#[derive(Clone, Copy, Debug)]
pub struct NameConstraints<'a> {
    /// Names of a form that occurs here must be within one of these.
    pub permitted: Option<SequenceOf<'a, Subtree<'a>>>,
    /// Names must not be within any of these.
    pub excluded: Option<SequenceOf<'a, Subtree<'a>>>,
}

impl<'a> NameConstraints<'a> {
    pub(super) fn decode(value: &'a [u8]) -> Result<NameConstraints<'a>, Asn1Error> {
        let mut fields = Reader::single(value, Tag::SEQUENCE)?.reader();
        let mut subtrees = |n| match fields.optional(Tag::context_constructed(n))? {
            Some(tlv) => SequenceOf::decode(tlv.reader(), Subtree::read).map(Some),
            None => Ok(None),
        };
        let (permitted, excluded) = (subtrees(0)?, subtrees(1)?);
        fields.finish()?;
        Ok(NameConstraints { permitted, excluded })
    }
}

/// A GeneralSubtree. `minimum` and `maximum` must not be used in the Internet profile (RFC 5280 4.2.1.10):
/// whoever applies a constraint that has them fails closed.
#[derive(Clone, Copy, Debug)]
pub struct Subtree<'a> {
    /// The root of the subtree.
    pub base: GeneralName<'a>,
    /// Whether it has a minimum other than zero or a maximum.
    pub has_distance: bool,
}

impl<'a> Subtree<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Subtree<'a>, Asn1Error> {
        let mut fields = reader.sequence()?;
        let base = GeneralName::read(&mut fields)?;
        let minimum = fields.optional(Tag::context(0))?;
        let maximum = fields.optional(Tag::context(1))?;
        fields.finish()?;
        let has_distance = maximum.is_some() || minimum.is_some_and(|tlv| tlv.content != [0]);
        Ok(Subtree { base, has_distance })
    }
}

/// One pair of policyMappings (RFC 5280 4.2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyMapping<'a> {
    /// The policy in the issuer's domain.
    pub issuer_domain: Oid<'a>,
    /// The policy in the subject's domain that the issuer holds to be equivalent.
    pub subject_domain: Oid<'a>,
}

/// policyConstraints (RFC 5280 4.2.1.11), each in number of certificates that may yet follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyConstraints {
    /// When an explicit policy is required.
    pub require_explicit_policy: Option<u32>,
    /// When policies are mapped no longer.
    pub inhibit_policy_mapping: Option<u32>,
}

impl PolicyConstraints {
    pub(super) fn decode(value: &[u8]) -> Result<PolicyConstraints, Asn1Error> {
        let mut fields = Reader::single(value, Tag::SEQUENCE)?.reader();
        let mut skip = |n| fields.optional(Tag::context(n))?.map(|tlv| tlv.as_small_integer()).transpose();
        let constraints =
            PolicyConstraints { require_explicit_policy: skip(0)?, inhibit_policy_mapping: skip(1)? };
        fields.finish()?;
        Ok(constraints)
    }
}

/// One entry of authorityInfoAccess or subjectInfoAccess (RFC 5280 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessDescription<'a> {
    /// What is found there.
    pub method: Oid<'a>,
    /// Where it is found.
    pub location: GeneralName<'a>,
}

pub(super) fn oids(value: &[u8]) -> Result<SequenceOf<'_, Oid<'_>>, Asn1Error> {
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), Reader::oid)
}

pub(super) fn octets(value: &[u8]) -> Result<&[u8], Asn1Error> {
    Reader::single(value, Tag::OCTET_STRING).map(|tlv| tlv.content)
}

pub(crate) fn general_names(value: &[u8]) -> Result<GeneralNames<'_>, Asn1Error> {
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), GeneralName::read)
}

pub(crate) fn distribution_points(value: &[u8]) -> Result<DistributionPoints<'_>, Asn1Error> {
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), DistributionPoint::read)
}

pub(super) fn policies(value: &[u8]) -> Result<SequenceOf<'_, Oid<'_>>, Asn1Error> {
    fn read<'a>(reader: &mut Reader<'a>) -> Result<Oid<'a>, Asn1Error> {
        let mut information = reader.sequence()?;
        let policy = information.oid()?;
        // Qualifiers are for people: they are read as DER and decide nothing.
        if !information.is_empty() {
            information.expect(Tag::SEQUENCE)?;
        }
        information.finish()?;
        Ok(policy)
    }
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), read)
}

/// A policy must not occur twice in certificatePolicies (RFC 5280 4.2.1.4).
fn distinct(policies: SequenceOf<'_, Oid<'_>>) -> Result<(), Asn1Error> {
    let mut all: Vec<_> = policies.collect();
    all.sort_unstable();
    match all.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(Asn1Error { at: 0, kind: Asn1ErrorKind::Value("a policy that occurs twice") }),
        false => Ok(()),
    }
}

pub(super) fn policy_mappings(value: &[u8]) -> Result<SequenceOf<'_, PolicyMapping<'_>>, Asn1Error> {
    fn read<'a>(reader: &mut Reader<'a>) -> Result<PolicyMapping<'a>, Asn1Error> {
        let mut pair = reader.sequence()?;
        let mapping = PolicyMapping { issuer_domain: pair.oid()?, subject_domain: pair.oid()? };
        pair.finish()?;
        Ok(mapping)
    }
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), read)
}

pub(super) fn skip_certificates(value: &[u8]) -> Result<u32, Asn1Error> {
    Reader::single(value, Tag::INTEGER)?.as_small_integer()
}

pub(crate) fn access(value: &[u8]) -> Result<SequenceOf<'_, AccessDescription<'_>>, Asn1Error> {
    fn read<'a>(reader: &mut Reader<'a>) -> Result<AccessDescription<'a>, Asn1Error> {
        let mut description = reader.sequence()?;
        let method = description.oid()?;
        let location = GeneralName::read(&mut description)?;
        description.finish()?;
        Ok(AccessDescription { method, location })
    }
    SequenceOf::decode(Reader::single(value, Tag::SEQUENCE)?.reader(), read)
}
