//! A whole question: target, anchor, and whatever else, as DER one after the other.

use revocast_pki::asn1::{Reader, Time};
use revocast_pki::bundle::{Item, items};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::path::{Anchor, Anchors, Graph, Limits, Question, Requirements, Sources, judge};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::{AlgorithmPolicy, Memory};
use revocast_pki::verdict::Outcome;

/// More than the seeds need, little enough to be fast.
const LIMITS: Limits = Limits { signatures: 16, candidates: 64, depth: 8, comparisons: 4_096 };

/// Every question gets a verdict within its budget, which can be shown; less budget gives the same verdict or none.
pub fn holds(octets: &[u8]) {
    let (mut certificates, mut crls) = (Vec::new(), CrlSet::new());
    let mut rest = Reader::new(octets);
    while let Ok(object) = rest.any() {
        for item in items(object.raw.to_vec()).unwrap_or_default() {
            match item {
                Item::Certificate(der) => certificates.extend(Certificate::decode(der)),
                Item::Crl(der) => crls.extend(Crl::decode(der)),
            }
        }
    }
    let [target, anchor, untrusted @ ..] = &certificates[..] else { return };
    let anchors: Anchors = [Anchor::from_certificate(anchor.clone())].into_iter().collect();
    let graph: Graph = untrusted.iter().cloned().collect();
    let requirements = Requirements { algorithms: AlgorithmPolicy::LEGACY, ..Requirements::default() };
    let memory = Memory::new(0);
    let sources = Sources { certificates: &graph, crls: &crls, memory: &memory };
    let at = Time::from_unix(1_302_825_600);
    let mut question = Question::new(target.clone(), at, &anchors, &requirements);
    (question.limits, question.told) = (LIMITS, 8);
    let verdict = judge(&question, sources);
    assert!(verdict.work.signatures <= LIMITS.signatures && verdict.work.candidates <= LIMITS.candidates);
    assert!(verdict.work.comparisons <= LIMITS.comparisons);
    let _ = verdict.report().to_string();
    question.limits.signatures = 2;
    let less = judge(&question, sources).outcome;
    assert!(less == verdict.outcome || less == Outcome::Indeterminate || verdict.outcome != Outcome::Valid);
    assert!(less != Outcome::Valid || verdict.outcome == Outcome::Valid);
}
