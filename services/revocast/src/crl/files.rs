//! CRLs and certificates from files and URLs: DER, PEM or PKCS#7, told apart by content.

use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::{io, thread};

use bytes::Bytes;
use ipnet::IpNet;
use revocast_fetch::{FetchConfig, Fetched, Fetcher, Validators};
use revocast_pki::bundle::{Item, items};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, MAX_OCTETS};

use crate::bus::block_on;
use crate::exit::Failure;
use crate::output::Output;

/// From this size on, people at a terminal are told what is being done.
const LARGE: usize = 8 << 20;

/// How far URLs may lead.
#[derive(clap::Args)]
pub(super) struct Reach {
    /// A network that a URL may lead to although it is not of the public Internet, such as 127.0.0.0/8.
    #[arg(long, value_name = "NETWORK")]
    allow_network: Vec<IpNet>,
}

impl Reach {
    /// The document behind a URL, under the guards of the fetcher.
    fn fetch(&self, url: &str) -> Result<Bytes, Failure> {
        let config = FetchConfig { allowed_networks: self.allow_network.clone(), ..FetchConfig::default() };
        let fetcher = Fetcher::new(config).map_err(Failure::usage)?;
        let fetched = block_on(async {
            fetcher.get(url, &Validators::default(), MAX_OCTETS).await.map_err(Failure::io)
        })?;
        match fetched {
            Fetched::Body { bytes, .. } => Ok(bytes),
            // Nothing was said of an earlier answer.
            Fetched::NotModified => Err(Failure::io(format!("{url}: no document"))),
        }
    }
}

/// The DER of the one CRL in a file or behind a URL.
pub(super) fn crl_der(path: &Path, reach: &Reach, output: &Output) -> Result<Bytes, Failure> {
    let content = match path.to_str().filter(|text| text.contains("://")) {
        Some(url) => reach.fetch(url)?,
        None => read(path)?.into(),
    };
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

/// The one CRL in a file or behind a URL, read and indexed.
pub(super) fn crl(path: &Path, reach: &Reach, output: &Output) -> Result<Crl, Failure> {
    Crl::decode(crl_der(path, reach, output)?).map_err(|error| unreadable(path, error))
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
    let read = || {
        let file = File::open(path)?;
        match usize::try_from(file.metadata()?.len()) {
            Ok(octets) if octets >= LARGE => read_halves(&file, octets),
            _ => std::fs::read(path),
        }
    };
    read().map_err(|error| Failure::io(format!("{}: {error}", path.display())))
}

/// Reads a large file on two threads: most of the time goes into memory that is touched for the first time.
fn read_halves(file: &File, octets: usize) -> io::Result<Vec<u8>> {
    let mut content = vec![0; octets];
    let middle = octets / 2;
    let (first, second) = content.split_at_mut(middle);
    thread::scope(|scope| {
        let second = scope.spawn(|| file.read_exact_at(second, middle as u64));
        file.read_exact_at(first, 0)?;
        second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(content)
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
