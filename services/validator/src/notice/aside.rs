//! What can never be applied is put aside, with its reason, where an operator can look at it; and counted.

use revocast_bus::{Bus, Stored};
use revocast_messages::{Instance, headers, subjects};
use tokio::sync::mpsc;
use tracing::warn;

use crate::metrics::Counts;

/// Messages that wait to be put aside; beyond, they are only counted.
const CAPACITY: usize = 256;

/// Puts messages aside. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aside {
    counts: Counts,
    queue: mpsc::Sender<(Stored, &'static str, String)>,
}

impl Aside {
    /// A way to put messages aside, and where they come out.
    pub(crate) fn new(counts: Counts) -> (Aside, mpsc::Receiver<(Stored, &'static str, String)>) {
        let (queue, waiting) = mpsc::channel(CAPACITY);
        (Aside { counts, queue }, waiting)
    }

    /// Counts a message, and hands it on without waiting.
    pub(crate) fn put(&self, message: &Stored, word: &'static str, why: &str) {
        warn!(subject = %message.subject, sequence = message.sequence, why, "put aside");
        self.counts.aside.add_one(&[("reason", word)]);
        let _ = self.queue.try_send((message.clone(), word, why.to_owned()));
    }
}

/// Publishes what is put aside, for as long as it is polled.
pub(crate) async fn publish(
    mut waiting: mpsc::Receiver<(Stored, &'static str, String)>,
    bus: &Bus,
    instance: &Instance,
) {
    let subject = subjects::Subject::Aside { instance: instance.clone() }.to_string();
    while let Some((message, word, why)) = waiting.recv().await {
        let lines = vec![
            (headers::REASON, format!("{word}: {why}").chars().take(1_000).collect()),
            (headers::ORIGINAL_SUBJECT, message.subject.clone()),
        ];
        if let Err(error) = bus.publish(subjects::ASIDE, &subject, &lines, message.payload).await {
            warn!(%error, "what was put aside is only in the log");
        }
    }
}
