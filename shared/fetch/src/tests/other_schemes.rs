//! TLS, directories (LDAP), files.

use std::path::PathBuf;

use data_encoding::BASE64;
use revocast_pki::asn1::{Tag, Time, Writer};
use revocast_pki::mint::{self, CertificateTemplate, GeneralName, KeyKind, SigningKey};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::server::{Act, Server, answer, send};
use super::*;
use crate::{Reason, Scheme};

/// A CA, and a TLS server's certificate under it for `127.0.0.1` and `localhost`.
fn tls_server() -> (tempfile::NamedTempFile, TlsAcceptor) {
    let validity = (Time::from_unix(0), Time::from_unix(4_102_444_800));
    let key = || SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (ca_key, server_key) = (key(), key());
    let ca_name = mint::name("CN=Web CA").unwrap();
    let ca = CertificateTemplate::ca(ca_name.clone(), ca_key.spki(), &[1], validity);
    let ca = ca.sign(&ca_name, &ca_key).unwrap();
    let server = CertificateTemplate {
        subject_alt_names: vec![GeneralName::Dns("localhost".into()), GeneralName::Ip(vec![127, 0, 0, 1])],
        ..CertificateTemplate::new(mint::name("CN=server").unwrap(), server_key.spki(), &[2], validity)
    };
    let server = server.sign(&ca_name, &ca_key).unwrap();

    let pem = tempfile::NamedTempFile::new().unwrap();
    let armour = |der: &[u8]| {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(der))
    };
    std::fs::write(pem.path(), armour(&ca)).unwrap();
    let server_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.pkcs8().to_vec()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(server)], server_key)
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn https_is_spoken_under_the_configured_authorities_and_to_the_named_host_only() {
    let (authorities, acceptor) = tls_server();
    let server = Server::start_tls(acceptor, |_, _| answer("200 OK", b"x")).await;
    let url = |host: &str| format!("https://{host}:{}/a.crl", server.port);
    let trusting = FetchConfig { tls_authorities: Some(authorities.path().into()), ..config() };
    let names = Names::new(&[&["127.0.0.1"]]);
    let fetcher = Fetcher::with_resolver(trusting, Box::new(names.clone())).unwrap();
    assert_eq!(bytes(get(&fetcher, &url("localhost")).await), b"x");
    assert_eq!(bytes(get(&fetcher, &url("127.0.0.1")).await), b"x");
    assert_eq!(get(&fetcher, &url("other.example")).await.unwrap_err().reason(), Reason::Tls);
    let stranger = Fetcher::with_resolver(config(), Box::new(names)).unwrap();
    assert_eq!(get(&stranger, &url("localhost")).await.unwrap_err().reason(), Reason::Tls);
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_meets_the_connect_deadline() {
    let server = Server::always(vec![Act::Hold]).await;
    let fetcher = fetcher(FetchConfig { connect_deadline: SOON, ..config() });
    let url = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(get(&fetcher, &url).await.unwrap_err().reason(), Reason::Deadline);
}

#[tokio::test]
async fn out_of_tls_no_redirect_leads_into_the_clear() {
    let (authorities, acceptor) = tls_server();
    let clear = Server::always(answer("200 OK", b"x")).await;
    let to = clear.url("/");
    let server =
        Server::start_tls(acceptor, move |_, _| answer(&format!("301 Moved\r\nlocation: {to}"), b"")).await;
    let fetcher = fetcher(FetchConfig { tls_authorities: Some(authorities.path().into()), ..config() });
    let url = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(get(&fetcher, &url).await.unwrap_err().reason(), Reason::UnsafeRedirect);
    assert!(clear.requests().is_empty());
}

fn message(tag: u8, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.sequence(|message| {
        message.small_integer(Tag::INTEGER, 1);
        message.nested(Tag(tag), content);
    });
    writer.finish()
}

fn entry(values: &[&[u8]]) -> Vec<u8> {
    message(0x64, |entry| {
        entry.value(Tag::OCTET_STRING, b"o=X");
        entry.sequence(|attributes| {
            attributes.sequence(|attribute| {
                attribute.value(Tag::OCTET_STRING, b"certificateRevocationList;binary");
                attribute.nested(Tag::SET, |set| {
                    for value in values {
                        set.value(Tag::OCTET_STRING, value);
                    }
                });
            });
        });
    })
}

fn done(code: u32) -> Vec<u8> {
    message(0x65, |done| {
        done.small_integer(Tag::ENUMERATED, code);
        done.value(Tag::OCTET_STRING, b"");
        done.value(Tag::OCTET_STRING, b"");
    })
}

/// As Active Directory writes it: every length in four octets. Here only the outermost one.
fn with_long_length(message: &[u8]) -> Vec<u8> {
    let [tag, length @ ..=0x7f, content @ ..] = message else { panic!("a short message is asked for") };
    let mut long = vec![*tag, 0x84, 0, 0, 0, *length];
    long.extend_from_slice(content);
    long
}

async fn search(acts: Vec<Act>) -> Result<Fetched, FetchError> {
    let server = Server::always(acts).await;
    let fetcher = fetcher(FetchConfig { schemes: [Scheme::Ldap].into(), ..config() });
    let url = format!("ldap://127.0.0.1:{}/o=X?certificateRevocationList;binary?base", server.port);
    get(&fetcher, &url).await
}

#[tokio::test]
async fn a_directory_gives_the_values_of_the_named_attribute() {
    let reference = message(0x73, |reference| reference.value(Tag::OCTET_STRING, b"ldap://elsewhere/"));
    assert_eq!(bytes(search(send([reference, entry(&[b"crl"]), done(0)].concat())).await), b"crl");
    assert_eq!(bytes(search(send([entry(&[b"one", b"two"]), done(0)].concat())).await), b"onetwo");
    let from_active_directory = [entry(&[b"crl"]), with_long_length(&done(0))].concat();
    assert_eq!(bytes(search(vec![Act::Drip(from_active_directory)]).await), b"crl");
}

#[tokio::test]
async fn a_directory_is_asked_under_tls_too() {
    let (authorities, acceptor) = tls_server();
    let server = Server::start_tls(acceptor, |_, _| send([entry(&[b"crl"]), done(0)].concat())).await;
    let url = format!("ldaps://127.0.0.1:{}/o=X?certificateRevocationList", server.port);
    let ask = |tls_authorities| {
        let fetcher = fetcher(FetchConfig { schemes: [Scheme::Ldaps].into(), tls_authorities, ..config() });
        let url = url.clone();
        async move { get(&fetcher, &url).await }
    };
    assert_eq!(bytes(ask(Some(authorities.path().into())).await), b"crl");
    assert_eq!(ask(None).await.unwrap_err().reason(), Reason::Tls);
}

#[tokio::test]
async fn what_a_directory_lacks_refuses_or_breaks_is_an_error() {
    for (answer, reason) in [
        (done(0), Reason::Absent),
        ([entry(&[]), done(0)].concat(), Reason::Absent),
        (done(32), Reason::Absent), // no such object
        (done(50), Reason::Status), // insufficient access rights
        (done(51), Reason::Status), // busy
        (entry(&[b"crl"]), Reason::Broken),
        (entry(&[b"crl"])[..10].to_vec(), Reason::Broken),
        (vec![], Reason::Broken),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Reason::Broken),
        (b"\x30\x80".to_vec(), Reason::Broken),
        (entry(&[&[b'x'; LIMIT + 1]]), Reason::TooLarge),
    ] {
        let error = search(send(answer)).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
    }
    // A message of 4 GiB is declared, and sent as far as it is read.
    let bomb = vec![Act::Send(b"\x30\x84\xff\xff\xff\xff".into()), Act::Flood(vec![0; 1_000])];
    assert_eq!(search(bomb).await.unwrap_err().reason(), Reason::TooLarge);
}

#[tokio::test]
async fn directories_are_not_asked_where_that_is_not_configured() {
    let error = get(&fetcher(config()), "ldap://127.0.0.1/o=X?crl").await.unwrap_err();
    assert_eq!(error, FetchError::UnsupportedScheme { scheme: "ldap".into() });
    let admitted = FetchConfig { schemes: [Scheme::Ldap].into(), ..FetchConfig::default() };
    let error = get(&fetcher(admitted), "ldap://127.0.0.1/o=X?crl").await.unwrap_err();
    assert_eq!(error.reason(), Reason::ForbiddenAddress);
}

struct Shelf {
    directory: tempfile::TempDir,
    fetcher: Fetcher,
}

impl Shelf {
    /// A directory `open` from which files may be read, beside a file `secret`.
    fn new() -> Shelf {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("open")).unwrap();
        std::fs::write(directory.path().join("secret"), "secret").unwrap();
        let config = FetchConfig {
            schemes: [Scheme::File].into(),
            file_directories: vec![directory.path().join("open")],
            ..config()
        };
        Shelf { directory, fetcher: fetcher(config) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn get(&self, name: &str, validators: &Validators) -> Result<Fetched, FetchError> {
        self.fetcher.get(&format!("file://{}", self.path(name).display()), validators, LIMIT).await
    }
}

#[tokio::test]
async fn files_of_the_configured_directories_are_read_when_they_change() {
    let shelf = Shelf::new();
    std::fs::write(shelf.path("open/a.crl"), "x").unwrap();
    let Ok(Fetched::Body { bytes: read, validators, .. }) =
        shelf.get("open/a.crl", &Validators::default()).await
    else {
        panic!("not read")
    };
    assert_eq!(read.as_ref(), b"x");
    assert_eq!(shelf.get("open/a.crl", &validators).await, Ok(Fetched::NotModified));
    std::fs::write(shelf.path("open/a.crl"), "xy").unwrap();
    assert_eq!(bytes(shelf.get("open/a.crl", &validators).await), b"xy");
}

#[tokio::test]
async fn no_path_leads_out_of_the_configured_directories() {
    let shelf = Shelf::new();
    std::os::unix::fs::symlink(shelf.path("secret"), shelf.path("open/link")).unwrap();
    std::fs::write(shelf.path("open/large"), [0; LIMIT + 1]).unwrap();
    for (name, reason) in [
        ("secret", Reason::File),
        ("open/../secret", Reason::File),
        ("open/%2e%2e/secret", Reason::File),
        ("open/link", Reason::File),
        ("open", Reason::File),
        ("open/none", Reason::Absent),
        ("open/large", Reason::TooLarge),
    ] {
        let error = shelf.get(name, &Validators::default()).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{name}: {error}");
    }
}
