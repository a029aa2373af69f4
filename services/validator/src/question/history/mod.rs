//! Questions about the past: what was true at T, and what this validator knew at U.
//!
//! The engine is the same, at the instant T, over the CRLs that were applied by U ([`crate::state::history`]): of each
//! scope the newest that had been issued by T. What CRLs issued later say of a time before T counts, too: revoked at T is
//! who any CRL that is known at U lists with a date up to T. Where the history does not reach, the answer is
//! indeterminate.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::{Clock, blocking, every};
use revocast_messages::{
    Answer, Blob, Evidence, Judgement, Outcome, Past, Question, QuestionOptions, Refusal,
};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Entry, Reason};
use revocast_pki::identity::CertId;
use revocast_pki::name::Name;
use revocast_pki::path::{self, CertificateSource, Graph, Sources};
use revocast_pki::revocation::CrlSource;
use revocast_pki::verdict::{self, Verdict};
use tracing::warn;

use super::answer;
use super::intake::{self, Asked};
use super::judge::Judge;
use super::search::MAX_TOLD;
use crate::state::history::Past as PastCrl;
use crate::state::{Journal, Live};

/// Old CRLs are looked for this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Of one scope so many CRLs are offered to the engine: the newest that had been issued, and those that conflict with it.
const OFFERED: usize = 5;

/// So many CRLs that a scope issued after the instant are looked into: the first after it, and the very newest. An entry that
/// only others have is missed: one that was dated back and taken out again.
const LATER: usize = 64;

/// Forgets what is too old, for as long as it is polled.
pub(crate) async fn sweep(journal: Arc<Journal>, clock: Clock) {
    let mut ticking = every(SWEEP_INTERVAL);
    loop {
        ticking.tick().await;
        let (journal, now_ms) = (journal.clone(), clock.now_ms());
        if let Err(error) = blocking(move || journal.sweep_history(now_ms)).await {
            warn!(%error, "the history is not swept");
        }
    }
}

const NO_HISTORY: &str = "this validator keeps no history (history.keep)";

/// The instants of a question, and whether they can be told.
struct Instants {
    as_of: Time,
    as_known_at: Time,
    known_at_ms: i64,
}

impl Instants {
    fn of(options: &QuestionOptions, now_ms: i64) -> Result<Instants, Refusal> {
        let malformed = |why: &str| Err(Refusal::Malformed { why: why.into() });
        let now = Time::from_unix(now_ms.div_euclid(1_000));
        let as_known_at = options.as_known_at.unwrap_or(now);
        let as_of = options.as_of.unwrap_or(as_known_at);
        if as_known_at > now || as_of > now {
            return malformed("as_of and as_known_at cannot lie in the future");
        }
        if as_of > as_known_at {
            return malformed("as_of cannot lie after as_known_at: nobody knew");
        }
        let known_at_ms = options.as_known_at.map_or(now_ms, |known| known.unix().saturating_mul(1_000));
        Ok(Instants { as_of, as_known_at, known_at_ms })
    }

    /// Why the history cannot tell, if it cannot.
    fn beyond(&self, reach_ms: Option<i64>) -> Option<String> {
        let Some(reach_ms) = reach_ms else {
            return Some(NO_HISTORY.into());
        };
        // The first whole second.
        let reach = Time::from_unix(reach_ms.saturating_add(999).div_euclid(1_000));
        (self.as_of < reach).then(|| format!("the history of this validator reaches back to {reach} only"))
    }
}

impl Judge {
    /// Answers a question about the past, beside the runtime, as one of those that may be worked on at once.
    pub(super) async fn answer_past(&self, question: Question) -> Answer {
        let Ok(permit) = self.gate.clone().acquire_owned().await else {
            return self.refused(Refusal::Busy { why: "this validator is stopping".into() });
        };
        let (judge, until) = (self.clone(), self.deadline());
        blocking(move || {
            let _permit = permit;
            let question = Arc::new(question);
            match intake::read(question.clone(), &judge.policies, until) {
                Ok(asked) => judge.judge_past(&asked, &question.options),
                Err(refusal) => judge.refused(refusal),
            }
        })
        .await
    }

    fn judge_past(&self, asked: &Asked, options: &QuestionOptions) -> Answer {
        let now_ms = self.clock.now_ms();
        let instants = match Instants::of(options, now_ms) {
            Ok(instants) => instants,
            Err(refusal) => return self.refused(refusal),
        };
        let reach = self.journal.as_ref().map_or(Ok(None), |journal| journal.reach(now_ms));
        let beyond = match reach {
            Ok(reach_ms) => instants.beyond(reach_ms),
            Err(error) => return self.refused(Refusal::Busy { why: error.to_string() }),
        };
        let candidates = asked.candidates();
        let judge_one = |der: &Blob| {
            let id = CertId::of(der);
            match (intake::decode(der), &self.journal, &beyond) {
                (Err(why), ..) => answer::unreadable(id, &why),
                (Ok(certificate), Some(journal), None) => {
                    self.judge_one_past(certificate, asked, &candidates, journal, &instants, now_ms)
                }
                (Ok(_), _, why) => untold(id, why.as_deref().unwrap_or(NO_HISTORY)),
            }
        };
        let judgements = asked.certificates().iter().map(judge_one).collect();
        let past = Some(Past { as_of: instants.as_of, as_known_at: instants.as_known_at });
        let silence = self.freshness.age(now_ms);
        Answer { past, ..self.said(asked.policy.name.clone(), now_ms, silence, judgements, None) }
    }

    fn judge_one_past(
        &self,
        certificate: Certificate,
        asked: &Asked,
        candidates: &Graph,
        journal: &Journal,
        instants: &Instants,
        now_ms: i64,
    ) -> Judgement {
        let expired = || Instant::now() >= asked.until;
        let question = path::Question {
            name: asked.name.clone(),
            expired: Some(&expired),
            told: if asked.explain { MAX_TOLD } else { 0 },
            ..path::Question::new(
                certificate.clone(),
                instants.as_of,
                &asked.policy.anchors,
                &asked.effective.requirements,
            )
        };
        let crls = PastCrls::new(journal, instants);
        let known = KnownThen { live: &self.live, journal, known_at_ms: instants.known_at_ms };
        let certificates = (candidates, &known);
        let sources = Sources { certificates: &certificates, crls: &crls, memory: &self.live.memory };
        let verdict = path::judge(&question, sources);
        let judgement = answer::of_verdict(&verdict, asked.explain);
        let silence = self.freshness.age(now_ms);
        let judgement = answer::held_to(judgement, &asked.policy, verdict.evidence(), verdict.at, silence);
        let judgement = known_later(judgement, &verdict, &crls, &expired);
        match crls.failed.into_inner() {
            Some(why) if judgement.outcome == Outcome::Valid => untold(certificate.id(), &why),
            _ => judgement,
        }
    }
}

fn untold(certificate: CertId, why: &str) -> Judgement {
    Judgement {
        certificate,
        outcome: Outcome::Indeterminate,
        reason: why.to_owned(),
        path: Vec::new(),
        evidence: Vec::new(),
        explanation: None,
    }
}

/// Holds a valid verdict against what the same signers said later of a time before.
fn known_later(
    judgement: Judgement,
    verdict: &Verdict,
    crls: &PastCrls<'_>,
    expired: &dyn Fn() -> bool,
) -> Judgement {
    if judgement.outcome != Outcome::Valid {
        return judgement;
    }
    for found in verdict.evidence() {
        let certificates = verdict.path.as_ref().map(|path| &path.certificates);
        let Some(certificate) = certificates.and_then(|all| all.get(found.certificate)) else { continue };
        for later in crls.later(certificate.issuer(), found) {
            if expired() {
                return untold(judgement.certificate, "the history is too long for one question");
            }
            let Some(crl) = crls.load(&later) else { continue };
            if let Some(entry) = listed_by(&crl, certificate, crls.instants.as_of) {
                return revoked(judgement, certificate, &crl, &later, &entry, crls.instants.as_of);
            }
        }
    }
    judgement
}

/// The entry by which a CRL says that the certificate was revoked by then.
fn listed_by<'c>(crl: &'c Crl, certificate: &Certificate, by: Time) -> Option<Entry<'c>> {
    let entry = match crl.distribution_point() {
        Some(point) if point.indirect => crl.find_issued_by(certificate.issuer(), certificate.serial()),
        _ => crl.find(certificate.serial()),
    };
    entry.filter(|entry| entry.reason() != Reason::RemoveFromCrl && entry.date() <= by)
}

fn revoked(
    judgement: Judgement,
    certificate: &Certificate,
    crl: &Crl,
    later: &PastCrl,
    entry: &Entry<'_>,
    as_of: Time,
) -> Judgement {
    let (issuer, scope, kind) = later.scope;
    let mut evidence = judgement.evidence;
    evidence.push(Evidence {
        certificate: certificate.id(),
        issuer,
        scope,
        kind,
        crl_id: crl.id(),
        number: crl.number(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
        age_s: as_of.since(crl.this_update()),
    });
    let reason = format!("revoked since {}, as a CRL of {} says", entry.date(), crl.this_update());
    Judgement { outcome: Outcome::Revoked, reason, evidence, ..judgement }
}

/// The CRLs of then, from the disk.
struct PastCrls<'p> {
    journal: &'p Journal,
    instants: &'p Instants,
    /// Why something could not be read: then nothing is good.
    failed: RefCell<Option<String>>,
    /// CRLs in memory for this question.
    loaded: Cell<usize>,
}

/// For one certificate so many CRLs are read; a certificate has a handful of scopes.
const MAX_LOADED: usize = 1_024;

impl<'p> PastCrls<'p> {
    fn new(journal: &'p Journal, instants: &'p Instants) -> PastCrls<'p> {
        PastCrls { journal, instants, failed: RefCell::default(), loaded: Cell::new(0) }
    }

    fn known(&self, issuer: &Name) -> Vec<PastCrl> {
        self.journal.past(issuer, self.instants.known_at_ms).unwrap_or_else(|error| {
            self.fail(error.to_string());
            Vec::new()
        })
    }

    /// What the signer of a finding issued of the same scope after the instant.
    fn later(&self, issuer: &Name, found: &verdict::Evidence) -> Vec<PastCrl> {
        let scope = found.scope;
        let mut later = self.known(found.crl.issuer());
        if found.crl.issuer() != issuer {
            later.extend(self.known(issuer));
        }
        later.retain(|past| {
            (past.scope.0, past.scope.1) == (found.signer, scope) && past.this_update > self.instants.as_of
        });
        if later.len() > LATER {
            let newest = later.split_off(later.len() - 1);
            later.truncate(LATER - 1);
            later.extend(newest);
        }
        later
    }

    /// Reads a CRL. It was verified before it was kept; the engine verifies it again.
    fn load(&self, past: &PastCrl) -> Option<Crl> {
        if self.loaded.get() >= MAX_LOADED {
            self.fail(format!("more than {MAX_LOADED} CRLs would have to be read"));
            return None;
        }
        self.loaded.set(self.loaded.get() + 1);
        let read = self.journal.crl(past.digest).map_err(|error| error.to_string());
        let read =
            read.and_then(|bytes| bytes.ok_or_else(|| format!("the CRL file {} is gone", past.digest)));
        let read = read.and_then(|bytes| Crl::decode(bytes).map_err(|error| error.to_string()));
        read.map_err(|why| self.fail(why)).ok()
    }

    fn fail(&self, why: String) {
        self.failed.borrow_mut().get_or_insert(why);
    }
}

impl CrlSource for PastCrls<'_> {
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]> {
        let mut known = self.known(issuer);
        known.retain(|past| past.this_update <= self.instants.as_of);
        // The newest first; of each scope no more than may count.
        known.reverse();
        let mut offered: Vec<PastCrl> = Vec::new();
        for past in known {
            if offered.iter().filter(|other| other.scope == past.scope).count() < OFFERED {
                offered.push(past);
            }
        }
        offered.iter().filter_map(|past| self.load(past)).collect()
    }
}

/// The certificates that were known then.
struct KnownThen<'k> {
    live: &'k Live,
    journal: &'k Journal,
    known_at_ms: i64,
}

impl CertificateSource for KnownThen<'_> {
    fn by_subject(&self, subject: &Name) -> Vec<Certificate> {
        let mut known = self.live.by_subject(subject);
        known.retain(|certificate| match self.journal.learned_at(certificate.id()) {
            Ok(learned) => learned.is_none_or(|at_ms| at_ms <= self.known_at_ms),
            Err(_) => false,
        });
        known
    }
}
