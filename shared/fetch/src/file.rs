//! `file` URLs: only regular files below the configured directories, symbolic links resolved before judging.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::error::{FetchError, SetupError};
use crate::fetcher::Validators;
use crate::http::Answer;
use crate::target::{Target, shown};

/// The directories as the file system knows them; fails if one is not there.
pub(crate) fn resolved(directories: &[PathBuf]) -> Result<Vec<PathBuf>, SetupError> {
    let resolve = |path: &PathBuf| {
        path.canonicalize()
            .map_err(|error| SetupError::Directory { path: path.clone(), why: error.to_string() })
    };
    directories.iter().map(resolve).collect()
}

/// Reads the file at `target` if it lies below one of `directories` and has at most `limit` bytes.
pub(crate) async fn get(
    target: &Target,
    directories: &[PathBuf],
    validators: &Validators,
    limit: usize,
) -> Result<Answer, FetchError> {
    let url = target.url.to_string();
    let path = target
        .url
        .to_file_path()
        .map_err(|()| FetchError::BadUrl { url: shown(&url), why: "it names no file" })?;
    let (directories, held) = (directories.to_vec(), validators.clone());
    let unfinished = FetchError::File { path: path.clone(), why: "the reading was given up".into() };
    let read = move || {
        let (file, metadata) = open(&path, &directories)?;
        let validators = Validators { etag: etag(&metadata), last_modified: None, url };
        if validators.etag.is_some() && validators == (Validators { last_modified: None, ..held }) {
            return Ok(Answer::NotModified);
        }
        Ok(Answer::Document(read(file, &path, limit)?, validators))
    };
    spawn_blocking(read).await.unwrap_or(Err(unfinished))
}

fn open(path: &Path, directories: &[PathBuf]) -> Result<(File, Metadata), FetchError> {
    let refused = |why: String| FetchError::File { path: path.to_owned(), why };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => FetchError::Absent { host: path.display().to_string() },
        _ => refused(error.to_string()),
    };
    let real = path.canonicalize().map_err(failed)?;
    if !directories.iter().any(|directory| real.starts_with(directory)) {
        return Err(refused("it lies below none of the configured directories".into()));
    }
    // Judged before opening: to open a pipe would wait for its writer.
    if !real.metadata().map_err(failed)?.is_file() {
        return Err(refused("it is no regular file".into()));
    }
    let file = File::open(&real).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    Ok((file, metadata))
}

/// Changes whenever the file is written, as far as its size and time can tell.
fn etag(metadata: &Metadata) -> Option<String> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("\"{:x}-{:x}\"", metadata.len(), modified.as_nanos()))
}

fn read(file: File, path: &Path, limit: usize) -> Result<Bytes, FetchError> {
    let mut bytes = Vec::new();
    file.take((limit as u64).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| FetchError::File { path: path.to_owned(), why: error.to_string() })?;
    if bytes.len() > limit {
        return Err(FetchError::TooLarge { host: path.display().to_string(), limit });
    }
    Ok(bytes.into())
}
