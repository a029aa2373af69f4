//! TLS at a service's door, with rustls as the client: who is let in, and files that are replaced while it runs.
//! `clients.rs` does the same with OpenSSL's (curl).

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use revocast_tests::{Fleet, TlsFiles, eventually, free_address, http_get};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A validator with TLS at its door, and two CAs with what they issued: `good` (door, asker) and `other` (stranger).
struct Doored {
    fleet: Fleet,
    address: SocketAddr,
    good: TlsFiles,
}

impl Doored {
    /// The files, and no validator yet.
    async fn new() -> Doored {
        let fleet = Fleet::start().await;
        fleet.json(&["ca", "init", "root", "--subject", "CN=Root,O=Test", "--out", "root.crt"]);
        let good = TlsFiles::new(&fleet.path(""), "good");
        good.issue("door");
        good.issue("asker");
        TlsFiles::new(&fleet.path(""), "other").issue("stranger");
        Doored { fleet, address: free_address(), good }
    }

    fn start(&mut self, tls: &str) {
        let config = format!(
            "instance = 'v1'\nstate = {:?}\nlisten = '{}'\n[policies.default]\nanchors = [{:?}]\n\
             [http.tls]\ncertificate = {:?}\nkey = {:?}\n{tls}\n",
            self.fleet.path("v1"),
            self.address,
            self.fleet.path("root.crt"),
            self.fleet.path("door.pem"),
            self.fleet.path("door.key"),
        );
        self.fleet.start_service("validator", "v1", &config);
    }

    fn client_ca(&self) -> String {
        format!("client_ca = {:?}", self.fleet.path("good-ca.pem"))
    }

    /// What `GET /readyz` brings to a client that believes `ca`, with or without a certificate of its own.
    async fn ask(&self, ca: &str, own: Option<&str>) -> std::io::Result<String> {
        let file = |name: &str| self.fleet.path(name);
        let connector =
            connector(&file(&format!("{ca}-ca.pem")), own.map(|own| file(&format!("{own}.pem"))).as_deref());
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        // TLS 1.3 tells a client that it is refused only when it reads.
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn answers(&self, ca: &str, own: Option<&str>) {
        eventually("the door answers over TLS", async || {
            self.ask(ca, own).await.ok()?.starts_with("HTTP/1.1 ").then_some(())
        })
        .await;
    }
}

fn connector(ca: &Path, own: Option<&Path>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_file(own).unwrap()];
            let key = PrivateKeyDer::from_pem_file(own.with_extension("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_client_certificate_of_the_right_authority_is_let_in_and_nothing_else() {
    let mut doored = Doored::new().await;
    let client_ca = doored.client_ca();
    doored.start(&client_ca);
    doored.answers("good", Some("asker")).await;
    assert!(doored.ask("good", None).await.is_err(), "no client certificate");
    assert!(doored.ask("good", Some("stranger")).await.is_err(), "one of another authority");
    assert!(doored.ask("other", Some("asker")).await.is_err(), "the client believes another authority");
    assert!(http_get(doored.address, "/livez").await.is_none(), "plain HTTP");
    doored.answers("good", Some("asker")).await;
}

#[tokio::test]
async fn a_client_certificate_that_is_not_required_is_judged_when_it_is_shown() {
    let mut doored = Doored::new().await;
    let optional = format!("{}\nrequire_client = false", doored.client_ca());
    doored.start(&optional);
    doored.answers("good", None).await;
    doored.answers("good", Some("asker")).await;
    assert!(doored.ask("good", Some("stranger")).await.is_err(), "one of another authority");
}

#[tokio::test]
async fn replaced_files_are_taken_up_and_unusable_ones_change_nothing() {
    let mut doored = Doored::new().await;
    doored.start("reload = '50ms'");
    doored.answers("good", None).await;
    // A key that is not the certificate's.
    doored.good.issue("asker");
    std::fs::copy(doored.fleet.path("asker.key"), doored.fleet.path("door.key")).unwrap();
    eventually("the readiness says that the files cannot be used", async || {
        doored.ask("good", None).await.ok()?.contains("do not go together").then_some(())
    })
    .await;
    doored.answers("good", None).await;
    let other = TlsFiles::new(&doored.fleet.path(""), "newer");
    other.issue("door");
    doored.answers("newer", None).await;
    assert!(doored.ask("good", None).await.is_err(), "the old certificate is gone");
    eventually("the readiness says nothing of the files any more", async || {
        (!doored.ask("newer", None).await.ok()?.contains("do not go together")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_door_whose_files_cannot_be_used_is_not_opened_and_says_which() {
    let mut doored = Doored::new().await;
    let wrong = |doored: &mut Doored, tls: &str| {
        doored.start(tls);
        let status = doored.fleet.service("v1").wait(revocast_tests::DEADLINE);
        assert!(!status.success());
        let log = doored.fleet.log("v1");
        log.lines().rev().find(|line| line.contains("TLS")).unwrap_or_default().to_owned()
    };
    let told = wrong(&mut doored, "require_client = true");
    assert!(told.contains("require_client needs a client_ca"), "{told}");
    std::fs::write(doored.fleet.path("good-ca.pem"), "no certificate").unwrap();
    let client_ca = doored.client_ca();
    let told = wrong(&mut doored, &client_ca);
    assert!(told.contains("good-ca.pem") && told.contains("it holds no certificate in PEM"), "{told}");
    std::fs::write(doored.fleet.path("door.key"), "no key").unwrap();
    let told = wrong(&mut doored, "");
    assert!(told.contains("door.key"), "{told}");
}
