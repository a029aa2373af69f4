//! [`TlsFiles`]: certificates for a door and its clients, as PEM files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use data_encoding::BASE64;
use revocast_pki::asn1::Time;
use revocast_pki::mint::{CertificateTemplate, GeneralName, KeyKind, SigningKey, name};
use revocast_pki::name::Name;

/// Files of one CA in a folder: `<name>-ca.pem`, and what [`TlsFiles::issue`] writes.
pub struct TlsFiles {
    folder: PathBuf,
    name: Name,
    key: SigningKey,
}

impl TlsFiles {
    /// A new CA with `<name>-ca.pem` in `folder`.
    pub fn new(folder: &Path, label: &str) -> TlsFiles {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        let name = name(&format!("CN=TLS CA {label}")).unwrap();
        let template = CertificateTemplate::ca(name.clone(), key.spki(), &serial(), validity());
        let der = template.sign(&name, &key).unwrap();
        let files = TlsFiles { folder: folder.to_owned(), name, key };
        files.write(&format!("{label}-ca.pem"), "CERTIFICATE", &der);
        files
    }

    /// Writes `<label>.pem` and `<label>.key`, for `localhost` and 127.0.0.1; any purpose.
    pub fn issue(&self, label: &str) {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        let subject = name(&format!("CN={label}")).unwrap();
        let template = CertificateTemplate {
            subject_alt_names: vec![
                GeneralName::Dns("localhost".into()),
                GeneralName::Ip(vec![127, 0, 0, 1]),
            ],
            ..CertificateTemplate::new(subject, key.spki(), &serial(), validity())
        };
        let der = template.sign(&self.name, &self.key).unwrap();
        self.write(&format!("{label}.pem"), "CERTIFICATE", &der);
        self.write(&format!("{label}.key"), "PRIVATE KEY", key.pkcs8());
    }

    fn write(&self, file: &str, label: &str, der: &[u8]) {
        let text = BASE64.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
        std::fs::write(self.folder.join(file), pem).unwrap();
    }
}

/// TLS is judged by the clock of this machine.
fn validity() -> (Time, Time) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Time::from_unix(now.as_secs() as i64);
    (now.plus(-3_600), now.plus(86_400))
}

fn serial() -> [u8; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    [1, high, low]
}
