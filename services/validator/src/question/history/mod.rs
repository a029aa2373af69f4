//! Questions about the past: what was true at T, and what this validator knew at U.
//!
//! The engine is the same, at the instant T, over the CRLs that were applied by U ([`crate::state::history`]): of each
//! scope the newest that had been issued by T. What CRLs issued later say of a time before T counts, too, whatever key of
//! the issuer signed them and whatever they cover: revoked at T is who any CRL that is known at U lists with a date up to
//! T, and where it is not proven that it speaks of the certificate, the answer is indeterminate. So it is where the
//! history does not reach.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::{Clock, blocking, every};
use revocast_messages::{
    Answer, Blob, Evidence, Judgement, Outcome, Past, Question, QuestionOptions, Refusal,
};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Entry, Reason};
use revocast_pki::identity::{CertId, IssuerId, ScopeId};
use revocast_pki::name::Name;
use revocast_pki::path::{self, Anchor, CertificateSource, Graph, RevocationMode, Sources};
use revocast_pki::revocation::CrlSource;
use revocast_pki::verdict::{Candidate, Verdict};
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

/// Questions about the past that are worked on at once. They have places of their own: each may read for as long as its
/// deadline allows, and those about the present are not to wait for that.
pub(crate) const WORKED_ON_AT_ONCE: usize = 2;

/// Octets of CRLs that are read for one question, each time that they are: a dozen of the largest that are known (40 MB),
/// or thousands of usual size. What is in memory of them at once is less.
const MAX_OCTETS: usize = 512 << 20;

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
        let (judge, until) = (self.clone(), self.deadline());
        let Ok(Ok(permit)) =
            tokio::time::timeout_at(until.into(), self.past_gate.clone().acquire_owned()).await
        else {
            return self
                .refused(Refusal::Busy { why: "other questions about the past are worked on".into() });
        };
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
        let budget = Budget { until: asked.until, octets: Cell::new(MAX_OCTETS) };
        let judge_one = |der: &Blob| {
            let id = CertId::of(der);
            match (intake::decode(der), &self.journal, &beyond) {
                (Err(why), ..) => answer::unreadable(id, &why),
                (Ok(certificate), Some(journal), None) => {
                    let crls = PastCrls::new(journal, &instants, &budget);
                    self.judge_one_past(certificate, asked, &candidates, crls, now_ms)
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
        crls: PastCrls<'_>,
        now_ms: i64,
    ) -> Judgement {
        let instants = crls.instants;
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
        let known = KnownThen { live: &self.live, journal: crls.journal, known_at_ms: instants.known_at_ms };
        let certificates = (candidates, &known);
        let sources = Sources { certificates: &certificates, crls: &crls, memory: &self.live.memory };
        let verdict = path::judge(&question, sources);
        let judgement = answer::of_verdict(&verdict, asked.explain);
        let silence = self.freshness.age(now_ms);
        let oldest_s = answer::oldest_s(verdict.evidence(), verdict.at);
        let judgement = answer::held_to(judgement, &asked.policy, oldest_s, silence);
        let judgement = match asked.effective.requirements.revocation {
            RevocationMode::None => judgement,
            RevocationMode::Hard | RevocationMode::Soft => known_later(judgement, &verdict, &crls),
        };
        match crls.failed.into_inner() {
            // What was not read might have said otherwise, or settled a doubt.
            Some(why) if matches!(judgement.outcome, Outcome::Valid | Outcome::Indeterminate) => {
                untold(certificate.id(), &why)
            }
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

/// Holds a valid verdict against what was said later, in the names of who may revoke, of a time before.
fn known_later(judgement: Judgement, verdict: &Verdict, crls: &PastCrls<'_>) -> Judgement {
    if judgement.outcome != Outcome::Valid {
        return judgement;
    }
    let mut doubt = None;
    for concerned in verdict.path.iter().flat_map(Concerned::all) {
        for (scope, later) in crls.later(&concerned.names) {
            let Some(listing) = concerned.listing(&later, crls) else { continue };
            if listing.covers && concerned.signers.contains(&scope.0) {
                return revoked(judgement, concerned.certificate, &listing, crls.instants.as_of);
            }
            doubt.get_or_insert_with(|| listing.unproven());
        }
    }
    match doubt {
        Some(why) => Judgement { outcome: Outcome::Indeterminate, reason: why, ..judgement },
        None => judgement,
    }
}

/// A certificate of a path, and who may revoke it.
struct Concerned<'v> {
    certificate: &'v Certificate,
    /// Its issuer, and the CRL issuers that it names.
    names: Vec<Name>,
    /// The key that issued it, and those of the CRLs that decided over it.
    signers: Vec<IssuerId>,
}

impl Concerned<'_> {
    /// All of a path, whether CRLs decided over them or not.
    fn all(path: &Candidate) -> impl Iterator<Item = Concerned<'_>> {
        path.certificates.iter().enumerate().map(|(index, certificate)| {
            let above = path.certificates.get(index + 1).map(Certificate::as_issuer);
            let above = above.or_else(|| path.anchor.as_ref().map(Anchor::as_issuer));
            let found = path.evidence.iter().filter(|found| found.certificate == index);
            let signers = above.into_iter().chain(found.map(|found| found.signer)).collect();
            Concerned { certificate, names: revokers(certificate), signers }
        })
    }

    /// The first listing of it in later CRLs of one scope.
    fn listing(&self, later: &[PastCrl], crls: &PastCrls<'_>) -> Option<Listing> {
        for past in later {
            let Some(crl) = crls.load(past) else { continue };
            let covers = covers(&crl, self.certificate);
            if let Some(entry) = listed_by(&crl, self.certificate, crls.instants.as_of) {
                let since = entry.date();
                return Some(Listing { past: past.clone(), crl, since, covers });
            }
            // One scope, one distribution point: the others cover it no more than this one.
            if !covers {
                return None;
            }
        }
        None
    }
}

/// A certificate on a later CRL.
struct Listing {
    past: PastCrl,
    crl: Crl,
    since: Time,
    /// Whether the CRL speaks of the certificate by its distribution point.
    covers: bool,
}

impl Listing {
    fn unproven(&self) -> String {
        format!(
            "a CRL of {}, which is not proven to speak of it, says that it is revoked since {}",
            self.crl.this_update(),
            self.since
        )
    }
}

/// The names in which CRLs that cover the certificate are issued.
fn revokers(certificate: &Certificate) -> Vec<Name> {
    let mut names = vec![certificate.issuer().clone()];
    for point in certificate.crl_distribution_points().into_iter().flatten() {
        for name in point.crl_issuer.into_iter().flatten().filter_map(|name| name.directory()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Whether a CRL speaks of a certificate, by its distribution point (RFC 5280 6.3.3 (b)).
fn covers(crl: &Crl, certificate: &Certificate) -> bool {
    let Some(point) = crl.distribution_point() else { return true };
    let another_kind = if certificate.is_ca() { point.only_user_certs } else { point.only_ca_certs };
    if another_kind || point.only_attribute_certs {
        return false;
    }
    let (issuer, Some(stands)) = (certificate.issuer(), point.name()) else { return true };
    let mut wanted = certificate.crl_distribution_points().into_iter().flatten();
    stands.is_at(issuer, issuer)
        || wanted
            .any(|point| point.name.is_none_or(|wanted| wanted.meets(crl.issuer(), &stands, crl.issuer())))
}

/// The entry by which a CRL says that the certificate was revoked by then.
fn listed_by<'c>(crl: &'c Crl, certificate: &Certificate, by: Time) -> Option<Entry<'c>> {
    let entry = match crl.distribution_point() {
        // Attribute certificates have serial numbers of their own.
        Some(point) if point.only_attribute_certs => None,
        Some(point) if point.indirect => crl.find_issued_by(certificate.issuer(), certificate.serial()),
        _ if crl.issuer() == certificate.issuer() => crl.find(certificate.serial()),
        _ => None,
    };
    entry.filter(|entry| entry.reason() != Reason::RemoveFromCrl && entry.date() <= by)
}

fn revoked(judgement: Judgement, certificate: &Certificate, listing: &Listing, as_of: Time) -> Judgement {
    let Listing { past, crl, since, .. } = listing;
    let (issuer, scope, kind) = past.scope;
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
    let reason = format!("revoked since {since}, as a CRL of {} says", crl.this_update());
    Judgement { outcome: Outcome::Revoked, reason, evidence, ..judgement }
}

/// What may still be read for a question, about however many certificates it is.
struct Budget {
    until: Instant,
    octets: Cell<usize>,
}

impl Budget {
    /// Why no other CRL is read, if none is.
    fn spent(&self) -> Option<String> {
        if Instant::now() >= self.until {
            return Some("the question's deadline passed before the CRLs of then were read".into());
        }
        let none_left = self.octets.get() == 0;
        none_left.then(|| format!("more than {} MiB of CRLs would have to be read", MAX_OCTETS >> 20))
    }

    /// The size of a CRL is known once it is read: the last one may be more than what was left.
    fn spend(&self, octets: usize) {
        self.octets.set(self.octets.get().saturating_sub(octets));
    }
}

/// The CRLs of then, from the disk.
struct PastCrls<'p> {
    journal: &'p Journal,
    instants: &'p Instants,
    budget: &'p Budget,
    /// Why something could not be read: then nothing is good.
    failed: RefCell<Option<String>>,
    /// CRLs in memory for this question.
    loaded: Cell<usize>,
}

/// For one certificate so many CRLs are read; a certificate has a handful of scopes.
const MAX_LOADED: usize = 1_024;

impl<'p> PastCrls<'p> {
    fn new(journal: &'p Journal, instants: &'p Instants, budget: &'p Budget) -> PastCrls<'p> {
        PastCrls { journal, instants, budget, failed: RefCell::default(), loaded: Cell::new(0) }
    }

    fn known(&self, issuer: &Name) -> Vec<PastCrl> {
        self.journal.past(issuer, self.instants.known_at_ms).unwrap_or_else(|error| {
            self.fail(error.to_string());
            Vec::new()
        })
    }

    /// What was issued in these names after the instant, by signer and scope.
    fn later(&self, names: &[Name]) -> BTreeMap<(IssuerId, ScopeId), Vec<PastCrl>> {
        let mut scopes: BTreeMap<_, Vec<PastCrl>> = BTreeMap::new();
        for past in names.iter().flat_map(|name| self.known(name)) {
            if past.this_update > self.instants.as_of {
                scopes.entry((past.scope.0, past.scope.1)).or_default().push(past);
            }
        }
        for later in scopes.values_mut().filter(|later| later.len() > LATER) {
            let newest = later.split_off(later.len() - 1);
            later.truncate(LATER - 1);
            later.extend(newest);
        }
        scopes
    }

    /// Reads a CRL. It was verified before it was kept; the engine verifies it again.
    fn load(&self, past: &PastCrl) -> Option<Crl> {
        if self.loaded.get() >= MAX_LOADED {
            self.fail(format!("more than {MAX_LOADED} CRLs would have to be read"));
            return None;
        }
        if let Some(why) = self.budget.spent() {
            self.fail(why);
            return None;
        }
        self.loaded.set(self.loaded.get() + 1);
        let read = self.journal.crl(past.digest).map_err(|error| error.to_string());
        let read =
            read.and_then(|bytes| bytes.ok_or_else(|| format!("the CRL file {} is gone", past.digest)));
        let read = read.inspect(|bytes| self.budget.spend(bytes.len()));
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
