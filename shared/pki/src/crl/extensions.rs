//! The extensions of a list (RFC 5280 5.2). Values are checked when the list is read, so that those who ask for
//! them later need not expect an error.

use bytes::Bytes;

use super::{CrlError, IssuingDistributionPoint, MAX_EXTENSIONS};
use crate::asn1::{Asn1Error, Oid, Reader, Tag};
use crate::certificate::{AuthorityKeyId, Extension, access, distribution_points, general_names};
use crate::identity::CrlNumber;
use crate::oids;

/// What the extensions of a list say; values that are seldom asked for are kept as DER.
#[derive(Clone, Default)]
pub(super) struct Extensions {
    /// The content of the SEQUENCE OF Extension.
    all: Bytes,
    pub(super) number: Option<CrlNumber>,
    pub(super) base_number: Option<CrlNumber>,
    pub(super) distribution_point: Option<IssuingDistributionPoint>,
    pub(super) authority_key_id: Option<Bytes>,
    pub(super) issuer_alt_names: Option<Bytes>,
    pub(super) freshest_crl: Option<Bytes>,
    pub(super) authority_info_access: Option<Bytes>,
    /// The first critical extension that is not known, dotted.
    pub(super) unknown_critical: Option<String>,
}

impl Extensions {
    /// Decodes the content of crlExtensions. `der` is the CRL, of which `explicit` reads a part.
    pub(super) fn decode(der: &Bytes, mut explicit: Reader<'_>) -> Result<Extensions, CrlError> {
        let list = explicit.expect(Tag::SEQUENCE)?;
        explicit.finish()?;
        let mut reader = list.reader();
        let mut extensions = Extensions { all: der.slice_ref(list.content), ..Extensions::default() };
        let mut seen: Vec<Oid<'_>> = Vec::new();
        while !reader.is_empty() {
            let at = reader.at();
            let extension = Extension::read(&mut reader)?;
            if seen.contains(&extension.oid) {
                return Err(CrlError::DuplicateExtension(extension.oid.to_string(), at));
            }
            if seen.len() == MAX_EXTENSIONS {
                return Err(CrlError::TooManyExtensions(at));
            }
            seen.push(extension.oid);
            extensions.take(der.slice_ref(extension.value), &extension)?;
        }
        Ok(extensions)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Extension<'_>> {
        let mut reader = Reader::new(&self.all);
        std::iter::from_fn(move || if reader.is_empty() { None } else { Extension::read(&mut reader).ok() })
    }

    fn take(&mut self, value: Bytes, extension: &Extension<'_>) -> Result<(), CrlError> {
        let wrong = |error| CrlError::Extension(extension.oid.to_string(), error);
        match extension.oid {
            oids::CRL_NUMBER => self.number = Some(number(&value, wrong)?),
            oids::DELTA_CRL_INDICATOR => self.base_number = Some(number(&value, wrong)?),
            oids::ISSUING_DISTRIBUTION_POINT => {
                self.distribution_point = Some(IssuingDistributionPoint::decode(&value).map_err(wrong)?);
            }
            oids::AUTHORITY_KEY_ID => {
                AuthorityKeyId::decode(&value).map_err(wrong)?;
                self.authority_key_id = Some(value);
            }
            oids::ISSUER_ALT_NAME => {
                general_names(&value).map_err(wrong)?;
                self.issuer_alt_names = Some(value);
            }
            oids::FRESHEST_CRL => {
                distribution_points(&value).map_err(wrong)?;
                self.freshest_crl = Some(value);
            }
            oids::AUTHORITY_INFO_ACCESS => {
                access(&value).map_err(wrong)?;
                self.authority_info_access = Some(value);
            }
            unknown if extension.critical => {
                self.unknown_critical.get_or_insert_with(|| unknown.to_string());
            }
            _ => {}
        }
        Ok(())
    }
}

fn number(value: &[u8], wrong: impl Fn(Asn1Error) -> CrlError) -> Result<CrlNumber, CrlError> {
    let mut reader = Reader::new(value);
    let content = reader.integer().map_err(&wrong)?;
    reader.finish().map_err(&wrong)?;
    CrlNumber::from_integer(content).ok_or(CrlError::Number)
}
