//! A small world of CAs, minted at run time, and questions about it.

use crate::asn1::Time;
use crate::certificate::{BasicConstraints, Certificate};
use crate::crl::Crl;
use crate::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, key_id, name};
use crate::name::Name;
use crate::path::{
    Anchor, Anchors, AskedName, Graph, Limits, ProvenPath, Question, Requirements, RevocationMode, Sources,
    judge,
};
use crate::revocation::CrlSet;
use crate::signature::Memory;
use crate::verdict::{Outcome, Reason, Verdict};

/// The instant that everything is asked for, unless a test says otherwise.
pub(crate) const NOW: Time = Time::from_unix(1_800_000_000);

pub(crate) const DAY: i64 = 86_400;

/// Someone with a name, a key, and a certificate for both.
pub(crate) struct Holder {
    pub(crate) name: Name,
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate(KeyKind::Ed25519).unwrap()
}

pub(crate) fn dn(text: &str) -> Name {
    name(text).unwrap()
}

fn validity() -> (Time, Time) {
    (NOW.plus(-DAY), NOW.plus(DAY))
}

/// A template for a CA of that name.
pub(crate) fn ca_template(subject: &str, key: &SigningKey) -> CertificateTemplate {
    CertificateTemplate::ca(dn(subject), key.spki(), &[1], validity())
}

/// Makes a certificate that says that it was issued by `issuer`.
pub(crate) fn certify(template: CertificateTemplate, issuer: &Name, issuer_key: &SigningKey) -> Certificate {
    let authority_key_id = Some(key_id(issuer_key.spki()).to_vec());
    let template = CertificateTemplate { authority_key_id, ..template };
    Certificate::decode(template.sign(issuer, issuer_key).unwrap()).unwrap()
}

/// A CA that certified itself.
pub(crate) fn root(subject: &str) -> Holder {
    root_with(subject, |_| {})
}

pub(crate) fn root_with(subject: &str, bend: impl FnOnce(&mut CertificateTemplate)) -> Holder {
    let key = key();
    let mut template = ca_template(subject, &key);
    bend(&mut template);
    Holder { name: dn(subject), certificate: certify(template, &dn(subject), &key), key }
}

impl Holder {
    /// A CA below this one.
    pub(crate) fn ca(&self, subject: &str, bend: impl FnOnce(&mut CertificateTemplate)) -> Holder {
        let key = key();
        let mut template = ca_template(subject, &key);
        bend(&mut template);
        Holder { name: dn(subject), certificate: certify(template, &self.name, &self.key), key }
    }

    /// Someone below this CA who is none.
    pub(crate) fn leaf(&self, subject: &str, bend: impl FnOnce(&mut CertificateTemplate)) -> Holder {
        let key = key();
        let mut template = CertificateTemplate::new(dn(subject), key.spki(), &[7], validity());
        bend(&mut template);
        Holder { name: dn(subject), certificate: certify(template, &self.name, &self.key), key }
    }

    /// A certificate by this CA for the name and key of another holder.
    pub(crate) fn cross(&self, other: &Holder, bend: impl FnOnce(&mut CertificateTemplate)) -> Certificate {
        let mut template = CertificateTemplate::ca(other.name.clone(), other.key.spki(), &[2], validity());
        bend(&mut template);
        certify(template, &self.name, &self.key)
    }

    /// A current CRL under that number, listing these serials.
    pub(crate) fn crl(&self, number: u64, serials: &[u8], bend: impl FnOnce(&mut CrlTemplate)) -> Crl {
        let entries = serials.iter().map(|serial| RevokedEntry::new(&[*serial], NOW.plus(-DAY)));
        self.crl_of(number, entries, bend)
    }

    pub(crate) fn crl_of(
        &self,
        number: u64,
        entries: impl IntoIterator<Item = RevokedEntry>,
        bend: impl FnOnce(&mut CrlTemplate),
    ) -> Crl {
        let mut template = CrlTemplate::new(self.name.clone(), number, NOW.plus(-DAY), NOW.plus(DAY));
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        bend(&mut template);
        Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap()
    }
}

pub(crate) fn path_length(length: u32) -> impl FnOnce(&mut CertificateTemplate) {
    move |template| {
        template.basic_constraints = Some(BasicConstraints { ca: true, path_length: Some(length) });
    }
}

/// A question with everything it needs; fields are set as a test wants them.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) target: Certificate,
    pub(crate) anchors: Anchors,
    pub(crate) untrusted: Vec<Certificate>,
    pub(crate) crls: Vec<Crl>,
    pub(crate) requirements: Requirements,
    pub(crate) limits: Limits,
    pub(crate) name: Option<AskedName>,
    pub(crate) told: usize,
}

impl Ask {
    /// About `target`, believing `anchor`, without revocation.
    pub(crate) fn about(target: &Holder, anchor: &Holder) -> Ask {
        let anchor = Anchor::from_certificate(anchor.certificate.clone());
        Ask {
            target: target.certificate.clone(),
            anchors: [anchor].into_iter().collect(),
            untrusted: Vec::new(),
            crls: Vec::new(),
            requirements: Requirements { revocation: RevocationMode::None, ..Requirements::default() },
            limits: Limits::default(),
            name: None,
            told: 0,
        }
    }

    pub(crate) fn through(mut self, holders: &[&Holder]) -> Ask {
        self.untrusted.extend(holders.iter().map(|holder| holder.certificate.clone()));
        self
    }

    pub(crate) fn with_crls(mut self, crls: impl IntoIterator<Item = Crl>) -> Ask {
        self.requirements.revocation = RevocationMode::Hard;
        self.crls.extend(crls);
        self
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict_with(&Memory::new(0))
    }

    pub(crate) fn verdict_with(&self, memory: &Memory) -> Verdict {
        self.judged(memory, |verdict, _| verdict)
    }

    /// The path of a verdict that must be valid, kept.
    pub(crate) fn proven(&self) -> ProvenPath {
        self.judged(&Memory::new(0), |verdict, question| ProvenPath::of(&verdict, question)).unwrap()
    }

    fn judged<T>(&self, memory: &Memory, then: impl FnOnce(Verdict, &Question<'_>) -> T) -> T {
        let graph: Graph = self.untrusted.iter().cloned().collect();
        let crls: CrlSet = self.crls.iter().cloned().collect();
        let mut question = Question::new(self.target.clone(), NOW, &self.anchors, &self.requirements);
        question.limits = self.limits;
        question.name = self.name.clone();
        question.told = self.told;
        let verdict = judge(&question, Sources { certificates: &graph, crls: &crls, memory });
        then(verdict, &question)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.verdict().outcome
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        self.verdict().reason
    }
}
