//! [`Expedition`]: what one question's discovery knows, step by step. No network: it is told what was brought, and says
//! what to ask next.

use std::collections::HashSet;

use revocast_messages::{Answer, Outcome, Question};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::path::{CertificateSource, Graph};
use revocast_pki::signature::Memory;

use super::config::DiscoveryConfig;
use super::gaps::{Effort, Gap, Known, gaps, leading_on};
use super::plan::{Ask, Errand, Rules, errands};
use super::remembered::Brought;
use crate::elsewhere::NotHad;
use crate::question::policy::Policy;

/// Signatures that are verified for one question's discovery, in order to tell what leads on from what does not. Twice
/// and a half what the path engine may verify: one answer of a liar takes 64.
const MAX_SIGNATURES: usize = 256;

/// One question's discovery.
pub(super) struct Expedition {
    targets: Vec<Certificate>,
    /// What the question brought along, and what was found since.
    candidates: Graph,
    at: Time,
    found: Vec<Certificate>,
    octets: usize,
    asked: HashSet<Ask>,
    effort: Effort,
    open: HashSet<CertId>,
    doubt: Option<String>,
}

/// What is there besides the question.
pub(super) struct Surroundings<'a> {
    pub live: &'a dyn CertificateSource,
    pub memory: &'a Memory,
    pub policy: &'a Policy,
    pub config: &'a DiscoveryConfig,
    /// Whether a URL may be fetched that this certificate names.
    pub admits: &'a dyn Fn(&str, &Certificate) -> bool,
}

impl Expedition {
    /// For the targets that were found invalid, if there are any.
    pub(super) fn of(question: &Question, answer: &Answer, at: Time) -> Option<Expedition> {
        let asked_about = question.certificates.iter().zip(&answer.judgements);
        let without_path = asked_about.filter(|(_, judgement)| judgement.outcome == Outcome::Invalid);
        let targets: Vec<Certificate> =
            without_path.filter_map(|(der, _)| Certificate::decode(der.0.clone()).ok()).collect();
        if targets.is_empty() {
            return None;
        }
        let brought = question.intermediates.iter().filter_map(|der| Certificate::decode(der.0.clone()).ok());
        Some(Expedition {
            targets,
            candidates: brought.collect(),
            at,
            found: Vec::new(),
            octets: 0,
            asked: HashSet::new(),
            effort: Effort { signatures: MAX_SIGNATURES },
            open: HashSet::new(),
            doubt: None,
        })
    }

    /// Takes in what was brought, and says what to ask next; nothing, when it is at its end.
    pub(super) fn advance(
        &mut self,
        brought: Vec<(Errand, Brought)>,
        around: &Surroundings<'_>,
    ) -> Vec<Errand> {
        for (errand, brought) in brought {
            self.take(errand, brought, around);
        }
        let gaps = self.gaps(around);
        if self.effort.signatures == 0 {
            self.doubt("its budget of signatures is exhausted");
            return Vec::new();
        }
        let rules = Rules { repository: around.config.ask_repository, admits: around.admits };
        let errands = errands(&gaps, &self.asked, &rules);
        self.asked.extend(errands.iter().map(|errand| errand.ask.clone()));
        errands
    }

    /// Something that might have been found was not, because of this.
    pub(super) fn doubt(&mut self, why: &str) {
        self.doubt.get_or_insert_with(|| why.to_owned());
    }

    /// What was found, and for which targets the search has not come to an end.
    pub(super) fn end(self) -> Found {
        let Expedition { found, candidates, open, doubt, .. } = self;
        Found { certificates: found, candidates, in_doubt: doubt.map(|why| (open, why)) }
    }

    fn take(&mut self, errand: Errand, brought: Brought, around: &Surroundings<'_>) {
        let brought = match brought {
            Ok(brought) => brought,
            Err(NotHad::Unavailable(why)) => return self.doubt(&why),
            Err(NotHad::Absent(_) | NotHad::Nobody(_) | NotHad::Forbidden(_)) => return,
        };
        let sources = (&self.candidates, around.live);
        let leading = leading_on(&errand.below, &brought, known(&sources, around, self.at), &mut self.effort);
        for certificate in leading {
            let octets = self.octets + certificate.der().len();
            if self.found.len() >= around.config.max_certificates || octets > around.config.max_bytes {
                return self.doubt("more certificates lead on than are taken in for one question");
            }
            if self.candidates.insert(certificate.clone()) {
                self.octets = octets;
                self.found.push(certificate);
            }
        }
    }

    fn gaps(&mut self, around: &Surroundings<'_>) -> Vec<Gap> {
        let sources = (&self.candidates, around.live);
        let known = known(&sources, around, self.at);
        self.open.clear();
        let mut all: Vec<Gap> = Vec::new();
        for target in &self.targets {
            let gaps = gaps(target, known, &mut self.effort);
            if !gaps.is_empty() {
                self.open.insert(target.id());
            }
            all.extend(gaps);
        }
        all
    }
}

fn known<'a>(certificates: &'a dyn CertificateSource, around: &Surroundings<'a>, at: Time) -> Known<'a> {
    Known {
        certificates,
        anchors: &around.policy.anchors,
        memory: around.memory,
        algorithms: around.policy.requirements.algorithms,
        at,
    }
}

/// How a discovery ended.
#[derive(Default)]
pub(crate) struct Found {
    /// Certificates that lead on from the targets, and were not known.
    pub certificates: Vec<Certificate>,
    /// The same, with what the question brought along.
    pub candidates: Graph,
    /// The targets without a path for which not everything could be asked, and why.
    pub in_doubt: Option<(HashSet<CertId>, String)>,
}

impl Found {
    /// What is still without a path cannot be told: what might lead on could not be had.
    pub(crate) fn doubted(&self, mut answer: Answer) -> Answer {
        let Some((open, why)) = &self.in_doubt else { return answer };
        for judgement in &mut answer.judgements {
            if judgement.outcome == Outcome::Invalid && open.contains(&judgement.certificate) {
                judgement.outcome = Outcome::Indeterminate;
                judgement.reason =
                    format!("{}, and the search for its issuers is not complete: {why}", judgement.reason);
            }
        }
        answer
    }

    /// The word under which it is counted.
    pub(super) fn word(&self) -> &'static str {
        match (&self.in_doubt, self.certificates.is_empty()) {
            (_, false) => "found",
            (Some(_), true) => "in_doubt",
            (None, true) => "nothing",
        }
    }
}
