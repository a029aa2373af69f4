//! The certificates by which the other domain's validators can judge a CRL: from its signer up to an anchor.

use std::collections::{BTreeSet, VecDeque};

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{CertId, IssuerId};
use revocast_pki::name::Name;
use revocast_pki::path::CertificateSource;
use revocast_store::has_signed;

use crate::notice::verify::Verifier;
use crate::state::Live;

/// At most this many certificates go with the CRLs of an issuer. Real CAs have a handful, cross-certificates included.
const MAX_CERTIFICATES: usize = 64;

/// The CA certificates of an issuer and of those above it that have a path to an anchor of this validator, each with
/// the identity of the key that signed it; the nearest first. Verifies signatures, so it may take a while.
pub(super) fn chain(
    live: &Live,
    verifier: &Verifier,
    issuer: IssuerId,
    name: &Name,
    at: Time,
) -> Vec<(Certificate, IssuerId)> {
    let mut waiting: VecDeque<Certificate> = live.certificates_of(issuer, name).into();
    let mut seen: BTreeSet<CertId> = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(certificate) = waiting.pop_front() {
        if seen.len() >= MAX_CERTIFICATES || !seen.insert(certificate.id()) {
            continue;
        }
        if !certificate.is_ca() || !verifier.is_entitled(&certificate, live, at) {
            continue;
        }
        let mut signers = live.by_subject(certificate.issuer());
        signers.retain(|signer| has_signed(signer, &certificate));
        found.extend(signers.first().map(|signer| (certificate, signer.as_issuer())));
        waiting.extend(signers);
    }
    found
}
