//! Certificate store access over HTTP (RFC 4387): an attribute and a value, as far as they name things exactly.
//!
//! A hash is SHA-1, as that RFC fixed it: 27 characters of base64, without the padding. Nothing rests on it; it is how
//! a document is looked up, and whoever gets one verifies it.

use bytes::Bytes;
use revocast_pki::asn1::{Tag, Writer};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_pki::name::attribute_type::COMMON_NAME;
use ring::digest;

/// A search finds at most this many documents: a name may have many certificates, an answer should end.
pub(crate) const MAX_FOUND: usize = 64;

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// `certHash`: the certificate.
    Certificate(Sha1),
    /// `sHash`: the subject's name, DER.
    Subject(Sha1),
    /// `iHash`: the issuer's name, DER.
    Issuer(Sha1),
    /// `iAndSHash`: issuerAndSerialNumber, DER.
    IssuerAndSerial(Sha1),
    /// `sKIDHash`: content octets of the subject key identifier.
    SubjectKeyId(Sha1),
    /// `name`: the subject's common name, as it stands.
    CommonName(String),
}

type Sha1 = [u8; 20];

/// A search that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotASearch {
    #[error("exactly one attribute is asked for")]
    Attributes,
    #[error(
        "the attribute {0:?} is not known; certHash, sHash, iHash, iAndSHash, sKIDHash and name are, for CRLs iHash"
    )]
    Unknown(String),
    #[error("a hash is 27 characters of base64, without padding")]
    Hash,
}

impl Search {
    /// Reads a query's only attribute.
    pub(crate) fn read(query: &[(String, String)]) -> Result<Search, NotASearch> {
        let [(attribute, value)] = query else { return Err(NotASearch::Attributes) };
        Ok(match attribute.as_str() {
            "certHash" => Search::Certificate(hash(value)?),
            "sHash" => Search::Subject(hash(value)?),
            "iHash" => Search::Issuer(hash(value)?),
            "iAndSHash" => Search::IssuerAndSerial(hash(value)?),
            "sKIDHash" => Search::SubjectKeyId(hash(value)?),
            "name" => Search::CommonName(value.clone()),
            other => return Err(NotASearch::Unknown(other.chars().take(32).collect())),
        })
    }

    /// Reads a query for CRLs, which have an issuer only.
    pub(crate) fn read_for_crls(query: &[(String, String)]) -> Result<Search, NotASearch> {
        match (Search::read(query)?, query) {
            (search @ Search::Issuer(_), _) => Ok(search),
            (_, [(attribute, _)]) => Err(NotASearch::Unknown(attribute.clone())),
            _ => Err(NotASearch::Attributes),
        }
    }

    /// Whether a certificate is searched for.
    pub(crate) fn finds(&self, certificate: &Certificate) -> bool {
        match self {
            Search::Certificate(hash) => sha1(certificate.der()) == *hash,
            Search::Subject(hash) => sha1(certificate.subject().der()) == *hash,
            Search::Issuer(hash) => sha1(certificate.issuer().der()) == *hash,
            Search::IssuerAndSerial(hash) => sha1(&issuer_and_serial(certificate)) == *hash,
            Search::SubjectKeyId(hash) => certificate.subject_key_id().is_some_and(|id| sha1(id) == *hash),
            Search::CommonName(name) => has_common_name(certificate, name),
        }
    }

    /// Whether a CRL is searched for.
    pub(crate) fn finds_crl(&self, crl: &Crl) -> bool {
        matches!(self, Search::Issuer(hash) if sha1(crl.issuer().der()) == *hash)
    }
}

/// Several documents in one body: its media type and itself (RFC 2046 5.1.3).
pub(crate) fn multipart(documents: &[Bytes], media: &str) -> (String, Bytes) {
    let all: Vec<u8> = documents.concat();
    // A boundary that stands in the documents would have to contain their own hash.
    let boundary = format!("revocast-{}", Digest::of(&all));
    let mut body = Vec::with_capacity(all.len() + documents.len() * 256);
    for document in documents {
        let head =
            format!("--{boundary}\r\nContent-Type: {media}\r\nContent-Transfer-Encoding: binary\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(document);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed; boundary={boundary}"), body.into())
}

fn hash(value: &str) -> Result<Sha1, NotASearch> {
    let octets = data_encoding::BASE64_NOPAD.decode(value.as_bytes()).map_err(|_| NotASearch::Hash)?;
    octets.try_into().map_err(|_| NotASearch::Hash)
}

fn sha1(octets: &[u8]) -> Sha1 {
    let mut hash = [0; 20];
    hash.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref());
    hash
}

fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.sequence(|writer| {
        writer.raw(certificate.issuer().der());
        writer.value(Tag::INTEGER, certificate.serial());
    });
    writer.finish()
}

fn has_common_name(certificate: &Certificate, name: &str) -> bool {
    certificate
        .subject()
        .attributes()
        .iter()
        .any(|(kind, value)| *kind == COMMON_NAME && value.content == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Ca;

    fn query(attribute: &str, value: &str) -> Vec<(String, String)> {
        vec![(attribute.into(), value.into())]
    }

    fn encoded(octets: &[u8]) -> String {
        data_encoding::BASE64_NOPAD.encode(&sha1(octets))
    }

    #[test]
    fn a_certificate_is_found_by_each_of_its_attributes() {
        let (ca, other) = (Ca::new("CN=one,O=Example"), Ca::new("CN=two,O=Example"));
        let certificate = &ca.certificate;
        for (attribute, value) in [
            ("certHash", encoded(certificate.der())),
            ("sHash", encoded(certificate.subject().der())),
            ("iHash", encoded(certificate.issuer().der())),
            ("iAndSHash", encoded(&issuer_and_serial(certificate))),
            ("sKIDHash", encoded(certificate.subject_key_id().unwrap())),
            ("name", "one".into()),
        ] {
            let search = Search::read(&query(attribute, &value)).unwrap();
            assert!(search.finds(certificate) && !search.finds(&other.certificate), "{attribute}");
        }
    }

    #[test]
    fn issuer_and_serial_number_is_the_der_of_cms() {
        let ca = Ca::new("CN=x");
        let expected = [&[0x30, 0x11][..], ca.certificate.issuer().der(), &[2, 1, 1]].concat();
        assert_eq!(issuer_and_serial(&ca.certificate), expected);
    }

    #[test]
    fn a_crl_is_found_by_its_issuer_only() {
        let ca = Ca::new("CN=one");
        let search =
            Search::read_for_crls(&query("iHash", &encoded(ca.certificate.subject().der()))).unwrap();
        assert!(search.finds_crl(&ca.crl(1)) && !search.finds_crl(&Ca::new("CN=two").crl(1)));
        assert!(Search::read_for_crls(&query("name", "one")).is_err());
    }

    #[test]
    fn what_is_no_search_is_refused() {
        let hash = encoded(b"x");
        assert_eq!(hash.len(), 27);
        for (attribute, value) in
            [("certHash", &*format!("{hash}=")), ("certHash", "abc"), ("sHash", &hash[1..]), ("shash", &hash)]
        {
            assert!(Search::read(&query(attribute, value)).is_err(), "{attribute}={value}");
        }
        assert_eq!(Search::read(&[]), Err(NotASearch::Attributes));
        assert!(Search::read(&[query("name", "a"), query("name", "b")].concat()).is_err());
    }

    #[test]
    fn several_documents_stand_between_boundaries() {
        let (kind, body) = multipart(&[Bytes::from_static(b"one"), Bytes::from_static(b"two")], "a/b");
        let boundary = kind.split_once("boundary=").unwrap().1;
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(text.matches(&format!("--{boundary}\r\nContent-Type: a/b")).count(), 2);
        assert!(text.contains("\r\n\r\none\r\n--") && text.ends_with(&format!("two\r\n--{boundary}--\r\n")));
    }
}
