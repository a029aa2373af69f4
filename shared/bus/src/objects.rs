//! [`Objects`]: bytes by their SHA-256. Written once, never overwritten, checked whenever they are read.
//!
//! Overwriting an object hangs whoever is reading it, so a writer takes a lease on the name, looks whether the
//! object is there, and looks again. Reads have an idle deadline all the same.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ring::digest;
use tokio::io::AsyncReadExt;

use crate::bucket::Bucket;
use crate::connect::Bus;
use crate::error::BusError;

/// A read that brings nothing for this long is given up.
const IDLE: Duration = Duration::from_secs(10);

/// An object store by hash.
#[derive(Clone)]
pub struct Objects {
    store: async_nats::jetstream::object_store::ObjectStore,
    leases: Bucket,
    holder: String,
}

impl Bus {
    /// Opens the object store `name`; writers take their leases in the bucket `leases` under the name `holder`.
    pub async fn objects(&self, name: &str, leases: &str, holder: &str) -> Result<Objects, BusError> {
        let store = self
            .jetstream
            .get_object_store(name)
            .await
            .map_err(|error| BusError::unreachable(format!("object store {name} ({error})")))?;
        Ok(Objects { store, leases: self.bucket(leases).await?, holder: holder.to_owned() })
    }
}

impl Objects {
    /// Stores `bytes` under their hash, unless they are there. Waits for another writer of the same bytes.
    pub async fn put(&self, bytes: &[u8]) -> Result<(), BusError> {
        let name = name_of(bytes);
        let key = format!("put.{name}");
        let mut pause = Duration::from_millis(20);
        loop {
            if self.has(&name).await? {
                return Ok(());
            }
            if let Some(lease) = self.leases.lease(&key, &self.holder).await? {
                let written = self.put_leased(&name, bytes).await;
                lease.release().await;
                return written;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn put_leased(&self, name: &str, mut bytes: &[u8]) -> Result<(), BusError> {
        if self.has(name).await? {
            return Ok(());
        }
        self.store
            .put(name, &mut bytes)
            .await
            .map(|_| ())
            .map_err(|error| BusError::unreachable(format!("put object {name} ({error})")))
    }

    /// Whether the object is there.
    pub async fn has(&self, name: &str) -> Result<bool, BusError> {
        use async_nats::jetstream::object_store::InfoErrorKind;
        match self.store.info(name).await {
            Ok(info) => Ok(!info.deleted),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(false),
            Err(error) => Err(BusError::unreachable(format!("object {name} ({error})"))),
        }
    }

    /// Reads the object with this SHA-256 (lower-case hex), at most `limit` octets, and checks that it is the one.
    pub async fn get(&self, name: &str, limit: usize) -> Result<Bytes, BusError> {
        use async_nats::jetstream::object_store::GetErrorKind;
        let what = format!("object {name}");
        let opened = tokio::time::timeout(IDLE, self.store.get(name)).await;
        let mut object = match opened {
            Err(_) => return Err(BusError::unreachable(format!("{what} (it did not open in time)"))),
            Ok(Err(error)) if error.kind() == GetErrorKind::NotFound => return Err(BusError::absent(what)),
            Ok(Err(error)) => return Err(BusError::unreachable(format!("{what} ({error})"))),
            Ok(Ok(object)) => object,
        };
        if object.info().size > limit {
            return Err(BusError::Damaged { what, why: format!("it is larger than {limit} bytes") });
        }
        let mut bytes = BytesMut::with_capacity(object.info().size);
        loop {
            match tokio::time::timeout(IDLE, object.read_buf(&mut bytes)).await {
                Err(_) => return Err(BusError::unreachable(format!("{what} (nothing came for {IDLE:?})"))),
                Ok(Err(error)) => return Err(unread(what, &error)),
                Ok(Ok(0)) => break,
                Ok(Ok(_)) if bytes.len() > limit => {
                    return Err(BusError::Damaged { what, why: format!("it is larger than {limit} bytes") });
                }
                Ok(Ok(_)) => {}
            }
        }
        let bytes = bytes.freeze();
        // Hashing tens of megabytes takes tens of milliseconds: beside the runtime, where nobody waits for it.
        let hashed = bytes.clone();
        let found = tokio::task::spawn_blocking(move || name_of(&hashed)).await;
        if !found.is_ok_and(|found| found == name) {
            return Err(BusError::Damaged { what, why: "its hash is another".into() });
        }
        Ok(bytes)
    }
}

/// Only bytes that came and are not the right ones say anything about the object; all else is the broker's state.
fn unread(what: String, error: &std::io::Error) -> BusError {
    match error.kind() {
        std::io::ErrorKind::InvalidData => BusError::Damaged { what, why: error.to_string() },
        _ => BusError::unreachable(format!("{what} ({error})")),
    }
}

fn name_of(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    /// I7: a notice whose object could not be read to its end is owed, and not put aside.
    #[test]
    fn a_read_that_the_broker_broke_off_can_be_tried_again_and_wrong_bytes_cannot() {
        for kind in [ErrorKind::TimedOut, ErrorKind::Other, ErrorKind::UnexpectedEof] {
            assert!(unread("object x".into(), &Error::new(kind, "no leader")).is_passing(), "{kind:?}");
        }
        let wrong = unread("object x".into(), &Error::new(ErrorKind::InvalidData, "digest mismatch"));
        assert!(matches!(wrong, BusError::Damaged { .. }));
    }
}
