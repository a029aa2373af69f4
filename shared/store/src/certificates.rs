//! Certificates that an operator put into files: DER, PEM or PKCS #7, in files and folders.

use std::fs;
use std::path::{Path, PathBuf};

use revocast_pki::bundle::{BundleError, Item, items};
use revocast_pki::certificate::{Certificate, CertificateError};

/// A file that does not bring what it should.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What is in it is no certificate.
    #[error("{}: {error}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: CertificateError,
    },
    /// It is no bundle of certificates either.
    #[error("{}: {error}", path.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: BundleError,
    },
}

/// Reads every certificate in `paths`. A folder brings its files whose names end in `.crt`, `.cer`, `.pem` or `.der`,
/// in the order of their names; a file brings what is in it, whatever its name.
pub fn read_certificates(paths: &[PathBuf]) -> Result<Vec<Certificate>, CertificateFileError> {
    let mut certificates = Vec::new();
    for path in paths {
        for file in files(path)? {
            read_file(&file, &mut certificates)?;
        }
    }
    Ok(certificates)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, CertificateFileError> {
    let unreadable = |error| CertificateFileError::Unreadable { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_certificate = |extension: &std::ffi::OsStr| {
            ["crt", "cer", "pem", "der"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        if file.extension().is_some_and(is_certificate) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, certificates: &mut Vec<Certificate>) -> Result<(), CertificateFileError> {
    let path = || path.to_owned();
    let bytes = fs::read(path()).map_err(|error| CertificateFileError::Unreadable { path: path(), error })?;
    let items = items(bytes).map_err(|error| CertificateFileError::Bundle { path: path(), error })?;
    for item in items {
        let Item::Certificate(der) = item else { continue };
        let certificate = Certificate::decode(der)
            .map_err(|error| CertificateFileError::Malformed { path: path(), error })?;
        certificates.push(certificate);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Ca;

    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";

    fn pem(certificate: &Certificate) -> String {
        let body = data_encoding::BASE64.encode(certificate.der());
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("subject=whatever\n{BEGIN}\n{}\n{END}\n", lines.join("\r\n"))
    }

    #[test]
    fn der_pem_bundles_and_folders_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, three] = ["CN=1", "CN=2", "CN=3"].map(|name| Ca::new(name).certificate);
        fs::write(folder.path().join("a.der"), one.der()).unwrap();
        fs::write(folder.path().join("b.PEM"), format!("{}{}", pem(&two), pem(&three))).unwrap();
        fs::write(folder.path().join("README"), "no certificate").unwrap();
        let all = [one.clone(), two, three];
        assert_eq!(read_certificates(&[folder.path().to_owned()]).unwrap(), all);
        assert_eq!(read_certificates(&[folder.path().join("a.der")]).unwrap(), [one]);
    }

    #[test]
    fn what_is_absent_or_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.crt");
        for content in ["no certificate", &format!("{BEGIN}\nAAAA\n"), &format!("{BEGIN}\n!\n{END}\n")] {
            fs::write(&path, content).unwrap();
            let error = read_certificates(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(error.contains("broken.crt"), "{error}");
        }
        assert!(read_certificates(&[folder.path().join("absent")]).is_err());
    }
}
