//! Which CRL decides, and what it says; each case with the wound that it healed elsewhere.

use proptest::prelude::*;

use crate::certificate::KeyUsage;
use crate::crl::{Crl, Reason as CrlReason};
use crate::distribution_point::Reasons;
use crate::mint::{
    CrlTemplate, DistributionPoint, DistributionPointName, DistributionScope, Extension, GeneralName,
    RevokedEntry,
};
use crate::path::RevocationMode;
use crate::path::tests::world::{Ask, DAY, Holder, NOW, root, root_with};
use crate::verdict::{Outcome, Reason, Unknown};

/// Every leaf of the world has this serial number.
const LEAF: u8 = 7;

fn ask(leaf: &Holder, ca: &Holder, crls: impl IntoIterator<Item = Crl>) -> Ask {
    Ask::about(leaf, ca).with_crls(crls)
}

fn unknown(why: Unknown) -> Option<Reason> {
    Some(Reason::RevocationUnknown(why))
}

fn at(uri: &str) -> DistributionScope {
    DistributionScope { name: Some(DistributionPointName::uri(uri)), ..DistributionScope::default() }
}

fn scoped(scope: DistributionScope) -> impl FnOnce(&mut CrlTemplate) {
    move |template| template.distribution_point = Some(scope)
}

fn nothing(_: &mut CrlTemplate) {}

#[test]
fn a_certificate_is_good_only_on_a_current_crl_by_its_issuer() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    assert_eq!(ask(&leaf, &ca, []).reason(), unknown(Unknown::NoCrl));
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[1, 2], nothing)]).outcome(), Outcome::Valid);
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[LEAF], nothing)]).reason(), Some(Reason::Revoked));
    assert_eq!(ask(&leaf, &ca, [root("CN=ca").crl(1, &[], nothing)]).reason(), unknown(Unknown::NoSigner));
    let stale = ca.crl(1, &[], |template| template.next_update = Some(NOW.plus(-1)));
    assert_eq!(ask(&leaf, &ca, [stale.clone()]).reason(), unknown(Unknown::Stale));
    let endless = ca.crl(1, &[], |template| template.next_update = None);
    assert_eq!(ask(&leaf, &ca, [endless]).reason(), unknown(Unknown::Stale));
    let future = ca.crl(1, &[], |template| template.this_update = NOW.plus(1));
    assert_eq!(ask(&leaf, &ca, [future]).reason(), unknown(Unknown::NoCrl));
    let mut soft = ask(&leaf, &ca, [stale]);
    soft.requirements.revocation = RevocationMode::Soft;
    assert_eq!(soft.outcome(), Outcome::Valid);
    soft.crls = vec![ca.crl(1, &[LEAF], nothing)];
    assert_eq!(soft.outcome(), Outcome::Revoked);
}

#[test]
fn an_issuer_whose_key_may_not_sign_crls_has_none() {
    let ca = root_with("CN=ca", |template| template.key_usage = Some(KeyUsage::KEY_CERT_SIGN));
    let leaf = ca.leaf("CN=leaf", |_| {});
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[], nothing)]).reason(), unknown(Unknown::NoSigner));
}

#[test]
fn a_stale_crl_still_convicts_but_not_what_it_only_held() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let stale = |reason| {
        let entry = RevokedEntry::new(&[LEAF], NOW.plus(-DAY)).because(reason);
        ca.crl_of(1, [entry], |template| template.next_update = Some(NOW.plus(-1)))
    };
    assert_eq!(ask(&leaf, &ca, [stale(CrlReason::KeyCompromise)]).outcome(), Outcome::Revoked);
    assert_eq!(ask(&leaf, &ca, [stale(CrlReason::CertificateHold)]).reason(), unknown(Unknown::Stale));
}

/// The very next question obeys a newer CRL, whatever is remembered.
#[test]
fn a_newer_crl_is_obeyed_and_an_older_one_is_not() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let old = ca.crl(1, &[], nothing);
    let new = ca.crl(2, &[LEAF], |template| template.this_update = NOW.plus(-1));
    let released = ca.crl(3, &[], |template| template.this_update = NOW);
    assert_eq!(ask(&leaf, &ca, [old.clone()]).outcome(), Outcome::Valid);
    assert_eq!(ask(&leaf, &ca, [old.clone(), new.clone()]).outcome(), Outcome::Revoked);
    assert_eq!(ask(&leaf, &ca, [released, new, old]).outcome(), Outcome::Valid);
}

/// CA faults: two lists under one number, or a lower number later. Revoked in either is revoked.
#[test]
fn conflicting_crls_convict_together() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let same_number = [ca.crl(5, &[LEAF], nothing), ca.crl(5, &[], nothing)];
    assert_eq!(ask(&leaf, &ca, same_number).outcome(), Outcome::Revoked);
    let lower_and_later =
        [ca.crl(5, &[], nothing), ca.crl(4, &[LEAF], |template| template.this_update = NOW)];
    assert_eq!(ask(&leaf, &ca, lower_and_later).outcome(), Outcome::Revoked);
}

/// PROMISES: the same name with two keys is two issuers, and revoked under any of them is revoked.
#[test]
fn a_rolled_key_has_its_own_crls_and_each_of_them_convicts() {
    let top = root("CN=top");
    let (old, new) = (top.ca("CN=ca", |_| {}), top.ca("CN=ca", |_| {}));
    let leaf = old.leaf("CN=leaf", |_| {});
    let of_top = top.crl(1, &[], nothing);
    let ask = |crls: [Crl; 2]| {
        Ask::about(&leaf, &top)
            .through(&[&old, &new])
            .with_crls(crls.into_iter().chain([of_top.clone()]))
            .outcome()
    };
    // A high number under one key says nothing of the other's.
    assert_eq!(ask([old.crl(1, &[LEAF], nothing), new.crl(99, &[], nothing)]), Outcome::Revoked);
    assert_eq!(ask([old.crl(99, &[], nothing), new.crl(1, &[LEAF], nothing)]), Outcome::Revoked);
    assert_eq!(ask([old.crl(1, &[], nothing), new.crl(1, &[], nothing)]), Outcome::Valid);
}

/// RUSTSEC-2026-0049: only the first distribution point was compared, and a revocation in the second was not seen.
#[test]
fn every_distribution_point_and_every_name_in_it_counts() {
    let ca = root("CN=ca");
    let two_names = DistributionPointName::Full(vec![
        GeneralName::Uri("http://a/1".into()),
        GeneralName::Uri("http://a/2".into()),
    ]);
    let leaf = ca.leaf("CN=leaf", |template| {
        template.crl_distribution_points = vec![
            DistributionPoint { name: Some(two_names), ..DistributionPoint::default() },
            DistributionPoint::uri("http://b/"),
        ];
    });
    for uri in ["http://a/1", "http://a/2", "http://b/"] {
        assert_eq!(
            ask(&leaf, &ca, [ca.crl(1, &[LEAF], scoped(at(uri)))]).outcome(),
            Outcome::Revoked,
            "{uri}"
        );
        assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[], scoped(at(uri)))]).outcome(), Outcome::Valid, "{uri}");
    }
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[], scoped(at("http://c/")))]).reason(), unknown(Unknown::NoCrl));
}

/// CVE-2026-4428: the CRL of another shard was taken for the certificate's own.
#[test]
fn a_shard_says_nothing_of_certificates_that_stand_elsewhere() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |template| {
        template.crl_distribution_points = vec![DistributionPoint::uri("http://shard/1")];
    });
    let other = ca.crl(9, &[], scoped(at("http://shard/2")));
    assert_eq!(ask(&leaf, &ca, [other.clone()]).reason(), unknown(Unknown::NoCrl));
    let own = ca.crl(1, &[LEAF], scoped(at("http://shard/1")));
    assert_eq!(ask(&leaf, &ca, [other, own]).outcome(), Outcome::Revoked);
    let cas_only = DistributionScope { only_ca_certs: true, ..DistributionScope::default() };
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[], scoped(cas_only))]).reason(), unknown(Unknown::NoCrl));
}

#[test]
fn reasons_are_gathered_from_several_crls() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let some = |reasons: &[CrlReason]| DistributionScope {
        only_some_reasons: Some(reasons.iter().copied().collect()),
        ..DistributionScope::default()
    };
    let rest: Vec<CrlReason> = [3, 4, 5, 6, 9, 10].into_iter().filter_map(CrlReason::from_code).collect();
    let compromise = ca.crl(1, &[], scoped(some(&[CrlReason::KeyCompromise, CrlReason::CaCompromise])));
    let others = ca.crl(1, &[], scoped(some(&rest)));
    assert_eq!(ask(&leaf, &ca, [compromise.clone()]).reason(), unknown(Unknown::ReasonsMissing));
    assert_eq!(ask(&leaf, &ca, [compromise, others]).outcome(), Outcome::Valid);
    assert!(Reasons::from_iter(rest).bits() != Reasons::ALL.bits());
}

fn delta(base: u64) -> impl FnOnce(&mut CrlTemplate) {
    move |template| template.base = Some(base.into())
}

#[test]
fn a_delta_counts_on_a_base_that_is_new_enough() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let base = |serials: &[u8]| ca.crl(5, serials, nothing);
    let removed = || {
        let entry = RevokedEntry::new(&[LEAF], NOW.plus(-DAY)).because(CrlReason::RemoveFromCrl);
        ca.crl_of(6, [entry], delta(5))
    };
    assert_eq!(ask(&leaf, &ca, [base(&[]), ca.crl(6, &[LEAF], delta(5))]).outcome(), Outcome::Revoked);
    assert_eq!(ask(&leaf, &ca, [base(&[]), ca.crl(6, &[LEAF], delta(4))]).outcome(), Outcome::Revoked);
    assert_eq!(ask(&leaf, &ca, [base(&[LEAF]), removed()]).outcome(), Outcome::Valid);
    // Older than what is held, or without a base at all: not combined.
    assert_eq!(ask(&leaf, &ca, [base(&[]), ca.crl(4, &[LEAF], delta(3))]).outcome(), Outcome::Valid);
    assert_eq!(ask(&leaf, &ca, [ca.crl(6, &[], delta(5))]).reason(), unknown(Unknown::NoCrl));
    assert_eq!(
        ask(&leaf, &ca, [base(&[LEAF]), root("CN=ca").crl(6, &[], delta(5))]).outcome(),
        Outcome::Revoked
    );
}

#[test]
fn a_delta_ahead_of_the_base_convicts_what_it_lists_and_leaves_nothing_good() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let base = |number: u64, serials: &[u8]| ca.crl(number, serials, nothing);
    let ahead = |serials: &[u8]| ca.crl(7, serials, delta(6));
    assert_eq!(ask(&leaf, &ca, [base(5, &[]), ahead(&[LEAF])]).outcome(), Outcome::Revoked);
    assert_eq!(ask(&leaf, &ca, [base(5, &[]), ahead(&[])]).reason(), unknown(Unknown::BaseMissing));
    assert_eq!(ask(&leaf, &ca, [base(5, &[LEAF]), ahead(&[])]).outcome(), Outcome::Revoked);
    // What a delta that fits says besides still counts.
    let fitting = ca.crl(6, &[LEAF], delta(5));
    assert_eq!(ask(&leaf, &ca, [base(5, &[]), fitting, ahead(&[])]).outcome(), Outcome::Revoked);
    // Released by what is not at hand in whole: it stays convicted.
    let entry = RevokedEntry::new(&[LEAF], NOW.plus(-DAY)).because(CrlReason::RemoveFromCrl);
    let released = ca.crl_of(7, [entry], delta(6));
    assert_eq!(ask(&leaf, &ca, [base(5, &[LEAF]), released]).outcome(), Outcome::Revoked);
    // With its base it is a delta like any other; one of another key says nothing.
    assert_eq!(ask(&leaf, &ca, [base(6, &[]), ahead(&[])]).outcome(), Outcome::Valid);
    assert_eq!(
        ask(&leaf, &ca, [base(5, &[]), root("CN=ca").crl(7, &[LEAF], delta(6))]).outcome(),
        Outcome::Valid
    );
}

/// CVE-2026-28388: a delta without a CRL number took the process down.
#[test]
fn a_delta_or_base_without_number_is_not_combined() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let unnumbered = |template: &mut CrlTemplate| template.number = None;
    let delta_without = ca.crl(6, &[LEAF], |template| {
        template.base = Some(5.into());
        template.number = None;
    });
    assert_eq!(ask(&leaf, &ca, [ca.crl(5, &[], nothing), delta_without]).outcome(), Outcome::Valid);
    let base_without = ca.crl(5, &[], unnumbered);
    assert_eq!(ask(&leaf, &ca, [base_without, ca.crl(6, &[LEAF], delta(5))]).outcome(), Outcome::Valid);
}

/// PROMISES: an unknown critical extension makes a CRL unusable for a good answer; it convicts all the same.
#[test]
fn a_crl_with_an_unknown_critical_extension_gives_no_good_answer() {
    let ca = root("CN=ca");
    let leaf = ca.leaf("CN=leaf", |_| {});
    let strange = |template: &mut CrlTemplate| {
        template.extra.push(Extension { oid: vec![0x2a, 3], critical: true, value: vec![5, 0] });
    };
    assert_eq!(
        ask(&leaf, &ca, [ca.crl(1, &[], strange)]).reason(),
        unknown(Unknown::UnknownCriticalExtension)
    );
    assert_eq!(ask(&leaf, &ca, [ca.crl(1, &[LEAF], strange)]).outcome(), Outcome::Revoked);
}

/// Serial numbers have one normal form on both sides: padded, negative, zero.
#[test]
fn serials_meet_however_they_are_written() {
    let ca = root("CN=ca");
    for (in_certificate, on_crl) in [(&[0, 0, 7][..], &[7][..]), (&[0xff, 0x80], &[0x80]), (&[0], &[0, 0])] {
        let leaf = ca.leaf("CN=leaf", |template| template.serial = in_certificate.to_vec());
        let crl = ca.crl_of(1, [RevokedEntry::new(on_crl, NOW.plus(-DAY))], nothing);
        assert_eq!(ask(&leaf, &ca, [crl]).outcome(), Outcome::Revoked, "{in_certificate:?}");
    }
}

/// ```text
///   top -> ca -> leaf          top -> clearing, which signs an indirect CRL for ca
/// ```
#[test]
fn an_indirect_crl_speaks_for_the_issuer_that_its_entries_name() {
    let top = root("CN=top");
    let (ca, clearing) = (top.ca("CN=ca", |_| {}), top.ca("CN=clearing", |_| {}));
    let leaf = ca.leaf("CN=leaf", |template| {
        template.crl_distribution_points = vec![DistributionPoint {
            crl_issuer: vec![GeneralName::Directory(clearing.name.clone())],
            ..DistributionPoint::default()
        }];
    });
    let entry = |issuer: &Holder| RevokedEntry {
        certificate_issuer: vec![GeneralName::Directory(issuer.name.clone())],
        ..RevokedEntry::new(&[LEAF], NOW.plus(-DAY))
    };
    let indirect = || DistributionScope { indirect: true, ..DistributionScope::default() };
    let outcome = |crl: Crl, holders: &[&Holder]| {
        Ask::about(&leaf, &top).through(holders).with_crls([top.crl(1, &[], nothing), crl]).verdict().outcome
    };
    let all: &[&Holder] = &[&ca, &clearing];
    assert_eq!(outcome(clearing.crl_of(1, [entry(&ca)], scoped(indirect())), all), Outcome::Revoked);
    assert_eq!(outcome(clearing.crl_of(1, [entry(&clearing)], scoped(indirect())), all), Outcome::Valid);
    // Not asserted to be indirect, or by a key that leads to no anchor.
    assert_eq!(outcome(clearing.crl(1, &[], nothing), all), Outcome::Indeterminate);
    let impostor = root("CN=clearing");
    assert_eq!(
        outcome(impostor.crl_of(1, [], scoped(indirect())), &[&ca, &clearing, &impostor]),
        Outcome::Indeterminate
    );
}

/// One CRL of a random set: number, age, whether it lists the leaf, which key signed, which shard, what delta base.
type Dealt = (u64, i64, bool, bool, bool, Option<u64>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// RUSTSEC-2026-0049 and its kin: which CRL was asked depended on the order in which they stood.
    #[test]
    fn the_order_of_crls_does_not_matter(
        dealt in proptest::collection::vec(
            (1u64..4, 0i64..3, any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::weighted(0.3, 1u64..4)),
            1..7,
        ),
        shuffled in any::<proptest::sample::Index>(),
    ) {
        let top = root("CN=top");
        let keys = [top.ca("CN=ca", |_| {}), top.ca("CN=ca", |_| {})];
        let leaf = keys[0].leaf("CN=leaf", |template| {
            template.crl_distribution_points = vec![DistributionPoint::uri("http://shard/1")];
        });
        let mint = |(number, age, lists, rolled, sharded, base): &Dealt| {
            let serials: &[u8] = if *lists { &[LEAF] } else { &[] };
            keys[usize::from(*rolled)].crl(*number, serials, |template| {
                template.this_update = NOW.plus(-age * DAY);
                template.base = base.map(Into::into);
                template.distribution_point = sharded.then(|| at("http://shard/1"));
            })
        };
        let crls: Vec<Crl> = dealt.iter().map(mint).chain([top.crl(1, &[], nothing)]).collect();
        let ask = |crls: Vec<Crl>| {
            let verdict = Ask::about(&leaf, &top).through(&[&keys[0], &keys[1]]).with_crls(crls).verdict();
            (verdict.outcome, verdict.reason)
        };
        let mut other = crls.clone();
        other.reverse();
        let middle = shuffled.index(other.len());
        other.rotate_left(middle);
        prop_assert_eq!(ask(crls), ask(other));
    }
}
