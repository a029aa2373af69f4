//! What needs no broker: plans, posted CRLs, and what is served of several.

use revocast_messages::{CrlNotice, NoticeDifference, Origin, Role};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::{CrlNumber, IssuerId};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, SigningKey, name};
use revocast_store::Shelf;

use crate::plan::{Plan, Way, plan};
use crate::post::{self, NotTaken, Posted};

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

    pub(crate) fn issuer(&self) -> IssuerId {
        self.certificate.as_issuer()
    }

    pub(crate) fn crl(&self, number: u64) -> Crl {
        self.crl_at(number, 0)
    }

    fn crl_at(&self, number: u64, at: i64) -> Crl {
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, CrlNumber::from(number), NOW.plus(at), NOW.plus(99));
        Crl::decode(template.sign([], &self.key).unwrap()).unwrap()
    }

    pub(crate) fn notice(&self, crl: &Crl) -> CrlNotice {
        let instance = "r-1".parse().unwrap();
        CrlNotice::of(crl, self.issuer(), Origin { role: Role::Repository, instance, seen_at_ms: 0 })
    }
}

struct Room {
    shelf: Shelf,
    _folder: tempfile::TempDir,
}

fn room(known: &[&Ca]) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(folder.path()).unwrap();
    for ca in known {
        shelf.keep_certificate(ca.certificate.clone()).unwrap();
    }
    Room { shelf, _folder: folder }
}

fn plan_of(room: &Room, notice: &CrlNotice) -> Plan {
    room.shelf.read(|holdings| plan(notice, holdings))
}

#[test]
fn a_notice_of_an_unknown_issuer_waits_and_one_that_is_held_or_lower_is_done() {
    let ca = Ca::new("CN=1");
    assert!(matches!(plan_of(&room(&[]), &ca.notice(&ca.crl(1))), Plan::UnknownIssuer));
    let room = room(&[&ca]);
    let held = ca.crl(2);
    room.shelf.keep_crl(&held, &ca.certificate, false).unwrap();
    assert!(matches!(plan_of(&room, &ca.notice(&held)), Plan::Held));
    assert!(matches!(plan_of(&room, &ca.notice(&ca.crl(1))), Plan::Held));
    assert!(matches!(plan_of(&room, &ca.notice(&ca.crl(3))), Plan::Take { .. }));
}

#[test]
fn the_same_name_with_another_key_is_another_issuer() {
    let (ca, namesake) = (Ca::new("CN=1"), Ca::new("CN=1"));
    assert!(matches!(plan_of(&room(&[&namesake]), &ca.notice(&ca.crl(1))), Plan::UnknownIssuer));
}

#[test]
fn a_difference_is_used_before_the_inline_crl_and_that_before_the_object_store() {
    let ca = Ca::new("CN=1");
    let room = room(&[&ca]);
    let (old, new) = (ca.crl(1), ca.crl(2));
    let mut notice = ca.notice(&new);
    let ways = |room: &Room, notice: &CrlNotice| match plan_of(room, notice) {
        Plan::Take { ways, .. } => ways,
        other => panic!("{other:?}"),
    };
    let difference = Difference::construct(&old, &new).encoded().clone();
    notice.difference = Some(NoticeDifference { base: old.id(), bytes: difference.into() });
    assert!(matches!(ways(&room, &notice)[..], [Way::Inline(_), Way::Object(_)]), "the base is not held");
    room.shelf.keep_crl(&old, &ca.certificate, false).unwrap();
    assert!(matches!(ways(&room, &notice)[..], [Way::Difference { .. }, Way::Inline(_), Way::Object(_)]));
    notice.crl = None;
    assert!(matches!(ways(&room, &notice)[..], [Way::Difference { .. }, Way::Object(_)]));
}

#[test]
fn a_posted_crl_is_judged_by_its_signature_and_its_number() {
    let (ca, namesake, stranger) = (Ca::new("CN=1"), Ca::new("CN=1"), Ca::new("CN=2"));
    let room = room(&[&ca]);
    let post = |crl: &Crl| post::take(&room.shelf, crl.der().clone());
    assert!(matches!(post(&ca.crl(5)), Ok(Posted::New { before: None, .. })));
    assert!(matches!(post(&ca.crl(5)), Ok(Posted::Known(_))));
    assert!(matches!(post(&ca.crl(6)), Ok(Posted::New { before: Some(_), .. })));
    assert!(matches!(post(&ca.crl(5)), Err(NotTaken::Superseded { .. })));
    assert!(matches!(post(&ca.crl_at(6, -1)), Err(NotTaken::Conflict { .. })));
    assert!(matches!(post(&namesake.crl(9)), Err(NotTaken::Unsigned { .. })));
    assert!(matches!(post(&stranger.crl(9)), Err(NotTaken::UnknownIssuer { .. })));
    let noise = post::take(&room.shelf, bytes::Bytes::from_static(b"no CRL"));
    assert!(matches!(noise, Err(NotTaken::Malformed(_))));
}
