//! [`Files`]: certificates and CRLs from files and folders, each file read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use revocast_pki::bundle::{self, Item};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;

use super::asked::AskedError;

/// Files read so far. A batch names the same ones in many questions.
#[derive(Default)]
pub(super) struct Files(HashMap<PathBuf, Rc<Loaded>>);

/// What stood in a file or folder.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) certificates: Vec<Certificate>,
    /// Whether the first certificate of the file is the first of `certificates`.
    pub(super) first_is_readable: bool,
    pub(super) crls: Vec<Crl>,
    /// What could not be read: certificates and CRLs are hints, so the others count all the same.
    pub(super) warnings: Vec<String>,
}

impl Files {
    pub(super) fn load_all(&mut self, paths: &[PathBuf]) -> Result<Vec<Rc<Loaded>>, AskedError> {
        paths.iter().map(|path| self.load(path)).collect()
    }

    pub(super) fn load(&mut self, path: &Path) -> Result<Rc<Loaded>, AskedError> {
        if let Some(loaded) = self.0.get(path) {
            return Ok(Rc::clone(loaded));
        }
        let loaded = Rc::new(load(path).map_err(|error| AskedError::File(path.to_owned(), error))?);
        self.0.insert(path.to_owned(), Rc::clone(&loaded));
        Ok(loaded)
    }
}

fn load(path: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    if fs::metadata(path)?.is_dir() {
        let mut files = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        // One order on every machine.
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            loaded.take(file, fs::read(file)?);
        }
    } else {
        loaded.take(path, fs::read(path)?);
    }
    Ok(loaded)
}

impl Loaded {
    fn take(&mut self, path: &Path, content: Vec<u8>) {
        let items = match bundle::items(content) {
            Ok(items) => items,
            Err(error) => return self.warn(path, &error),
        };
        for item in items {
            match item {
                Item::Certificate(der) => match Certificate::decode(der) {
                    Ok(certificate) => {
                        self.first_is_readable |= self.certificates.is_empty() && self.warnings.is_empty();
                        self.certificates.push(certificate);
                    }
                    Err(error) => self.warn(path, &error),
                },
                Item::Crl(der) => match Crl::decode(der) {
                    Ok(crl) => self.crls.push(crl),
                    Err(error) => self.warn(path, &error),
                },
            }
        }
    }

    fn warn(&mut self, path: &Path, error: &dyn std::error::Error) {
        self.warnings.push(format!("{}: passed over: {error}", path.display()));
    }
}
