//! What stands in a file: certificates and CRLs in DER, PEM or PKCS#7, told apart by content.
//!
//! Nothing is decoded here beyond what telling apart needs: an object that is not well formed is handed on as it stands,
//! so that whoever decodes it can say what is wrong with it.

use bytes::Bytes;
use data_encoding::BASE64;

use crate::asn1::{Asn1Error, Asn1ErrorKind, Reader, Tag};

/// signedData (RFC 5652 5.1), the form of "certs-only" bundles.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];

/// An object of a bundle: its DER as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A certificate, or what cannot be told.
    Certificate(Bytes),
    /// A CRL.
    Crl(Bytes),
}

/// Why a file is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// PEM armour that does not end, or is not base64 inside.
    #[error("a PEM block that is broken, in line {0}")]
    Pem(usize),
    /// PKCS#7 that is not the DER of SignedData.
    #[error("a PKCS#7 bundle that cannot be read: {0}")]
    Pkcs7(#[from] Asn1Error),
}

/// The objects in `content`, in their order. PEM blocks of other kinds, such as keys, are passed over.
pub fn items(content: impl Into<Bytes>) -> Result<Vec<Item>, BundleError> {
    let content = content.into();
    let mut found = Vec::new();
    match is_pem(&content) {
        false => take(content, &mut found)?,
        true => {
            for block in pem_blocks(&content)? {
                take(block.into(), &mut found)?;
            }
        }
    }
    Ok(found)
}

fn is_pem(content: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    content.first() != Some(&Tag::SEQUENCE.0) && content.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// The decoded blocks whose label names a certificate, a CRL or a bundle (RFC 7468).
fn pem_blocks(content: &[u8]) -> Result<Vec<Vec<u8>>, BundleError> {
    let mut blocks = Vec::new();
    // Begin, label and text of the block that is open.
    let mut open: Option<(usize, String, Vec<u8>)> = None;
    for (number, line) in content.split(|octet| *octet == b'\n').enumerate() {
        let line = line.trim_ascii();
        match &mut open {
            None => {
                let label = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----"));
                open =
                    label.map(|label| (number + 1, String::from_utf8_lossy(label).into_owned(), Vec::new()));
            }
            Some((begin, label, _)) if line.starts_with(b"-----") => {
                if line != format!("-----END {label}-----").as_bytes() {
                    return Err(BundleError::Pem(*begin));
                }
                if let Some((begin, label, text)) = open.take()
                    && is_wanted(&label)
                {
                    blocks.push(BASE64.decode(&text).map_err(|_| BundleError::Pem(begin))?);
                }
            }
            Some((_, _, text)) => text.extend(line.iter().filter(|octet| !octet.is_ascii_whitespace())),
        }
    }
    match open {
        Some((begin, ..)) => Err(BundleError::Pem(begin)),
        None => Ok(blocks),
    }
}

fn is_wanted(label: &str) -> bool {
    matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "X509 CRL" | "PKCS7" | "CMS")
}

/// Takes in one DER object: a certificate, a CRL, or a PKCS#7 bundle of both.
fn take(der: Bytes, found: &mut Vec<Item>) -> Result<(), BundleError> {
    let first = Reader::new(&der).sequence().ok().and_then(|inside| inside.peek());
    if first == Some(Tag::OID) {
        return Ok(take_signed_data(&der, found)?);
    }
    found.push(if is_crl(&der).unwrap_or(false) { Item::Crl(der) } else { Item::Certificate(der) });
    Ok(())
}

/// A CRL has thisUpdate where a certificate has its validity.
fn is_crl(der: &[u8]) -> Result<bool, Asn1Error> {
    let mut fields = Reader::new(der).sequence()?.sequence()?;
    fields.optional(Tag::INTEGER)?;
    fields.expect(Tag::SEQUENCE)?;
    fields.expect(Tag::SEQUENCE)?;
    Ok(matches!(fields.peek(), Some(Tag::UTC_TIME | Tag::GENERALIZED_TIME)))
}

/// ContentInfo with SignedData; signatures, if there are any, are not looked at: the objects bear their own.
fn take_signed_data(der: &Bytes, found: &mut Vec<Item>) -> Result<(), Asn1Error> {
    let mut content_info = Reader::single(der, Tag::SEQUENCE)?.reader();
    let at = content_info.at();
    if content_info.oid()?.content() != SIGNED_DATA {
        return Err(Asn1Error { at, kind: Asn1ErrorKind::Value("not SignedData") });
    }
    let mut signed_data = content_info.expect(Tag::context_constructed(0))?.reader().sequence()?;
    signed_data.small_integer()?;
    signed_data.expect(Tag::SET)?;
    signed_data.expect(Tag::SEQUENCE)?;
    if let Some(certificates) = signed_data.optional(Tag::context_constructed(0))? {
        let mut list = certificates.reader();
        while !list.is_empty() {
            let object = list.any()?;
            // Other kinds of certificate (attribute certificates) have tags of their own.
            if object.tag == Tag::SEQUENCE {
                found.push(Item::Certificate(der.slice_ref(object.raw)));
            }
        }
    }
    if let Some(crls) = signed_data.optional(Tag::context_constructed(1))? {
        let mut list = crls.reader();
        while !list.is_empty() {
            let object = list.any()?;
            if object.tag == Tag::SEQUENCE {
                found.push(Item::Crl(der.slice_ref(object.raw)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEQUENCE { SEQUENCE { algorithm, issuer, what follows } }: enough to be told apart.
    const LIKE_A_CRL: &[u8] = b"\x30\x08\x30\x06\x30\x00\x30\x00\x17\x00";
    const LIKE_A_CERTIFICATE: &[u8] = b"\x30\x07\x30\x05\xa0\x03\x02\x01\x02";

    fn pem(label: &str, der: &[u8]) -> String {
        format!("note\n-----BEGIN {label}-----\r\n{}\n-----END {label}-----\n", BASE64.encode(der))
    }

    #[test]
    fn der_and_pem_of_several_objects_are_told_apart_by_content() {
        assert_eq!(items(LIKE_A_CRL), Ok(vec![Item::Crl(LIKE_A_CRL.into())]));
        let several = [
            pem("CERTIFICATE", LIKE_A_CERTIFICATE),
            pem("PRIVATE KEY", b"secret"),
            pem("X509 CRL", LIKE_A_CRL),
        ];
        assert_eq!(
            items(several.concat()),
            Ok(vec![Item::Certificate(LIKE_A_CERTIFICATE.into()), Item::Crl(LIKE_A_CRL.into())])
        );
        assert_eq!(items(&b"junk"[..]), Ok(vec![Item::Certificate(Bytes::from_static(b"junk"))]));
    }

    #[test]
    fn a_bundle_gives_what_is_in_it() {
        let bundle = [
            &b"\x30\x31\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x24\x30\x22\x02\x01\x01\x31\x00"[..],
            b"\x30\x02\x06\x00\xa0\x09",
            LIKE_A_CERTIFICATE,
            b"\xa1\x0a",
            LIKE_A_CRL,
            b"\x31\x00",
        ]
        .concat();
        let expected = vec![Item::Certificate(LIKE_A_CERTIFICATE.into()), Item::Crl(LIKE_A_CRL.into())];
        assert_eq!(items(bundle.clone()), Ok(expected.clone()));
        assert_eq!(items(pem("PKCS7", &bundle)), Ok(expected));
        assert!(matches!(items([&bundle[..], &[0]].concat()), Err(BundleError::Pkcs7(_))));
    }

    #[test]
    fn broken_armour_is_told_with_its_line() {
        assert_eq!(items("-----BEGIN CERTIFICATE-----\nAAAA\n"), Err(BundleError::Pem(1)));
        assert_eq!(
            items("\n-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
            Err(BundleError::Pem(2))
        );
        assert_eq!(
            items("-----BEGIN X509 CRL-----\nAAAA\n-----END CERTIFICATE-----"),
            Err(BundleError::Pem(1))
        );
    }
}
