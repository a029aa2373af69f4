//! What certificates and CRLs share in their extensions: general names and distribution points.

use crate::asn1::{Oid, Reader, Tag, Writer};
use crate::distribution_point::Reasons;
use crate::name::Name;

/// An extension, ready-made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Content octets of its identifier; see [`Oid::encode`].
    pub oid: Vec<u8>,
    /// Whether those who do not know it must refuse.
    pub critical: bool,
    /// The DER inside the OCTET STRING.
    pub value: Vec<u8>,
}

/// A GeneralName (RFC 5280 4.2.1.6) to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// rfc822Name.
    Email(String),
    /// dNSName.
    Dns(String),
    /// directoryName.
    Directory(Name),
    /// uniformResourceIdentifier.
    Uri(String),
    /// iPAddress: 4 or 16 octets, in a name constraint followed by as many of the mask.
    Ip(Vec<u8>),
    /// registeredID: content octets of the identifier.
    RegisteredId(Vec<u8>),
    /// Any form, as DER.
    Der(Vec<u8>),
}

impl GeneralName {
    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            GeneralName::Email(text) => writer.value(Tag::context(1), text.as_bytes()),
            GeneralName::Dns(text) => writer.value(Tag::context(2), text.as_bytes()),
            // Name is a CHOICE, so its tag is explicit.
            GeneralName::Directory(name) => writer.value(Tag::context_constructed(4), name.der()),
            GeneralName::Uri(text) => writer.value(Tag::context(6), text.as_bytes()),
            GeneralName::Ip(octets) => writer.value(Tag::context(7), octets),
            GeneralName::RegisteredId(oid) => writer.value(Tag::context(8), oid),
            GeneralName::Der(der) => writer.raw(der),
        }
    }
}

/// Name constraints (RFC 5280 4.2.1.10) as two lists of base names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneralSubtrees {
    /// permittedSubtrees; left out when empty.
    pub permitted: Vec<GeneralName>,
    /// excludedSubtrees; left out when empty.
    pub excluded: Vec<GeneralName>,
}

impl GeneralSubtrees {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            for (tag, bases) in [(0, &self.permitted), (1, &self.excluded)] {
                if !bases.is_empty() {
                    writer.nested(Tag::context_constructed(tag), |writer| {
                        bases.iter().for_each(|base| writer.sequence(|writer| base.write(writer)));
                    });
                }
            }
        });
    }
}

/// The name of a distribution point (RFC 5280 4.2.1.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistributionPointName {
    /// fullName: names for the same CRL.
    Full(Vec<GeneralName>),
    /// nameRelativeToCRLIssuer: the one RDN of this name.
    Relative(Name),
}

impl DistributionPointName {
    /// fullName with one URI.
    pub fn uri(uri: &str) -> DistributionPointName {
        DistributionPointName::Full(vec![GeneralName::Uri(uri.to_owned())])
    }

    /// Writes it under `[0]`, as distribution points and issuing distribution points both have it.
    pub(super) fn write(&self, writer: &mut Writer) {
        // DistributionPointName is a CHOICE: the outer [0] is explicit, the inner tag implicit.
        writer.nested(Tag::context_constructed(0), |writer| match self {
            DistributionPointName::Full(names) => {
                writer.nested(Tag::context_constructed(0), |writer| write_general_names(names, writer));
            }
            DistributionPointName::Relative(name) => {
                writer.nested(Tag::context_constructed(1), |writer| writer.raw(&first_rdn(name)));
            }
        });
    }
}

/// A distribution point (RFC 5280 4.2.1.13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistributionPoint {
    /// distributionPoint.
    pub name: Option<DistributionPointName>,
    /// reasons; all when left out.
    pub reasons: Option<Reasons>,
    /// cRLIssuer; left out when empty.
    pub crl_issuer: Vec<GeneralName>,
}

impl DistributionPoint {
    /// A distribution point with one URI.
    pub fn uri(uri: &str) -> DistributionPoint {
        DistributionPoint { name: Some(DistributionPointName::uri(uri)), ..DistributionPoint::default() }
    }

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            if let Some(name) = &self.name {
                name.write(writer);
            }
            if let Some(reasons) = self.reasons {
                writer.named_bits(Tag::context(1), reasons.bits());
            }
            if !self.crl_issuer.is_empty() {
                writer.nested(Tag::context_constructed(2), |writer| {
                    write_general_names(&self.crl_issuer, writer);
                });
            }
        });
    }
}

pub(super) fn write_general_names(names: &[GeneralName], writer: &mut Writer) {
    names.iter().for_each(|name| name.write(writer));
}

pub(super) fn write_distribution_points(points: &[DistributionPoint], writer: &mut Writer) {
    writer.sequence(|writer| points.iter().for_each(|point| point.write(writer)));
}

/// The content of authorityKeyIdentifier with keyIdentifier alone (RFC 5280 4.2.1.1).
pub(super) fn write_authority_key_id(id: &[u8], writer: &mut Writer) {
    writer.sequence(|writer| writer.value(Tag::context(0), id));
}

/// Writes one Extension.
pub(super) fn write_extension(
    writer: &mut Writer,
    oid: Oid<'_>,
    critical: bool,
    value: impl FnOnce(&mut Writer),
) {
    writer.sequence(|writer| {
        writer.oid(oid);
        writer.true_or_nothing(critical);
        writer.nested(Tag::OCTET_STRING, value);
    });
}

pub(super) fn write_extra(writer: &mut Writer, extra: &[Extension]) {
    for extension in extra {
        writer.sequence(|writer| {
            writer.value(Tag::OID, &extension.oid);
            writer.true_or_nothing(extension.critical);
            writer.value(Tag::OCTET_STRING, &extension.value);
        });
    }
}

/// The attributes of the first RDN, without the SET around them.
fn first_rdn(name: &Name) -> Vec<u8> {
    let rdn = Reader::new(name.der()).sequence().and_then(|mut rdns| rdns.expect(Tag::SET));
    rdn.map(|rdn| rdn.content.to_vec()).unwrap_or_default()
}
