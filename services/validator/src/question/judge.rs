//! [`Judge`]: a question through its steps.
//!
//! What the cache knows is answered on the spot, where the question came in. For all else of a question there is one
//! search beside the runtime, behind a gate; equal questions of the same moment wait for its result and hold no place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::Clock;
use revocast_messages::{Answer, Instance, Judgement, PlainQuestion, Question, Refusal};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::path::AskedName;
use tokio::sync::{Notify, Semaphore};

use super::answer;
use super::cache::Kept;
use super::discover::Discover;
use super::flight::{Flight, FlightKey};
use super::intake::{self, Asked, LentTerms};
use super::policy::Policies;
use super::search::{Found, Led};
use crate::freshness::Freshness;
use crate::metrics::Counts;
use crate::paths::Paths;
use crate::polling::Demand;
use crate::state::{Journal, Live};

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Judge {
    pub live: Arc<Live>,
    /// What was enforced once; a validator without a disk has nothing to say of the past.
    pub journal: Option<Arc<Journal>>,
    pub policies: Arc<Policies>,
    /// Paths found before, and where new ones are told.
    pub paths: Arc<Paths>,
    pub freshness: Freshness,
    /// Has CRLs fetched that questions lack.
    pub demand: Option<Demand>,
    pub clock: Clock,
    pub counts: Counts,
    /// Told when a path brought issuers that were not known: what is owed may be payable with them.
    pub adopted: Arc<Notify>,
    pub instance: Instance,
    pub deadline: Duration,
    /// Looks further where what is at hand leads nowhere.
    pub discover: Option<Discover>,
    /// Questions that may be searched for at once.
    pub gate: Arc<Semaphore>,
    /// Questions about the past that may be worked on at once.
    pub past_gate: Arc<Semaphore>,
}

/// A flight that ends without a result is led again by one of those who waited, this often: a search that panics
/// does so each time.
const MAX_FLIGHTS: usize = 3;

/// A certificate of a question about which something is to be found out.
#[derive(Clone, Copy)]
struct Missed {
    /// Its place in the question.
    index: usize,
    id: CertId,
}

impl Judge {
    /// Answers a question; never fails: what cannot be judged is told in the answer. One that lacks a CRL is judged once
    /// more when the CRL came.
    pub(crate) async fn answer(&self, question: Question) -> Answer {
        let started = Instant::now();
        let at_hand = PlainQuestion::of(&question).and_then(|plain| self.at_hand(&plain, started));
        if let Some(answer) = at_hand {
            return answer;
        }
        if question.options.is_historical() {
            return self.answer_past(question).await;
        }
        let (question, until) = (Arc::new(question), started + self.deadline);
        let mut answer = self.judged(question.clone(), Vec::new(), until).await;
        if answer.judgements.iter().any(|one| one.outcome != revocast_messages::Outcome::Valid) {
            answer = Box::pin(self.pursue(question, answer, until)).await;
        }
        self.counted(answer, started)
    }

    /// The answer to a question about certificates whose paths are all kept: look-ups, and nothing that waits. It was
    /// taken up at `started`.
    pub(crate) fn at_hand(&self, question: &PlainQuestion<'_>, started: Instant) -> Option<Answer> {
        let policy = self.policies.get(question.policy)?;
        let effective = policy.narrowed(question.eku).ok()?;
        let name = question.dns.map(|name| AskedName::Dns(name.to_owned()));
        let terms = LentTerms { policy, effective: &effective, name: name.as_ref() };
        let now_ms = self.clock.now_ms();
        let silence = self.freshness.age(now_ms);
        let mut judgements = Vec::with_capacity(question.certificates().len());
        for der in question.certificates() {
            judgements.push(self.known(der, terms, now_ms, silence).ok()?);
        }
        self.paths.counts.kept.add(judgements.len() as u64);
        let said = self.said(terms.policy.name.clone(), now_ms, silence, judgements, None);
        Some(self.counted(said, started))
    }

    fn counted(&self, answer: Answer, started: Instant) -> Answer {
        for judgement in &answer.judgements {
            self.counts.answer(judgement.outcome).add_one();
        }
        self.counts.question_seconds.observe(started.elapsed());
        answer
    }

    /// Looks elsewhere for issuers that are not known, and for CRLs that are lacking.
    async fn pursue(&self, question: Arc<Question>, mut answer: Answer, until: Instant) -> Answer {
        let beyond = match &self.discover {
            Some(discover) => discover.beyond(&question, &answer, until).await,
            None => None,
        };
        let found = beyond.as_ref().map_or_else(Vec::new, |beyond| beyond.certificates.clone());
        if !found.is_empty() {
            answer = self.judged(question.clone(), found.clone(), until).await;
        }
        if let Some(demand) = &self.demand
            && demand.bring(&question, &found, &answer).await
        {
            answer = self.judged(question, found, until).await;
        }
        // What could not be looked for is in doubt, whatever came of the rest.
        match beyond {
            Some(beyond) => beyond.doubted(answer),
            None => answer,
        }
    }

    /// Judges with candidates that were found beside the question's.
    async fn judged(&self, question: Arc<Question>, found: Vec<Certificate>, until: Instant) -> Answer {
        match intake::read(question, &self.policies, until) {
            Ok(mut asked) => {
                asked.found = found;
                self.judge_all(asked).await
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    async fn judge_all(&self, asked: Asked) -> Answer {
        let now_ms = self.clock.now_ms();
        let silence = self.freshness.age(now_ms);
        let mut judgements = Vec::with_capacity(asked.certificates().len());
        let mut missed = Vec::new();
        for (index, der) in asked.certificates().iter().enumerate() {
            judgements.push(match self.known(der, asked.lent(), now_ms, silence) {
                Ok(known) if !asked.explain => known,
                Ok(Judgement { certificate: id, .. }) | Err(id) => {
                    missed.push(Missed { index, id });
                    answer::unjudged(id)
                }
            });
        }
        self.paths.counts.kept.add((judgements.len() - missed.len()) as u64);
        let policy = asked.policy.name.clone();
        let refused = if missed.is_empty() {
            None
        } else {
            // A question that misses is seldom enough to have its state apart, so that one that does not stays small.
            Box::pin(self.find_out(asked, missed, &mut judgements)).await.err()
        };
        if refused.is_some() {
            judgements.clear();
        }
        self.said(policy, now_ms, silence, judgements, refused)
    }

    /// Answers from a kept path: look-ups in the live CRLs and nothing else. Where that does not do, it says what the
    /// certificate is called.
    fn known(
        &self,
        der: &[u8],
        terms: LentTerms<'_>,
        now_ms: i64,
        silence: Option<Duration>,
    ) -> Result<Judgement, CertId> {
        let remembered = self.paths.ids.get(der);
        let id = remembered.unwrap_or_else(|| CertId::of(der));
        let path = self.paths.cache.get(&(id, terms.effective.id)).ok_or(id)?;
        if remembered.is_none()
            && let Some(target) = path.certificates().first()
        {
            self.paths.ids.remember(target.der(), id);
        }
        if terms.name.is_some_and(|name| !path.bears(name)) {
            return Err(id);
        }
        let at = Time::from_unix(now_ms.div_euclid(1_000));
        let (mut evidence, mut oldest_s) = (Vec::with_capacity(path.certificates().len()), None);
        let fault = path.look_up(at, &*self.live, |found| {
            oldest_s = oldest_s.max(Some(answer::newest_age_s(found, at)));
            evidence.extend(answer::evidence(path.certificates(), found, at));
        });
        // What is not valid by this path may be by another.
        if fault != Ok(None) {
            return Err(id);
        }
        self.tell_use(&path, now_ms);
        let judgement = answer::of_valid_path(id, &path, evidence);
        Ok(answer::held_to(judgement, terms.policy, oldest_s, silence))
    }

    /// Says that a kept path is used: where nobody announces CRLs, its URLs are to be asked for the next ones, be it
    /// that another validator found it.
    pub(super) fn tell_use(&self, path: &Kept, now_ms: i64) {
        if let Some(demand) = &self.demand
            && path.is_use_to_be_told(now_ms)
        {
            demand.note(path.certificates());
        }
    }

    async fn find_out(
        &self,
        asked: Asked,
        mut missed: Vec<Missed>,
        judgements: &mut [Judgement],
    ) -> Result<(), Refusal> {
        let asked = Arc::new(asked);
        for _ in 0..MAX_FLIGHTS {
            let mut left = Vec::new();
            for (one, flight) in self.take_off(&asked, &missed).await? {
                match (flight.landed().await, judgements.get_mut(one.index)) {
                    (Some(found), Some(place)) => {
                        *place = found.judgement(one.id, &asked, self, self.clock.now_ms());
                    }
                    _ => left.push(one),
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            missed = left;
        }
        Err(Refusal::Busy { why: "the question was interrupted".into() })
    }

    /// Joins the flights of equal questions, and leads those that nobody leads yet.
    async fn take_off(
        &self,
        asked: &Arc<Asked>,
        missed: &[Missed],
    ) -> Result<Vec<(Missed, Flight<Found>)>, Refusal> {
        let (candidates, revision, at_s) =
            (asked.candidates_digest(), self.live.revision(), self.clock.now_s());
        let (mut flights, mut led) = (Vec::with_capacity(missed.len()), Vec::new());
        for one in missed {
            let (flight, landing) = if asked.explain {
                let (flight, landing) = self.paths.flights.alone();
                (flight, Some(landing))
            } else {
                let (policy, name) = (asked.effective.id, asked.name.clone());
                let target = one.id;
                self.paths.flights.join(FlightKey { target, policy, name, candidates, revision, at_s })
            };
            match landing {
                Some(landing) => led.push(Led { id: one.id, index: one.index, landing }),
                None => self.paths.counts.joined.add_one(),
            }
            flights.push((*one, flight));
        }
        if !led.is_empty() {
            self.lead(asked.clone(), led).await?;
        }
        Ok(flights)
    }

    /// Begins a search beside the runtime. A cold question is arithmetic for a good part of a millisecond, or for as
    /// long as its budget allows.
    async fn lead(&self, asked: Arc<Asked>, led: Vec<Led>) -> Result<(), Refusal> {
        let Ok(permit) = self.gate.clone().acquire_owned().await else {
            return Err(Refusal::Busy { why: "this validator is stopping".into() });
        };
        let judge = self.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            judge.search_led(&asked, led);
        });
        Ok(())
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Answer {
        let now_ms = self.clock.now_ms();
        self.said(String::new(), now_ms, self.freshness.age(now_ms), Vec::new(), Some(refusal))
    }

    pub(super) fn said(
        &self,
        policy: String,
        now_ms: i64,
        silence: Option<Duration>,
        judgements: Vec<Judgement>,
        refused: Option<Refusal>,
    ) -> Answer {
        Answer {
            validator: self.instance.clone(),
            policy,
            judged_at_ms: now_ms,
            freshness_s: silence.map(|age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
            judgements,
            refused,
            past: None,
        }
    }
}
