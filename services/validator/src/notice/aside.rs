//! What can never be applied is put aside, with its reason, where an operator can look at it; and counted.

use bytes::Bytes;
use revocast_bus::Bus;
use revocast_messages::{Instance, headers, subjects};
use tokio::sync::mpsc;
use tracing::warn;

use crate::metrics::Counts;

/// Messages that wait to be put aside; beyond, they are only counted.
const CAPACITY: usize = 256;

/// Characters of a reason that are told: a header line must not grow with what a stranger wrote.
const MAX_REASON: usize = 1_000;

/// A message that is put aside.
pub(crate) struct Rejected {
    subject: String,
    payload: Bytes,
    /// `word: why`.
    reason: String,
}

/// Puts messages aside. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aside {
    counts: Counts,
    queue: mpsc::Sender<Rejected>,
}

impl Aside {
    /// A way to put messages aside, and where they come out.
    pub(crate) fn new(counts: Counts) -> (Aside, mpsc::Receiver<Rejected>) {
        let (queue, waiting) = mpsc::channel(CAPACITY);
        (Aside { counts, queue }, waiting)
    }

    /// Counts the message that came on `subject`, and hands it on without waiting.
    pub(crate) fn put(&self, subject: &str, payload: &Bytes, word: &'static str, why: &str) {
        warn!(subject, why, "put aside");
        self.counts.aside.add_one(&[("reason", word)]);
        let reason = format!("{word}: {why}").chars().take(MAX_REASON).collect();
        let rejected = Rejected { subject: subject.to_owned(), payload: payload.clone(), reason };
        let _ = self.queue.try_send(rejected);
    }
}

/// Publishes what is put aside, for as long as it is polled.
pub(crate) async fn publish(mut waiting: mpsc::Receiver<Rejected>, bus: &Bus, instance: &Instance) {
    let subject = subjects::Subject::Aside { instance: instance.clone() }.to_string();
    while let Some(rejected) = waiting.recv().await {
        let lines = vec![(headers::REASON, rejected.reason), (headers::ORIGINAL_SUBJECT, rejected.subject)];
        if let Err(error) = bus.publish(subjects::ASIDE, &subject, &lines, rejected.payload).await {
            warn!(%error, "what was put aside is only in the log");
        }
    }
}
