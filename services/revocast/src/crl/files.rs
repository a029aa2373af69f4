//! CRLs and certificates from files: DER, PEM or PKCS#7, told apart by content.

use std::fmt::Display;
use std::path::Path;

use bytes::Bytes;
use revocast_pki::bundle::{Item, items};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;

use crate::exit::Failure;
use crate::output::Output;

/// From this size on, people at a terminal are told what is being done.
const LARGE: usize = 8 << 20;

/// The DER of the one CRL in a file.
pub(super) fn crl_der(path: &Path, output: &Output) -> Result<Bytes, Failure> {
    let content = read(path)?;
    if content.len() >= LARGE {
        output.progress(&format!("{}: {} MB", path.display(), content.len() / 1_000_000));
    }
    let mut crls = items(content).map_err(|error| unreadable(path, error))?.into_iter().filter_map(|item| {
        // What cannot be told is left to the decoder, which says what is wrong with it.
        match item {
            Item::Crl(der) => Some(der),
            Item::Certificate(der) => Certificate::decode(der.clone()).is_err().then_some(der),
        }
    });
    match (crls.next(), crls.next()) {
        (Some(der), None) => Ok(der),
        (None, _) => Err(unreadable(path, "there is no CRL in it")),
        (Some(_), Some(_)) => Err(unreadable(path, "there are several CRLs in it")),
    }
}

/// The one CRL in a file, read and indexed.
pub(super) fn crl(path: &Path, output: &Output) -> Result<Crl, Failure> {
    Crl::decode(crl_der(path, output)?).map_err(|error| unreadable(path, error))
}

/// Every certificate in a file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let found = items(read(path)?).map_err(|error| unreadable(path, error))?;
    let certificates: Vec<_> = found
        .into_iter()
        .filter_map(|item| match item {
            Item::Certificate(der) => Some(Certificate::decode(der).map_err(|error| unreadable(path, error))),
            Item::Crl(_) => None,
        })
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        Err(unreadable(path, "there is no certificate in it"))
    } else {
        Ok(certificates)
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}

/// Writes a result whole or not at all: beside its place first, then into it.
pub(super) fn write(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("{}: {error}", path.display()));
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    std::fs::write(&beside, octets).and_then(|()| std::fs::rename(&beside, path)).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

pub(super) fn unreadable(path: &Path, why: impl Display) -> Failure {
    Failure::invalid(format!("{}: {why}", path.display()))
}
