//! Reading a certificate.

use revocast_pki::asn1::Oid;
use revocast_pki::bundle::items;
use revocast_pki::certificate::Certificate;
use revocast_pki::signature::{AlgorithmPolicy, inspect_key, verify};

/// Octets are a certificate or are not. If they are, everything in it can be asked for and shown, and nothing stands
/// outside of what arrived.
pub fn holds(octets: &[u8]) {
    let _ = items(octets.to_vec());
    let Ok(certificate) = Certificate::decode(octets.to_vec()) else { return };
    assert_eq!(certificate.der(), octets);
    let inside = |part: &[u8]| octets.windows(part.len().max(1)).any(|window| window == part);
    assert!(inside(certificate.tbs()) && inside(certificate.spki()) && inside(certificate.serial()));
    let known = certificate.extensions().filter(|extension| !extension.value.is_empty()).count();
    assert!(known <= certificate.extensions().count());
    let _ = (certificate.basic_constraints(), certificate.key_usage(), certificate.policy_constraints());
    let _ = (certificate.inhibit_any_policy(), certificate.policies().map(Iterator::count));
    let _ = certificate.policy_mappings().map(Iterator::count);
    for name in certificate.subject_alt_names().into_iter().flatten() {
        let _ = (name.to_string(), name.directory());
    }
    for point in certificate.crl_distribution_points().into_iter().flatten() {
        let _ = format!("{point:?}");
    }
    let _ = certificate.authority_info_access().map(Iterator::count);
    let _ = certificate.unknown_critical_extension().map(|oid: Oid<'_>| oid.to_string());
    for policy in [AlgorithmPolicy::DEFAULT, AlgorithmPolicy::LEGACY] {
        let _ = inspect_key(certificate.spki(), &policy);
        let (algorithm, signature) = (certificate.signature_algorithm(), certificate.signature());
        let _ = verify(algorithm, certificate.spki(), certificate.tbs(), signature, &policy);
    }
    let _ = format!("{certificate:?}");
}
