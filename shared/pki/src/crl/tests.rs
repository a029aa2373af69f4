use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::asn1::{Asn1ErrorKind, Oid, Tag, Writer};
use crate::distribution_point::Reasons;
use crate::mint::{
    CrlTemplate, DistributionPoint, DistributionPointName, DistributionScope, Extension, GeneralName,
    KeyKind, RevokedEntry, SigningKey, key_id, name,
};
use crate::signature::{AlgorithmPolicy, SignatureError};

fn at(day: i64) -> Time {
    Time::from_unix(1_790_000_000 + day * 86_400)
}

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

fn template() -> CrlTemplate {
    CrlTemplate::new(name("CN=Example CA").unwrap(), 7, at(0), at(1))
}

fn indirect() -> CrlTemplate {
    let scope = DistributionScope { indirect: true, ..DistributionScope::default() };
    CrlTemplate { distribution_point: Some(scope), ..template() }
}

fn entry(serial: &[u8]) -> RevokedEntry {
    RevokedEntry::new(serial, at(-3))
}

fn extension(oid: &str, critical: bool) -> Extension {
    Extension { oid: Oid::encode(oid).unwrap(), critical, value: vec![5, 0] }
}

fn directory(text: &str) -> Vec<GeneralName> {
    vec![GeneralName::Directory(name(text).unwrap())]
}

fn signed(template: &CrlTemplate, entries: impl IntoIterator<Item = RevokedEntry>) -> Crl {
    Crl::decode(template.sign(entries, &key()).unwrap()).unwrap()
}

#[test]
fn whatever_is_said_is_read() {
    let key = key();
    let template = CrlTemplate {
        base: Some(3.into()),
        distribution_point: Some(DistributionScope {
            name: Some(DistributionPointName::uri("http://example.test/a.crl")),
            only_ca_certs: true,
            only_some_reasons: Some([Reason::KeyCompromise].into_iter().collect()),
            ..DistributionScope::default()
        }),
        authority_key_id: Some(key_id(key.spki()).to_vec()),
        freshest_crl: vec![DistributionPoint::uri("http://example.test/delta.crl")],
        ..template()
    };
    let said = [
        entry(&[1]),
        entry(&[2]).because(Reason::KeyCompromise),
        RevokedEntry { invalidity_date: Some(at(-9)), ..entry(&[3]) },
        RevokedEntry { invalidity_date: Some(at(-9)), ..entry(&[4]).because(Reason::AaCompromise) },
    ];
    let crl = Crl::decode(template.sign(said.clone(), &key).unwrap()).unwrap();
    assert_eq!(crl.header().version(), Version::V2);
    assert_eq!(crl.issuer(), &template.issuer);
    assert_eq!((crl.number(), crl.base_number()), (Some(7.into()), Some(3.into())));
    assert_eq!(crl.kind(), CrlKind::Delta);
    assert_eq!((crl.this_update(), crl.next_update()), (at(0), Some(at(1))));
    assert_eq!(crl.authority_key_id().unwrap().key_id, Some(&key_id(key.spki())[..]));
    assert_eq!(crl.freshest_crl().unwrap().count(), 1);
    let point = crl.distribution_point().unwrap();
    assert!(point.only_ca_certs && !point.only_user_certs && !point.indirect);
    assert_eq!(point.reasons(), Reasons::from(Reason::KeyCompromise));
    assert!(point.name().is_some());
    assert_eq!(crl.usable(), Ok(()));
    assert_eq!(crl.entries(), 4);
    for (said, read) in said.iter().zip(crl.iter()) {
        assert_eq!(read.serial(), said.serial);
        assert_eq!(read.date(), said.date);
        assert_eq!(read.stated_reason(), said.reason);
        assert_eq!(read.invalidity_date(), said.invalidity_date);
        assert_eq!(read.certificate_issuer(), crl.issuer());
        assert_eq!(crl.find(&said.serial).unwrap().der(), read.der());
    }
    assert_eq!(crl.verify(key.spki(), &AlgorithmPolicy::default()), Ok(()));
}

#[test]
fn lists_without_entries_or_number_or_version_are_lists() {
    let empty = signed(&template(), []);
    assert_eq!((empty.entries(), empty.iter().count(), empty.header().has_list()), (0, 0, false));
    assert!(empty.find(&[1]).is_none());
    let old = signed(&CrlTemplate { v1: true, number: None, next_update: None, ..template() }, [entry(&[1])]);
    assert_eq!((old.header().version(), old.number(), old.next_update()), (Version::V1, None, None));
    assert!(old.find(&[1]).is_some());
}

#[test]
fn serials_of_every_shape_are_found_padded_or_not() {
    let long = [7; 40];
    let serials: [&[u8]; 9] =
        [&[0], &[1], &[0x80], &[0xff], &[0, 0xff], &[0x7f; 20], &[1; 24], &[1; 25], &long];
    let crl = signed(&template(), serials.map(entry));
    for serial in serials {
        assert_eq!(crl.find(serial).unwrap().serial(), serial);
        let pad = if serial[0] >= 0x80 { 0xff } else { 0 };
        assert!(crl.find(&[&[pad, pad], serial].concat()).is_some());
        assert!(crl.find(&[serial, &[0x55]].concat()).is_none());
    }
    // -1 is not 255.
    assert!(crl.find(&[0, 0x80]).is_none());
    let padded = signed(&template(), [entry(&[0, 0, 0x12])]);
    assert_eq!(padded.find(&[0x12]).unwrap().serial(), [0, 0, 0x12]);
}

#[test]
fn a_certificate_issuer_holds_until_the_next_one() {
    let of = |serial, issuer| RevokedEntry { certificate_issuer: directory(issuer), ..entry(serial) };
    let crl = signed(
        &indirect(),
        [
            entry(&[1]),
            of(&[1], "CN=B"),
            entry(&[2]),
            of(&[1], "CN=C"),
            of(&[3], "CN=B"),
            of(&[4], "CN=Example CA"),
        ],
    );
    let issuers: Vec<_> = crl.iter().map(|entry| entry.certificate_issuer().to_string()).collect();
    assert_eq!(issuers, ["CN=Example CA", "CN=B", "CN=B", "CN=C", "CN=B", "CN=Example CA"]);
    let found = |issuer: &str, serial: &[u8]| {
        crl.find_issued_by(&name(issuer).unwrap(), serial).map(|entry| entry.certificate_issuer().to_string())
    };
    for (issuer, serials) in
        [("CN=Example CA", &[1, 4][..]), ("CN=B", &[1, 2, 3]), ("CN=C", &[1]), ("CN=D", &[])]
    {
        for serial in 1..=4 {
            let expected = serials.contains(&serial).then(|| issuer.to_owned());
            assert_eq!(found(issuer, &[serial]), expected, "{issuer} {serial}");
        }
    }
    assert_eq!(crl.usable(), Ok(()));
    assert!(crl.find(&[2]).is_none());
}

#[test]
fn an_entry_that_revokes_comes_before_one_that_removes() {
    let delta = CrlTemplate { base: Some(3.into()), ..template() };
    for reasons in [[Reason::RemoveFromCrl, Reason::Superseded], [Reason::Superseded, Reason::RemoveFromCrl]]
    {
        let crl = signed(&delta, reasons.map(|reason| entry(&[9]).because(reason)));
        assert_eq!(crl.find(&[9]).unwrap().reason(), Reason::Superseded);
    }
    let removed = signed(&delta, [entry(&[9]).because(Reason::RemoveFromCrl)]);
    assert_eq!(removed.find(&[9]).unwrap().reason(), Reason::RemoveFromCrl);
}

#[test]
fn what_a_relying_party_must_not_ignore_makes_a_list_unusable_but_still_revokes() {
    let oid = "1.2.3.4";
    let only = |user, ca| DistributionScope {
        only_user_certs: user,
        only_ca_certs: ca,
        ..DistributionScope::default()
    };
    let unknown_entry = RevokedEntry { extra: vec![extension(oid, true)], ..entry(&[1]) };
    let issuer_entry = |names| RevokedEntry { certificate_issuer: names, ..entry(&[1]) };
    for (template, entry, expected) in [
        (
            CrlTemplate { extra: vec![extension(oid, true)], ..template() },
            entry(&[1]),
            Err(Unusable::UnknownCriticalExtension(oid.into())),
        ),
        (template(), unknown_entry, Err(Unusable::UnknownCriticalEntryExtension(oid.into()))),
        (template(), issuer_entry(directory("CN=Example CA")), Err(Unusable::CertificateIssuer)),
        (indirect(), issuer_entry(vec![GeneralName::Dns("a.test".into())]), Err(Unusable::CertificateIssuer)),
        (
            CrlTemplate { distribution_point: Some(only(true, true)), ..template() },
            entry(&[1]),
            Err(Unusable::ContradictoryScope),
        ),
        (
            CrlTemplate { number: None, base: Some(1.into()), ..template() },
            entry(&[1]),
            Err(Unusable::DeltaWithoutNumber),
        ),
        (CrlTemplate { extra: vec![extension(oid, false)], ..template() }, entry(&[1]), Ok(())),
        (CrlTemplate { distribution_point: Some(only(true, false)), ..template() }, entry(&[1]), Ok(())),
    ] {
        let crl = signed(&template, [entry]);
        assert_eq!(crl.usable(), expected);
        assert!(crl.find(&[1]).is_some(), "{expected:?}");
    }
}

#[test]
fn lists_that_break_the_rules_are_refused() {
    let refused = |template: CrlTemplate, entry: RevokedEntry| {
        Crl::decode(template.sign([entry], &key()).unwrap()).unwrap_err().to_string()
    };
    let with = |extra: Vec<Extension>| CrlTemplate { extra, ..template() };
    let raw = |oid: &str, value: &[u8]| Extension {
        oid: Oid::encode(oid).unwrap(),
        critical: false,
        value: value.to_vec(),
    };
    let twice = refused(with(vec![raw("2.5.29.20", &[2, 1, 1])]), entry(&[1]));
    assert!(twice.starts_with("the extension 2.5.29.20 twice"), "{twice}");
    let many = (0..80).map(|n| extension(&format!("1.2.3.{n}"), false)).collect::<Vec<_>>();
    assert!(refused(with(many.clone()), entry(&[1])).starts_with("more extensions than are read"));
    let crowded = RevokedEntry { extra: many, ..entry(&[1]) };
    assert!(refused(template(), crowded).starts_with("more extensions than are read"));
    let number = [&[2, 22, 1][..], &[0; 21]].concat();
    let numbered = CrlTemplate { number: None, extra: vec![raw("2.5.29.20", &number)], ..template() };
    assert_eq!(refused(numbered, entry(&[1])), CrlError::Number.to_string());
    let reasons = vec![raw("2.5.29.21", &[10, 1, 1]), raw("2.5.29.21", &[10, 1, 1])];
    let twice = refused(template(), RevokedEntry { extra: reasons, ..entry(&[1]) });
    assert!(twice.starts_with("the extension 2.5.29.21 twice"), "{twice}");
    assert!(refused(template(), entry(&[])).starts_with("an empty INTEGER"));
    let late = RevokedEntry { extra: vec![raw("2.5.29.24", b"\x17\x0d260101000000Z")], ..entry(&[1]) };
    assert!(refused(template(), late).contains("should stand"));
}

#[test]
fn a_serial_over_and_over_is_refused_and_a_few_times_is_not() {
    let repeated = |times| template().sign((0..times).map(|_| entry(&[1])), &key()).unwrap();
    assert!(Crl::decode(repeated(1_000)).is_ok());
    assert_eq!(Crl::decode(repeated(20_000)), Err(CrlError::Repetitions));
}

#[test]
fn a_header_is_read_whatever_the_entries_are() {
    let der = template().sign([entry(&[1]), entry(&[2])], &key()).unwrap();
    let crl = Crl::decode(der.clone()).unwrap();
    let broken_at = crl.iter().last().unwrap().der().as_ptr() as usize - crl.der().as_ptr() as usize;
    let mut broken = der;
    broken[broken_at] = 0x31;
    let header = Header::decode(broken).unwrap();
    assert_eq!(header.number(), Some(7.into()));
    match Crl::read(header).unwrap_err() {
        CrlError::Malformed(error) => {
            assert_eq!(error.at, broken_at);
            assert!(matches!(error.kind, Asn1ErrorKind::UnexpectedTag { .. }));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn no_flipped_bit_is_accepted() {
    let key = key();
    let policy = AlgorithmPolicy::default();
    let entries = [
        entry(&[1]).because(Reason::Superseded),
        RevokedEntry { invalidity_date: Some(at(-9)), ..entry(&[2]) },
    ];
    let der = indirect().sign(entries, &key).unwrap();
    assert!(Crl::decode_and_verify(der.clone(), key.spki(), &policy).is_ok());
    for bit in 0..der.len() * 8 {
        let mut flipped = der.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Crl::decode_and_verify(flipped, key.spki(), &policy).is_err(), "bit {bit}");
    }
    for end in 0..der.len() {
        assert!(Crl::decode(der[..end].to_vec()).is_err());
    }
    assert!(Crl::decode([&der[..], &[0]].concat()).is_err());
}

#[test]
fn a_remembered_verification_speaks_for_its_key_only() {
    let (key, other) = (key(), key());
    let policy = AlgorithmPolicy::default();
    let crl = Crl::decode(template().sign([], &key).unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(crl.verify(other.spki(), &policy), Err(SignatureError::Wrong));
        assert_eq!(crl.verify(key.spki(), &policy), Ok(()));
    }
    let p384 = SigningKey::generate(KeyKind::Ed25519).unwrap();
    assert_eq!(crl.verify(p384.spki(), &policy), Err(SignatureError::KeyMismatch));
}

#[test]
fn a_large_list_is_read_and_verified_on_two_threads_to_the_same_end() {
    let key = key();
    let policy = AlgorithmPolicy::default();
    let entries = (0u32..100_000).map(|n| entry(&(n.wrapping_mul(0x9e37_79b1) | 1).to_be_bytes()));
    let der = Bytes::from(template().sign(entries.clone(), &key).unwrap());
    let crl = Crl::decode_and_verify(der.clone(), key.spki(), &policy).unwrap();
    assert_eq!(crl.entries(), 100_000);
    assert!(entries.clone().all(|entry| crl.find(&entry.serial).is_some()));
    assert!(crl.index_size() <= 9 * crl.entries());
    let mut flipped = der.to_vec();
    flipped[der.len() / 2] ^= 1;
    assert!(Crl::decode_and_verify(flipped, key.spki(), &policy).is_err());
    let other =
        Crl::decode_and_verify(der, SigningKey::generate(KeyKind::EcdsaP256).unwrap().spki(), &policy);
    assert_eq!(other.unwrap_err(), IntakeError::Unverified(SignatureError::Wrong));
}

#[test]
fn identifiers_follow_what_is_signed_and_not_how() {
    let key = key();
    let [a, b] = [(); 2].map(|()| Crl::decode(template().sign([entry(&[1])], &key).unwrap()).unwrap());
    assert_eq!(a.id(), b.id());
    assert_ne!(a.digest(), b.digest(), "ECDSA signatures differ each time");
    assert_eq!(a.order(), b.order());
    assert_ne!(a, b);
}

#[test]
fn the_form_that_names_a_scope_is_golden() {
    let form = |scope: DistributionScope| {
        let crl = signed(&CrlTemplate { distribution_point: Some(scope), ..template() }, []);
        data_encoding::HEXLOWER.encode(&crl.distribution_point().unwrap().normal_form())
    };
    assert_eq!(form(DistributionScope::default()), "", "all defaults are as good as none");
    let uri = |text: &str| GeneralName::Uri(text.into());
    let full = |names| DistributionScope {
        name: Some(DistributionPointName::Full(names)),
        only_user_certs: true,
        only_some_reasons: Some([Reason::KeyCompromise, Reason::AaCompromise].into_iter().collect()),
        indirect: true,
        ..DistributionScope::default()
    };
    let names = vec![GeneralName::Directory(name("CN=X  Y").unwrap()), uri("a/b"), uri("a/b")];
    assert_eq!(
        form(full(names)),
        concat!(
            "01",                             // version
            "a018",                           // distributionPoint
            "a016",                           // fullName: sorted, each name once
            "8603612f62",                     // URI a/b
            "a40f",                           // directoryName, in its normal form:
            "01310c300a06035504030c03782079", // CN=x y
            "8100",                           // onlyContainsUserCerts
            "83020102",                       // onlySomeReasons: bits 1 and 8
            "8400"                            // indirectCRL
        )
    );
    let relative = DistributionScope {
        name: Some(DistributionPointName::Relative(name("CN=P").unwrap())),
        only_ca_certs: true,
        ..DistributionScope::default()
    };
    assert_eq!(
        form(relative),
        concat!(
            "01",
            "a00f",                       // distributionPoint
            "a10d",                       // nameRelativeToCRLIssuer, in its normal form:
            "01310a300806035504030c0170", // CN=p
            "8200"                        // onlyContainsCACerts
        )
    );
}

proptest! {
    #[test]
    fn the_short_way_to_read_an_entry_agrees_with_the_long_way(
        serial in proptest::collection::vec(any::<u8>(), 1..30),
        date in -1_000_000_000i64..5_000_000_000,
        reason in proptest::option::of(0u32..11),
        invalidity in proptest::option::of(-1_000_000_000i64..5_000_000_000),
        change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut der = entry_der(&serial, date, reason, invalidity);
        let changed = change.is_some();
        if let Some((index, octet)) = change {
            let index = index.index(der.len());
            der[index] = octet;
        }
        let short = scan::common(&der);
        let mut reader = crate::asn1::Reader::new(&der);
        let long = entry::Fields::read(&mut reader);
        if let Some((length, serial)) = short {
            let fields = long.unwrap();
            prop_assert_eq!((fields.raw.len(), fields.serial), (length, serial));
            if let Some(extensions) = fields.extensions {
                let checked = entry::Checked::read(extensions.reader()).unwrap();
                prop_assert!(checked.unknown_critical.is_none() && checked.certificate_issuer.is_none());
            }
        } else {
            let utc = (-631_152_000..2_524_608_000).contains(&date);
            prop_assert!(changed || !utc, "an entry of the common kind was not recognised");
        }
    }

    #[test]
    fn damaged_lists_are_refused_or_read_but_never_end_in_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        thread_local! {
            static DER: Vec<u8> = {
                let issuer = RevokedEntry { certificate_issuer: directory("CN=B"), ..entry(&[5]) };
                indirect().sign([entry(&[1]).because(Reason::Superseded), issuer], &key()).unwrap()
            };
        }
        let mut der = DER.with(Clone::clone);
        for (index, octet) in changes {
            let index = index.index(der.len());
            der[index] = octet;
        }
        if let Ok(crl) = Crl::decode(der) {
            prop_assert_eq!(crl.iter().count(), crl.entries());
            for entry in crl.iter() {
                prop_assert!(crl.find_issued_by(entry.certificate_issuer(), entry.serial()).is_some());
                let _ = (entry.reason(), entry.invalidity_date(), crl.usable());
            }
        }
    }
}

fn entry_der(serial: &[u8], date: i64, reason: Option<u32>, invalidity: Option<i64>) -> Vec<u8> {
    let mut writer = Writer::new();
    let extension = |writer: &mut Writer, oid, value: &dyn Fn(&mut Writer)| {
        writer.sequence(|writer| {
            writer.oid(oid);
            writer.nested(Tag::OCTET_STRING, |writer| value(writer));
        });
    };
    writer.sequence(|writer| {
        writer.integer(serial);
        writer.time(Time::from_unix(date));
        if reason.is_none() && invalidity.is_none() {
            return;
        }
        writer.sequence(|writer| {
            if let Some(code) = reason {
                extension(writer, crate::oids::REASON_CODE, &|writer| {
                    writer.small_integer(Tag::ENUMERATED, code)
                });
            }
            if let Some(date) = invalidity {
                extension(writer, crate::oids::INVALIDITY_DATE, &|writer| {
                    writer.generalized_time(Time::from_unix(date));
                });
            }
        });
    });
    writer.finish()
}
