//! [`Counters`]: what the fetcher did since it was made.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{FetchError, Reason};
use crate::fetcher::Fetched;

/// A reading of the fetcher's counters. All of them only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exchanges with hosts that were begun, redirects included; files are not counted.
    pub requests: u64,
    /// Redirects that were followed.
    pub redirects: u64,
    /// Documents brought home.
    pub documents: u64,
    /// Answers "not modified".
    pub not_modified: u64,
    /// Bytes of the documents.
    pub document_bytes: u64,
    /// Bytes received from hosts, whatever they were: heads, TLS, bodies that were given up.
    pub wire_bytes: u64,
    /// Fetches that failed, by reason; those that did not occur are left out.
    pub failures: Vec<(Reason, u64)>,
}

impl Counters {
    /// How many fetches failed for `reason`.
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failures.iter().find(|(of, _)| *of == reason).map_or(0, |(_, count)| *count)
    }
}

/// The live counters, owned by the fetcher and its connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) redirects: AtomicU64,
    pub(crate) wire_bytes: AtomicU64,
    documents: AtomicU64,
    not_modified: AtomicU64,
    document_bytes: AtomicU64,
    failures: [AtomicU64; Reason::ALL.len()],
}

impl Tally {
    pub(crate) fn count(&self, outcome: &Result<Fetched, FetchError>) {
        match outcome {
            Ok(Fetched::NotModified) => add(&self.not_modified, 1),
            Ok(Fetched::Body { bytes, .. }) => {
                add(&self.documents, 1);
                add(&self.document_bytes, bytes.len() as u64);
            }
            Err(error) => {
                if let Some(counter) = self.failures.get(error.reason() as usize) {
                    add(counter, 1);
                }
            }
        }
    }

    pub(crate) fn read(&self) -> Counters {
        let failures = Reason::ALL.iter().zip(&self.failures).map(|(reason, count)| (*reason, value(count)));
        Counters {
            requests: value(&self.requests),
            redirects: value(&self.redirects),
            documents: value(&self.documents),
            not_modified: value(&self.not_modified),
            document_bytes: value(&self.document_bytes),
            wire_bytes: value(&self.wire_bytes),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
