//! [`Announcement`]: what is to be published, and the notice of a CRL that took the place of another.

use revocast_messages::{
    CertificateNotice, CrlNotice, MAX_LOCATIONS, MAX_NEWLY_REVOKED, Origin, RevokedEntry,
};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Changes, Crl, RevokedCertificate};
use revocast_pki::identity::IssuerId;

/// Something to be published until the broker confirms it.
#[derive(Clone, Debug)]
pub enum Announcement {
    /// A CRL is there.
    Crl {
        /// The notice of it.
        notice: Box<CrlNotice>,
        /// The CRL itself.
        crl: Crl,
        /// SubjectPublicKeyInfo DER of the key that signed it.
        signer: Vec<u8>,
    },
    /// A certificate is there.
    Certificate(CertificateNotice),
}

impl Announcement {
    /// That `crl`, which `signer`'s key signed, took the place of `before`. Costs a walk over both lists when there
    /// is a `before`.
    pub fn of_crl(
        crl: &Crl,
        before: Option<&Crl>,
        signer: &Certificate,
        origin: Origin,
        locations: Vec<String>,
    ) -> Announcement {
        Announcement::of_found(crl, before, (signer.as_issuer(), signer.spki().to_vec()), origin, locations)
    }

    /// The same, where the signer is known by its identity and its key (SubjectPublicKeyInfo DER).
    pub fn of_found(
        crl: &Crl,
        before: Option<&Crl>,
        (issuer, spki): (IssuerId, Vec<u8>),
        origin: Origin,
        locations: Vec<String>,
    ) -> Announcement {
        let notice = notice_of(crl, before, issuer, origin, locations);
        Announcement::Crl { notice: Box::new(notice), crl: crl.clone(), signer: spki }
    }

    /// That there is `certificate`, which the key of `issuer` signed.
    pub fn of_certificate(certificate: &Certificate, issuer: IssuerId, origin: Origin) -> Announcement {
        Announcement::Certificate(CertificateNotice {
            issuer,
            certificate: certificate.der().clone().into(),
            origin,
            locations: Vec::new(),
        })
    }
}

/// The notice that `crl`, which the key of `issuer` signed, took the place of `before`. Costs a walk over both lists
/// when there is a `before`.
pub fn notice_of(
    crl: &Crl,
    before: Option<&Crl>,
    issuer: IssuerId,
    origin: Origin,
    mut locations: Vec<String>,
) -> CrlNotice {
    locations.truncate(MAX_LOCATIONS);
    let mut notice = CrlNotice::of(crl, issuer, origin);
    notice.locations = locations;
    if let Some(before) = before {
        notice.add_difference(before, crl);
        notice.newly_revoked = newly_revoked(before, crl);
    }
    notice
}

/// A notice names serial numbers of the CRL's own issuer only.
fn newly_revoked(before: &Crl, crl: &Crl) -> Vec<RevokedEntry> {
    let changes = Changes::between(before, crl);
    let own = changes.revoked.iter().filter(|revoked| revoked.issuer.is_none());
    own.take(MAX_NEWLY_REVOKED).map(entry).collect()
}

fn entry(revoked: &RevokedCertificate) -> RevokedEntry {
    RevokedEntry { serial: revoked.serial.octets().into(), reason: revoked.reason.code(), date: revoked.date }
}

#[cfg(test)]
mod tests {
    use revocast_messages::Role;
    use revocast_pki::asn1::Time;
    use revocast_pki::crl::{Difference, Reason};
    use revocast_pki::identity::CrlNumber;
    use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, SigningKey, name};

    use super::*;

    const NOW: Time = Time::from_unix(1_795_305_600);

    struct Ca {
        key: SigningKey,
        certificate: Certificate,
    }

    fn ca() -> Ca {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name("CN=Example CA").unwrap();
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], (NOW, NOW.plus(99)));
        Ca { certificate: Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap(), key }
    }

    impl Ca {
        fn crl(&self, number: u64, serials: std::ops::Range<u32>) -> Crl {
            let subject = self.certificate.subject().clone();
            let template = CrlTemplate::new(subject, CrlNumber::from(number), NOW, NOW.plus(99));
            let entries = serials.map(|serial| {
                revocast_pki::mint::RevokedEntry::new(&(serial + 0x0100_0000).to_be_bytes(), NOW)
                    .because(Reason::KeyCompromise)
            });
            Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
        }
    }

    fn announced(crl: &Crl, before: Option<&Crl>, ca: &Ca) -> CrlNotice {
        let origin =
            Origin { role: Role::Watcher, instance: "w-1".parse().unwrap(), seen_at_ms: NOW.unix() * 1_000 };
        let locations = (0..20).map(|n| format!("http://h/{n}")).collect();
        match Announcement::of_crl(crl, before, &ca.certificate, origin, locations) {
            Announcement::Crl { notice, .. } => *notice,
            Announcement::Certificate(_) => unreachable!("a CRL was announced"),
        }
    }

    #[test]
    fn a_first_crl_is_announced_whole_and_names_nothing_as_new() {
        let ca = ca();
        let notice = announced(&ca.crl(1, 0..10), None, &ca);
        assert!(notice.crl.is_some() && notice.difference.is_none() && notice.newly_revoked.is_empty());
        assert_eq!((notice.issuer, notice.locations.len()), (ca.certificate.as_issuer(), MAX_LOCATIONS));
    }

    #[test]
    fn a_next_crl_is_announced_with_what_it_changes() {
        let ca = ca();
        // Too many entries to be inside the notice.
        let (old, new) = (ca.crl(1, 0..12_000), ca.crl(2, 0..12_002));
        let notice = announced(&new, Some(&old), &ca);
        assert_eq!((notice.newly_revoked.len(), notice.crl), (2, None));
        let difference = notice.difference.unwrap();
        assert_eq!(difference.base, old.id());
        let rebuilt = Difference::decode(difference.bytes.0).unwrap().apply(&old).unwrap();
        assert_eq!(rebuilt, new.der());
    }

    #[test]
    fn entries_beyond_the_limit_are_left_out() {
        let ca = ca();
        let notice = announced(&ca.crl(2, 10_000..12_000), Some(&ca.crl(1, 0..10)), &ca);
        assert_eq!(notice.newly_revoked.len(), MAX_NEWLY_REVOKED);
    }
}
