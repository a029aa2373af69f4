//! Where step 4 finds the bytes: in the fleet, or in a recording.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::BusError;
use revocast_messages::CrlNotice;
use revocast_store::Store;

use super::fetch::{AtHand, Fetch, Unobtained, at_hand};
use super::plan::Step;

/// Brings the bytes that a step names.
pub(crate) enum Sources {
    /// The broker's objects, and repositories.
    Fleet(Box<Fetch>),
    /// The objects of a recording.
    Recording(RecordedObjects),
}

impl Sources {
    /// The bytes that a step brings. A repository that shows something else is not asked again for `rest`.
    pub(crate) async fn obtain(
        &self,
        notice: &CrlNotice,
        step: &Step,
        rest: Duration,
    ) -> Result<Bytes, Unobtained> {
        match self {
            Sources::Fleet(fetch) => fetch.obtain(notice, step, rest).await,
            Sources::Recording(objects) => objects.obtain(notice, step).await,
        }
    }
}

/// The objects of a recording, in files: there may be more of them than memory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RecordedObjects {
    store: Store,
    limit: usize,
}

impl RecordedObjects {
    /// Kept in `folder`; CRLs above `limit` octets are not taken in.
    pub(crate) fn new(folder: &Path, limit: usize) -> std::io::Result<RecordedObjects> {
        Ok(RecordedObjects { store: Store::open(folder)?, limit })
    }

    /// Takes one in.
    pub(crate) fn hold(&self, object: &[u8]) -> std::io::Result<()> {
        self.store.put(revocast_pki::identity::Digest::of(object), object)
    }

    async fn obtain(&self, notice: &CrlNotice, step: &Step) -> Result<Bytes, Unobtained> {
        let what = match at_hand(notice, step, self.limit).await? {
            AtHand::Bytes(bytes) => return Ok(bytes),
            AtHand::InStore => format!("object {}", notice.digest),
            // What a repository gave was put into the store by whoever fetched it, and is an object here.
            AtHand::AtRepository(url) => url,
        };
        match self.store.get(notice.digest) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(BusError::Absent { what }.into()),
            Err(error) => Err(BusError::Damaged { what, why: error.to_string() }.into()),
        }
    }
}
