//! Inputs that make others work without end: here the budget bounds them, and the counters show it.

use super::world::{Ask, DAY, Holder, NOW, ca_template, certify, dn, key, root, root_with};
use crate::certificate::PolicyConstraints;
use crate::mint::{GeneralName, GeneralSubtrees};
use crate::path::{Limits, Resource};
use crate::signature::MAX_RSA_BITS;
use crate::verdict::{Outcome, Reason};

const LIMITS: Limits = Limits { signatures: 100, candidates: 4_096, depth: 32, comparisons: 1 << 20 };

/// RUSTSEC-2023-0053, CVE-2018-16875: every key certifies every name with every key, and nothing leads to the anchor.
///
/// ```text
///   CA 0 .. CA 11, each with 12 keys; each key certified by each other      anchor (elsewhere)
/// ```
#[test]
fn a_mesh_of_144_keys_without_an_anchor_exhausts_the_budget_and_no_more() {
    let members: Vec<_> = (0..144).map(|n| (format!("CN=CA {}", n % 12), key())).collect();
    let mut untrusted = Vec::new();
    for (issuer, issuer_key) in &members {
        for (subject, subject_key) in &members {
            untrusted.push(certify(ca_template(subject, subject_key), &dn(issuer), issuer_key));
        }
    }
    let (name, signing_key) = members.into_iter().next().unwrap();
    let inside = Holder { name: dn(&name), certificate: untrusted[0].clone(), key: signing_key };
    let mut ask = Ask::about(&inside.leaf("CN=leaf", |_| {}), &root("CN=elsewhere"));
    ask.untrusted = untrusted;
    let verdict = ask.verdict();
    assert_eq!(verdict.outcome, Outcome::Indeterminate);
    assert!(matches!(verdict.reason, Some(Reason::Budget(Resource::Signatures | Resource::Candidates))));
    assert!(verdict.work.signatures <= LIMITS.signatures && verdict.work.candidates <= LIMITS.candidates);
}

/// CVE-2023-0464, CVE-2026-32281: each CA maps each policy to each other; a tree would have 8^20 nodes.
#[test]
fn mutual_mappings_over_twenty_levels_take_a_graph_and_not_a_tree() {
    let policy = |n: u8| vec![0x2a, 3, n];
    let map_all = |template: &mut crate::mint::CertificateTemplate| {
        template.policies = (0..8).map(|n| policy(n).into()).collect();
        let pairs = (0..8).flat_map(|from| (0..8).map(move |to| (vec![0x2a, 3, from], vec![0x2a, 3, to])));
        template.policy_mappings = pairs.collect();
        template.policy_constraints =
            Some(PolicyConstraints { require_explicit_policy: Some(0), inhibit_policy_mapping: None });
    };
    let top = root("CN=top");
    let mut chain = vec![top.ca("CN=0", map_all)];
    for n in 1..20 {
        chain.push(chain[n - 1].ca(&format!("CN={n}"), map_all));
    }
    let leaf = chain[19].leaf("CN=leaf", |template| {
        template.policies = vec![policy(3).into()];
    });
    let ask = Ask::about(&leaf, &top).through(&chain.iter().collect::<Vec<_>>());
    let verdict = ask.verdict();
    assert_eq!(verdict.outcome, Outcome::Valid, "{}", verdict.report());
    assert_eq!(verdict.policies.len(), 8);
    assert!(verdict.work.comparisons < 20 * 4 * 64, "{:?}", verdict.work);
}

/// CVE-2025-58187: the product of names and constraints is what costs.
#[test]
fn ten_thousand_names_against_ten_thousand_constraints_exhaust_the_budget() {
    let hosts =
        |below: &str| (0..10_000).map(|n| GeneralName::Dns(format!("h{n}.{below}"))).collect::<Vec<_>>();
    let top = root("CN=top");
    let sub = top.ca("CN=sub", |template| {
        template.name_constraints =
            Some(GeneralSubtrees { permitted: Vec::new(), excluded: hosts("excluded") });
    });
    let leaf = sub.leaf("CN=leaf", |template| template.subject_alt_names = hosts("example"));
    let verdict = Ask::about(&leaf, &top).through(&[&sub]).verdict();
    assert_eq!(verdict.reason, Some(Reason::Budget(Resource::Comparisons)));
    assert!(verdict.work.comparisons <= LIMITS.comparisons);
}

/// The deepest path that is allowed is found; one certificate more is refused by name.
#[test]
fn a_path_may_be_as_long_as_asked_for_and_no_longer() {
    let top = root("CN=top");
    let mut chain = vec![top.ca("CN=0", |_| {})];
    for n in 1..8 {
        chain.push(chain[n - 1].ca(&format!("CN={n}"), |_| {}));
    }
    let leaf = chain[7].leaf("CN=leaf", |_| {});
    let mut ask = Ask::about(&leaf, &top).through(&chain.iter().collect::<Vec<_>>());
    ask.limits.depth = 8;
    assert_eq!(ask.outcome(), Outcome::Valid);
    ask.limits.depth = 7;
    assert_eq!(ask.reason(), Some(Reason::Depth));
}

/// Keys of 16,384 bits are refused before the arithmetic: no signature is counted.
#[test]
fn a_key_that_is_too_long_costs_nothing() {
    let spki = rsa_spki(2 * MAX_RSA_BITS);
    let top = root("CN=top");
    let huge = top.ca("CN=huge", |template| template.spki = spki);
    let leaf = huge.leaf("CN=leaf", |_| {});
    // The leaf says RSA, so that key and algorithm belong together.
    let leaf = Holder { certificate: resigned_as_rsa(&leaf), ..leaf };
    let verdict = Ask::about(&leaf, &top).through(&[&huge]).verdict();
    assert_eq!(verdict.reason, Some(Reason::AlgorithmRefused), "{}", verdict.report());
    assert_eq!(verdict.work.signatures, 0);
}

fn rsa_spki(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xff; bits / 8 + 1];
    modulus[0] = 0;
    let mut writer = crate::asn1::Writer::new();
    writer.sequence(|writer| {
        writer.sequence(|writer| {
            writer.raw(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00");
        });
        let mut key = crate::asn1::Writer::new();
        key.sequence(|key| {
            key.integer(&modulus);
            key.integer(&[1, 0, 1]);
        });
        writer.octets_in_bit_string(&key.finish());
    });
    writer.finish()
}

/// The same certificate with sha256WithRSAEncryption in both places; its signature is wrong, of course.
fn resigned_as_rsa(leaf: &Holder) -> crate::certificate::Certificate {
    const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
    let certificate = &leaf.certificate;
    let tbs = certificate.tbs();
    let inside = crate::asn1::Reader::new(tbs).sequence().unwrap().rest();
    let algorithm = certificate.signature_algorithm();
    let at = inside.windows(algorithm.len()).position(|window| window == algorithm).unwrap();
    let content = [&inside[..at], RSA, &inside[at + algorithm.len()..]].concat();
    let mut writer = crate::asn1::Writer::new();
    writer.sequence(|writer| {
        writer.value(crate::asn1::Tag::SEQUENCE, &content);
        writer.raw(RSA);
        writer.octets_in_bit_string(&[0; 2048]);
    });
    crate::certificate::Certificate::decode(writer.finish()).unwrap()
}

/// CVE-2025-58187 and its kin, from the side of time: the caller's deadline ends the search.
#[test]
fn the_callers_deadline_makes_the_verdict_indeterminate() {
    let top = root_with("CN=top", |template| template.not_after = NOW.plus(DAY));
    let leaf = top.leaf("CN=leaf", |_| {});
    let ask = Ask::about(&leaf, &top);
    let graph = crate::path::Graph::new();
    let crls = crate::revocation::CrlSet::new();
    let memory = crate::signature::Memory::new(0);
    let mut question = crate::path::Question::new(ask.target.clone(), NOW, &ask.anchors, &ask.requirements);
    question.expired = Some(&|| true);
    let sources = crate::path::Sources { certificates: &graph, crls: &crls, memory: &memory };
    let verdict = crate::path::judge(&question, sources);
    assert_eq!(verdict.reason, Some(Reason::Budget(Resource::Time)));
    assert_eq!(verdict.outcome, Outcome::Indeterminate);
}
