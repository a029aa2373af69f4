//! The entries of a list (RFC 5280 5.3), as views of the DER. Nothing is kept for one beyond what the index needs;
//! its extensions are read again by who asks for them.

use super::scan::Issuers;
use super::{CrlError, Header, MAX_ENTRY_EXTENSIONS, Reason};
use crate::asn1::{Asn1Error, Oid, Reader, Tag, Time, Tlv};
use crate::certificate::{Extension, general_names};
use crate::general_name::GeneralName;
use crate::name::Name;
use crate::oids;

/// One revoked certificate.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    raw: &'a [u8],
    serial: &'a [u8],
    /// Date and extensions.
    rest: &'a [u8],
    issuer: &'a Name,
    offset: usize,
}

impl<'a> Entry<'a> {
    /// The entry at `offset`, which the scan has read.
    #[inline]
    pub(super) fn at(der: &'a [u8], offset: usize, issuer: &'a Name) -> Option<Entry<'a>> {
        let der = der.get(offset..)?;
        if let [0x30, length @ ..=0x7f, 0x02, octets @ ..=0x7f, ..] = der {
            let raw = der.get(..2 + usize::from(*length))?;
            let (serial, rest) = raw.get(4..)?.split_at_checked(usize::from(*octets))?;
            return Some(Entry { raw, serial, rest, issuer, offset });
        }
        let entry = Reader::new(der).expect(Tag::SEQUENCE).ok()?;
        let mut fields = entry.reader();
        let serial = fields.integer().ok()?;
        Some(Entry { raw: entry.raw, serial, rest: fields.rest(), issuer, offset })
    }

    /// Content octets of the serial number, as they stand.
    pub fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// When the certificate was revoked (for the CA; see [`Entry::invalidity_date`]).
    pub fn date(&self) -> Time {
        // The scan has read the same octets as a time.
        Reader::new(self.rest).time().unwrap_or_default()
    }

    /// Why; [`Reason::Unspecified`] if nothing is said, or with a code that is not assigned.
    pub fn reason(&self) -> Reason {
        self.stated_reason().unwrap_or_default()
    }

    /// The reason code, if the extension is there and its code is assigned (5.3.1).
    pub fn stated_reason(&self) -> Option<Reason> {
        reason(self.value(oids::REASON_CODE)?).ok().flatten()
    }

    /// Since when the key is suspected (5.3.2).
    pub fn invalidity_date(&self) -> Option<Time> {
        invalidity_date(self.value(oids::INVALIDITY_DATE)?).ok()
    }

    /// Whose certificate it is: in an indirect CRL the issuer named here or in the entry nearest before (5.3.3),
    /// else the issuer of the CRL.
    pub fn certificate_issuer(&self) -> &'a Name {
        self.issuer
    }

    /// Its extensions, as they stand.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'a>> {
        let mut rest = Reader::new(self.rest);
        let list = rest.any().and_then(|_| rest.optional(Tag::SEQUENCE)).ok().flatten();
        let mut list = list.map_or(Reader::new(&[]), |list| list.reader());
        std::iter::from_fn(move || if list.is_empty() { None } else { Extension::read(&mut list).ok() })
    }

    /// The whole entry, as it stands.
    pub fn der(&self) -> &'a [u8] {
        self.raw
    }

    /// Where it stands in the DER of its CRL.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    fn value(&self, oid: Oid<'_>) -> Option<&'a [u8]> {
        self.extensions().find(|extension| extension.oid == oid).map(|extension| extension.value)
    }
}

impl std::fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("serial", &data_encoding::HEXLOWER.encode(self.serial()))
            .field("date", &self.date())
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

/// Walks the entries in the order of the list.
#[derive(Clone)]
pub struct Entries<'a> {
    at: usize,
    header: &'a Header,
    issuers: &'a Issuers,
}

impl<'a> Entries<'a> {
    /// From the entry at `at` on.
    pub(super) fn from(at: usize, header: &'a Header, issuers: &'a Issuers) -> Entries<'a> {
        Entries { at, header, issuers }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.at >= self.header.entries().end {
            return None;
        }
        let issuer = self.issuers.name(self.issuers.at(self.at as u32), self.header.issuer());
        let entry = Entry::at(self.header.der(), self.at, issuer)?;
        self.at += entry.raw.len();
        Some(entry)
    }
}

/// An entry, read strictly but for its extensions.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) raw: &'a [u8],
    pub(super) serial: &'a [u8],
    pub(super) extensions: Option<Tlv<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Fields<'a>, Asn1Error> {
        let entry = reader.expect(Tag::SEQUENCE)?;
        let mut fields = entry.reader();
        let serial = fields.integer()?;
        fields.time()?;
        let extensions = fields.optional(Tag::SEQUENCE)?;
        fields.finish()?;
        Ok(Fields { raw: entry.raw, serial, extensions })
    }
}

/// What must be known of an entry's extensions when the list is read.
#[derive(Default)]
pub(super) struct Checked {
    /// The first critical extension that is not known, dotted.
    pub(super) unknown_critical: Option<String>,
    /// certificateIssuer: the directory name in it, if it has one.
    pub(super) certificate_issuer: Option<Option<Name>>,
}

impl Checked {
    /// Reads the extensions of an entry, their known values included.
    pub(super) fn read(mut list: Reader<'_>) -> Result<Checked, CrlError> {
        let mut checked = Checked::default();
        let mut seen: Vec<Oid<'_>> = Vec::new();
        while !list.is_empty() {
            let at = list.at();
            let extension = Extension::read(&mut list)?;
            if seen.contains(&extension.oid) {
                return Err(CrlError::DuplicateExtension(extension.oid.to_string(), at));
            }
            if seen.len() == MAX_ENTRY_EXTENSIONS {
                return Err(CrlError::TooManyExtensions(at));
            }
            seen.push(extension.oid);
            checked.take(&extension).map_err(|error| CrlError::Malformed(error.within(at)))?;
        }
        Ok(checked)
    }

    fn take(&mut self, extension: &Extension<'_>) -> Result<(), Asn1Error> {
        match extension.oid {
            oids::REASON_CODE => reason(extension.value).map(drop),
            oids::INVALIDITY_DATE => invalidity_date(extension.value).map(drop),
            oids::CERTIFICATE_ISSUER => {
                let names = general_names(extension.value)?;
                self.certificate_issuer = Some({ names }.find_map(|name| GeneralName::directory(&name)));
                Ok(())
            }
            unknown if extension.critical => {
                self.unknown_critical.get_or_insert_with(|| unknown.to_string());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `None` for a code that is not assigned.
fn reason(value: &[u8]) -> Result<Option<Reason>, Asn1Error> {
    Ok(Reason::from_code(Reader::single(value, Tag::ENUMERATED)?.as_small_integer()?))
}

fn invalidity_date(value: &[u8]) -> Result<Time, Asn1Error> {
    Reader::single(value, Tag::GENERALIZED_TIME)?;
    Reader::new(value).time()
}
