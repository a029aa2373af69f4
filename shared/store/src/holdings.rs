//! [`Holdings`]: certificates and CRLs in memory; which CRL stands highest, and who could have signed one.

use std::collections::{BTreeMap, HashMap};

use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CertId, CrlKind, CrlOrder, IssuerId, ScopeId};
use revocast_pki::name::Name;

/// One series of CRLs: who signs, what is covered, complete or delta.
pub type ScopeKey = (IssuerId, ScopeId, CrlKind);

/// At most this many certificates are kept. Real PKIs have thousands of CAs at the most.
pub const MAX_CERTIFICATES: usize = 100_000;

/// At most this many octets of certificates are kept: a hundred thousand of 5 KiB, where real ones have 1 to 2.
pub const MAX_CERTIFICATE_OCTETS: usize = 512 << 20;

/// At most this many series of CRLs are kept.
pub const MAX_SCOPES: usize = 100_000;

/// The highest CRL of a series.
#[derive(Clone, Debug)]
pub struct Held {
    /// The CRL.
    pub crl: Crl,
    /// A certificate of the key that signed it.
    pub signer: Certificate,
    /// Whether it is this service's own to announce; otherwise somebody else announced it.
    pub own: bool,
    /// thisUpdate, unless the CRL took the place of one with the same: then the time tells nobody which one it is.
    pub last_modified: Option<Time>,
}

impl Held {
    /// The series to which it belongs.
    pub fn key(&self) -> ScopeKey {
        let issuer = self.signer.as_issuer();
        (issuer, self.crl.scope(issuer), self.crl.kind())
    }
}

/// How a CRL stands to the one that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// None is held.
    First,
    /// It stands above.
    Higher,
    /// It is the one.
    Same,
    /// It stands below.
    Lower,
}

/// Certificates, and the highest CRL of each series.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    certificates: HashMap<CertId, Certificate>,
    certificate_octets: usize,
    by_subject: HashMap<Name, Vec<Certificate>>,
    by_issuer: HashMap<IssuerId, Vec<Certificate>>,
    crls: BTreeMap<ScopeKey, Held>,
}

impl Holdings {
    /// Where a CRL of this order would stand.
    pub fn rank(&self, key: &ScopeKey, order: &CrlOrder) -> Rank {
        let Some(held) = self.crls.get(key) else { return Rank::First };
        match held.crl.order() {
            ours if ours.id == order.id => Rank::Same,
            ours if ours < *order => Rank::Higher,
            _ => Rank::Lower,
        }
    }

    /// Whether another CRL with the same number is held: a CA's fault, and an alarm.
    pub fn is_conflicting(&self, key: &ScopeKey, order: &CrlOrder) -> bool {
        self.crls.get(key).is_some_and(|held| {
            order.number.is_some() && held.crl.number() == order.number && held.crl.id() != order.id
        })
    }

    /// The highest CRL of a series.
    pub fn crl(&self, key: &ScopeKey) -> Option<&Held> {
        self.crls.get(key)
    }

    /// The highest CRL of every series, by issuer.
    pub fn crls(&self) -> impl Iterator<Item = (&ScopeKey, &Held)> {
        self.crls.iter()
    }

    /// The highest CRLs of one issuer.
    pub fn crls_of(&self, issuer: IssuerId) -> impl Iterator<Item = (&ScopeKey, &Held)> {
        let first = (issuer, ScopeId([0; 16]), CrlKind::Complete);
        let last = (issuer, ScopeId([0xff; 16]), CrlKind::Delta);
        self.crls.range(first..=last)
    }

    /// Whose CRLs are held, in ascending order.
    pub fn issuers(&self) -> Vec<IssuerId> {
        let mut issuers: Vec<IssuerId> = self.crls.keys().map(|(issuer, ..)| *issuer).collect();
        issuers.dedup();
        issuers
    }

    /// A certificate by its hash.
    pub fn certificate(&self, id: &CertId) -> Option<&Certificate> {
        self.certificates.get(id)
    }

    /// All certificates, in no order.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.certificates.values()
    }

    /// The certificates of a subject.
    pub fn by_subject(&self, subject: &Name) -> &[Certificate] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    /// The certificates whose subject and key make this issuer.
    pub fn by_issuer(&self, issuer: IssuerId) -> &[Certificate] {
        self.by_issuer.get(&issuer).map_or(&[], Vec::as_slice)
    }

    /// How many series of CRLs there are.
    pub fn scopes(&self) -> usize {
        self.crls.len()
    }

    /// Whether there is room for another certificate.
    pub(crate) fn has_room_for(&self, certificate: &Certificate) -> bool {
        self.certificates.len() < MAX_CERTIFICATES
            && self.certificate_octets + certificate.der().len() <= MAX_CERTIFICATE_OCTETS
    }

    /// Takes in a certificate; tells whether it was new.
    pub(crate) fn insert_certificate(&mut self, certificate: Certificate) -> bool {
        let new = self.certificates.insert(certificate.id(), certificate.clone()).is_none();
        if new {
            self.certificate_octets += certificate.der().len();
            self.by_issuer.entry(certificate.as_issuer()).or_default().push(certificate.clone());
            self.by_subject.entry(certificate.subject().clone()).or_default().push(certificate);
        }
        new
    }

    /// Takes in the CRL that now stands highest; gives back what is held now, and what was.
    pub(crate) fn insert_crl(&mut self, crl: Crl, signer: Certificate, own: bool) -> (Held, Option<Held>) {
        let mut held = Held { last_modified: Some(crl.this_update()), crl, signer, own };
        let key = held.key();
        if self.crls.get(&key).is_some_and(|before| before.crl.this_update() >= held.crl.this_update()) {
            held.last_modified = None;
        }
        let before = self.crls.insert(key, held.clone());
        (held, before)
    }
}
