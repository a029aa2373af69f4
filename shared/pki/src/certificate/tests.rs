//! Certificates written octet by octet: what minting would never make.

use super::*;

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        n @ ..=0x7f => out.push(n as u8),
        n @ ..=0xff => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend_from_slice(content);
    out
}

/// The parts of a certificate that the tests below bend.
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner_algorithm: Vec<u8>,
    not_before: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut content = tlv(6, oid);
    if critical {
        content.extend(tlv(1, &[0xff]));
    }
    content.extend(tlv(4, value));
    tlv(0x30, &content)
}

fn parts() -> Parts {
    Parts {
        version: tlv(0xa0, &tlv(2, &[2])),
        serial: tlv(2, &[7]),
        inner_algorithm: tlv(0x30, &tlv(6, &[0x2b, 0x65, 0x70])),
        not_before: tlv(0x17, b"500101000000Z"),
        extensions: vec![extension(&[0x55, 0x1d, 19], true, b"\x30\x03\x01\x01\xff")],
        tail: Vec::new(),
    }
}

impl Parts {
    fn der(&self) -> Vec<u8> {
        let name = tlv(0x30, &tlv(0x31, &tlv(0x30, b"\x06\x03\x55\x04\x03\x0c\x01A")));
        let key = tlv(0x30, &[tlv(0x30, &tlv(6, &[0x2b, 0x65, 0x70])), tlv(3, &[0; 33])].concat());
        let validity = tlv(0x30, &[self.not_before.clone(), tlv(0x17, b"491231235959Z")].concat());
        let mut tbs =
            [&self.version[..], &self.serial, &self.inner_algorithm, &name, &validity, &name, &key].concat();
        if !self.extensions.is_empty() {
            tbs.extend(tlv(0xa3, &tlv(0x30, &self.extensions.concat())));
        }
        let algorithm = tlv(0x30, &tlv(6, &[0x2b, 0x65, 0x70]));
        let mut der = tlv(0x30, &[tlv(0x30, &tbs), algorithm, tlv(3, &[0; 65])].concat());
        der.extend(&self.tail);
        der
    }

    fn decode(&self) -> Result<Certificate, CertificateError> {
        Certificate::decode(self.der())
    }
}

#[test]
fn what_is_read_stands_where_it_stood() {
    let certificate = parts().decode().unwrap();
    assert_eq!(certificate.serial(), [7]);
    assert_eq!(certificate.not_before().to_string(), "1950-01-01T00:00:00Z");
    assert_eq!(certificate.signature().len(), 64);
    assert_eq!(certificate.signature_algorithm(), b"\x30\x05\x06\x03\x2b\x65\x70");
    assert!(certificate.is_ca() && certificate.is_self_issued());
    assert_eq!(certificate.tbs()[0], 0x30);
    assert_eq!(certificate.spki().len(), 44);
}

#[test]
fn serials_of_every_sign_and_length_are_read() {
    for serial in [vec![0], vec![0xff, 0xff], vec![0, 0, 1], vec![0x7f; 21], vec![0x80; 200]] {
        let certificate = Parts { serial: tlv(2, &serial), ..parts() }.decode().unwrap();
        assert_eq!(certificate.serial(), serial);
    }
}

#[test]
fn what_der_or_the_profile_forbid_is_refused() {
    let refused = |parts: Parts| parts.decode().unwrap_err();
    let twice = [parts().extensions, parts().extensions].concat();
    assert!(matches!(
        refused(Parts { extensions: twice, ..parts() }),
        CertificateError::DuplicateExtension(oid) if oid == "2.5.29.19"
    ));
    assert_eq!(
        refused(Parts { inner_algorithm: tlv(0x30, b"\x06\x03\x2b\x65\x71"), ..parts() }),
        CertificateError::AlgorithmMismatch
    );
    assert_eq!(refused(Parts { version: Vec::new(), ..parts() }), CertificateError::FieldsOfALaterVersion);
    assert_eq!(refused(Parts { version: tlv(0xa0, &tlv(2, &[0])), ..parts() }), CertificateError::Version(1));
    assert!(matches!(refused(Parts { tail: vec![0], ..parts() }), CertificateError::Malformed(_)));
    assert!(matches!(
        refused(Parts { not_before: tlv(0x18, b"20000101000000.5Z"), ..parts() }),
        CertificateError::Malformed(_)
    ));
    let many = (0..=MAX_EXTENSIONS as u8).map(|n| extension(&[0x2a, 3, n & 0x7f, n >> 7], false, &[5, 0]));
    assert_eq!(refused(Parts { extensions: many.collect(), ..parts() }), CertificateError::TooManyExtensions);
}

#[test]
fn a_known_extension_with_a_wrong_value_is_refused_even_if_not_critical() {
    for (oid, value) in [
        (&[0x55, 0x1d, 19][..], &b"\x30\x03\x02\x01\xff"[..]),
        (&[0x55, 0x1d, 15], b"\x03\x01\x03"),
        (&[0x55, 0x1d, 17], b"\x30\x00"),
        (&[0x55, 0x1d, 32], b"\x30\x0c\x30\x04\x06\x02\x2a\x03\x30\x04\x06\x02\x2a\x03"),
        (&[0x55, 0x1d, 31], b"\x30\x02\x30\x00"),
        (&[0x2b, 6, 1, 5, 5, 7, 1, 1], b"\x30\x01"),
    ] {
        let bent = Parts { extensions: vec![extension(oid, false, value)], ..parts() };
        assert!(matches!(bent.decode(), Err(CertificateError::Extension(..))), "{oid:?}");
    }
}

#[test]
fn a_critical_extension_that_nobody_knows_is_told() {
    let strange = vec![
        extension(&[0x2a, 3, 4], false, &[5, 0]),
        extension(&[0x2a, 3, 5], true, &[5, 0]),
        extension(&[0x2a, 3, 6], true, &[5, 0]),
    ];
    let certificate = Parts { extensions: strange, ..parts() }.decode().unwrap();
    assert_eq!(certificate.unknown_critical_extension().unwrap().to_string(), "1.2.3.5");
    assert_eq!(certificate.extensions().count(), 3);
}

#[test]
fn no_flipped_bit_and_no_cut_makes_decoding_panic() {
    let der = parts().der();
    for bit in 0..der.len() * 8 {
        let mut bent = der.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let _ = Certificate::decode(bent);
    }
    for cut in 0..der.len() {
        assert!(Certificate::decode(der[..cut].to_vec()).is_err());
    }
}
