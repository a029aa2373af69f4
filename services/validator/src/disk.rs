//! [`Disk`]: whether our own disk does what it is asked. While it does not, the validator says that it is degraded.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use revocast_daemon::Health;
use tracing::warn;

use crate::state::JournalError;

/// What readiness calls it.
const ABOUT: &str = "disk";

/// Who found the disk failing: each takes back what it said itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Messages of a stream.
    Notices(&'static str),
    /// The checkpoint of a stream.
    Checkpoint(&'static str),
    /// What is owed.
    Debts,
}

/// What is known of the disk. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    health: Health,
    failing: Arc<Mutex<BTreeSet<Work>>>,
}

impl Disk {
    /// That tells `health`.
    pub(crate) fn new(health: Health) -> Disk {
        Disk { health, failing: Arc::default() }
    }

    /// Some work could not be written down.
    pub(crate) fn failed(&self, work: Work, error: &JournalError) {
        warn!(%error, ?work, "our own disk failed; the same comes again");
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.insert(work);
        self.health.degraded(ABOUT, error.to_string());
    }

    /// The same work was written down since.
    pub(crate) fn worked(&self, work: Work) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.remove(&work) && failing.is_empty() {
            self.health.well(ABOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_well_when_whatever_failed_has_worked_since() {
        let health = Health::default();
        let disk = Disk::new(health.clone());
        let full = || JournalError::Version(2);
        disk.failed(Work::Notices("A"), &full());
        disk.failed(Work::Debts, &full());
        disk.worked(Work::Notices("B"));
        disk.worked(Work::Debts);
        assert_eq!(health.reasons().len(), 1);
        assert!(health.is_ready(), "what is held is answered from");
        disk.worked(Work::Notices("A"));
        assert!(health.reasons().is_empty());
    }
}
