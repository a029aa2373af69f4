//! Step 2: discover, validate, and ask the live CRLs. The path engine does it, over the state of this very moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_daemon::Clock;
use revocast_messages::{Answer, Instance, Judgement, Question, Refusal};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::path::{self, Sources};
use tokio::sync::Semaphore;

use super::answer;
use super::discover::Discover;
use super::intake::{self, Asked};
use super::policy::Policies;
use crate::freshness::Freshness;
use crate::metrics::Counts;
use crate::polling::Demand;
use crate::state::{Journal, Live};

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Judge {
    pub live: Arc<Live>,
    /// What was enforced once.
    pub journal: Arc<Journal>,
    pub policies: Arc<Policies>,
    pub freshness: Freshness,
    /// Has CRLs fetched that questions lack.
    pub demand: Demand,
    pub clock: Clock,
    pub counts: Counts,
    pub instance: Instance,
    pub deadline: Duration,
    /// Looks further where what is at hand leads nowhere.
    pub discover: Option<Discover>,
    /// Questions that may be worked on at once.
    pub gate: Arc<Semaphore>,
}

impl Judge {
    /// Answers a question; never fails: what cannot be judged is told in the answer. One that lacks a CRL is judged once
    /// more when the CRL came.
    pub(crate) async fn answer(&self, question: Question) -> Answer {
        if question.options.is_historical() {
            return self.answer_past(question).await;
        }
        let started = Instant::now();
        let question = Arc::new(question);
        let mut answer = self.found_out(&question, started).await;
        if self.demand.bring(&question, &answer).await {
            answer = self.found_out(&question, started).await;
        }
        for judgement in &answer.judgements {
            self.counts.answers.add_one(&[("outcome", &judgement.outcome.to_string())]);
        }
        self.counts.question_seconds.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// By what is at hand, and else by what can be discovered.
    async fn found_out(&self, question: &Arc<Question>, started: Instant) -> Answer {
        let answer = self.judged(question, Vec::new()).await;
        match &self.discover {
            Some(discover) => {
                let again = |found| self.judged(question, found);
                discover.beyond(question, answer, started + self.deadline, again).await
            }
            None => answer,
        }
    }

    /// Judges on a thread of its own, with candidates that were found beside the question's.
    async fn judged(&self, question: &Arc<Question>, found: Vec<Certificate>) -> Answer {
        let Ok(permit) = self.gate.clone().acquire_owned().await else {
            return self.refused(Refusal::Busy { why: "this validator is stopping".into() });
        };
        let (judge, question) = (self.clone(), question.clone());
        // A cold question is arithmetic for a good part of a millisecond, or for as long as its budget allows.
        let judged = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            judge.judge(&question, found)
        });
        match judged.await {
            Ok(answer) => answer,
            Err(_) => self.refused(Refusal::Busy { why: "the question was interrupted".into() }),
        }
    }

    fn judge(&self, question: &Question, found: Vec<Certificate>) -> Answer {
        match intake::read(question, &self.policies) {
            Ok(mut asked) => {
                asked.candidates.extend(found);
                self.judge_all(&asked)
            }
            Err(refusal) => self.refused(refusal),
        }
    }

    fn judge_all(&self, asked: &Asked<'_>) -> Answer {
        let now_ms = self.clock.now_ms();
        let judge_one = |target: &intake::Target| match &target.certificate {
            Ok(certificate) => self.judge_one(certificate, asked, now_ms),
            Err(why) => answer::unreadable(target.id, why),
        };
        let judgements = asked.targets.iter().map(judge_one).collect();
        self.said(asked.policy.name.clone(), now_ms, judgements, None)
    }

    fn judge_one(&self, certificate: &Certificate, asked: &Asked<'_>, now_ms: i64) -> Judgement {
        let until = Instant::now() + self.deadline;
        let expired = || Instant::now() >= until;
        let at = Time::from_unix(now_ms.div_euclid(1_000));
        let question = path::Question {
            name: asked.name.clone(),
            expired: Some(&expired),
            told: if asked.explain { MAX_TOLD } else { 0 },
            ..path::Question::new(certificate.clone(), at, &asked.policy.anchors, &asked.requirements)
        };
        let known = (&asked.candidates, &*self.live);
        let sources = Sources { certificates: &known, crls: &*self.live, memory: &self.live.memory };
        let verdict = path::judge(&question, sources);
        self.demand.note(&verdict);
        let judgement = answer::judgement(&verdict, asked.explain);
        answer::held_to(judgement, asked.policy, &verdict, self.freshness.age(now_ms))
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Answer {
        self.said(String::new(), self.clock.now_ms(), Vec::new(), Some(refusal))
    }

    pub(super) fn said(
        &self,
        policy: String,
        now_ms: i64,
        judgements: Vec<Judgement>,
        refused: Option<Refusal>,
    ) -> Answer {
        let age = self.freshness.age(now_ms);
        Answer {
            validator: self.instance.clone(),
            policy,
            judged_at_ms: now_ms,
            freshness_s: age.map(|age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
            judgements,
            refused,
            past: None,
        }
    }
}

/// An explanation tells at most this many paths that were tried.
pub(super) const MAX_TOLD: usize = 16;
