//! [`Authority`]: the operations of a CA. Each is one transaction of the ledger, its notice included.

use std::path::Path;

use revocast_messages::{
    CertificateNotice, CrlNotice, Instance, MAX_NEWLY_REVOKED, Origin, RevokedEntry, Role, ScopeState, encode,
};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::{BasicConstraints, Certificate, CertificateError, KeyUsage};
use revocast_pki::crl::{Crl, CrlError, Reason};
use revocast_pki::identity::{CrlId, CrlNumber, IssuerId};
use revocast_pki::mint::{
    self, AccessMethod, CertificateTemplate, CrlTemplate, DistributionPoint, GeneralName, KeyKind, MintError,
    SigningKey, key_id,
};
use revocast_pki::name::Name;
use ring::rand::{SecureRandom, SystemRandom};

use crate::ledger::{CaRow, Entry, Ledger, LedgerError, RevocationRow};

/// Why an operation was not done. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nothing could be signed.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// No CA has this label.
    #[error("there is no CA {0:?} in this ledger")]
    NoSuchCa(String),
    /// A CA has this label already.
    #[error("there is a CA {0:?} in this ledger already")]
    CaExists(String),
    /// A label that cannot be used.
    #[error("{0:?} cannot be a CA's label: 1 to 64 letters, digits, '-', '_' or '.' are asked for")]
    Label(String),
    /// A certificate that cannot be read.
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// A CRL that was just signed cannot be read: a fault of this program.
    #[error("the new CRL: {0}")]
    Crl(#[from] CrlError),
    /// Only what was issued can be revoked.
    #[error("{ca:?} issued no certificate with serial number {serial}")]
    NotIssued {
        /// Which CA.
        ca: String,
        /// In hex.
        serial: String,
    },
    /// Something that is asked for cannot be.
    #[error("{0}")]
    Refused(String),
}

/// A CA to be made.
#[derive(Clone, Debug)]
pub struct NewCa {
    /// What the operator will call it.
    pub label: String,
    /// Its distinguished name, RFC 4514.
    pub subject: String,
    /// Its key.
    pub key: KeyKind,
    /// The CA that signs it; `None` makes a root.
    pub parent: Option<String>,
    /// Seconds for which its certificate is valid.
    pub validity_s: i64,
    /// Seconds from thisUpdate to nextUpdate of its CRLs.
    pub crl_life_s: i64,
    /// Where its repository serves, without a trailing slash: `http://host:port`.
    pub base_url: String,
    /// At most this many CAs below it.
    pub path_length: Option<u32>,
}

/// What an end-entity certificate is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// TLS servers and clients.
    #[default]
    Tls,
    /// Signing documents and mail.
    Signing,
}

/// An end-entity certificate to be issued.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// Its distinguished name, RFC 4514.
    pub subject: String,
    /// SubjectPublicKeyInfo DER of its key.
    pub spki: Vec<u8>,
    /// DNS names.
    pub dns: Vec<String>,
    /// E-mail addresses.
    pub email: Vec<String>,
    /// What it is for.
    pub profile: Profile,
    /// Seconds for which it is valid.
    pub validity_s: i64,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    /// Who signed it.
    pub issuer: IssuerId,
}

/// A certificate to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Content octets of its serial number.
    pub serial: Vec<u8>,
    /// Why.
    pub reason: Reason,
}

/// What a revocation led to.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The notice of the new CRL: what every subscriber will have to enforce.
    pub notice: CrlNotice,
    /// The new CRL.
    pub crl: Crl,
    /// How many of the serial numbers were revoked only now.
    pub newly: usize,
}

/// A CA, for whoever lists them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CaSummary {
    /// What the operator calls it.
    pub label: String,
    /// Its distinguished name.
    pub subject: String,
    /// Who it is as a signer.
    pub issuer: IssuerId,
    /// When its certificate ends.
    pub not_after: Time,
    /// Number of its newest CRL.
    pub crl_number: CrlNumber,
    /// When its next CRL is due.
    pub next_update: Option<Time>,
    /// Certificates that it issued.
    pub issued: i64,
    /// Certificates that it revoked.
    pub revoked: i64,
    /// Where its CRL is found.
    pub crl_url: String,
}

/// An authority over its ledger.
pub struct Authority {
    ledger: Ledger,
    instance: Instance,
}

/// Certificates begin to be valid this long before they are issued, since clocks differ.
const BACKDATED_S: i64 = 300;

impl Authority {
    /// Opens the ledger at `path`; notices are published in the name of `instance`.
    pub fn open(path: &Path, instance: Instance) -> Result<Authority, AuthorityError> {
        Ok(Authority { ledger: Ledger::open(path)?, instance })
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Makes a CA: its key, its certificate (self-signed, or by its parent), its first CRL.
    pub fn init(&mut self, new: &NewCa, now_ms: i64) -> Result<Issued, AuthorityError> {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if !(1..=64).contains(&new.label.len()) || !new.label.bytes().all(allowed) {
            return Err(AuthorityError::Label(new.label.chars().take(80).collect()));
        }
        let origin = self.origin(now_ms);
        let subject = mint::name(&new.subject)?;
        let key = SigningKey::generate(new.key)?;
        let entry = self.ledger.begin()?;
        if entry.ca(&new.label)?.is_some() {
            return Err(AuthorityError::CaExists(new.label.clone()));
        }
        let mut template = CertificateTemplate::ca(
            subject.clone(),
            key.spki(),
            &random_serial()?,
            validity(now_ms, new.validity_s),
        );
        template.basic_constraints = Some(BasicConstraints { ca: true, path_length: new.path_length });
        let (certificate, signer) = match &new.parent {
            None => {
                template.authority_key_id = Some(key_id(key.spki()).to_vec());
                (template.sign(&subject, &key)?, None)
            }
            Some(parent) => {
                let parent = Signer::of(&entry, parent)?;
                (parent.sign_into(&entry, template, now_ms)?, Some(parent.row.id))
            }
        };
        let certificate = Certificate::decode(certificate)?;
        let row = CaRow {
            id: 0,
            label: new.label.clone(),
            pkcs8: key.pkcs8().to_vec(),
            certificate: certificate.der().to_vec(),
            base_url: new.base_url.trim_end_matches('/').to_owned(),
            crl_life_s: new.crl_life_s,
            crl_number: CrlNumber::from(0),
        };
        let id = entry.add_ca(&row, subject.der())?;
        let issuer = match signer {
            Some(_) => IssuerId::of(certificate.issuer(), &Signer::of_parent(&entry, new)?.key_spki()),
            None => certificate.as_issuer(),
        };
        tell_certificate(&entry, id, issuer, &certificate, &origin)?;
        let signer = Signer::of(&entry, &new.label)?;
        signer.issue_crl(&entry, &origin, Vec::new(), now_ms)?;
        entry.commit()?;
        Ok(Issued { certificate, issuer })
    }

    /// Issues an end-entity certificate.
    pub fn issue(
        &mut self,
        ca: &str,
        request: &CertificateRequest,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        let entry = self.ledger.begin()?;
        let signer = Signer::of(&entry, ca)?;
        let subject = mint::name(&request.subject)?;
        let mut template = CertificateTemplate::new(
            subject,
            &request.spki,
            &random_serial()?,
            validity(now_ms, request.validity_s),
        );
        template.basic_constraints = Some(BasicConstraints { ca: false, path_length: None });
        template.key_usage = Some(KeyUsage::DIGITAL_SIGNATURE);
        template.extended_key_usage = request.profile.purposes();
        let dns = request.dns.iter().map(|name| GeneralName::Dns(name.clone()));
        let email = request.email.iter().map(|name| GeneralName::Email(name.clone()));
        template.subject_alt_names = dns.chain(email).collect();
        let certificate = Certificate::decode(signer.sign_into(&entry, template, now_ms)?)?;
        entry.commit()?;
        Ok(Issued { certificate, issuer: signer.issuer })
    }

    /// Issues a cross-certificate: `ca` signs the name and key of another CA, given by its certificate.
    pub fn cross(
        &mut self,
        ca: &str,
        other: &Certificate,
        validity_s: i64,
        now_ms: i64,
    ) -> Result<Issued, AuthorityError> {
        if !other.is_ca() {
            return Err(AuthorityError::Refused(format!(
                "{} is not the certificate of a CA",
                other.subject()
            )));
        }
        let origin = self.origin(now_ms);
        let entry = self.ledger.begin()?;
        let signer = Signer::of(&entry, ca)?;
        let mut template = CertificateTemplate::ca(
            other.subject().clone(),
            other.spki(),
            &random_serial()?,
            validity(now_ms, validity_s),
        );
        template.basic_constraints = other.basic_constraints().or(template.basic_constraints);
        // The identifier that the other CA's own certificates name, whatever its method was.
        if let Some(identifier) = other.subject_key_id() {
            template.subject_key_id = Some(identifier.to_vec());
        }
        let certificate = Certificate::decode(signer.sign_into(&entry, template, now_ms)?)?;
        tell_certificate(&entry, signer.row.id, signer.issuer, &certificate, &origin)?;
        entry.commit()?;
        Ok(Issued { certificate, issuer: signer.issuer })
    }

    /// Revokes certificates, and issues the CRL that says so. Revoking again is not an error.
    pub fn revoke(
        &mut self,
        ca: &str,
        revocations: &[Revocation],
        now_ms: i64,
    ) -> Result<Revoked, AuthorityError> {
        let origin = self.origin(now_ms);
        let entry = self.ledger.begin()?;
        let signer = Signer::of(&entry, ca)?;
        let mut newly = Vec::new();
        for revocation in revocations {
            if !entry.has_issued(signer.row.id, &revocation.serial)? {
                let serial = data_encoding::HEXLOWER.encode(&revocation.serial);
                return Err(AuthorityError::NotIssued { ca: ca.to_owned(), serial });
            }
            let row = RevocationRow {
                serial: revocation.serial.clone(),
                revoked_at_s: now_ms.div_euclid(1_000),
                reason: revocation.reason,
            };
            if entry.add_revocation(signer.row.id, &row)? {
                newly.push(row);
            }
        }
        let count = newly.len();
        let (crl, notice) = signer.issue_crl(&entry, &origin, newly, now_ms)?;
        entry.commit()?;
        Ok(Revoked { notice, crl, newly: count })
    }

    /// Issues a CRL now, whether anything was revoked or not.
    pub fn issue_crl(&mut self, ca: &str, now_ms: i64) -> Result<Revoked, AuthorityError> {
        self.revoke(ca, &[], now_ms)
    }

    /// Every CA of the ledger.
    pub fn summaries(&self) -> Result<Vec<CaSummary>, AuthorityError> {
        self.ledger.cas()?.iter().map(|row| self.summary(row)).collect()
    }

    fn summary(&self, row: &CaRow) -> Result<CaSummary, AuthorityError> {
        let certificate = Certificate::decode(row.certificate.clone())?;
        let issuer = certificate.as_issuer();
        let (issued, revoked) = self.ledger.counts(row.id)?;
        Ok(CaSummary {
            label: row.label.clone(),
            subject: certificate.subject().to_string(),
            issuer,
            not_after: certificate.not_after(),
            crl_number: row.crl_number,
            next_update: self.ledger.newest_crl(row.id)?.map(|(_, due)| Time::from_unix(due)),
            issued,
            revoked,
            crl_url: crl_url(&row.base_url, issuer),
        })
    }

    /// A CA's own certificate.
    pub fn ca_certificate(&self, ca: &str) -> Result<Certificate, AuthorityError> {
        let row = self.ledger.ca(ca)?.ok_or_else(|| AuthorityError::NoSuchCa(ca.to_owned()))?;
        Ok(Certificate::decode(row.certificate)?)
    }

    /// A CA's newest CRL.
    pub fn newest_crl(&self, ca: &str) -> Result<Option<Crl>, AuthorityError> {
        let row = self.ledger.ca(ca)?.ok_or_else(|| AuthorityError::NoSuchCa(ca.to_owned()))?;
        Ok(self.ledger.newest_crl(row.id)?.map(|(der, _)| Crl::decode(der)).transpose()?)
    }

    /// Notices that re-assert the newest CRL and the certificate of every CA, with the CRLs' bytes.
    pub(crate) fn heads(&self, now_ms: i64) -> Result<Vec<(Head, Certificate)>, AuthorityError> {
        let mut heads = Vec::new();
        for row in self.ledger.cas()? {
            let certificate = Certificate::decode(row.certificate.clone())?;
            let issuer = certificate.as_issuer();
            if certificate.is_self_issued() {
                let notice = certificate_notice(issuer, &certificate, &self.origin(now_ms));
                heads.push((Head::Certificate(notice), certificate.clone()));
            }
            if let Some((der, _)) = self.ledger.newest_crl(row.id)? {
                let crl = Crl::decode(der)?;
                let mut notice = CrlNotice::of(&crl, issuer, self.origin(now_ms));
                notice.locations = vec![crl_url(&row.base_url, issuer)];
                heads.push((Head::Crl(Box::new(notice), crl), certificate));
            }
        }
        Ok(heads)
    }

    /// The CAs whose newest CRL has less than `share` of its life left.
    pub(crate) fn due(&self, share: f64, now_ms: i64) -> Result<Vec<String>, AuthorityError> {
        let mut due = Vec::new();
        for row in self.ledger.cas()? {
            let left = self.ledger.newest_crl(row.id)?.map(|(_, next)| next - now_ms.div_euclid(1_000));
            if left.is_none_or(|left| (left as f64) < row.crl_life_s as f64 * share) {
                due.push(row.label);
            }
        }
        Ok(due)
    }

    /// The newest state of an issuer's scope, or of all.
    pub(crate) fn scopes(&self, issuer: Option<IssuerId>) -> Result<Vec<ScopeState>, AuthorityError> {
        let mut scopes = Vec::new();
        for row in self.ledger.cas()? {
            let signer = Certificate::decode(row.certificate)?.as_issuer();
            if issuer.is_some_and(|issuer| issuer != signer) {
                continue;
            }
            if let Some((der, _)) = self.ledger.newest_crl(row.id)? {
                let crl = Crl::decode(der)?;
                let (scope, kind, number) = (crl.scope(signer), crl.kind(), crl.number());
                scopes.push(ScopeState { issuer: signer, scope, kind, number });
            }
        }
        Ok(scopes)
    }

    fn origin(&self, now_ms: i64) -> Origin {
        Origin { role: Role::Authority, instance: self.instance.clone(), seen_at_ms: now_ms }
    }
}

/// Something that stands, and is said again.
pub(crate) enum Head {
    Crl(Box<CrlNotice>, Crl),
    Certificate(CertificateNotice),
}

impl Profile {
    fn purposes(self) -> Vec<Vec<u8>> {
        let purposes: &[&[u8]] = match self {
            Profile::Tls => &[b"\x2b\x06\x01\x05\x05\x07\x03\x01", b"\x2b\x06\x01\x05\x05\x07\x03\x02"],
            Profile::Signing => &[b"\x2b\x06\x01\x05\x05\x07\x03\x04"],
        };
        purposes.iter().map(|purpose| purpose.to_vec()).collect()
    }
}

/// A CA within a transaction, ready to sign.
struct Signer {
    row: CaRow,
    key: SigningKey,
    name: Name,
    issuer: IssuerId,
}

impl Signer {
    fn of(entry: &Entry<'_>, label: &str) -> Result<Signer, AuthorityError> {
        let row = entry.ca(label)?.ok_or_else(|| AuthorityError::NoSuchCa(label.to_owned()))?;
        let key = SigningKey::from_pkcs8(&row.pkcs8)?;
        let certificate = Certificate::decode(row.certificate.clone())?;
        Ok(Signer { key, name: certificate.subject().clone(), issuer: certificate.as_issuer(), row })
    }

    fn of_parent(entry: &Entry<'_>, new: &NewCa) -> Result<Signer, AuthorityError> {
        Signer::of(entry, new.parent.as_deref().unwrap_or(&new.label))
    }

    fn key_spki(&self) -> Vec<u8> {
        self.key.spki().to_vec()
    }

    /// Signs with the URLs at which the CA's CRL and certificate are found, and writes it into the ledger.
    fn sign_into(
        &self,
        entry: &Entry<'_>,
        mut template: CertificateTemplate,
        now_ms: i64,
    ) -> Result<Vec<u8>, AuthorityError> {
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        template.crl_distribution_points =
            vec![DistributionPoint::uri(&crl_url(&self.row.base_url, self.issuer))];
        let certificate_url = format!("{}/ca/{}.crt", self.row.base_url, self.issuer);
        template.authority_info_access = vec![(AccessMethod::CaIssuers, GeneralName::Uri(certificate_url))];
        let der = template.sign(&self.name, &self.key)?;
        let issued_at_s = now_ms.div_euclid(1_000);
        entry.add_certificate(self.row.id, &template.serial, &der, template.not_after.unix(), issued_at_s)?;
        Ok(der)
    }

    fn issue_crl(
        &self,
        entry: &Entry<'_>,
        origin: &Origin,
        newly: Vec<RevocationRow>,
        now_ms: i64,
    ) -> Result<(Crl, CrlNotice), AuthorityError> {
        let now = Time::from_unix(now_ms.div_euclid(1_000));
        let next_update = now.plus(self.row.crl_life_s);
        let number = self.row.crl_number.next();
        let mut template = CrlTemplate::new(self.name.clone(), number, now, next_update);
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        let der = entry.revocations(self.row.id, |rows| template.sign(rows.map(minted), &self.key))??;
        let crl = Crl::decode(der)?;
        let mut notice = CrlNotice::of(&crl, self.issuer, origin.clone());
        notice.locations = vec![crl_url(&self.row.base_url, self.issuer)];
        if let Some(before) = entry.newest_crl(self.row.id)?.map(Crl::decode).transpose()? {
            notice.add_difference(&before, &crl);
        }
        notice.newly_revoked = newly.iter().take(MAX_NEWLY_REVOKED).map(told).collect();
        let body = encode(&notice).map_err(|error| AuthorityError::Refused(error.to_string()))?;
        entry.keep_crl(self.row.id, number, crl.der(), next_update.unix())?;
        entry.tell_crl(self.row.id, &body, crl.der())?;
        Ok((crl, notice))
    }
}

fn minted(row: RevocationRow) -> mint::RevokedEntry {
    let entry = mint::RevokedEntry::new(&row.serial, Time::from_unix(row.revoked_at_s));
    // "Unspecified" should be left out (RFC 5280 5.3.1).
    if row.reason == Reason::Unspecified { entry } else { entry.because(row.reason) }
}

fn told(row: &RevocationRow) -> RevokedEntry {
    RevokedEntry {
        serial: row.serial.clone().into(),
        reason: row.reason.code(),
        date: Time::from_unix(row.revoked_at_s),
    }
}

fn tell_certificate(
    entry: &Entry<'_>,
    ca: i64,
    issuer: IssuerId,
    certificate: &Certificate,
    origin: &Origin,
) -> Result<(), AuthorityError> {
    let notice = certificate_notice(issuer, certificate, origin);
    let body = encode(&notice).map_err(|error| AuthorityError::Refused(error.to_string()))?;
    Ok(entry.tell_certificate(ca, &body)?)
}

fn certificate_notice(issuer: IssuerId, certificate: &Certificate, origin: &Origin) -> CertificateNotice {
    CertificateNotice {
        issuer,
        certificate: certificate.der().clone().into(),
        origin: origin.clone(),
        locations: Vec::new(),
    }
}

fn crl_url(base_url: &str, issuer: IssuerId) -> String {
    format!("{base_url}/crl/{issuer}.crl")
}

fn validity(now_ms: i64, validity_s: i64) -> (Time, Time) {
    let now = Time::from_unix(now_ms.div_euclid(1_000));
    (now.plus(-BACKDATED_S), now.plus(validity_s))
}

/// 127 random bits, positive and not zero (RFC 5280 4.1.2.2).
fn random_serial() -> Result<Vec<u8>, MintError> {
    let mut octets = [0; 16];
    SystemRandom::new().fill(&mut octets).map_err(|_| MintError::Randomness)?;
    octets[0] = octets[0] & 0x7f | 0x40;
    Ok(octets.to_vec())
}

impl Revoked {
    /// Which CRL the fleet has to enforce.
    pub fn crl_id(&self) -> CrlId {
        self.notice.crl_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_305_600_000;
    const YEAR: i64 = 31_536_000;

    fn new_ca(label: &str, parent: Option<&str>) -> NewCa {
        NewCa {
            label: label.into(),
            subject: format!("CN={label},O=Example"),
            key: KeyKind::Ed25519,
            parent: parent.map(Into::into),
            validity_s: YEAR,
            crl_life_s: 3_600,
            base_url: "http://127.0.0.1:1/".into(),
            path_length: None,
        }
    }

    fn authority(folder: &Path) -> Authority {
        Authority::open(&folder.join("ledger.db"), "a-1".parse().unwrap()).unwrap()
    }

    fn request() -> CertificateRequest {
        CertificateRequest {
            subject: "CN=leaf".into(),
            spki: SigningKey::generate(KeyKind::Ed25519).unwrap().spki().to_vec(),
            dns: vec!["leaf.example".into()],
            email: Vec::new(),
            profile: Profile::Tls,
            validity_s: 86_400,
        }
    }

    #[test]
    fn what_a_revocation_wrote_is_there_after_the_ledger_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (leaf, crl_id) = {
            let mut authority = authority(folder.path());
            authority.init(&new_ca("root", None), NOW).unwrap();
            authority.init(&new_ca("sub", Some("root")), NOW).unwrap();
            let leaf = authority.issue("sub", &request(), NOW).unwrap().certificate;
            let revocation = Revocation { serial: leaf.serial().to_vec(), reason: Reason::KeyCompromise };
            let revoked = authority.revoke("sub", std::slice::from_ref(&revocation), NOW + 1_000).unwrap();
            assert_eq!((revoked.newly, revoked.notice.newly_revoked.len()), (1, 1));
            let again = authority.revoke("sub", &[revocation], NOW + 2_000).unwrap();
            assert_eq!(again.newly, 0);
            (leaf, again.crl_id())
        };
        let authority = authority(folder.path());
        let crl = authority.newest_crl("sub").unwrap().unwrap();
        assert_eq!(crl.id(), crl_id);
        assert_eq!(crl.number(), Some(CrlNumber::from(3)));
        let entry = crl.find(leaf.serial()).unwrap();
        assert_eq!((entry.reason(), entry.date().unix()), (Reason::KeyCompromise, NOW / 1_000 + 1));
        let sub = authority.ca_certificate("sub").unwrap();
        crl.verify(sub.spki(), &Default::default()).unwrap();
        // Two CA certificates, two first CRLs; a later CRL takes the place of an earlier one that was not told.
        assert_eq!(authority.ledger().outbox(100).unwrap().len(), 4);
    }

    #[test]
    fn only_what_was_issued_can_be_revoked_and_nothing_is_written_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = authority(folder.path());
        authority.init(&new_ca("root", None), NOW).unwrap();
        let revocation = Revocation { serial: vec![1], reason: Reason::Unspecified };
        let refused = authority.revoke("root", &[revocation], NOW).unwrap_err();
        assert!(matches!(refused, AuthorityError::NotIssued { .. }), "{refused}");
        assert_eq!(authority.newest_crl("root").unwrap().unwrap().number(), Some(CrlNumber::from(1)));
        assert!(matches!(authority.init(&new_ca("root", None), NOW), Err(AuthorityError::CaExists(_))));
        assert!(matches!(authority.init(&new_ca("a b", None), NOW), Err(AuthorityError::Label(_))));
        assert!(matches!(authority.issue("nobody", &request(), NOW), Err(AuthorityError::NoSuchCa(_))));
    }

    #[test]
    fn a_cross_certificate_binds_the_other_cas_name_and_key_under_ours() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = authority(folder.path());
        authority.init(&new_ca("one", None), NOW).unwrap();
        let other = authority.init(&new_ca("two", None), NOW).unwrap().certificate;
        let cross = authority.cross("one", &other, YEAR, NOW).unwrap();
        assert_eq!(cross.certificate.as_issuer(), other.as_issuer());
        assert_eq!(cross.certificate.issuer(), authority.ca_certificate("one").unwrap().subject());
        let leaf = authority.issue("one", &request(), NOW).unwrap().certificate;
        assert!(matches!(authority.cross("one", &leaf, YEAR, NOW), Err(AuthorityError::Refused(_))));
    }

    #[test]
    fn what_is_told_late_takes_no_newer_notice_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = authority(folder.path());
        authority.init(&new_ca("root", None), NOW).unwrap();
        let rows = authority.ledger().outbox(10).unwrap();
        // While these are on their way to the broker, another process issues the next CRL.
        rows.iter().filter(|row| row.crl.is_none()).for_each(|row| authority.ledger().told(row.id).unwrap());
        authority.issue_crl("root", NOW + 1_000).unwrap();
        for row in rows {
            authority.ledger().told(row.id).unwrap();
        }
        let left = authority.ledger().outbox(10).unwrap();
        assert_eq!(left.len(), 1, "the newer CRL is still to be told");
    }

    #[test]
    fn a_crl_is_due_when_little_of_its_life_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = authority(folder.path());
        authority.init(&new_ca("root", None), NOW).unwrap();
        assert!(authority.due(0.25, NOW + 2_600_000).unwrap().is_empty());
        assert_eq!(authority.due(0.25, NOW + 2_800_000).unwrap(), ["root"]);
    }
}
