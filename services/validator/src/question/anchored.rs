//! Whether a CA is one of ours: does it lead to an anchor of a policy? Revocation is left to the questions.

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::path::{CertificateSource, Question, Requirements, RevocationMode, Sources, judge};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::Memory;

use super::policy::Policy;
use crate::state::Live;

/// Whether a certificate has a path to an anchor of `policy`, under its algorithms and nothing else that it requires.
pub(crate) fn leads_to_anchor(certificate: &Certificate, policy: &Policy, live: &Live, at: Time) -> bool {
    leads_to_anchor_through(certificate, policy, live, &live.memory, at)
}

/// The same through the certificates of `known`.
pub(crate) fn leads_to_anchor_through(
    certificate: &Certificate,
    policy: &Policy,
    known: &dyn CertificateSource,
    memory: &Memory,
    at: Time,
) -> bool {
    let requirements = Requirements {
        revocation: RevocationMode::None,
        algorithms: policy.requirements.algorithms,
        ..Requirements::default()
    };
    let question = Question::new(certificate.clone(), at, &policy.anchors, &requirements);
    judge(&question, Sources { certificates: known, crls: &CrlSet::new(), memory }).is_valid()
}
