//! The certificates by which the other domain's validators can judge a CRL: from its signer up to an anchor.

use std::collections::{BTreeSet, VecDeque};

use revocast_pki::asn1::Time;
use revocast_pki::certificate::{Certificate, KeyUsage};
use revocast_pki::identity::{CertId, IssuerId};
use revocast_pki::name::Name;
use revocast_pki::path::CertificateSource;
use revocast_store::has_signed;

use crate::notice::verify::Verifier;
use crate::state::Live;

/// At most this many certificates go with the CRLs of an issuer. Real CAs have a handful, cross-certificates included.
const MAX_CERTIFICATES: usize = 64;

/// The certificates of a CRL's signer, which need not be a CA, and the CA certificates above it that have a path to an
/// anchor of this validator, each with the identity of the key that signed it; the nearest first. Verifies signatures, so
/// it may take a while.
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
        let is_signer = certificate.as_issuer() == issuer && signs_crls(&certificate);
        if !(certificate.is_ca() || is_signer) || !verifier.is_entitled(&certificate, live, at) {
            continue;
        }
        let mut signers = live.by_subject(certificate.issuer());
        signers.retain(|signer| has_signed(signer, &certificate));
        found.extend(signers.first().map(|signer| (certificate, signer.as_issuer())));
        waiting.extend(signers);
    }
    found
}

/// Whether a certificate says that its key is there for CRLs.
fn signs_crls(certificate: &Certificate) -> bool {
    certificate.key_usage().is_some_and(|usage| usage.contains(KeyUsage::CRL_SIGN))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    use super::*;
    use crate::config::PolicyConfig;
    use crate::question::Policies;

    const NOW: Time = Time::from_unix(1_795_305_600);

    struct Ca {
        name: Name,
        key: SigningKey,
    }

    impl Ca {
        fn new(subject: &str) -> Ca {
            Ca { name: name(subject).unwrap(), key: SigningKey::generate(KeyKind::Ed25519).unwrap() }
        }

        fn issuer(&self) -> IssuerId {
            IssuerId::of(&self.name, self.key.spki())
        }

        fn certified_by(&self, signer: &Ca) -> Certificate {
            let validity = (NOW, NOW.plus(3_600));
            let template = CertificateTemplate::ca(self.name.clone(), self.key.spki(), &[1], validity);
            Certificate::decode(template.sign(&signer.name, &signer.key).unwrap()).unwrap()
        }
    }

    /// A validator's graph in which `anchor` is believed.
    fn world(anchor: &Certificate, certificates: &[Certificate]) -> (Live, Verifier) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("anchor.crt");
        std::fs::write(&file, anchor.der()).unwrap();
        let policy = PolicyConfig { anchors: vec![file], ..PolicyConfig::default() };
        let policies = Policies::read(&BTreeMap::from([("p".to_owned(), policy)]), "p").unwrap();
        let live = Live::new();
        for certificate in certificates {
            live.insert_certificate(certificate.clone());
        }
        (live, Verifier::new(Arc::new(policies)))
    }

    /// ```text
    ///   root (anchor) --> issuing <--> bridge <-- root        stranger --> issuing
    /// ```
    #[test]
    fn every_certificate_on_a_way_to_an_anchor_goes_along_with_who_signed_it() {
        let [root, issuing, bridge, stranger] =
            ["CN=Root", "CN=Issuing", "CN=Bridge", "CN=Stranger"].map(Ca::new);
        let own = root.certified_by(&root);
        let (down, over) = (issuing.certified_by(&root), issuing.certified_by(&bridge));
        let (back, direct) = (bridge.certified_by(&issuing), bridge.certified_by(&root));
        let strange = [issuing.certified_by(&stranger), stranger.certified_by(&stranger)];
        let known =
            [&[own.clone(), down.clone(), over.clone(), back.clone(), direct.clone()], &strange[..]].concat();
        let (live, verifier) = world(&own, &known);

        let found = chain(&live, &verifier, issuing.issuer(), &issuing.name, NOW);
        let mut ids: Vec<_> = found.iter().map(|(certificate, signer)| (certificate.id(), *signer)).collect();
        ids.sort_unstable();
        // The stranger's certificate names the same key, whose other certificates lead to the anchor; on its own way
        // there is none.
        let mut expected = vec![
            (own.id(), root.issuer()),
            (down.id(), root.issuer()),
            (over.id(), bridge.issuer()),
            (back.id(), issuing.issuer()),
            (direct.id(), root.issuer()),
        ];
        expected.sort_unstable();
        assert_eq!(ids, expected);
        assert!(chain(&live, &verifier, stranger.issuer(), &stranger.name, NOW).is_empty());
    }

    /// ```text
    ///   root (anchor) --> issuing's key for CRLs (no CA), issuing's key for all else but CRLs (no CA)
    /// ```
    #[test]
    fn a_key_for_crls_alone_is_vouched_for_and_no_other_that_is_no_cas() {
        let [root, crls, other] = ["CN=Root", "CN=Issuing", "CN=Issuing"].map(Ca::new);
        let own = root.certified_by(&root);
        let certified = |ca: &Ca, usage| {
            let validity = (NOW, NOW.plus(3_600));
            let mut template = CertificateTemplate::new(ca.name.clone(), ca.key.spki(), &[2], validity);
            template.key_usage = Some(usage);
            Certificate::decode(template.sign(&root.name, &root.key).unwrap()).unwrap()
        };
        let signer = certified(&crls, KeyUsage::CRL_SIGN);
        let leaf = certified(&other, KeyUsage::DIGITAL_SIGNATURE);
        let (live, verifier) = world(&own, &[own.clone(), signer.clone(), leaf]);
        let found = chain(&live, &verifier, crls.issuer(), &crls.name, NOW);
        let ids: Vec<_> = found.iter().map(|(certificate, _)| certificate.id()).collect();
        assert_eq!(ids, [signer.id(), own.id()]);
        assert!(chain(&live, &verifier, other.issuer(), &other.name, NOW).is_empty());
    }
}
