//! [`Bucket`]: keys with a life span. Registrations and short leases live in buckets.

use async_nats::jetstream::kv;
use bytes::Bytes;
use tracing::debug;

use crate::connect::Bus;
use crate::error::BusError;
use crate::follower::{Followed, Follower};
use crate::message::Stored;

/// A key-value bucket. Its entries lapse by the bucket's own age unless they are put again.
#[derive(Clone)]
pub struct Bucket {
    store: kv::Store,
    bus: Bus,
    name: String,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its value; `None` when the entry was deleted or lapsed.
    pub value: Option<Bytes>,
    /// Its revision.
    pub revision: u64,
    /// When it was written: milliseconds since the Unix epoch, by the broker's clock.
    pub written_at_ms: i64,
}

impl Bus {
    /// Opens a bucket, which must be there.
    pub async fn bucket(&self, name: &str) -> Result<Bucket, BusError> {
        let store = self
            .jetstream
            .get_key_value(name)
            .await
            .map_err(|error| BusError::unreachable(format!("bucket {name} ({error})")))?;
        Ok(Bucket { store, bus: self.clone(), name: name.to_owned() })
    }

    /// Follows a bucket: its entries first, then every change, as messages that [`Entry::of`] reads.
    pub fn follow_bucket(&self, name: &str) -> Follower {
        Follower::new(self, &format!("KV_{name}"), &format!("$KV.{name}.>"), None)
    }
}

impl Entry {
    /// What a message of the stream behind `bucket` says; `None` if its subject is none of the bucket's keys.
    pub fn of(bucket: &str, message: &Stored) -> Option<Entry> {
        let gone = message.header("KV-Operation").is_some() || message.header("Nats-Marker-Reason").is_some();
        Some(Entry {
            key: message.subject.strip_prefix(&format!("$KV.{bucket}."))?.to_owned(),
            value: (!gone).then(|| message.payload.clone()),
            revision: message.sequence,
            written_at_ms: message.stored_at_ms(),
        })
    }
}

impl Bucket {
    /// Writes an entry and starts its life anew.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, BusError> {
        self.store.put(key, value).await.map_err(|error| self.failed("put", key, &error))
    }

    /// Reads an entry.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        let found = self.store.entry(key).await.map_err(|error| self.failed("get", key, &error))?;
        Ok(found.map(entry))
    }

    /// Removes an entry.
    pub async fn delete(&self, key: &str) -> Result<(), BusError> {
        self.store.delete(key).await.map_err(|error| self.failed("delete", key, &error))
    }

    /// Every living entry whose key matches `keys` (`>` for all), as of this moment.
    pub async fn entries(&self, keys: &str) -> Result<Vec<Entry>, BusError> {
        // A bucket is a stream, and its entries are the heads: a pull consumer reads them, which needs no right to
        // make the broker deliver anywhere, as a watch would.
        let (stream, subjects) = (format!("KV_{}", self.name), format!("$KV.{}.{keys}", self.name));
        let mut follower = Follower::new(&self.bus, &stream, &subjects, None);
        let mut found = Vec::new();
        loop {
            match follower.next().await {
                Followed::Head(head) => {
                    found.extend(Entry::of(&self.name, &head).filter(|entry| entry.value.is_some()));
                }
                Followed::Attached { .. } => return Ok(found),
                Followed::Detached { why } => return Err(BusError::unreachable(format!("{stream} ({why})"))),
                Followed::Next(_) => {}
            }
        }
    }

    /// Takes a lease on `key` for `holder`, or tells that somebody has it (`None`). It lapses with the bucket's age
    /// unless it is renewed, and is given back by [`Lease::release`].
    pub async fn lease(&self, key: &str, holder: &str) -> Result<Option<Lease>, BusError> {
        match self.store.create(key, Bytes::copy_from_slice(holder.as_bytes())).await {
            Ok(revision) => Ok(Some(Lease { bucket: self.clone(), key: key.to_owned(), revision })),
            Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(self.failed("lease", key, &error)),
        }
    }

    /// Takes over the lease on `key` that `holder` has already, as a killed predecessor left it; `None` if it is not
    /// `holder` who has it. Only for holders of whom there is one at a time.
    pub async fn resume(&self, key: &str, holder: &str) -> Result<Option<Lease>, BusError> {
        let found = self.get(key).await?;
        let Some(ours) = found.filter(|entry| entry.value.as_deref() == Some(holder.as_bytes())) else {
            return Ok(None);
        };
        let mut lease = Lease { bucket: self.clone(), key: key.to_owned(), revision: ours.revision };
        match lease.renew(holder).await {
            Ok(()) => Ok(Some(lease)),
            Err(BusError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, what: &str, key: &str, error: &dyn std::error::Error) -> BusError {
        BusError::unreachable(format!("{what} {key} in bucket {} ({error})", self.name))
    }
}

/// A lease that is held.
pub struct Lease {
    bucket: Bucket,
    key: String,
    revision: u64,
}

impl Lease {
    /// Holds it for another life span; fails with [`BusError::Conflict`] if it was lost.
    pub async fn renew(&mut self, holder: &str) -> Result<(), BusError> {
        let value = Bytes::copy_from_slice(holder.as_bytes());
        self.revision = self
            .bucket
            .store
            .update(&self.key, value, self.revision)
            .await
            .map_err(|_| BusError::Conflict { subject: self.key.clone() })?;
        Ok(())
    }

    /// Gives it back, unless somebody else has it by now.
    pub async fn release(self) {
        if let Err(error) = self.bucket.store.delete_expect_revision(&self.key, Some(self.revision)).await {
            debug!(key = %self.key, %error, "a lease was not given back; it lapses by itself");
        }
    }
}

fn entry(found: kv::Entry) -> Entry {
    Entry {
        key: found.key,
        value: (found.operation == kv::Operation::Put).then_some(found.value),
        revision: found.revision,
        written_at_ms: (found.created.unix_timestamp_nanos() / 1_000_000) as i64,
    }
}
