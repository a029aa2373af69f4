//! What is minted is read back by another implementation (x509-cert), and verified by ring.

use der::{Decode, Encode};
use x509_cert::certificate::{Certificate, Rfc5280};
use x509_cert::crl::CertificateList;

use super::*;
use crate::asn1::{Oid, Time};
use crate::certificate::{BasicConstraints, PolicyConstraints};
use crate::crl::Reason;
use crate::distribution_point::Reasons;

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn validity() -> (Time, Time) {
    (time("2026-01-01T00:00:00Z"), time("2066-01-01T00:00:00Z"))
}

fn oid(dotted: &str) -> Vec<u8> {
    Oid::encode(dotted).unwrap()
}

fn everything(key: &SigningKey) -> CertificateTemplate {
    let uri = |text: &str| GeneralName::Uri(text.to_owned());
    CertificateTemplate {
        basic_constraints: Some(BasicConstraints { ca: true, path_length: Some(3) }),
        extended_key_usage: vec![oid("1.3.6.1.5.5.7.3.1")],
        subject_alt_names: vec![
            GeneralName::Dns("example.test".into()),
            GeneralName::Email("a@example.test".into()),
            GeneralName::Ip(vec![127, 0, 0, 1]),
            GeneralName::Directory(name("CN=other").unwrap()),
            GeneralName::RegisteredId(oid("1.2.3")),
        ],
        crl_distribution_points: vec![
            DistributionPoint::uri("http://example.test/a.crl"),
            DistributionPoint {
                name: Some(DistributionPointName::Relative(name("CN=part 1").unwrap())),
                reasons: Some(Reasons::from_iter([Reason::KeyCompromise])),
                crl_issuer: vec![GeneralName::Directory(name("CN=crl issuer").unwrap())],
            },
        ],
        freshest_crl: vec![DistributionPoint::uri("http://example.test/delta.crl")],
        authority_info_access: vec![(AccessMethod::CaIssuers, uri("http://example.test/ca.cer"))],
        subject_info_access: vec![(AccessMethod::CaRepository, uri("http://example.test/"))],
        policies: vec![
            oid("2.16.840.1.101.3.2.1.48.1").into(),
            PolicyStatement { oid: oid("1.2.3.4"), cps: Some("http://example.test/cps".into()) },
        ],
        policy_mappings: vec![(oid("1.2.3.4"), oid("1.2.3.5"))],
        policy_constraints: Some(PolicyConstraints {
            require_explicit_policy: Some(0),
            inhibit_policy_mapping: Some(2),
        }),
        inhibit_any_policy: Some(1),
        name_constraints: Some(GeneralSubtrees {
            permitted: vec![GeneralName::Dns("example.test".into())],
            excluded: vec![GeneralName::Ip(vec![10, 0, 0, 0, 255, 0, 0, 0])],
        }),
        authority_key_id: Some(key_id(key.spki()).to_vec()),
        extra: vec![Extension { oid: oid("1.2.3.6"), critical: false, value: vec![5, 0] }],
        ..CertificateTemplate::ca(name("CN=Example CA").unwrap(), key.spki(), &[0x7f], validity())
    }
}

#[test]
fn another_implementation_reads_a_certificate_with_every_extension_the_same() {
    for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Ed25519] {
        let key = SigningKey::generate(kind).unwrap();
        let issuer = name("CN=Example Root,O=Example,C=DE").unwrap();
        let der = everything(&key).sign(&issuer, &key).unwrap();
        let read: Certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(read.to_der().unwrap(), der, "{kind:?}");
        assert_eq!(read.tbs_certificate().extensions().unwrap().len(), 16);
        assert_eq!(read.tbs_certificate().subject().to_string(), "CN=Example CA");
    }
}

#[test]
fn openly_wrong_serials_are_written_as_they_stand() {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let subject = name("CN=x").unwrap();
    let template = CertificateTemplate::new(subject.clone(), key.spki(), &[0, 0, 1], validity());
    let der = template.sign(&subject, &key).unwrap();
    assert!(der.windows(5).any(|window| window == [0x02, 3, 0, 0, 1]));
}

#[test]
fn another_implementation_reads_a_crl_with_every_extension_the_same() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let issuer = name("CN=Example CA").unwrap();
    let (this_update, next_update) = validity();
    let template = CrlTemplate {
        base: Some(3.into()),
        distribution_point: Some(DistributionScope {
            name: Some(DistributionPointName::uri("http://example.test/a.crl")),
            only_user_certs: true,
            only_some_reasons: Some(Reasons::from_iter([Reason::KeyCompromise, Reason::AaCompromise])),
            indirect: true,
            ..DistributionScope::default()
        }),
        authority_key_id: Some(key_id(key.spki()).to_vec()),
        freshest_crl: vec![DistributionPoint::uri("http://example.test/delta.crl")],
        ..CrlTemplate::new(issuer.clone(), 200, this_update, next_update)
    };
    let entries = [
        RevokedEntry::new(&[1], this_update),
        RevokedEntry::new(&[0, 0x80], this_update).because(Reason::KeyCompromise),
        RevokedEntry {
            invalidity_date: Some(this_update),
            certificate_issuer: vec![GeneralName::Directory(name("CN=other").unwrap())],
            ..RevokedEntry::new(&[3], this_update)
        },
    ];
    let der = template.sign(entries, &key).unwrap();
    let read: CertificateList<Rfc5280> = CertificateList::from_der(&der).unwrap();
    assert_eq!(read.to_der().unwrap(), der);
    assert_eq!(read.tbs_cert_list.revoked_certificates.unwrap().len(), 3);
    assert_eq!(read.tbs_cert_list.crl_extensions.unwrap().len(), 5);
}

#[test]
fn an_empty_list_is_left_out_of_a_crl() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (this_update, next_update) = validity();
    let template = CrlTemplate::new(name("CN=x").unwrap(), 1, this_update, next_update);
    let der = template.sign([], &key).unwrap();
    let read: CertificateList<Rfc5280> = CertificateList::from_der(&der).unwrap();
    assert!(read.tbs_cert_list.revoked_certificates.is_none());
}
