//! [`TestCa`]: a CA without a ledger, for tests that need CRLs as they please.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use revocast_messages::{CertificateNotice, CrlNotice, Origin, Role};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::{CrlNumber, IssuerId};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

/// A CA with a self-signed certificate.
pub struct TestCa {
    /// Its key.
    pub key: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
}

/// When everything here is issued: an hour before the test, since services go by the system's clock.
fn issued_at() -> Time {
    static AT: OnceLock<Time> = OnceLock::new();
    *AT.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Time::from_unix(i64::try_from(since.as_secs()).unwrap() - 3_600)
    })
}

impl TestCa {
    /// A CA of this name (RFC 4514) with a key of its own.
    pub fn new(subject: &str) -> TestCa {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let template = CertificateTemplate::ca(
            subject.clone(),
            key.spki(),
            &[1],
            (issued_at(), issued_at().plus(86_400)),
        );
        let certificate = Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap();
        TestCa { key, certificate }
    }

    /// Who it is as a signer.
    pub fn issuer(&self) -> IssuerId {
        self.certificate.as_issuer()
    }

    /// Its CRL of this number, with this many entries.
    pub fn crl(&self, number: u64, entries: u32) -> Crl {
        let at = issued_at().plus(i64::try_from(number).unwrap());
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, CrlNumber::from(number), at, at.plus(86_400));
        let entries = (0..entries).map(|n| {
            RevokedEntry::new(&(n + 0x0100_0000).to_be_bytes(), issued_at()).because(Reason::KeyCompromise)
        });
        Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
    }

    /// A notice of a CRL, as an authority would publish it.
    pub fn notice(&self, crl: &Crl) -> CrlNotice {
        CrlNotice::of(crl, self.issuer(), origin())
    }

    /// A notice of its certificate, as an authority would publish it.
    pub fn certificate_notice(&self) -> CertificateNotice {
        CertificateNotice {
            issuer: self.issuer(),
            certificate: self.certificate.der().clone().into(),
            origin: origin(),
            locations: Vec::new(),
        }
    }
}

fn origin() -> Origin {
    Origin { role: Role::Authority, instance: "authority-1".parse().unwrap(), seen_at_ms: 0 }
}
