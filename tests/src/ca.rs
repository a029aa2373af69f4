//! [`TestCa`]: a CA without a ledger, for tests that need certificates and CRLs as they please.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use revocast_messages::{CertificateNotice, CrlNotice, Origin, Role};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::{CrlNumber, IssuerId};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

/// A CA with a key and a certificate of its own.
pub struct TestCa {
    /// Its key.
    pub key: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
    /// Who signed its certificate.
    above: IssuerId,
}

const HOUR: i64 = 3_600;
/// From thisUpdate to nextUpdate.
const CRL_LIFE: i64 = 24 * HOUR;
/// Certificates outlive CRLs.
const CERTIFICATE_LIFE: i64 = 30 * CRL_LIFE;

/// When everything here is issued: an hour before the test, since services go by the system's clock.
fn issued_at() -> Time {
    static AT: OnceLock<Time> = OnceLock::new();
    *AT.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Time::from_unix(i64::try_from(since.as_secs()).unwrap() - HOUR)
    })
}

impl TestCa {
    /// A CA of this name (RFC 4514) with a key of its own and a self-signed certificate.
    pub fn new(subject: &str) -> TestCa {
        TestCa::found(subject, None)
    }

    /// A CA below this one.
    pub fn subordinate(&self, subject: &str) -> TestCa {
        TestCa::found(subject, Some(self))
    }

    fn found(subject: &str, above: Option<&TestCa>) -> TestCa {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let validity = (issued_at(), issued_at().plus(CERTIFICATE_LIFE));
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity);
        let der = match above {
            Some(above) => template.sign(above.certificate.subject(), &above.key),
            None => template.sign(&subject, &key),
        };
        let certificate = Certificate::decode(der.unwrap()).unwrap();
        let above = above.map_or_else(|| certificate.as_issuer(), TestCa::issuer);
        TestCa { key, certificate, above }
    }

    /// Who it is as a signer.
    pub fn issuer(&self) -> IssuerId {
        self.certificate.as_issuer()
    }

    /// The certificate number `n` of those that it issued: on its CRLs of more than `n` entries.
    pub fn leaf(&self, n: u32) -> Certificate {
        self.leaf_as(n, |_| {})
    }

    /// The same, bent.
    pub fn leaf_as(&self, n: u32, bend: impl FnOnce(&mut CertificateTemplate)) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (issued_at(), issued_at().plus(CERTIFICATE_LIFE));
        let subject = name(&format!("CN=leaf {n}")).unwrap();
        let mut template = CertificateTemplate::new(subject, key.spki(), &serial(n), validity);
        bend(&mut template);
        Certificate::decode(template.sign(self.certificate.subject(), &self.key).unwrap()).unwrap()
    }

    /// Its CRL of this number, with this many entries.
    pub fn crl(&self, number: u64, entries: u32) -> Crl {
        let all: Vec<_> = (0..entries).map(|n| (n, Reason::KeyCompromise)).collect();
        self.crl_as(number, &all, |_| {})
    }

    /// Its CRL of this number, with these of its certificates on it, bent.
    pub fn crl_as(&self, number: u64, listed: &[(u32, Reason)], bend: impl FnOnce(&mut CrlTemplate)) -> Crl {
        let at = issued_at().plus(i64::try_from(number).unwrap());
        let subject = self.certificate.subject().clone();
        let mut template = CrlTemplate::new(subject, CrlNumber::from(number), at, at.plus(CRL_LIFE));
        bend(&mut template);
        let entries =
            listed.iter().map(|(n, reason)| RevokedEntry::new(&serial(*n), issued_at()).because(*reason));
        Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
    }

    /// A notice of a CRL, as an authority would publish it.
    pub fn notice(&self, crl: &Crl) -> CrlNotice {
        CrlNotice::of(crl, self.issuer(), origin())
    }

    /// A notice of its certificate, as an authority would publish it.
    pub fn certificate_notice(&self) -> CertificateNotice {
        CertificateNotice {
            issuer: self.above,
            certificate: self.certificate.der().clone().into(),
            origin: origin(),
            locations: Vec::new(),
        }
    }
}

fn serial(n: u32) -> [u8; 4] {
    (n + 0x0100_0000).to_be_bytes()
}

fn origin() -> Origin {
    Origin { role: Role::Authority, instance: "authority-1".parse().unwrap(), seen_at_ms: 0 }
}
