//! CRLs, said as a template and signed. Entries stream through an iterator into the one buffer that becomes
//! the CRL, so that a list of millions costs its own size and little more.

use super::extension::{
    write_authority_key_id, write_distribution_points, write_extension, write_extra, write_general_names,
};
use super::{DistributionPoint, DistributionPointName, Extension, GeneralName, MintError, SigningKey};
use crate::asn1::{Tag, Time, Writer};
use crate::crl::Reason;
use crate::distribution_point::Reasons;
use crate::identity::CrlNumber;
use crate::name::Name;
use crate::oids;

/// Octets of an entry with a serial of 16 octets and a reason; a first guess of the buffer's size.
const TYPICAL_ENTRY: usize = 51;

/// Octets for everything but the entries; a first guess of the buffer's size.
const TYPICAL_FRAME: usize = 1024;

/// One revoked certificate (RFC 5280 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Content octets of the serial number, written as they stand.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub date: Time,
    /// Why; the extension is left out when there is none.
    pub reason: Option<Reason>,
    /// Since when the key is suspected (RFC 5280 5.3.2).
    pub invalidity_date: Option<Time>,
    /// In indirect CRLs: whose certificate it is, here and in the entries that follow (RFC 5280 5.3.3).
    pub certificate_issuer: Vec<GeneralName>,
    /// Whatever else, written last and as it stands.
    pub extra: Vec<Extension>,
}

impl RevokedEntry {
    /// An entry without extensions.
    pub fn new(serial: &[u8], date: Time) -> RevokedEntry {
        RevokedEntry {
            serial: serial.to_vec(),
            date,
            reason: None,
            invalidity_date: None,
            certificate_issuer: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: Reason) -> RevokedEntry {
        RevokedEntry { reason: Some(reason), ..self }
    }

    fn has_extensions(&self) -> bool {
        self.reason.is_some()
            || self.invalidity_date.is_some()
            || !self.certificate_issuer.is_empty()
            || !self.extra.is_empty()
    }

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer(&self.serial);
            writer.time(self.date);
            if self.has_extensions() {
                writer.sequence(|writer| self.write_extensions(writer));
            }
        });
    }

    fn write_extensions(&self, writer: &mut Writer) {
        if let Some(reason) = self.reason {
            write_extension(writer, oids::REASON_CODE, false, |writer| {
                writer.small_integer(Tag::ENUMERATED, u32::from(reason.code()));
            });
        }
        if let Some(date) = self.invalidity_date {
            write_extension(writer, oids::INVALIDITY_DATE, false, |writer| writer.generalized_time(date));
        }
        if !self.certificate_issuer.is_empty() {
            write_extension(writer, oids::CERTIFICATE_ISSUER, true, |writer| {
                writer.sequence(|writer| write_general_names(&self.certificate_issuer, writer));
            });
        }
        write_extra(writer, &self.extra);
    }
}

/// What an issuing distribution point says (RFC 5280 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistributionScope {
    /// distributionPoint.
    pub name: Option<DistributionPointName>,
    /// onlyContainsUserCerts.
    pub only_user_certs: bool,
    /// onlyContainsCACerts.
    pub only_ca_certs: bool,
    /// onlySomeReasons.
    pub only_some_reasons: Option<Reasons>,
    /// indirectCRL.
    pub indirect: bool,
    /// onlyContainsAttributeCerts.
    pub only_attribute_certs: bool,
}

impl DistributionScope {
    fn write(&self, writer: &mut Writer) {
        let flag = |writer: &mut Writer, tag, value: bool| {
            if value {
                writer.value(Tag::context(tag), &[0xff]);
            }
        };
        writer.sequence(|writer| {
            if let Some(name) = &self.name {
                name.write(writer);
            }
            flag(writer, 1, self.only_user_certs);
            flag(writer, 2, self.only_ca_certs);
            if let Some(reasons) = self.only_some_reasons {
                writer.named_bits(Tag::context(3), reasons.bits());
            }
            flag(writer, 4, self.indirect);
            flag(writer, 5, self.only_attribute_certs);
        });
    }
}

/// A CRL to be signed, but for its entries. Extensions that are `None` or empty are left out.
#[derive(Clone, Debug)]
pub struct CrlTemplate {
    /// In whose name it is signed.
    pub issuer: Name,
    /// When it is issued.
    pub this_update: Time,
    /// When the next one is due at the latest.
    pub next_update: Option<Time>,
    /// A v1 CRL has no version field. Extensions are written all the same if there are any, as tests need it.
    pub v1: bool,
    /// cRLNumber.
    pub number: Option<CrlNumber>,
    /// deltaCRLIndicator: makes it a delta CRL on this base; critical.
    pub base: Option<CrlNumber>,
    /// issuingDistributionPoint; critical.
    pub distribution_point: Option<DistributionScope>,
    /// Identifier of the key that signs.
    pub authority_key_id: Option<Vec<u8>>,
    /// Where delta CRLs to this one are.
    pub freshest_crl: Vec<DistributionPoint>,
    /// Whatever else, written last and as it stands.
    pub extra: Vec<Extension>,
}

impl CrlTemplate {
    /// A complete v2 CRL.
    pub fn new(
        issuer: Name,
        number: impl Into<CrlNumber>,
        this_update: Time,
        next_update: Time,
    ) -> CrlTemplate {
        CrlTemplate {
            issuer,
            this_update,
            next_update: Some(next_update),
            v1: false,
            number: Some(number.into()),
            base: None,
            distribution_point: None,
            authority_key_id: None,
            freshest_crl: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Signs a CRL of these entries, in their order; DER. Fails for want of randomness only.
    pub fn sign(
        &self,
        entries: impl IntoIterator<Item = RevokedEntry>,
        key: &SigningKey,
    ) -> Result<Vec<u8>, MintError> {
        let entries = entries.into_iter();
        let algorithm = key.signature_algorithm();
        let mut writer = Writer::with_capacity(TYPICAL_FRAME + TYPICAL_ENTRY * entries.size_hint().0);
        let crl = writer.open(Tag::SEQUENCE);
        let tbs_at = writer.written().len();
        self.write_tbs(entries, &algorithm, &mut writer);
        let signature = key.sign(&writer.written()[tbs_at..])?;
        writer.raw(&algorithm);
        writer.octets_in_bit_string(&signature);
        writer.close(crl);
        Ok(writer.finish())
    }

    fn write_tbs(&self, entries: impl Iterator<Item = RevokedEntry>, algorithm: &[u8], writer: &mut Writer) {
        writer.sequence(|writer| {
            if !self.v1 {
                writer.integer(&[1]);
            }
            writer.raw(algorithm);
            writer.raw(self.issuer.der());
            writer.time(self.this_update);
            if let Some(next_update) = self.next_update {
                writer.time(next_update);
            }
            // An empty list is left out (RFC 5280 5.1.2.6).
            let mut entries = entries.peekable();
            if entries.peek().is_some() {
                writer.sequence(|writer| entries.for_each(|entry| entry.write(writer)));
            }
            let mut extensions = Writer::new();
            self.write_extensions(&mut extensions);
            if !extensions.written().is_empty() {
                writer.nested(Tag::context_constructed(0), |writer| {
                    writer.value(Tag::SEQUENCE, extensions.written());
                });
            }
        });
    }

    fn write_extensions(&self, writer: &mut Writer) {
        if let Some(id) = &self.authority_key_id {
            write_extension(writer, oids::AUTHORITY_KEY_ID, false, |writer| {
                write_authority_key_id(id, writer)
            });
        }
        if let Some(number) = self.number {
            write_extension(writer, oids::CRL_NUMBER, false, |writer| writer.integer(&number.to_integer()));
        }
        if let Some(base) = self.base {
            write_extension(writer, oids::DELTA_CRL_INDICATOR, true, |writer| {
                writer.integer(&base.to_integer())
            });
        }
        if let Some(scope) = &self.distribution_point {
            write_extension(writer, oids::ISSUING_DISTRIBUTION_POINT, true, |writer| scope.write(writer));
        }
        if !self.freshest_crl.is_empty() {
            write_extension(writer, oids::FRESHEST_CRL, false, |writer| {
                write_distribution_points(&self.freshest_crl, writer);
            });
        }
        write_extra(writer, &self.extra);
    }
}
