//! Certificates that were asked about lately, and have no valid path so far.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use revocast_pki::certificate::Certificate;

use crate::question::cache::Key;
use crate::question::policy::{Effective, Policy};

/// At most this many are remembered; the oldest go first. Anybody can ask, so it bounds what a notice of one
/// certificate makes a validator search for: some milliseconds.
pub(super) const MAX_WANTED: usize = 256;

/// Larger certificates are not remembered.
const MAX_OCTETS: usize = 16 << 10;

/// One of them, and under what it was asked for.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) certificate: Certificate,
    pub(super) policy: Arc<Policy>,
    pub(super) effective: Arc<Effective>,
    /// A CRL may be what is missing.
    pub(super) undecided: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Wanted(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    targets: HashMap<Key, Target>,
    /// The oldest in front. May name some that are gone.
    order: VecDeque<Key>,
}

impl Wanted {
    pub(super) fn note(&self, target: Target) {
        if target.certificate.der().len() > MAX_OCTETS {
            return;
        }
        let mut inner = self.lock();
        let key = (target.certificate.id(), target.effective.id);
        if inner.targets.insert(key, target).is_none() {
            inner.order.push_back(key);
        }
        // Those that are gone leave their place in the order behind.
        while inner.targets.len() > MAX_WANTED || inner.order.len() > 2 * MAX_WANTED {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.targets.remove(&oldest);
        }
    }

    /// It was searched for again, in vain.
    pub(super) fn still(&self, key: &Key, undecided: bool) {
        if let Some(target) = self.lock().targets.get_mut(key) {
            target.undecided = undecided;
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        self.lock().targets.remove(key);
    }

    /// All of them, as of this moment.
    pub(super) fn all(&self) -> Vec<Target> {
        self.lock().targets.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
