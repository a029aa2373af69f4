//! Questions without pause, and how long they took.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use revocast_bus::{Bus, BusConfig};
use revocast_client::ask;
use revocast_messages::{Outcome, Question};
use revocast_pki::certificate::Certificate;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::exit::Failure;

/// How long questions took, from asking to the answer, over the broker.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) answered: usize,
    pub(super) p50_us: u128,
    pub(super) p99_us: u128,
    pub(super) longest_us: u128,
}

/// Askers at work.
pub(super) struct Questions {
    askers: JoinSet<()>,
    taken: Arc<Mutex<Vec<Duration>>>,
    wrong: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Questions {
    /// `count` askers, each with one question under way, about a certificate that is valid throughout. They begin once
    /// somebody answers.
    pub(super) async fn start(
        config: &BusConfig,
        leaf: &Certificate,
        count: u16,
    ) -> Result<Questions, Failure> {
        let questions = Questions {
            askers: JoinSet::new(),
            taken: Arc::default(),
            wrong: Arc::default(),
            stop: Arc::default(),
        };
        let mut questions = questions;
        for _ in 0..count {
            let bus = Bus::connect(config, "revocast/drill").await.map_err(Failure::io)?;
            let question = Question { certificates: vec![leaf.der().clone().into()], ..Question::default() };
            let (taken, wrong, stop) =
                (questions.taken.clone(), questions.wrong.clone(), questions.stop.clone());
            questions.askers.spawn(async move {
                let deadline = Instant::now() + PATIENCE;
                while ask(&bus, &question, None, PATIENCE).await.is_err() && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let answer = ask(&bus, &question, None, PATIENCE).await;
                    taken.lock().unwrap_or_else(PoisonError::into_inner).push(started.elapsed());
                    let right = answer.is_ok_and(|answer| answer.judgements[0].outcome == Outcome::Valid);
                    wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
                }
            });
        }
        Ok(questions)
    }

    /// What was measured since the last call.
    pub(super) fn take(&self) -> Latency {
        let mut taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        taken.sort_unstable();
        let at = |share: usize| {
            taken.get(taken.len() * share / 100).or(taken.last()).map_or(0, Duration::as_micros)
        };
        Latency {
            answered: taken.len(),
            p50_us: at(50),
            p99_us: at(99),
            longest_us: taken.last().map_or(0, Duration::as_micros),
        }
    }

    /// Ends the asking; tells how many answers were wrong or missing.
    pub(super) async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while self.askers.join_next().await.is_some() {}
        self.wrong.load(Ordering::Relaxed)
    }
}
