//! Acquisition (functions 404 and 504 of the original): get a certificate for a client, and hand it over if it is valid
//! for that client.
//!
//! Begin with [`Acquirer::acquire`]. [`find`] gets what was asked for: from the local graph, a repository, or a URL that
//! the configuration admits. The [`Judge`] judges it as it judges every question, and `answer` says what came of it: the
//! certificate only with a valid verdict, else the verdict, or a refusal that says what was missing.

mod answer;
mod config;
mod find;

use std::time::{Duration, Instant};

use revocast_daemon::{Counter, Metrics};
use revocast_messages::{AcquireAnswer, AcquireFrom, AcquireRefusal, AcquireRequest, Instance, Question};
use tokio::sync::Semaphore;

use crate::question::Judge;
pub use config::AcquireConfig;
pub(crate) use find::Find;

/// Gets certificates for clients.
pub(crate) struct Acquirer {
    judge: Judge,
    find: Find,
    deadline: Duration,
    gate: Semaphore,
    requests: Counter,
}

impl Acquirer {
    pub(crate) fn new(judge: Judge, find: Find, concurrent: usize, metrics: &Metrics) -> Acquirer {
        let requests = metrics.counter("revocast_acquisitions", "certificates asked for, by outcome");
        Acquirer { deadline: judge.deadline, judge, find, gate: Semaphore::new(concurrent.max(1)), requests }
    }

    /// Who answers.
    pub(crate) fn instance(&self) -> &Instance {
        &self.judge.instance
    }

    /// Answers a request; never fails: what is not got is told in the answer.
    pub(crate) async fn acquire(&self, request: AcquireRequest) -> AcquireAnswer {
        let from = match request.from {
            AcquireFrom::Url(_) => "url",
            AcquireFrom::Search(_) => "search",
        };
        let answer = match self.get(request).await {
            Ok(answer) => answer,
            Err(refusal) => answer::refused(self.instance().clone(), refusal),
        };
        self.requests.add_one(&[("from", from), ("outcome", answer::word(&answer))]);
        answer
    }

    async fn get(&self, request: AcquireRequest) -> Result<AcquireAnswer, AcquireRefusal> {
        if request.intermediates.len() > Question::MAX_INTERMEDIATES {
            let (count, limit) = (request.intermediates.len(), Question::MAX_INTERMEDIATES);
            let why = format!("{count} intermediates are above the limit of {limit} for one request");
            return Err(AcquireRefusal::Malformed { why });
        }
        if request.options.is_historical() {
            return Err(AcquireRefusal::Malformed { why: "a certificate is got for the present".into() });
        }
        let until = Instant::now() + self.deadline;
        let place = tokio::time::timeout_at(until.into(), self.gate.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(AcquireRefusal::Busy { why: "too many requests are under way".into() });
        };
        let found = self.find.find(&request.from, until).await?;
        let judged = self.judge.answer(found.question(request)).await;
        answer::judged(found, judged)
    }
}
