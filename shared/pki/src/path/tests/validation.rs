//! Rules of RFC 5280 6.1, each with the wound that it healed elsewhere.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::world::{Ask, DAY, Holder, NOW, dn, path_length, root, root_with};
use crate::certificate::KeyUsage;
use crate::crl::Crl;
use crate::identity::{CrlNumber, IssuerId, ScopeId};
use crate::mint::{CertificateTemplate, Extension, GeneralName, GeneralSubtrees};
use crate::name::Name;
use crate::path::{Anchor, AskedName, Graph, Sources, Unbound};
use crate::revocation::{CrlSet, CrlSource, Revision, Revisions};
use crate::signature::Memory;
use crate::verdict::{Outcome, Reason};

fn dns(host: &str) -> GeneralName {
    GeneralName::Dns(host.to_owned())
}

/// ```text
///   top -> sub -> leaf
/// ```
#[test]
fn each_rule_that_an_issuer_breaks_is_told() {
    type Bend = fn(&mut CertificateTemplate);
    let strange = |template: &mut CertificateTemplate| {
        template.extra.push(Extension { oid: vec![0x2a, 3], critical: true, value: vec![5, 0] });
    };
    let cases: [(Bend, Option<Reason>); 7] = [
        (|_| {}, None),
        (|template| template.basic_constraints = None, Some(Reason::NotACa)),
        (|template| template.key_usage = Some(KeyUsage::CRL_SIGN), Some(Reason::KeyUsage)),
        (|template| template.key_usage = None, None),
        (|template| template.not_after = NOW.plus(-1), Some(Reason::Expired)),
        (|template| template.not_before = NOW.plus(1), Some(Reason::NotYetValid)),
        (strange, Some(Reason::UnknownCriticalExtension)),
    ];
    let top = root("CN=top");
    for (bend, expected) in cases {
        let sub = top.ca("CN=sub", bend);
        let leaf = sub.leaf("CN=leaf", |_| {});
        assert_eq!(Ask::about(&leaf, &top).through(&[&sub]).reason(), expected);
        // A root that the trust store gives as a certificate is held to the same.
        let bent = root_with("CN=bent", bend);
        let leaf = bent.leaf("CN=leaf", |_| {});
        assert_eq!(Ask::about(&leaf, &bent).reason(), expected);
        let mut as_key = Ask::about(&leaf, &bent);
        as_key.anchors = [Anchor::as_key(bent.certificate.clone())].into_iter().collect();
        assert_eq!(as_key.reason(), None);
    }
}

#[test]
fn the_first_and_the_last_second_of_validity_count() {
    let top = root("CN=top");
    let exact = top.leaf("CN=leaf", |template| (template.not_before, template.not_after) = (NOW, NOW));
    assert_eq!(Ask::about(&exact, &top).outcome(), Outcome::Valid);
}

#[test]
fn path_lengths_count_neither_the_last_certificate_nor_self_issued_ones() {
    let top = root_with("CN=top", path_length(1));
    let sub = top.ca("CN=sub", path_length(0));
    let rolled = Holder {
        certificate: sub.cross(&sub.ca("CN=sub", path_length(0)), |_| {}),
        ..sub.ca("CN=sub", |_| {})
    };
    let below = sub.ca("CN=below", |_| {});
    let ask = |target: &Holder| Ask::about(target, &top).through(&[&sub, &rolled, &below]);
    assert_eq!(ask(&sub.leaf("CN=leaf", |_| {})).reason(), None);
    assert_eq!(ask(&below).reason(), None);
    assert_eq!(ask(&below.leaf("CN=leaf", |_| {})).reason(), Some(Reason::PathLength));
}

/// RUSTSEC-2026-0098, RUSTSEC-2026-0099: forms of names that were ignored under constraints.
#[test]
fn every_form_of_name_is_constrained_or_fails_closed() {
    let registered = || GeneralName::RegisteredId(vec![0x2a, 3]);
    let other = || GeneralName::Der(b"\xa0\x08\x06\x02\x2a\x03\xa0\x02\x05\x00".to_vec());
    let uri = |uri: &str| GeneralName::Uri(uri.to_owned());
    let email = |mailbox: &str| GeneralName::Email(mailbox.to_owned());
    let ip = |octets: &[u8]| GeneralName::Ip(octets.to_vec());
    let directory = |name: &str| GeneralName::Directory(dn(name));
    // Base, name, whether it passes if the base is permitted, and if it is excluded.
    let cases = [
        (dns("example.org"), dns("a.example.org"), true, false),
        (dns("example.org"), dns("a.example.com"), false, true),
        (uri(".example.org"), uri("https://a.example.org/x"), true, false),
        (uri(".example.org"), uri("https://a.example.com/x"), false, true),
        (uri(".example.org"), uri("urn:x:y"), false, false),
        (email("example.org"), email("a@example.org"), true, false),
        (email("example.org"), email("a@example.com"), false, true),
        (ip(&[10, 0, 0, 0, 255, 0, 0, 0]), ip(&[10, 1, 2, 3]), true, false),
        (ip(&[10, 0, 0, 0, 255, 0, 0, 0]), ip(&[11, 1, 2, 3]), false, true),
        (directory("O=x"), directory("CN=a,O=X"), true, false),
        // The leaf's subject is within O=x too.
        (directory("O=x"), directory("CN=a,O=y"), false, false),
        (registered(), registered(), false, false),
        (other(), other(), false, false),
        (dns("example.org"), registered(), true, true),
    ];
    let top = root("CN=top");
    for (base, name, passes_permitted, passes_excluded) in cases {
        let passes = |permitted: Vec<_>, excluded: Vec<_>| {
            let constraints = GeneralSubtrees { permitted, excluded };
            let sub = top.ca("CN=sub", |template| template.name_constraints = Some(constraints));
            let leaf = sub.leaf("CN=leaf,O=x", |template| template.subject_alt_names = vec![name.clone()]);
            let reason = Ask::about(&leaf, &top).through(&[&sub]).reason();
            assert!(reason.is_none_or(|reason| reason == Reason::NameConstraints));
            reason.is_none()
        };
        assert_eq!(passes(vec![base.clone()], vec![]), passes_permitted, "{base:?} permits {name:?}");
        assert_eq!(passes(vec![], vec![base.clone()]), passes_excluded, "{base:?} excludes {name:?}");
    }
}

/// CVE-2025-61727: an excluded host lay below a wildcard, and the wildcard was admitted.
#[test]
fn a_wildcard_is_excluded_if_one_of_its_hosts_is_and_permitted_only_if_all_are() {
    let top = root("CN=top");
    let judge = |permitted: &[&str], excluded: &[&str]| {
        let all = |hosts: &[&str]| hosts.iter().map(|host| dns(host)).collect();
        let constraints = GeneralSubtrees { permitted: all(permitted), excluded: all(excluded) };
        let sub = top.ca("CN=sub", |template| template.name_constraints = Some(constraints));
        let leaf = sub.leaf("CN=leaf", |template| template.subject_alt_names = vec![dns("*.example.org")]);
        Ask::about(&leaf, &top).through(&[&sub]).outcome()
    };
    assert_eq!(judge(&[], &["secret.example.org"]), Outcome::Invalid);
    assert_eq!(judge(&["public.example.org"], &[]), Outcome::Invalid);
    assert_eq!(judge(&["example.org"], &[]), Outcome::Valid);
    assert_eq!(judge(&["example.org"], &["example.com"]), Outcome::Valid);
}

/// RUSTSEC-2026-0098 and its kin: the common name is nobody's host.
#[test]
fn the_name_asked_for_must_stand_in_subject_alt_name() {
    let top = root("CN=top");
    let asked = |names: Vec<GeneralName>| {
        let leaf = top.leaf("CN=www.example.org", |template| template.subject_alt_names = names);
        let mut ask = Ask::about(&leaf, &top);
        ask.name = Some(AskedName::Dns("www.example.org".into()));
        ask.reason()
    };
    assert_eq!(asked(vec![]), Some(Reason::NameNotBorne));
    assert_eq!(asked(vec![dns("example.org")]), Some(Reason::NameNotBorne));
    assert_eq!(asked(vec![dns("example.org"), dns("*.example.org")]), None);
}

/// CVE-2020-8840 of its kind: the first candidate failed and the others were never tried.
///
/// ```text
///   top -> sub (expired), sub (not a CA), sub (another key), sub (good) -> leaf
/// ```
#[test]
fn failing_candidates_never_end_the_search_and_all_are_told() {
    let top = root("CN=top");
    let good = top.ca("CN=sub", |_| {});
    let expired = top.cross(&good, |template| template.not_after = NOW.plus(-1));
    let no_ca = top.cross(&good, |template| template.basic_constraints = None);
    let other_key = top.ca("CN=sub", |_| {});
    let leaf = good.leaf("CN=leaf", |_| {});
    let mut ask = Ask::about(&leaf, &top);
    ask.told = 10;
    ask.untrusted = vec![expired, no_ca, other_key.certificate];
    let verdict = ask.verdict();
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert_eq!(verdict.others.len() + 1, 3, "{}", verdict.report());
    ask.untrusted.push(good.certificate);
    assert_eq!(ask.outcome(), Outcome::Valid);
}

/// Cross-certificates in both directions make circles, and the search leaves each of them.
///
/// ```text
///   top -> a <-> b <-> c -> leaf       c certifies a as well
/// ```
#[test]
fn a_circle_of_cross_certificates_ends() {
    let top = root("CN=top");
    let (a, b, c) = (top.ca("CN=a", |_| {}), root("CN=b"), root("CN=c"));
    let leaf = c.leaf("CN=leaf", |_| {});
    let mut ask = Ask::about(&leaf, &top).through(&[&a, &b, &c]);
    let none = |_: &mut CertificateTemplate| {};
    ask.untrusted.extend([
        a.cross(&b, none),
        b.cross(&a, none),
        b.cross(&c, none),
        c.cross(&b, none),
        c.cross(&a, none),
    ]);
    let verdict = ask.verdict();
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(verdict.path.unwrap().certificates.len(), 4);
    ask.untrusted.retain(|certificate| *certificate != a.certificate);
    assert_eq!(ask.outcome(), Outcome::Invalid);
}

#[test]
fn an_anchor_binds_by_its_name_constraints_and_purposes() {
    let constraints = GeneralSubtrees { permitted: vec![dns("example.org")], excluded: Vec::new() };
    let top = root_with("CN=top", |template| template.name_constraints = Some(constraints));
    let leaf = |host: &str| top.leaf("CN=leaf", |template| template.subject_alt_names = vec![dns(host)]);
    assert_eq!(Ask::about(&leaf("a.example.org"), &top).reason(), None);
    assert_eq!(Ask::about(&leaf("a.example.com"), &top).reason(), Some(Reason::NameConstraints));
}

#[test]
fn a_purpose_that_a_certificate_on_the_way_does_not_have_is_refused() {
    const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    const CLIENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    let top = root("CN=top");
    let ask = |of_ca: &[&[u8]], of_leaf: &[&[u8]]| {
        let all = |purposes: &[&[u8]]| purposes.iter().map(|purpose| purpose.to_vec()).collect::<Vec<_>>();
        let sub = top.ca("CN=sub", |template| template.extended_key_usage = all(of_ca));
        let leaf = sub.leaf("CN=leaf", |template| template.extended_key_usage = all(of_leaf));
        let mut ask = Ask::about(&leaf, &top).through(&[&sub]);
        ask.requirements.purpose = Some("1.3.6.1.5.5.7.3.1".parse().unwrap());
        ask.reason()
    };
    assert_eq!(ask(&[], &[]), None);
    assert_eq!(ask(&[SERVER], &[CLIENT, SERVER]), None);
    assert_eq!(ask(&[], &[CLIENT]), Some(Reason::ExtendedKeyUsage));
    assert_eq!(ask(&[CLIENT], &[SERVER]), Some(Reason::ExtendedKeyUsage));
    assert_eq!(ask(&[&[0x55, 0x1d, 37, 0]], &[SERVER]), None);
}

#[test]
fn what_was_verified_before_is_not_verified_again_and_the_policy_is_asked_first() {
    let top = root("CN=top");
    let sub = top.ca("CN=sub", |_| {});
    let memory = Memory::new(100);
    let signatures = |target: &Holder| {
        let verdict = Ask::about(target, &top).through(&[&sub]).verdict_with(&memory);
        assert_eq!(verdict.outcome, Outcome::Valid);
        verdict.work.signatures
    };
    let (one, two) = (sub.leaf("CN=1", |_| {}), sub.leaf("CN=2", |_| {}));
    assert_eq!([signatures(&one), signatures(&one), signatures(&two)], [2, 0, 1]);
}

#[test]
fn a_certificate_by_another_key_under_the_same_name_is_not_the_anchors() {
    let (top, impostor) = (root("CN=top"), root("CN=top"));
    let leaf = impostor.leaf("CN=leaf", |_| {});
    let ask = Ask::about(&leaf, &top).through(&[&impostor]);
    assert_eq!(ask.reason(), Some(Reason::Signature));
    assert_eq!(Ask::about(&leaf, &impostor).with_crls([]).outcome(), Outcome::Indeterminate);
}

/// certval with its caches still says Ok after a newer CRL revoked the leaf.
#[test]
fn a_proven_path_obeys_a_newer_crl_at_once() {
    let top = root("CN=top");
    let sub = top.ca("CN=sub", |_| {});
    let leaf = sub.leaf("CN=leaf", |_| {});
    let of_top = top.crl(1, &[], |_| {});
    let ask = Ask::about(&leaf, &top).through(&[&sub]).with_crls([of_top.clone(), sub.crl(1, &[], |_| {})]);
    let proven = ask.proven();
    let recheck = |crls: &[Crl], at| {
        let (crls, memory) = (crls.iter().cloned().collect::<CrlSet>(), Memory::new(0));
        let rechecked =
            proven.recheck(at, Sources { certificates: &Graph::new(), crls: &crls, memory: &memory });
        (rechecked.outcome, rechecked.evidence.len())
    };
    let newer = sub.crl(2, &[7], |template| template.this_update = NOW);
    for _ in 0..2 {
        assert_eq!(recheck(&ask.crls, NOW), (Outcome::Valid, 2));
        assert_eq!(
            recheck(&[of_top.clone(), ask.crls[1].clone(), newer.clone()], NOW),
            (Outcome::Revoked, 2)
        );
        assert_eq!(recheck(&ask.crls[..1], NOW).0, Outcome::Indeterminate);
        assert_eq!(recheck(&ask.crls, NOW.plus(DAY)), (Outcome::Valid, 2));
        assert_eq!(recheck(&ask.crls, NOW.plus(DAY + 1)).0, Outcome::Invalid);
    }
}

fn outcome_of(reason: Option<Reason>) -> Outcome {
    reason.map_or(Outcome::Valid, Reason::outcome)
}

#[test]
fn a_look_up_answers_as_long_as_the_crls_are_those_of_the_last_recheck() {
    let top = root("CN=top");
    let sub = top.ca("CN=sub", |_| {});
    let leaf = sub.leaf("CN=leaf", |_| {});
    let ask = Ask::about(&leaf, &top)
        .through(&[&sub])
        .with_crls([top.crl(1, &[], |_| {}), sub.crl(1, &[7], |_| {})]);
    let good = [ask.crls[0].clone(), sub.crl(1, &[], |_| {})];
    let proven = Ask { crls: good.to_vec(), ..ask.clone() }.proven();
    let (good, revoking): (CrlSet, CrlSet) = (good.into_iter().collect(), ask.crls.iter().cloned().collect());
    let memory = Memory::new(0);
    let recheck = |crls: &CrlSet| {
        proven.recheck(NOW, Sources { certificates: &Graph::new(), crls, memory: &memory }).outcome
    };
    let look_up = |crls: &CrlSet| proven.look_up(NOW, crls, |_| {}).map(outcome_of);
    assert_eq!(look_up(&good), Err(Unbound));
    assert_eq!((recheck(&good), look_up(&good)), (Outcome::Valid, Ok(Outcome::Valid)));
    assert_eq!(look_up(&revoking), Err(Unbound));
    assert_eq!((recheck(&revoking), look_up(&revoking)), (Outcome::Revoked, Ok(Outcome::Revoked)));
    assert_eq!(proven.look_up(NOW.plus(2 * DAY), &good, |_| {}).map(outcome_of), Ok(Outcome::Invalid));
}

#[test]
fn a_kept_path_knows_grace_and_deltas_ahead_of_their_base_as_a_search_does() {
    let top = root("CN=top");
    let leaf = top.leaf("CN=leaf", |_| {});
    let delta = |serials: &[u8]| top.crl(7, serials, |template| template.base = Some(6.into()));
    let late = |by: i64| top.crl(5, &[], move |template| template.next_update = Some(NOW.plus(-by)));
    let mut ask = Ask::about(&leaf, &top).with_crls([top.crl(5, &[], |_| {})]);
    ask.requirements.grace_s = 60;
    let proven = ask.proven();
    for (crls, outcome) in [
        (vec![top.crl(5, &[], |_| {}), delta(&[7])], Outcome::Revoked),
        (vec![top.crl(5, &[], |_| {}), delta(&[])], Outcome::Indeterminate),
        (vec![top.crl(6, &[], |_| {}), delta(&[])], Outcome::Valid),
        (vec![late(60)], Outcome::Valid),
        (vec![late(61)], Outcome::Indeterminate),
    ] {
        ask.crls = crls.clone();
        assert_eq!(ask.outcome(), outcome);
        let (crls, memory): (CrlSet, Memory) = (crls.into_iter().collect(), Memory::new(0));
        let sources = Sources { certificates: &Graph::new(), crls: &crls, memory: &memory };
        assert_eq!(proven.recheck(NOW, sources).outcome, outcome);
        assert_eq!(proven.look_up(NOW, &crls, |_| {}).map(outcome_of), Ok(outcome));
    }
}

/// CRLs that say when they change, and count how often they are asked for.
struct Revised {
    crls: RefCell<CrlSet>,
    revisions: Revisions,
    asked: Cell<usize>,
}

impl Revised {
    fn of(crls: &[Crl]) -> Revised {
        let crls = RefCell::new(crls.iter().cloned().collect());
        Revised { crls, revisions: Revisions::default(), asked: Cell::new(0) }
    }

    fn becomes(&self, crls: &[Crl]) {
        self.crls.replace(crls.iter().cloned().collect());
        self.revisions.advance();
    }
}

impl CrlSource for Revised {
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]> {
        self.asked.set(self.asked.get() + 1);
        self.crls.borrow().by_issuer(issuer)
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revisions.get())
    }
}

#[test]
fn a_source_of_the_same_revision_is_not_asked_again_and_any_change_is_obeyed() {
    let top = root("CN=top");
    let leaf = top.leaf("CN=leaf", |_| {});
    let (good, revoking) = ([top.crl(1, &[], |_| {})], [top.crl(2, &[7], |_| {})]);
    let proven = Ask::about(&leaf, &top).with_crls(good.clone()).proven();
    let (crls, memory) = (Revised::of(&good), Memory::new(0));
    let recheck = |crls: &Revised| {
        proven.recheck(NOW, Sources { certificates: &Graph::new(), crls, memory: &memory }).outcome
    };
    let look_up = |crls: &Revised| {
        crls.asked.set(0);
        (proven.look_up(NOW, crls, |_| {}).map(outcome_of), crls.asked.get())
    };
    assert_eq!(recheck(&crls), Outcome::Valid);
    assert_eq!(look_up(&crls), (Ok(Outcome::Valid), 1));
    assert_eq!(look_up(&crls), (Ok(Outcome::Valid), 0), "nothing has changed since");
    crls.revisions.advance();
    assert_eq!(look_up(&crls), (Ok(Outcome::Valid), 1), "something else has changed");
    assert_eq!(look_up(&crls), (Ok(Outcome::Valid), 0));
    assert_eq!(look_up(&Revised::of(&revoking)), (Err(Unbound), 1), "another source");
    assert_eq!(look_up(&crls), (Ok(Outcome::Valid), 0));
    let held_by_another_reader = crls.by_issuer(top.certificate.subject());
    crls.becomes(&revoking);
    assert_eq!(look_up(&crls), (Err(Unbound), 1), "though the old list is alive still");
    drop(held_by_another_reader);
    assert_eq!(recheck(&crls), Outcome::Revoked);
    assert_eq!(look_up(&crls), (Ok(Outcome::Revoked), 1));
    assert_eq!(look_up(&crls), (Ok(Outcome::Revoked), 0));
    drop(crls.crls.take());
    assert_eq!(look_up(&crls), (Err(Unbound), 1), "a list that is gone is asked for, whatever the revision");
}

/// CRLs of which some are lost.
struct Losing {
    left: CrlSet,
    lost: (IssuerId, ScopeId, CrlNumber),
}

impl CrlSource for Losing {
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]> {
        self.left.by_issuer(issuer)
    }

    fn lost(&self, signer: IssuerId, scope: ScopeId) -> Option<CrlNumber> {
        ((signer, scope) == (self.lost.0, self.lost.1)).then_some(self.lost.2)
    }
}

#[test]
fn where_a_newer_crl_of_the_scope_is_lost_none_is_good_and_what_is_listed_is_revoked() {
    let top = root("CN=top");
    let leaf = top.leaf("CN=leaf", |_| {});
    let crl = |number, serials: &[u8]| top.crl(number, serials, |_| {});
    let proven = Ask::about(&leaf, &top).with_crls([crl(5, &[])]).proven();
    let signer = top.certificate.as_issuer();
    let scope = crl(5, &[]).scope(signer);
    let another = ScopeId([0; 16]);
    for (left, scope, outcome) in [
        (crl(5, &[]), scope, Outcome::Indeterminate),
        (crl(5, &[7]), scope, Outcome::Revoked),
        (crl(6, &[]), scope, Outcome::Valid),
        (crl(5, &[]), another, Outcome::Valid),
    ] {
        let left = [left].into_iter().collect();
        let crls = Losing { left, lost: (signer, scope, 6_u64.into()) };
        let sources = Sources { certificates: &Graph::new(), crls: &crls, memory: &Memory::new(0) };
        assert_eq!(proven.recheck(NOW, sources).outcome, outcome);
        // Which CRLs decide is kept only where nothing but they decides.
        let again = proven.look_up(NOW, &crls, |_| {}).map(outcome_of);
        assert_eq!(again, if outcome == Outcome::Valid { Ok(outcome) } else { Err(Unbound) });
    }
}

#[test]
fn a_crl_whose_signer_becomes_known_later_is_obeyed_by_a_proven_path() {
    let top = root("CN=top");
    let (sub, another_key) = (top.ca("CN=sub", |_| {}), top.ca("CN=sub", |_| {}));
    let leaf = sub.leaf("CN=leaf", |_| {});
    let crls = [top.crl(1, &[], |_| {}), sub.crl(1, &[], |_| {}), another_key.crl(2, &[7], |_| {})];
    let ask = Ask::about(&leaf, &top).through(&[&sub]).with_crls(crls);
    let (proven, crls) = (ask.proven(), ask.crls.iter().cloned().collect::<CrlSet>());
    let memory = Memory::new(0);
    let recheck = |known: Option<&Holder>| {
        let graph: Graph = known.iter().map(|holder| holder.certificate.clone()).collect();
        proven.recheck(NOW, Sources { certificates: &graph, crls: &crls, memory: &memory }).outcome
    };
    assert_eq!(recheck(None), Outcome::Valid);
    assert_eq!(recheck(Some(&another_key)), Outcome::Revoked);
}

#[test]
fn a_proven_path_keeps_no_crl_that_its_source_has_let_go() {
    let top = root("CN=top");
    let leaf = top.leaf("CN=leaf", |_| {});
    let proven = Ask::about(&leaf, &top).with_crls([top.crl(1, &[], |_| {})]).proven();
    let octets = top.crl(2, &[], |_| {}).der().to_vec();
    let held = Arc::new(octets);
    struct Held(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let old = Crl::decode(bytes::Bytes::from_owner(Held(held.clone()))).unwrap();
    let (crls, memory) = ([old].into_iter().collect::<CrlSet>(), Memory::new(0));
    let sources = Sources { certificates: &Graph::new(), crls: &crls, memory: &memory };
    assert_eq!(proven.recheck(NOW, sources).outcome, Outcome::Valid);
    assert!(proven.look_up(NOW, &crls, |_| {}).is_ok(), "bound to it, or this test shows nothing");
    drop(crls);
    assert_eq!(Arc::strong_count(&held), 1);
}
