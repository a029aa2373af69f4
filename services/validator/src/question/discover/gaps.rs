//! Where what is known ends: the certificates above a target whose issuer nobody here knows. Pure.
//!
//! From the target up, over names and signatures: an issuer counts only if its key signed what is below it, so a
//! stranger's certificate under a CA's name closes no gap. The rest of validation is the path engine's; what is
//! decided here is only whether it is worth looking elsewhere, and for whom.

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::general_name::GeneralName;
use revocast_pki::name::Name;
use revocast_pki::oids::ACCESS_CA_ISSUERS;
use revocast_pki::path::{Anchors, CertificateSource};
use revocast_pki::signature::{AlgorithmPolicy, Memory, SignatureError, Statement};

/// At most this many certificates are reached from one target; real meshes have a few dozen CAs.
const MAX_REACHED: usize = 64;

/// caIssuers URLs of one certificate that count; real ones have one or two.
const MAX_URLS: usize = 2;

/// An issuer that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The certificate whose issuer is missing.
    pub below: Certificate,
}

impl Gap {
    /// Who is missing.
    pub(super) fn issuer(&self) -> &Name {
        self.below.issuer()
    }

    /// The key that the certificate below says (RFC 5280 4.2.1.1).
    pub(super) fn key_id(&self) -> Option<Vec<u8>> {
        self.below.authority_key_id().and_then(|authority| authority.key_id).map(<[u8]>::to_vec)
    }

    /// Where the certificate below says that its issuer's is (4.2.2.1).
    pub(super) fn urls(&self) -> Vec<String> {
        let access = self.below.authority_info_access().into_iter().flatten();
        let issuers = access.filter(|description| description.method == ACCESS_CA_ISSUERS);
        let urls = issuers.filter_map(|description| match description.location {
            GeneralName::Uri(url) => Some(url.to_owned()),
            _ => None,
        });
        urls.take(MAX_URLS).collect()
    }
}

/// What is known, and what counts.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub certificates: &'a dyn CertificateSource,
    pub anchors: &'a Anchors,
    pub memory: &'a Memory,
    pub algorithms: AlgorithmPolicy,
    pub at: Time,
}

/// Signatures that may still be verified.
#[derive(Debug)]
pub(super) struct Effort {
    pub signatures: usize,
}

/// The gaps above a target, the nearest first. None at all if it leads to an anchor: then nothing is missing that
/// could be found elsewhere. None either if it is out of its time itself.
pub(super) fn gaps(target: &Certificate, known: Known<'_>, effort: &mut Effort) -> Vec<Gap> {
    let mut reached: Vec<Certificate> = Vec::new();
    if is_current(target, known.at) {
        reached.push(target.clone());
    }
    let mut gaps = Vec::new();
    while let Some(below) = reached.get(gaps.len()).cloned() {
        let anchors = known.anchors.named(below.issuer());
        if anchors.iter().any(|anchor| has_signed(anchor.spki(), &below, known, effort)) {
            return Vec::new();
        }
        for issuer in known.certificates.by_subject(below.issuer()) {
            let is_new = reached.len() < MAX_REACHED && !reached.contains(&issuer);
            if is_new && is_current(&issuer, known.at) && has_signed(issuer.spki(), &below, known, effort) {
                reached.push(issuer);
            }
        }
        gaps.push(Gap { below });
    }
    gaps
}

/// The certificates that lead on from `below`: whose key signed one of these, or one that leads on itself. What was
/// known is left out.
pub(super) fn leading_on(
    below: &[Certificate],
    brought: &[Certificate],
    known: Known<'_>,
    effort: &mut Effort,
) -> Vec<Certificate> {
    let mut ends = below.to_vec();
    let mut rest: Vec<Certificate> = brought.to_vec();
    let mut leading = Vec::new();
    while let Some(end) = ends.pop() {
        let (signers, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|candidate| {
            candidate.subject() == end.issuer() && has_signed(candidate.spki(), &end, known, effort)
        });
        rest = others;
        ends.extend(signers.iter().cloned());
        leading.extend(signers);
    }
    leading.retain(|found| !known.certificates.by_subject(found.subject()).contains(found));
    leading
}

fn is_current(certificate: &Certificate, at: Time) -> bool {
    (certificate.not_before()..=certificate.not_after()).contains(&at)
}

/// Whether the key signed the certificate; no, once the effort is spent.
fn has_signed(spki: &[u8], certificate: &Certificate, known: Known<'_>, effort: &mut Effort) -> bool {
    let statement = Statement {
        algorithm: certificate.signature_algorithm(),
        spki,
        message: certificate.tbs(),
        signature: certificate.signature(),
    };
    let admitted = match statement.inspect(&known.algorithms) {
        // A key that inherits its parameters is judged when its path is whole.
        Err(SignatureError::NoParameters) => return true,
        admitted => admitted.is_ok(),
    };
    if !admitted {
        return false;
    }
    let fingerprint = statement.fingerprint();
    if known.memory.holds(&fingerprint) {
        return true;
    }
    let Some(left) = effort.signatures.checked_sub(1) else { return false };
    effort.signatures = left;
    let right = statement.verify(&known.algorithms).is_ok();
    if right {
        known.memory.remember(fingerprint);
    }
    right
}
