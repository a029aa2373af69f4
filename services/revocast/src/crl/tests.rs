use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use revocast_pki::asn1::Time;
use revocast_pki::crl::Reason;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, key_id, name};

use super::*;

/// The words behind `revocast crl`.
#[derive(Parser)]
struct Words {
    #[command(subcommand)]
    verb: CrlVerb,
}

/// A CA, and a folder for what it issues.
struct Desk {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk {
            folder: tempfile::tempdir().unwrap(),
            key: SigningKey::generate(KeyKind::EcdsaP256).unwrap(),
        };
        let subject = name("CN=Example CA").unwrap();
        let ca = CertificateTemplate::ca(subject.clone(), desk.key.spki(), &[1], (at(-100), at(100)));
        desk.put("ca.crt", &ca.sign(&subject, &desk.key).unwrap());
        desk.put("1.crl", &desk.crl(1, 0..100));
        desk.put("2.crl", &desk.crl(2, 0..103));
        desk
    }

    fn crl(&self, number: u64, serials: std::ops::Range<u8>) -> Vec<u8> {
        let day = number as i64;
        let template = CrlTemplate {
            authority_key_id: Some(key_id(self.key.spki()).to_vec()),
            ..CrlTemplate::new(name("CN=Example CA").unwrap(), number, at(day), at(day + 1))
        };
        let entries = serials.map(|n| RevokedEntry::new(&[0x40, n], at(-5)).because(Reason::Superseded));
        template.sign(entries, &self.key).unwrap()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn put(&self, file: &str, octets: &[u8]) {
        std::fs::write(self.path(file), octets).unwrap();
    }

    fn get(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    /// Runs a verb; words with a dot are files of the folder.
    fn run(&self, words: &str) -> Exit {
        let word = |word: &str| if word.contains('.') { self.path(word) } else { Path::new(word).to_owned() };
        let words: Vec<_> = words.split(' ').map(|text| word(text).to_str().unwrap().to_owned()).collect();
        self.run_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run_words(&self, words: &[&str]) -> Exit {
        let words = ["crl"].iter().chain(words);
        run(Words::parse_from(words).verb, &Output::new(true)).unwrap_or_else(|failure| failure.exit())
    }
}

fn at(day: i64) -> Time {
    Time::from_unix(1_790_000_000 + day * 86_400)
}

#[test]
fn a_patched_crl_is_the_new_one_to_the_last_octet() {
    let desk = Desk::new();
    assert_eq!(desk.run("diff 1.crl 2.crl -o 2.difference"), Exit::Ok);
    assert_eq!(desk.run("patch 1.crl 2.difference -o made.crl --issuer ca.crt"), Exit::Ok);
    assert_eq!(desk.get("made.crl"), desk.get("2.crl"));
}

#[test]
fn nothing_is_written_that_cannot_be_made_or_is_not_signed() {
    let desk = Desk::new();
    assert_eq!(desk.run("diff 1.crl 2.crl -o 2.difference"), Exit::Ok);
    assert_eq!(desk.run("patch 2.crl 2.difference -o made.crl"), Exit::Invalid);
    let stranger = Desk::new();
    desk.put("stranger.crt", &stranger.get("ca.crt"));
    assert_eq!(desk.run("patch 1.crl 2.difference -o made.crl --issuer stranger.crt"), Exit::Invalid);
    assert!(!desk.path("made.crl").exists());
    assert_eq!(std::fs::read_dir(desk.folder.path()).unwrap().count(), 5, "no half-written file is left");
}

#[test]
fn verifying_tells_a_good_signature_from_a_bad_one() {
    let desk = Desk::new();
    assert_eq!(desk.run("verify 1.crl --issuer ca.crt"), Exit::Ok);
    let mut changed = desk.get("1.crl");
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    desk.put("changed.crl", &changed);
    assert_eq!(desk.run("verify changed.crl --issuer ca.crt"), Exit::Invalid);
    desk.put("stranger.crt", &Desk::new().get("ca.crt"));
    assert_eq!(desk.run("verify 1.crl --issuer stranger.crt"), Exit::Invalid);
    desk.put(
        "both.pem",
        pem(&[("CERTIFICATE", "stranger.crt"), ("CERTIFICATE", "ca.crt")], &desk).as_bytes(),
    );
    assert_eq!(desk.run("verify 1.crl --issuer both.pem"), Exit::Ok);
}

#[test]
fn pem_is_read_as_der_is() {
    let desk = Desk::new();
    desk.put("1.pem", pem(&[("X509 CRL", "1.crl")], &desk).as_bytes());
    assert_eq!(desk.run("verify 1.pem --issuer ca.crt"), Exit::Ok);
    assert_eq!(desk.run("inspect 1.pem --serial 4001 --entries"), Exit::Ok);
}

#[test]
fn linting_fails_on_errors_and_not_on_warnings() {
    let desk = Desk::new();
    assert_eq!(desk.run("lint 2.crl --previous 1.crl --issuer ca.crt --profile baseline"), Exit::Ok);
    assert_eq!(desk.run("lint 1.crl --previous 2.crl"), Exit::Invalid);
}

#[test]
fn what_is_not_there_or_not_a_crl_has_its_exit_code() {
    let desk = Desk::new();
    desk.put("junk.crl", b"junk");
    assert_eq!(desk.run("inspect none.crl"), Exit::Io);
    assert_eq!(desk.run("inspect junk.crl"), Exit::Invalid);
    assert_eq!(desk.run("inspect ca.crt"), Exit::Invalid);
    assert_eq!(desk.run("patch 1.crl junk.crl -o made.crl"), Exit::Invalid);
}

#[test]
fn a_url_is_fetched_where_its_network_is_allowed() {
    let desk = Desk::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/1", listener.local_addr().unwrap());
    let crl = desk.get("1.crl");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", crl.len());
        stream.write_all(&[head.as_bytes(), &crl].concat()).unwrap();
    });
    assert_eq!(
        desk.run_words(&["inspect", &url]),
        Exit::Io,
        "this machine itself is not of the public Internet"
    );
    assert_eq!(desk.run_words(&["inspect", &url, "--allow-network", "127.0.0.0/8"]), Exit::Ok);
    server.join().unwrap();
}

fn pem(files: &[(&str, &str)], desk: &Desk) -> String {
    files
        .iter()
        .map(|(label, file)| {
            let text = data_encoding::BASE64.encode(&desk.get(file));
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        })
        .collect()
}
