//! Step 2: paths that were found valid before, so that the same certificate is answered at once.
//!
//! A path is kept under its target and what the effective policy is called: anchors, what is required of a path, and
//! the purpose asked for. That it is here says nothing about revocation: every answer looks each certificate of the
//! path up in the live CRLs ([`ProvenPath::look_up`]), and a path that is not valid at this moment is searched for anew.
//! The configuration is read once, at start, so the cache never outlives it.
//!
//! Bounded by octets, in two generations as the memory of signatures is: when the young one is full it becomes the old
//! one, and the old one is forgotten. What is asked for stays young.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{CertId, PolicyId};
use revocast_pki::path::ProvenPath;

/// Under what a path is kept: its target, and the effective policy.
pub(crate) type Key = (CertId, PolicyId);

/// Shards, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// Octets of a kept path beside the DER of its certificates: the decoded forms, keys, requirements; estimated.
const OVERHEAD: usize = 2_048;

/// The use of a kept path is told at most this often: often enough to know what was used within the hour.
const TOLD_EVERY_MS: i64 = 60_000;

/// A path that is kept.
pub(crate) struct Kept {
    path: Arc<ProvenPath>,
    /// When it was last told that it is used.
    told_ms: AtomicI64,
}

impl Kept {
    fn new(path: Arc<ProvenPath>) -> Kept {
        Kept { path, told_ms: AtomicI64::new(i64::MIN) }
    }

    /// Whether it is to be told that the path is used: `true` at most once in [`TOLD_EVERY_MS`].
    pub(crate) fn is_use_to_be_told(&self, now_ms: i64) -> bool {
        let told = self.told_ms.load(Ordering::Relaxed);
        let is_told = told != i64::MIN && now_ms.saturating_sub(told).abs() < TOLD_EVERY_MS;
        !is_told && self.told_ms.compare_exchange(told, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Deref for Kept {
    type Target = ProvenPath;

    fn deref(&self) -> &ProvenPath {
        &self.path
    }
}

/// The paths. Shared by all questions.
pub(crate) struct Cache {
    shards: [Mutex<Generations>; SHARDS],
    octets_per_generation: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Key, Arc<Kept>>,
    old: HashMap<Key, Arc<Kept>>,
    young_octets: usize,
}

impl Cache {
    /// Keeps paths of about this many octets in all; none if it is 0.
    pub(crate) fn new(octets: usize) -> Cache {
        Cache { shards: Default::default(), octets_per_generation: octets / (2 * SHARDS) }
    }

    /// The path that is kept under `key`. Being asked for keeps it young.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Kept>> {
        let mut shard = self.shard(key);
        if let Some(path) = shard.young.get(key) {
            return Some(path.clone());
        }
        let path = shard.old.remove(key)?;
        shard.insert(*key, path.clone(), self.octets_per_generation);
        Some(path)
    }

    /// Whether a path is kept under `key`.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        let shard = self.shard(key);
        shard.young.contains_key(key) || shard.old.contains_key(key)
    }

    /// Keeps a path in the place of the one under the same key. One that would fill a generation alone is not kept.
    pub(crate) fn insert(&self, key: Key, path: Arc<ProvenPath>) {
        if octets(&path) <= self.octets_per_generation {
            let mut shard = self.shard(&key);
            shard.remove(&key);
            shard.insert(key, Arc::new(Kept::new(path)), self.octets_per_generation);
        }
    }

    /// Forgets what is kept under `key`; tells whether there was something.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        self.shard(key).remove(key)
    }

    /// The paths of which some issuer, which the target is not, is `concerned`. Nobody waits while they are looked at.
    pub(crate) fn through(&self, concerned: impl Fn(&Certificate) -> bool) -> Vec<(Key, Arc<Kept>)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let all: Vec<(Key, Arc<Kept>)> = lock(shard).iter().collect();
            found.extend(
                all.into_iter().filter(|(_, path)| path.certificates().iter().skip(1).any(&concerned)),
            );
        }
        found
    }

    /// How many paths are kept.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).iter().count()).sum()
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Generations> {
        lock(&self.shards[usize::from(key.0.0[0]) % SHARDS])
    }
}

impl Generations {
    fn insert(&mut self, key: Key, path: Arc<Kept>, limit: usize) {
        let octets = octets(&path);
        if self.young_octets + octets > limit {
            self.old = std::mem::take(&mut self.young);
            self.young_octets = 0;
        }
        self.young_octets += octets;
        self.young.insert(key, path);
    }

    fn remove(&mut self, key: &Key) -> bool {
        if let Some(path) = self.young.remove(key) {
            self.young_octets -= octets(&path);
            return true;
        }
        self.old.remove(key).is_some()
    }

    fn iter(&self) -> impl Iterator<Item = (Key, Arc<Kept>)> {
        self.young.iter().chain(&self.old).map(|(key, path)| (*key, path.clone()))
    }
}

/// What a path costs. Issuers are shared by many paths, and counted with each.
fn octets(path: &ProvenPath) -> usize {
    OVERHEAD + path.certificates().iter().map(|certificate| certificate.der().len()).sum::<usize>()
}

/// A shard is whole after every statement on it, so one that a panicking thread held is as good as any.
fn lock(shard: &Mutex<Generations>) -> MutexGuard<'_, Generations> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
