//! Who signed: several keys may bear one name (key rollover, separate CRL keys), and only a signature tells which.

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::signature::{AlgorithmPolicy, verify};

/// At most this many keys of a name are tried on one CRL. Real names have two or three keys at a time.
pub const MAX_SIGNERS: usize = 32;

/// The certificate, among those whose subject is the CRL's issuer, whose key signed the CRL. The ones that the CRL's
/// authority key identifier names are tried first.
pub fn find_signer(crl: &Crl, candidates: &[Certificate]) -> Option<Certificate> {
    let policy = AlgorithmPolicy::default();
    let wanted = crl.authority_key_id().and_then(|identifier| identifier.key_id.map(<[u8]>::to_vec));
    let is_named =
        |certificate: &&Certificate| wanted.is_some() && certificate.subject_key_id() == wanted.as_deref();
    let (named, others): (Vec<_>, Vec<_>) = candidates.iter().partition(is_named);
    let mut tried: Vec<&[u8]> = Vec::new();
    for certificate in named.into_iter().chain(others) {
        let is_new = !tried.contains(&certificate.spki());
        if !is_new || certificate.subject() != crl.issuer() {
            continue;
        }
        if tried.len() == MAX_SIGNERS {
            break;
        }
        if crl.verify(certificate.spki(), &policy).is_ok() {
            return Some(certificate.clone());
        }
        tried.push(certificate.spki());
    }
    None
}

/// Whether the key of `signer` signed `certificate`, which names `signer` as its issuer.
pub fn has_signed(signer: &Certificate, certificate: &Certificate) -> bool {
    signer.subject() == certificate.issuer()
        && verify(
            certificate.signature_algorithm(),
            signer.spki(),
            certificate.tbs(),
            certificate.signature(),
            &AlgorithmPolicy::default(),
        )
        .is_ok()
}
