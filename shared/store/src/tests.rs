//! The shelf through restarts, faults of the disk, and CRLs in any order.

use proptest::prelude::*;
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlKind, CrlNumber};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, SigningKey, key_id, name};

use crate::{Kept, Rank, Shelf, find_signer, has_signed};

const NOW: Time = Time::from_unix(1_795_305_600);

/// A CA with a self-signed certificate.
pub(crate) struct Ca {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

impl Ca {
    pub(crate) fn new(subject: &str) -> Ca {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], (NOW, NOW.plus(99)));
        let certificate = Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap();
        Ca { key, certificate }
    }

    fn crl(&self, number: u64, this_update: i64) -> Crl {
        self.crl_with(number, this_update, |_| ())
    }

    fn crl_with(&self, number: u64, this_update: i64, change: impl FnOnce(&mut CrlTemplate)) -> Crl {
        let at = NOW.plus(this_update);
        let subject = self.certificate.subject().clone();
        let mut template = CrlTemplate::new(subject, CrlNumber::from(number), at, at.plus(99));
        change(&mut template);
        Crl::decode(template.sign([], &self.key).unwrap()).unwrap()
    }
}

fn number(shelf: &Shelf) -> Vec<u64> {
    let numbers =
        shelf.read(|holdings| holdings.crls().filter_map(|(_, held)| held.crl.number()).collect::<Vec<_>>());
    numbers.into_iter().map(|number| number.to_string().parse().unwrap()).collect()
}

fn files(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_was_kept_is_there_after_the_shelf_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Ca::new("CN=1"), Ca::new("CN=2"));
    {
        let shelf = Shelf::open(folder.path()).unwrap();
        assert!(shelf.keep_certificate(one.certificate.clone()).unwrap());
        assert!(!shelf.keep_certificate(one.certificate.clone()).unwrap());
        assert!(matches!(
            shelf.keep_crl(&one.crl(1, 0), &one.certificate, true).unwrap(),
            Kept::Highest { before: None, .. }
        ));
        assert!(matches!(
            shelf.keep_crl(&two.crl(7, 0), &two.certificate, false).unwrap(),
            Kept::Highest { before: None, .. }
        ));
    }
    let shelf = Shelf::open(folder.path()).unwrap();
    shelf.read(|holdings| {
        assert_eq!((holdings.crls().count(), holdings.certificates().count()), (2, 2));
        let held = holdings.crls_of(one.certificate.as_issuer()).next().unwrap().1;
        assert!(held.own && held.crl.number() == Some(CrlNumber::from(1)));
        assert!(!holdings.crls_of(two.certificate.as_issuer()).next().unwrap().1.own);
        assert_eq!(holdings.issuers().len(), 2);
    });
}

#[test]
fn a_superseded_crl_is_removed_and_a_lower_one_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("CN=1");
    let shelf = Shelf::open(folder.path()).unwrap();
    shelf.keep_crl(&ca.crl(2, 0), &ca.certificate, true).unwrap();
    let Kept::Highest { before: Some(before), .. } =
        shelf.keep_crl(&ca.crl(3, 1), &ca.certificate, false).unwrap()
    else {
        panic!("the higher one is kept")
    };
    assert_eq!(before.crl.number(), Some(CrlNumber::from(2)));
    assert!(matches!(shelf.keep_crl(&ca.crl(2, 9), &ca.certificate, true).unwrap(), Kept::Lower(_)));
    assert!(matches!(shelf.keep_crl(&ca.crl(3, 1), &ca.certificate, true).unwrap(), Kept::Same(_)));
    assert_eq!((files(&folder.path().join("crls/own")), files(&folder.path().join("crls/foreign"))), (0, 1));
}

#[test]
fn of_two_generations_that_a_kill_left_the_higher_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("CN=1");
    Shelf::open(folder.path()).unwrap().keep_crl(&ca.crl(1, 0), &ca.certificate, true).unwrap();
    let newer = ca.crl(2, 1);
    std::fs::write(folder.path().join("crls/own").join(newer.digest().to_string()), newer.der()).unwrap();
    assert_eq!(number(&Shelf::open(folder.path()).unwrap()), [2]);
    assert_eq!(files(&folder.path().join("crls/own")), 1);
}

#[test]
fn a_crl_of_an_unknown_key_and_a_damaged_file_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, thief) = (Ca::new("CN=1"), Ca::new("CN=1"));
    Shelf::open(folder.path()).unwrap().keep_crl(&ca.crl(1, 0), &ca.certificate, true).unwrap();
    let forged = thief.crl(9, 9);
    let own = folder.path().join("crls/own");
    std::fs::write(own.join(forged.digest().to_string()), forged.der()).unwrap();
    assert_eq!(number(&Shelf::open(folder.path()).unwrap()), [1]);
    std::fs::write(own.join(ca.crl(1, 0).digest().to_string()), b"torn").unwrap();
    assert!(number(&Shelf::open(folder.path()).unwrap()).is_empty());
}

#[test]
fn complete_and_delta_are_two_series() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("CN=1");
    let shelf = Shelf::open(folder.path()).unwrap();
    shelf.keep_crl(&ca.crl(2, 0), &ca.certificate, true).unwrap();
    let delta = ca.crl_with(2, 0, |template| template.base = Some(CrlNumber::from(1)));
    assert!(matches!(
        shelf.keep_crl(&delta, &ca.certificate, true).unwrap(),
        Kept::Highest { before: None, .. }
    ));
    let kinds: Vec<CrlKind> =
        shelf.read(|holdings| holdings.crls_of(ca.certificate.as_issuer()).map(|(key, _)| key.2).collect());
    assert_eq!(kinds, [CrlKind::Complete, CrlKind::Delta]);
}

#[test]
fn a_time_that_two_crls_share_tells_nobody_which_one_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("CN=1");
    let shelf = Shelf::open(folder.path()).unwrap();
    let last_modified = |crl: Crl| {
        shelf.keep_crl(&crl, &ca.certificate, true).unwrap();
        shelf.read(|holdings| holdings.crls().next().unwrap().1.last_modified)
    };
    assert_eq!(last_modified(ca.crl(1, 0)), Some(NOW));
    assert_eq!(last_modified(ca.crl(2, 0)), None);
    assert_eq!(last_modified(ca.crl(3, 5)), Some(NOW.plus(5)));
}

#[test]
fn the_same_number_with_other_words_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("CN=1");
    let shelf = Shelf::open(folder.path()).unwrap();
    let (one, other) = (ca.crl(1, 0), ca.crl(1, 1));
    shelf.keep_crl(&one, &ca.certificate, true).unwrap();
    shelf.read(|holdings| {
        let key = *holdings.crls().next().unwrap().0;
        assert!(
            holdings.is_conflicting(&key, &other.order()) && !holdings.is_conflicting(&key, &one.order())
        );
        assert_eq!(
            (holdings.rank(&key, &other.order()), holdings.rank(&key, &one.order())),
            (Rank::Higher, Rank::Same)
        );
    });
}

#[test]
fn of_several_keys_under_one_name_the_one_that_signed_is_found() {
    let cas: Vec<Ca> = (0..4).map(|_| Ca::new("CN=1")).collect();
    let certificates: Vec<Certificate> = cas.iter().map(|ca| ca.certificate.clone()).collect();
    for ca in &cas {
        for named in [true, false] {
            let crl = ca.crl_with(1, 0, |template| {
                template.authority_key_id = named.then(|| key_id(ca.key.spki()).to_vec());
            });
            assert_eq!(find_signer(&crl, &certificates).as_ref(), Some(&ca.certificate));
        }
    }
    assert_eq!(find_signer(&Ca::new("CN=1").crl(1, 0), &certificates), None);
    assert!(has_signed(&cas[0].certificate, &cas[0].certificate));
    assert!(!has_signed(&cas[0].certificate, &cas[1].certificate));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn whatever_the_order_the_highest_stands_and_outlives_a_restart(
        numbers in prop::collection::vec((0u64..6, 0i64..3), 1..8)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new("CN=1");
        let shelf = Shelf::open(folder.path()).unwrap();
        let crls: Vec<Crl> = numbers.iter().map(|(number, at)| ca.crl(*number, *at)).collect();
        for crl in &crls {
            shelf.keep_crl(crl, &ca.certificate, true).unwrap();
        }
        let highest = crls.iter().max_by_key(|crl| crl.order()).unwrap().id();
        let held = |shelf: &Shelf| shelf.read(|holdings| holdings.crls().next().unwrap().1.crl.id());
        prop_assert_eq!(held(&shelf), highest);
        prop_assert_eq!(held(&Shelf::open(folder.path()).unwrap()), highest);
    }
}
