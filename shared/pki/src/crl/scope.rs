//! What a CRL covers: its issuing distribution point (RFC 5280 5.2.5), and the form of it that names a scope.
//!
//! The *normal form* feeds [`ScopeId`](crate::identity::ScopeId), so its octets are part of what validators say to
//! one another: it begins with a version, and golden vectors hold it.

use bytes::Bytes;

use crate::asn1::{Asn1Error, Asn1ErrorKind, Reader, Tag, Tlv, Writer};
use crate::distribution_point::{DistributionPointName, Reasons};
use crate::general_name::{GeneralName, GeneralNames};
use crate::name::Name;

/// First octet of every normal form that is not empty.
pub const SCOPE_FORM_VERSION: u8 = 1;

/// An issuing distribution point. Fields that are absent have their default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuingDistributionPoint {
    /// The explicitly tagged distributionPoint, whole.
    name: Option<Bytes>,
    /// Certificates of end entities only.
    pub only_user_certs: bool,
    /// Certificates of CAs only.
    pub only_ca_certs: bool,
    /// Revocations for these reasons only; absent: for all.
    pub only_some_reasons: Option<Reasons>,
    /// Entries may be of other issuers.
    pub indirect: bool,
    /// Attribute certificates only.
    pub only_attribute_certs: bool,
}

impl IssuingDistributionPoint {
    /// Decodes the value of the extension.
    pub(super) fn decode(value: &Bytes) -> Result<IssuingDistributionPoint, Asn1Error> {
        let mut fields = Reader::single(value, Tag::SEQUENCE)?.reader();
        let name = match fields.optional(Tag::context_constructed(0))? {
            Some(name) => {
                DistributionPointName::decode(&name)?;
                Some(value.slice_ref(name.raw))
            }
            None => None,
        };
        let point = IssuingDistributionPoint {
            name,
            only_user_certs: flag(&mut fields, 1)?,
            only_ca_certs: flag(&mut fields, 2)?,
            only_some_reasons: match fields.optional(Tag::context(3))? {
                Some(reasons) => Some(Reasons::decode(&reasons)?),
                None => None,
            },
            indirect: flag(&mut fields, 4)?,
            only_attribute_certs: flag(&mut fields, 5)?,
        };
        fields.finish()?;
        Ok(point)
    }

    /// Where the CRL stands, if it says so.
    pub fn name(&self) -> Option<DistributionPointName<'_>> {
        let value = Reader::new(self.name.as_ref()?).only().ok()?;
        DistributionPointName::decode(&value).ok()
    }

    /// The reasons that the CRL covers.
    pub fn reasons(&self) -> Reasons {
        self.only_some_reasons.unwrap_or(Reasons::ALL)
    }

    /// Whether more than one of the three kinds of certificate is said to be the only one.
    pub fn contradicts_itself(&self) -> bool {
        [self.only_user_certs, self.only_ca_certs, self.only_attribute_certs]
            .iter()
            .filter(|only| **only)
            .count()
            > 1
    }

    /// The values that tell scopes apart: empty if everything has its default; else the version and, in the order
    /// and under the tags of RFC 5280, each field that has not. Names of a full name are sorted, and directory
    /// names in them stand in their own normal form, as does a relative name.
    pub fn normal_form(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        if let Some(name) = self.name() {
            writer.nested(Tag::context_constructed(0), |writer| write_name(name, writer));
        }
        for (tag, flag) in [(1, self.only_user_certs), (2, self.only_ca_certs)] {
            write_flag(&mut writer, tag, flag);
        }
        if let Some(reasons) = self.only_some_reasons {
            writer.value(Tag::context(3), &reasons.bits().to_be_bytes());
        }
        for (tag, flag) in [(4, self.indirect), (5, self.only_attribute_certs)] {
            write_flag(&mut writer, tag, flag);
        }
        let mut form = writer.finish();
        if !form.is_empty() {
            form.insert(0, SCOPE_FORM_VERSION);
        }
        form
    }
}

/// `[n] BOOLEAN DEFAULT FALSE`; a spelled-out FALSE is accepted, as everywhere.
fn flag(fields: &mut Reader<'_>, n: u8) -> Result<bool, Asn1Error> {
    match fields.optional(Tag::context(n))? {
        None => Ok(false),
        Some(Tlv { content: [0xff], .. }) => Ok(true),
        Some(Tlv { content: [0x00], .. }) => Ok(false),
        Some(other) => {
            let kind = Asn1ErrorKind::Value("a BOOLEAN that is neither 00 nor FF");
            Err(Asn1Error { at: other.at, kind })
        }
    }
}

fn write_flag(writer: &mut Writer, tag: u8, flag: bool) {
    if flag {
        writer.value(Tag::context(tag), &[]);
    }
}

fn write_name(name: DistributionPointName<'_>, writer: &mut Writer) {
    match name {
        DistributionPointName::Full(names) => {
            writer.nested(Tag::context_constructed(0), |writer| {
                normal_names(names).iter().for_each(|name| writer.raw(name));
            });
        }
        DistributionPointName::Relative(rdn) => {
            // `decode` has read the same octets as an RDN, so the name is there.
            let name = Name::decode(&b"\x30\x00"[..]).and_then(|empty| empty.join(rdn));
            writer.value(Tag::context_constructed(1), name.as_ref().map_or(rdn, Name::normal));
        }
    }
}

/// Each name as a value of its own, sorted, without repetition.
fn normal_names(names: GeneralNames<'_>) -> Vec<Vec<u8>> {
    let mut normal: Vec<Vec<u8>> = names
        .map(|name| {
            let mut writer = Writer::new();
            match name {
                GeneralName::Directory(der) => {
                    let name = name.directory();
                    writer.value(Tag::context_constructed(4), name.as_ref().map_or(der, Name::normal));
                }
                other => write_general_name(other, &mut writer),
            }
            writer.finish()
        })
        .collect();
    normal.sort_unstable();
    normal.dedup();
    normal
}

/// A name whose octets decide, under its tag.
fn write_general_name(name: GeneralName<'_>, writer: &mut Writer) {
    match name {
        GeneralName::Other(kind, value) => {
            writer.nested(Tag::context_constructed(0), |writer| {
                writer.oid(kind);
                writer.value(Tag::context_constructed(0), value);
            });
        }
        GeneralName::Email(text) => writer.value(Tag::context(1), text.as_bytes()),
        GeneralName::Dns(text) => writer.value(Tag::context(2), text.as_bytes()),
        GeneralName::X400(octets) => writer.value(Tag::context_constructed(3), octets),
        GeneralName::Directory(der) => writer.value(Tag::context_constructed(4), der),
        GeneralName::EdiParty(octets) => writer.value(Tag::context_constructed(5), octets),
        GeneralName::Uri(text) => writer.value(Tag::context(6), text.as_bytes()),
        GeneralName::Ip(octets) => writer.value(Tag::context(7), octets),
        GeneralName::RegisteredId(oid) => writer.value(Tag::context(8), oid.content()),
    }
}
