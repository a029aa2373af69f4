//! NIST PKITS: all 249 cases, nothing skipped. The vectors and their origin stand in `vectors/pkits`.
//!
//! Each case is asked as a deployment would ask it: the anchor, all other certificates of the case as untrusted, in no
//! helpful order, its CRLs, hard-fail revocation. The engine must find the path by itself.

#![allow(clippy::unwrap_used, reason = "a test stops where it stands")]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use bytes::Bytes;
use revocast_pki::asn1::{Reader, Time};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_pki::path::{Anchor, Anchors, Graph, Question, Requirements, Sources, judge};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::{AlgorithmPolicy, Memory};
use revocast_pki::verdict::{Outcome, Verdict};
use serde::Deserialize;

/// Both after the certificates and CRLs that must have expired, and before the end of the others.
const INSTANTS: [&str; 2] = ["2011-04-15T00:00:00Z", "2026-11-22T00:00:00Z"];

#[derive(Deserialize)]
struct Manifest {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    trust_anchor: String,
    intermediates: Vec<String>,
    end_entity: String,
    crl_issuer_certs: Vec<String>,
    crls: Vec<String>,
    settings: Settings,
    expected: Expected,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Settings {
    initial_policy_set: Vec<String>,
    initial_explicit_policy: bool,
    initial_policy_mapping_inhibit: bool,
    initial_inhibit_any_policy: bool,
}

#[derive(Deserialize)]
struct Expected {
    valid: bool,
    user_constrained_policy_set: Vec<String>,
    failure: Option<String>,
}

/// The objects of the suite by name, each checked against its hash.
struct Objects(HashMap<String, Bytes>);

impl Objects {
    fn load(folder: &Path) -> Objects {
        let all = Bytes::from(std::fs::read(folder.join("objects.der")).unwrap());
        let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
        let mut rest = Reader::new(&all);
        let mut objects = HashMap::new();
        for line in sums.lines() {
            let (hash, name) = line.split_once("  ").unwrap();
            let object = all.slice_ref(rest.any().unwrap().raw);
            assert_eq!(Digest::of(&object).to_string(), hash, "{name}");
            objects.insert(name.to_owned(), object);
        }
        assert!(rest.is_empty());
        Objects(objects)
    }

    fn certificate(&self, name: &str) -> Certificate {
        Certificate::decode(self.0[name].clone()).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn crl(&self, name: &str) -> Crl {
        Crl::decode(self.0[name].clone()).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Case {
    fn ask(&self, objects: &Objects, at: &str) -> Verdict {
        let anchors: Anchors =
            [Anchor::from_certificate(objects.certificate(&self.trust_anchor))].into_iter().collect();
        let untrusted = self.crl_issuer_certs.iter().chain(&self.intermediates);
        let graph: Graph = untrusted.map(|name| objects.certificate(name)).collect();
        let crls: CrlSet = self.crls.iter().map(|name| objects.crl(name)).collect();
        let dsa = self.features.iter().any(|feature| feature == "dsa");
        let requirements = Requirements {
            policies: self.settings.initial_policy_set.iter().map(|oid| oid.parse().unwrap()).collect(),
            explicit_policy: self.settings.initial_explicit_policy,
            inhibit_policy_mapping: self.settings.initial_policy_mapping_inhibit,
            inhibit_any_policy: self.settings.initial_inhibit_any_policy,
            algorithms: if dsa { AlgorithmPolicy::legacy() } else { AlgorithmPolicy::default() },
            ..Requirements::default()
        };
        let target = objects.certificate(&self.end_entity);
        let at: Time = at.parse().unwrap();
        let question = Question::new(target, at, &anchors, &requirements);
        let memory = Memory::new(0);
        judge(&question, Sources { certificates: &graph, crls: &crls, memory: &memory })
    }

    /// What is wrong with the verdict, if anything is.
    fn disagrees(&self, verdict: &Verdict) -> Option<String> {
        let got = format!("{} ({:?})", verdict.outcome, verdict.reason);
        let unknown = self.expected.failure.as_deref() == Some("revocation_status_unknown");
        let agrees = match verdict.outcome {
            Outcome::Valid => self.expected.valid,
            Outcome::Indeterminate => unknown,
            Outcome::Revoked => unknown || self.expected.failure.as_deref() == Some("revoked"),
            Outcome::Invalid => !self.expected.valid && !unknown,
        };
        let expected = self.expected.failure.as_deref().unwrap_or("valid");
        if !agrees {
            return Some(format!(
                "{} {}: expected {expected}, got {got}\n{}",
                self.id,
                self.name,
                verdict.report()
            ));
        }
        let policies: BTreeSet<&str> = verdict.policies.iter().map(String::as_str).collect();
        let wanted = self.expected.user_constrained_policy_set.iter().map(String::as_str).collect();
        (self.expected.valid && policies != wanted)
            .then(|| format!("{} {}: expected policies {wanted:?}, got {policies:?}", self.id, self.name))
    }
}

#[test]
fn all_cases_of_pkits_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/pkits");
    let objects = Objects::load(&folder);
    let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.tests.len(), 249);
    for at in INSTANTS {
        let asked = manifest.tests.iter().map(|case| case.disagrees(&case.ask(&objects, at)));
        let wrong: Vec<String> = asked.flatten().collect();
        assert!(wrong.is_empty(), "at {at} {} of 249 disagree:\n{}", wrong.len(), wrong.join("\n"));
    }
}
