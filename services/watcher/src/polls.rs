//! [`Polls`]: what each URL gave last, so that the same is not fetched again (RFC 9110 13), a restart included.
//!
//! Written to the disk only for CRLs that are on the shelf, and read only as far as they still are: "not modified"
//! must never be the answer about a CRL that is lost.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use revocast_fetch::Validators;
use revocast_pki::identity::Digest;
use serde::{Deserialize, Serialize};
use tracing::warn;

const VERSION: u32 = 1;

/// What a URL gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Polled {
    /// SHA-256 of the document.
    pub digest: Digest,
    /// For the next time.
    pub validators: Validators,
}

/// The file, as a whole.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    urls: BTreeMap<String, Polled>,
}

impl Polled {
    /// What was fetched at `now_ms`.
    pub(crate) fn new(digest: Digest, validators: Validators, now_ms: i64) -> Polled {
        Polled { digest, validators: validators.settled(now_ms) }
    }
}

/// What all URLs gave. One entry per watched URL, and those are bounded.
pub(crate) struct Polls {
    path: PathBuf,
    urls: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    polled: Polled,
    durable: bool,
}

impl Polls {
    /// Reads the file in `folder`, as far as what it tells of `is_held`. One that cannot be read counts as none.
    pub(crate) fn open(folder: &Path, is_held: impl Fn(&Digest) -> bool) -> Polls {
        let path = folder.join("polls.json");
        let urls = read(&path).unwrap_or_else(|error| {
            warn!(path = %path.display(), %error, "what URLs gave last is not known");
            BTreeMap::new()
        });
        let held = urls.into_iter().filter(|(_, polled)| is_held(&polled.digest));
        let urls = held.map(|(url, polled)| (url, Entry { polled, durable: true })).collect();
        Polls { path, urls: Mutex::new(urls) }
    }

    /// What to tell the host of `url`: nothing, if nothing is held.
    pub(crate) fn validators(&self, url: &str) -> Validators {
        self.lock().get(url).map(|entry| entry.polled.validators.clone()).unwrap_or_default()
    }

    /// The URLs that gave this document last.
    pub(crate) fn urls_of(&self, digest: Digest) -> Vec<String> {
        let urls = self.lock();
        urls.iter().filter(|(_, entry)| entry.polled.digest == digest).map(|(url, _)| url.clone()).collect()
    }

    /// Remembers what a URL gave; `durable` if it is on the shelf. Blocks on the disk.
    pub(crate) fn remember(&self, url: &str, polled: Polled, durable: bool) {
        let mut urls = self.lock();
        let before = urls.insert(url.to_owned(), Entry { polled, durable });
        if !durable && !before.is_some_and(|before| before.durable) {
            return;
        }
        if let Err(error) = write(&self.path, &urls) {
            // It costs a download after the next start.
            warn!(path = %self.path.display(), %error, "what a URL gave is not written down");
        }
    }

    /// Forgets what a URL gave: it is fetched whole the next time.
    pub(crate) fn forget(&self, url: &str) {
        self.lock().remove(url);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Polled>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let file: File = serde_json::from_slice(&text)?;
    if file.version != VERSION {
        return Err(io::Error::other(format!("version {}; this release knows {VERSION}", file.version)));
    }
    Ok(file.urls)
}

fn write(path: &Path, urls: &BTreeMap<String, Entry>) -> io::Result<()> {
    let durable = urls.iter().filter(|(_, entry)| entry.durable);
    let urls = durable.map(|(url, entry)| (url.clone(), entry.polled.clone())).collect();
    let text = serde_json::to_vec(&File { version: VERSION, urls })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut partial = tempfile::NamedTempFile::new_in(folder)?;
    partial.write_all(&text)?;
    partial.as_file().sync_all()?;
    partial.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://h/x";

    fn polled(document: &[u8]) -> Polled {
        let validators = Validators { url: URL.into(), etag: Some("\"1\"".into()), last_modified: None };
        Polled { digest: Digest::of(document), validators }
    }

    #[test]
    fn validators_outlive_a_restart_only_with_what_they_are_about() {
        let folder = tempfile::tempdir().unwrap();
        let polls = Polls::open(folder.path(), |_| true);
        assert_eq!(polls.validators(URL), Validators::default());
        polls.remember(URL, polled(b"one"), true);
        let reopened = Polls::open(folder.path(), |digest| *digest == Digest::of(b"one"));
        assert_eq!(reopened.validators(URL), polled(b"one").validators);
        assert_eq!(reopened.urls_of(Digest::of(b"one")), [URL]);
        assert_eq!(Polls::open(folder.path(), |_| false).validators(URL), Validators::default());
    }

    #[test]
    fn what_is_not_on_the_shelf_is_not_written_down_and_takes_out_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let polls = Polls::open(folder.path(), |_| true);
        polls.remember(URL, polled(b"one"), true);
        polls.remember(URL, polled(b"garbage"), false);
        assert_eq!(polls.validators(URL), polled(b"garbage").validators);
        assert_eq!(Polls::open(folder.path(), |_| true).validators(URL), Validators::default());
    }

    #[test]
    fn a_damaged_file_and_one_of_another_version_count_as_none() {
        for text in ["{", r#"{"version": 2, "urls": {}}"#] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("polls.json"), text).unwrap();
            assert_eq!(Polls::open(folder.path(), |_| true).validators(URL), Validators::default());
        }
    }
}
