//! [`Store`]: files by the SHA-256 of what is in them. A file is whole and on the disk, or not there.
//!
//! Written to a temporary name, synchronised, renamed, and the folder synchronised: a kill at any instruction leaves
//! the old state or the new one. What is read is checked against its name; a torn file or one with a flipped bit is
//! removed and counts as not there. Nothing that came from outside is ever part of a file's name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use revocast_faults::fail_point;
use revocast_pki::identity::Digest;

/// A folder of files by hash. All calls block on the disk.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder, making it if it is not there, and clears away what a kill left half-written.
    pub fn open(folder: &Path) -> io::Result<Store> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(named)?;
        for entry in fs::read_dir(folder).map_err(named)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == PARTIAL) {
                fs::remove_file(path)?;
            }
        }
        Ok(Store { folder: folder.to_owned() })
    }

    /// Writes `bytes` under their hash; when this returns they survive a power cut. Writing again does nothing.
    pub fn put(&self, digest: Digest, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        if fs::metadata(&path).is_ok_and(|there| there.len() == bytes.len() as u64) {
            return Ok(());
        }
        let mut partial =
            tempfile::Builder::new().suffix(&format!(".{PARTIAL}")).tempfile_in(&self.folder)?;
        partial.write_all(bytes)?;
        fail_point!("file-written");
        partial.as_file().sync_all()?;
        partial.persist(&path).map_err(|error| error.error)?;
        fail_point!("file-named");
        File::open(&self.folder)?.sync_all()
    }

    /// Reads a file; `None` if it is not there, or was damaged and is removed now.
    pub fn get(&self, digest: Digest) -> io::Result<Option<Bytes>> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if Digest::of(&bytes) != digest {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        Ok(Some(bytes))
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, digest: Digest) -> io::Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The hashes of all files, unread.
    pub fn digests(&self) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            digests.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
        }
        Ok(digests)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
}

const PARTIAL: &str = "partial";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_back_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"one");
        assert_eq!(store.get(digest).unwrap(), None);
        store.put(digest, b"one").unwrap();
        store.put(digest, b"one").unwrap();
        assert_eq!(store.get(digest).unwrap().unwrap(), "one");
        assert_eq!(store.digests().unwrap(), [digest]);
        store.remove(digest).unwrap();
        store.remove(digest).unwrap();
        assert_eq!(store.get(digest).unwrap(), None);
    }

    #[test]
    fn a_torn_file_and_a_flipped_bit_count_as_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for damage in [&b"on"[..], b"onf"] {
            let digest = Digest::of(b"one");
            store.put(digest, b"one").unwrap();
            fs::write(store.path(digest), damage).unwrap();
            assert_eq!(store.get(digest).unwrap(), None);
            assert!(!store.path(digest).exists());
            store.put(digest, b"one").unwrap();
            assert!(store.get(digest).unwrap().is_some());
        }
    }

    #[test]
    fn what_a_kill_left_half_written_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc.partial"), b"hal").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(store.digests().unwrap().is_empty());
    }
}
