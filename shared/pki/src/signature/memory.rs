//! [`Memory`]: signatures that were found right, so that they need not be verified again.
//!
//! What is remembered is a hash over everything that the arithmetic saw: algorithm, key with its parameters,
//! signature and signed bytes, each with its length in front. Only true statements are kept. The memory is
//! bounded by two generations: when the young one is full it becomes the old one, and the old one is forgotten.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest;

use super::Statement;

/// Shards, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// The hash under which a [`Statement`] is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Statement<'_> {
    /// SHA-256 of the length-prefixed parts.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [self.algorithm, self.spki, self.signature, self.message] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut octets = [0; 32];
        octets.copy_from_slice(context.finish().as_ref());
        Fingerprint(octets)
    }
}

/// A bounded memory of true statements; shared between threads.
pub struct Memory {
    shards: [Mutex<Generations>; SHARDS],
    per_generation: usize,
}

#[derive(Default)]
struct Generations {
    young: HashSet<Fingerprint>,
    old: HashSet<Fingerprint>,
}

impl Memory {
    /// Holds at most `statements` of them, each in about 64 octets; none at all if it is 0.
    pub fn new(statements: usize) -> Memory {
        let per_generation = statements.div_ceil(2 * SHARDS);
        Memory { shards: Default::default(), per_generation }
    }

    /// Whether the statement was found true before. What is asked for stays young.
    pub fn holds(&self, fingerprint: &Fingerprint) -> bool {
        let mut shard = self.shard(fingerprint);
        if shard.young.contains(fingerprint) {
            return true;
        }
        let held = shard.old.remove(fingerprint);
        if held {
            shard.insert(*fingerprint, self.per_generation);
        }
        held
    }

    /// Remembers that the statement is true. Only for statements that were verified just now.
    pub fn remember(&self, fingerprint: Fingerprint) {
        if self.per_generation > 0 {
            self.shard(&fingerprint).insert(fingerprint, self.per_generation);
        }
    }

    /// How many statements are held.
    pub fn len(&self) -> usize {
        let held = |shard: MutexGuard<'_, Generations>| shard.young.len() + shard.old.len();
        self.shards.iter().map(|shard| held(lock(shard))).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, fingerprint: &Fingerprint) -> MutexGuard<'_, Generations> {
        lock(&self.shards[usize::from(fingerprint.0[0]) % SHARDS])
    }
}

impl Generations {
    fn insert(&mut self, fingerprint: Fingerprint, limit: usize) {
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint);
    }
}

/// A shard is whole after every statement on it, so one that a panicking thread held is as good as any.
fn lock(shard: &Mutex<Generations>) -> MutexGuard<'_, Generations> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory({} statements)", self.len())
    }
}
