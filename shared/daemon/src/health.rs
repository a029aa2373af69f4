//! [`Health`]: ready, or not ready and why. Liveness does not depend on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One thing that keeps a service from being ready, or makes it less than it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// What it is about, one word: `broker`, `scope`, `streams` ...
    pub about: String,
    /// In words.
    pub why: String,
    /// Whether the service is not ready because of it; otherwise it is ready, and degraded.
    pub blocks: bool,
}

/// Collects reasons from all parts of a service. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    reasons: Arc<Mutex<BTreeMap<String, Reason>>>,
}

impl Health {
    /// Says that something is missing without which the service is not ready.
    pub fn not_ready(&self, about: &str, why: impl Into<String>) {
        self.set(about, why.into(), true);
    }

    /// Says that something is wrong, but the service is ready all the same.
    pub fn degraded(&self, about: &str, why: impl Into<String>) {
        self.set(about, why.into(), false);
    }

    /// Takes back what was said about something.
    pub fn well(&self, about: &str) {
        self.lock().remove(about);
    }

    /// Whether nothing keeps the service from being ready.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|reason| !reason.blocks)
    }

    /// All that is wrong.
    pub fn reasons(&self) -> Vec<Reason> {
        self.lock().values().cloned().collect()
    }

    fn set(&self, about: &str, why: String, blocks: bool) {
        self.lock().insert(about.to_owned(), Reason { about: about.to_owned(), why, blocks });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Reason>> {
        // A panic elsewhere leaves the map whole: each change is one insert or remove.
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_the_last_blocking_reason_is_gone() {
        let health = Health::default();
        health.not_ready("scope", "none yet");
        health.degraded("broker", "cut off");
        assert!(!health.is_ready());
        health.well("scope");
        assert!(health.is_ready());
        assert_eq!(health.reasons().len(), 1);
    }
}
