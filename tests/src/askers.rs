//! [`Askers`]: questions without pause, each answer held against what the fleet had told before it was asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use revocast_bus::{Bus, Followed, Follower};
use revocast_client::ask;
use revocast_messages::{Answer, Judgement, Outcome, Question, Receipt, decode, subjects};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::IssuerId;
use tokio::task::{JoinHandle, JoinSet};

use crate::{NatsServer, eventually};

/// How long the first try of a question waits; whoever was asked may have been killed.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
/// How long the second try waits. After it the question is lost.
const SECOND_PATIENCE: Duration = Duration::from_secs(30);
/// Wrong answers that are told in words.
const TOLD: usize = 20;

/// What is asked about.
pub struct Asked {
    /// Whose certificates they are.
    pub issuer: IssuerId,
    /// Certificates of which number n is revoked by the CRLs with a number above n, and no others.
    pub leaves: Vec<Certificate>,
    /// A certificate that is never revoked.
    pub good: Certificate,
}

/// What came of all questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions.
    pub asked: u64,
    /// Those that got no answer at the first try.
    pub retried: u64,
    /// Those that got none at the second try either.
    pub lost: u64,
    /// Answers that must not be, in words; the first twenty.
    pub wrong: Vec<String>,
}

/// Askers at work. They end with their handle.
pub struct Askers {
    work: Arc<Work>,
    askers: JoinSet<()>,
    listener: JoinHandle<()>,
}

struct Work {
    asked: Asked,
    /// The highest CRL number of each validator that it told or answered from.
    known: Mutex<HashMap<String, u64>>,
    stop: AtomicBool,
    questions: AtomicU64,
    retried: AtomicU64,
    lost: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Askers {
    /// `count` askers with a connection each, one question under way at a time. They begin once somebody answers.
    pub async fn start(nats: &NatsServer, asked: Asked, count: usize) -> Askers {
        let work = Arc::new(Work {
            asked,
            known: Mutex::default(),
            stop: AtomicBool::new(false),
            questions: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            wrong: Mutex::default(),
        });
        let listener = tokio::spawn(listen(nats.bus("receipts").await, work.clone()));
        let (bus, question) = (nats.bus("first-asker").await, about(&work.asked.good));
        eventually("somebody answers", async || ask(&bus, &question, None, FIRST_PATIENCE).await.ok()).await;
        let mut askers = JoinSet::new();
        for n in 0..count {
            let bus = nats.bus(&format!("asker-{n}")).await;
            let work = work.clone();
            askers.spawn(async move {
                while !work.stop.load(Ordering::Relaxed) {
                    work.ask(&bus).await;
                }
            });
        }
        Askers { work, askers, listener }
    }

    /// How many questions were asked up to now.
    pub fn questions(&self) -> u64 {
        self.work.questions.load(Ordering::Relaxed)
    }

    /// Ends the asking; what came of it.
    pub async fn finish(mut self) -> Tally {
        self.work.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.askers.join_next().await {
            ended.unwrap();
        }
        self.listener.abort();
        Tally {
            asked: self.questions(),
            retried: self.work.retried.load(Ordering::Relaxed),
            lost: self.work.lost.load(Ordering::Relaxed),
            wrong: self.work.wrong.lock().unwrap().clone(),
        }
    }
}

fn about(certificate: &Certificate) -> Question {
    Question { certificates: vec![certificate.der().clone().into()], ..Question::default() }
}

impl Drop for Askers {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Takes in what validators tell.
async fn listen(bus: Bus, work: Arc<Work>) {
    let mut follower = Follower::new(&bus, subjects::RECEIPTS, subjects::ALL_NOTICES, None);
    loop {
        let (Followed::Head(message) | Followed::Next(message)) = follower.next().await else { continue };
        if let Ok(receipt) = decode::<Receipt>(&message.payload)
            && receipt.issuer == work.asked.issuer
            && let Some(number) = receipt.number.and_then(|number| number.to_string().parse().ok())
        {
            work.learn(receipt.validator.as_str(), number);
        }
    }
}

impl Work {
    async fn ask(&self, bus: &Bus) {
        let n = usize::try_from(self.questions.fetch_add(1, Ordering::Relaxed)).unwrap();
        let leaf = n % self.asked.leaves.len();
        let certificates = [&self.asked.good, &self.asked.leaves[leaf]].map(|one| one.der().clone().into());
        let question = Question { certificates: certificates.into(), ..Question::default() };
        // A receipt that is known from here on binds the answer.
        let known = self.known.lock().unwrap().clone();
        let mut answer = ask(bus, &question, None, FIRST_PATIENCE).await;
        if answer.is_err() {
            self.retried.fetch_add(1, Ordering::Relaxed);
            answer = ask(bus, &question, None, SECOND_PATIENCE).await;
        }
        match answer {
            Ok(answer) => self.judge(&answer, leaf, &known),
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.tell(format!("lost: {error}"));
            }
        }
    }

    fn judge(&self, answer: &Answer, leaf: usize, known: &HashMap<String, u64>) {
        let validator = answer.validator.as_str();
        let [good, asked] = &answer.judgements[..] else { return self.tell(format!("{answer:?}")) };
        let Some(number) = deciding(asked) else {
            return self.tell(format!("{validator}, leaf {leaf}: {} ({})", asked.outcome, asked.reason));
        };
        let right = if number > leaf as u64 { Outcome::Revoked } else { Outcome::Valid };
        if asked.outcome != right {
            self.tell(format!("{validator} says {} of leaf {leaf} by CRL {number}", asked.outcome));
        }
        if good.outcome != Outcome::Valid {
            self.tell(format!("{validator} says {} of the good leaf: {}", good.outcome, good.reason));
        }
        if known.get(validator).is_some_and(|before| *before > number) {
            self.tell(format!("{validator} went back to CRL {number} from {}", known[validator]));
        }
        self.learn(validator, number);
    }

    fn learn(&self, validator: &str, number: u64) {
        let mut known = self.known.lock().unwrap();
        let highest = known.entry(validator.to_owned()).or_default();
        *highest = number.max(*highest);
    }

    fn tell(&self, wrong: String) {
        let mut told = self.wrong.lock().unwrap();
        if told.len() < TOLD {
            told.push(wrong);
        }
    }
}

/// Number of the CRL that decided about the certificate itself.
fn deciding(judgement: &Judgement) -> Option<u64> {
    let found = judgement.evidence.iter().find(|found| found.certificate == judgement.certificate)?;
    found.number?.to_string().parse().ok()
}
