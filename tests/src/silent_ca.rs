//! [`SilentCa`]: a CA that announces nothing. Its certificates name a URL, and what stands there is all it says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::IssuerId;
use revocast_pki::mint::{
    CertificateTemplate, CrlTemplate, DistributionPoint, KeyKind, RevokedEntry, SigningKey, name,
};

/// A self-signed CA, and what it issues.
pub struct SilentCa {
    /// Its certificate.
    pub certificate: Certificate,
    /// Where its certificates say that its CRL is.
    pub url: String,
    key: SigningKey,
    issued: AtomicU64,
}

impl SilentCa {
    /// A CA of this name (RFC 4514), whose certificates name `url`.
    pub fn new(subject: &str, url: &str) -> SilentCa {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let validity = (now().plus(-3_600), now().plus(86_400));
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity);
        let certificate = Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap();
        SilentCa { certificate, url: url.to_owned(), key, issued: AtomicU64::new(1) }
    }

    /// Who it is as a signer.
    pub fn issuer(&self) -> IssuerId {
        self.certificate.as_issuer()
    }

    /// A certificate for nobody in particular, and its serial number.
    pub fn leaf(&self) -> (Certificate, [u8; 8]) {
        let serial = (0x0100_0000 + self.issued.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (now().plus(-3_600), now().plus(86_400));
        let subject = name("CN=leaf").unwrap();
        let mut template = CertificateTemplate::new(subject, key.spki(), &serial, validity);
        template.crl_distribution_points = vec![DistributionPoint::uri(&self.url)];
        let der = template.sign(self.certificate.subject(), &self.key).unwrap();
        (Certificate::decode(der).unwrap(), serial)
    }

    /// Its CRL of this number, issued now for `life_s` seconds, that revokes `serials` and `more` others.
    pub fn crl(&self, number: u64, life_s: i64, serials: &[[u8; 8]], more: u32) -> Crl {
        let at = now();
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, number, at, at.plus(life_s));
        let others = (0..more).map(|n| u64::from(n + 0x7000_0000).to_be_bytes());
        let entries = serials.iter().copied().chain(others);
        let entries =
            entries.map(|serial| RevokedEntry::new(&serial, at.plus(-60)).because(Reason::KeyCompromise));
        Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
    }
}

/// This second.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap())
}
