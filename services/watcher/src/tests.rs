//! Sightings, without a network: what is new, what is known, what waits, what is nothing.

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::CrlNumber;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, SigningKey, name};
use revocast_store::Shelf;

use crate::sight::{Sighting, sight, sight_crl};

const NOW: Time = Time::from_unix(1_795_305_600);

struct Ca {
    key: SigningKey,
    certificate: Certificate,
}

impl Ca {
    fn new(subject: &str) -> Ca {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], (NOW, NOW.plus(99)));
        Ca { certificate: Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap(), key }
    }

    fn crl(&self, number: u64) -> Crl {
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, CrlNumber::from(number), NOW, NOW.plus(99));
        Crl::decode(template.sign([], &self.key).unwrap()).unwrap()
    }
}

fn shelf(folder: &tempfile::TempDir, known: &[&Ca]) -> Shelf {
    let shelf = Shelf::open(folder.path()).unwrap();
    for ca in known {
        shelf.keep_certificate(ca.certificate.clone()).unwrap();
    }
    shelf
}

#[test]
fn a_document_is_new_known_lower_or_nothing() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::new("CN=1"));
    let shelf = shelf(&folder, &[&ca]);
    let word = |document: &[u8]| sight(&shelf, document.to_vec().into()).word();
    let crl = ca.crl(2);
    assert_eq!(word(b"<html>not found</html>"), "garbage");
    assert_eq!(word(crl.der()), "new");
    assert_eq!(word(crl.der()), "known");
    assert_eq!(word(ca.crl(1).der()), "lower");
    let Sighting::New { held, before } = sight(&shelf, ca.crl(3).der().clone()) else {
        panic!("a higher one is new")
    };
    assert_eq!((held.crl.number(), before), (Some(3.into()), Some(crl)));
}

#[test]
fn a_crl_of_an_unknown_key_waits_until_its_certificate_comes() {
    let (folder, ca, namesake) = (tempfile::tempdir().unwrap(), Ca::new("CN=1"), Ca::new("CN=1"));
    let shelf = shelf(&folder, &[&namesake]);
    let Sighting::Pending(crl) = sight(&shelf, ca.crl(1).der().clone()) else {
        panic!("its key is not known")
    };
    shelf.keep_certificate(ca.certificate.clone()).unwrap();
    let Sighting::New { held, .. } = sight_crl(&shelf, crl) else { panic!("its key is known now") };
    assert_eq!(held.signer, ca.certificate);
}

#[test]
fn a_flipped_bit_makes_nothing_new() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::new("CN=1"));
    let shelf = shelf(&folder, &[&ca]);
    let good = ca.crl(1).der().to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let sighting = sight(&shelf, bad.into());
        assert!(
            matches!(sighting, Sighting::Garbage(_) | Sighting::Pending(_)),
            "octet {at}: {}",
            sighting.word()
        );
    }
}
