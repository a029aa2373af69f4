use super::*;
use crate::asn1::{Oid, Time, Writer};
use crate::crl::Reason;
use crate::mint::{
    CertificateTemplate, CrlTemplate, DistributionPoint, DistributionPointName, DistributionScope, Extension,
    KeyKind, RevokedEntry, SigningKey, key_id, name,
};

const URI: &str = "http://example.test/a.crl";

fn at(day: i64) -> Time {
    Time::from_unix(1_790_000_000 + day * 86_400)
}

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::Ed25519).unwrap()
}

fn template(number: u64) -> CrlTemplate {
    let days = number as i64;
    CrlTemplate {
        authority_key_id: Some(vec![7]),
        ..CrlTemplate::new(name("CN=Example CA").unwrap(), number, at(days), at(days + 1))
    }
}

fn entry(serial: u8) -> RevokedEntry {
    RevokedEntry::new(&[serial], at(-1)).because(Reason::Superseded)
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Extension {
    Extension { oid: Oid::encode(oid).unwrap(), critical, value: value.to_vec() }
}

fn signed(template: &CrlTemplate, entries: impl IntoIterator<Item = RevokedEntry>) -> Crl {
    Crl::decode(template.sign(entries, &key()).unwrap()).unwrap()
}

fn rules(crl: &Crl, profile: Profile, company: &Company<'_>) -> Vec<Rule> {
    lint(crl, profile, company).into_iter().map(|finding| finding.rule).collect()
}

fn check(template: CrlTemplate, entries: impl IntoIterator<Item = RevokedEntry>, expected: &[Rule]) {
    let found = rules(&signed(&template, entries), Profile::BaselineRequirements, &Company::default());
    assert_eq!(found, expected);
}

#[test]
fn a_good_list_breaks_no_rule_sorted_or_not() {
    check(template(1), [], &[]);
    check(template(1), [entry(9), entry(3), entry(5)], &[]);
}

#[test]
fn each_rule_about_the_list_is_found_broken() {
    let scope = |scope| Some(scope);
    let default = DistributionScope::default;
    check(CrlTemplate { v1: true, ..template(1) }, [], &[Rule::VersionMissing]);
    check(CrlTemplate { issuer: name("").unwrap(), ..template(1) }, [], &[Rule::IssuerEmpty]);
    check(CrlTemplate { next_update: None, ..template(1) }, [], &[Rule::NextUpdateMissing]);
    check(CrlTemplate { next_update: Some(at(1)), ..template(1) }, [], &[Rule::NextUpdateEarly]);
    check(CrlTemplate { authority_key_id: None, ..template(1) }, [], &[Rule::KeyIdMissing]);
    check(CrlTemplate { number: None, ..template(1) }, [], &[Rule::NumberMissing]);
    let critical = vec![extension("2.5.29.20", true, &[2, 1, 1])];
    check(CrlTemplate { number: None, extra: critical, ..template(1) }, [], &[Rule::Criticality]);
    check(CrlTemplate { base: Some(1.into()), ..template(1) }, [], &[Rule::DeltaNumber]);
    let freshest = vec![DistributionPoint::uri(URI)];
    check(
        CrlTemplate { base: Some(1.into()), freshest_crl: freshest, ..template(2) },
        [],
        &[Rule::DeltaFreshest],
    );
    check(
        CrlTemplate { distribution_point: scope(default()), ..template(1) },
        [],
        &[Rule::EmptyDistributionPoint],
    );
    let both = DistributionScope { only_ca_certs: true, only_user_certs: true, ..default() };
    check(CrlTemplate { distribution_point: scope(both), ..template(1) }, [], &[Rule::Unusable]);
    check(CrlTemplate { next_update: Some(at(30)), ..template(1) }, [], &[Rule::TooLong]);
    let only_ca = DistributionScope { only_ca_certs: true, ..default() };
    check(
        CrlTemplate { next_update: Some(at(30)), distribution_point: scope(only_ca), ..template(1) },
        [],
        &[],
    );
    let indirect = DistributionScope { indirect: true, ..default() };
    check(CrlTemplate { distribution_point: scope(indirect), ..template(1) }, [], &[Rule::Indirect]);
    let reasons = [Reason::KeyCompromise].into_iter().collect();
    let partition = DistributionScope { only_some_reasons: Some(reasons), ..default() };
    check(
        CrlTemplate { distribution_point: scope(partition), ..template(1) },
        [],
        &[Rule::PartitionedByReason],
    );
}

/// An unsigned list whose TBSCertList ends as `write` says, after version, algorithm and issuer: linting looks at no
/// signature.
fn raw(write: impl Fn(&mut Writer)) -> Crl {
    let algorithm = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
    let mut writer = Writer::new();
    writer.sequence(|writer| {
        writer.sequence(|writer| {
            writer.integer(&[1]);
            writer.raw(&algorithm);
            writer.raw(name("CN=Example CA").unwrap().der());
            write(writer);
        });
        writer.raw(&algorithm);
        writer.octets_in_bit_string(&[]);
    });
    Crl::decode(writer.finish()).unwrap()
}

#[test]
fn forms_that_no_template_writes_are_found_wrong() {
    let found = |crl: &Crl| rules(crl, Profile::Rfc5280, &Company::default());
    let always = [Rule::NumberMissing, Rule::KeyIdMissing];
    let generalized = raw(|writer| {
        writer.generalized_time(at(0));
        writer.time(at(1));
    });
    assert_eq!(found(&generalized), [&[Rule::TimeForm][..], &always].concat());
    let empty = raw(|writer| {
        writer.time(at(0));
        writer.time(at(1));
        writer.sequence(|_| {});
    });
    assert_eq!(found(&empty), [&[Rule::EmptyList][..], &always].concat());
    let entry = raw(|writer| {
        writer.time(at(0));
        writer.time(at(1));
        writer.sequence(|writer| {
            writer.sequence(|writer| {
                writer.integer(&[1]);
                writer.generalized_time(at(-1));
            });
        });
    });
    assert_eq!(found(&entry), [&always[..], &[Rule::EntryTimeForm]].concat());
}

#[test]
fn each_rule_about_entries_is_found_broken() {
    let with = |extra| RevokedEntry { reason: None, extra: vec![extra], ..entry(1) };
    let serial = |serial: &[u8]| RevokedEntry { serial: serial.to_vec(), ..entry(1) };
    check(template(1), [entry(1), entry(2), entry(1)], &[Rule::DuplicateSerial]);
    for wrong in [&[0][..], &[0x80], &[0, 1], &[1; 21]] {
        check(template(1), [serial(wrong)], &[Rule::SerialForm]);
    }
    check(template(1), [RevokedEntry { date: at(9), ..entry(1) }], &[Rule::FutureRevocation]);
    check(template(1), [entry(1).because(Reason::RemoveFromCrl)], &[Rule::RemoveFromComplete]);
    check(
        template(1),
        [entry(1).because(Reason::Unspecified)],
        &[Rule::UnspecifiedReason, Rule::ForbiddenReason],
    );
    check(template(1), [entry(1).because(Reason::CertificateHold)], &[Rule::ForbiddenReason]);
    check(template(1), [with(extension("2.5.29.21", false, &[10, 1, 7]))], &[Rule::UnassignedReason]);
    check(template(1), [with(extension("2.5.29.21", true, &[10, 1, 1]))], &[Rule::Criticality]);
    let old = CrlTemplate { v1: true, ..template(1) };
    check(old, [entry(1)], &[Rule::VersionMissing, Rule::EntryExtensionsInV1]);
}

#[test]
fn the_baseline_is_asked_for_by_name() {
    let hold = signed(&template(1), [entry(1).because(Reason::CertificateHold)]);
    assert_eq!(rules(&hold, Profile::Rfc5280, &Company::default()), []);
}

#[test]
fn a_series_grows_in_number_and_time_and_keeps_its_entries() {
    let series = |before: CrlTemplate, after: CrlTemplate, kept: &[u8]| {
        let previous = signed(&before, [1, 2].map(entry));
        let crl = signed(&after, kept.iter().copied().map(entry));
        rules(&crl, Profile::Rfc5280, &Company { previous: Some(&previous), ..Company::default() })
    };
    assert_eq!(series(template(1), template(2), &[1, 2]), []);
    assert_eq!(series(template(1), template(2), &[2]), [Rule::Shrunk]);
    let renumbered = |number: u64| CrlTemplate { number: Some(number.into()), ..template(2) };
    assert_eq!(series(template(1), renumbered(1), &[1, 2]), [Rule::NumberReused]);
    assert_eq!(series(template(1), renumbered(0), &[1, 2]), [Rule::NumberNotGrowing]);
    assert_eq!(series(template(2), template(1), &[1, 2]), [Rule::NumberNotGrowing, Rule::TimeGoesBack]);
    let same_second = CrlTemplate { number: Some(2.into()), ..template(1) };
    assert_eq!(series(template(1), same_second, &[1, 2, 3]), [Rule::SameSecond]);
    assert_eq!(series(template(1), template(5), &[1, 2]), [Rule::Late]);
    let other = CrlTemplate { issuer: name("CN=Other").unwrap(), ..template(2) };
    assert_eq!(series(template(1), other, &[1, 2]), [Rule::OtherScope]);
    assert_eq!(series(template(1), template(1), &[1, 2]), [], "the same CRL again is no second one");
}

#[test]
fn the_issuer_must_be_entitled_and_the_certificate_must_lead_here() {
    let key = key();
    let validity = (at(-100), at(100));
    let subject = name("CN=Example CA").unwrap();
    let decode =
        |template: CertificateTemplate| Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap();
    let ca = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity);
    let crl = signed(
        &CrlTemplate {
            authority_key_id: Some(key_id(key.spki()).to_vec()),
            distribution_point: Some(DistributionScope {
                name: Some(DistributionPointName::uri(URI)),
                ..DistributionScope::default()
            }),
            ..template(1)
        },
        [],
    );
    let leaf = |uri| {
        let plain = CertificateTemplate::new(name("CN=leaf").unwrap(), key.spki(), &[2], validity);
        decode(CertificateTemplate { crl_distribution_points: vec![DistributionPoint::uri(uri)], ..plain })
    };
    let seen = |ca: CertificateTemplate, covered: &[Certificate]| {
        let issuer = decode(ca);
        rules(&crl, Profile::Rfc5280, &Company { issuer: Some(&issuer), covered, previous: None })
    };
    assert_eq!(seen(ca.clone(), &[leaf(URI)]), []);
    assert_eq!(seen(ca.clone(), &[leaf("http://example.test/b.crl")]), [Rule::NoMatchingPoint]);
    let usage = Some(crate::certificate::KeyUsage::KEY_CERT_SIGN);
    assert_eq!(seen(CertificateTemplate { key_usage: usage, ..ca.clone() }, &[]), [Rule::CrlSignMissing]);
    assert_eq!(
        seen(CertificateTemplate { subject_key_id: Some(vec![1]), ..ca.clone() }, &[]),
        [Rule::KeyIdMismatch]
    );
    let other = CertificateTemplate { subject: name("CN=Other").unwrap(), ..ca };
    assert_eq!(seen(other, &[]), [Rule::NotByIssuer]);
}

#[test]
fn every_rule_has_its_own_identifier() {
    let mut ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Rule::ALL.len());
}
