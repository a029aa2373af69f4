//! Issuers that are not at hand are found elsewhere, and certificates are got and judged: real processes, a real broker.
//!
//! ```text
//!   root (anchor) > issuing > leaf        the validator knows root; who has issuing is the test's matter
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use revocast_bus::{Service, ServiceSpec, serve};
use revocast_fleet::Publisher;
use revocast_messages::{CrlNotice, Origin, Role, SearchAnswer, encode, subjects};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::CrlNumber;
use revocast_pki::mint::{
    AccessMethod, CertificateTemplate, CrlTemplate, GeneralName, KeyKind, RevokedEntry, SigningKey, key_id,
    name,
};
use revocast_pki::name::Name;
use revocast_tests::{Fleet, PlainServer, eventually, free_address, http, http_get};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

// Verbs are waited for without yielding, so servers within the test need a thread of their own.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap())
}

fn validity() -> (Time, Time) {
    (now().plus(-3_600), now().plus(86_400))
}

/// A CA's name and key.
struct Ca {
    name: Name,
    key: SigningKey,
}

impl Ca {
    fn new(subject: &str) -> Ca {
        Ca { name: name(subject).unwrap(), key: SigningKey::generate(KeyKind::EcdsaP256).unwrap() }
    }

    fn sign(&self, mut template: CertificateTemplate) -> Certificate {
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        Certificate::decode(template.sign(&self.name, &self.key).unwrap()).unwrap()
    }

    fn certify(&self, subject: &Ca) -> Certificate {
        self.sign(CertificateTemplate::ca(subject.name.clone(), subject.key.spki(), &[1], validity()))
    }

    /// A leaf that says, where a URL is given, where its issuer's certificate is.
    fn leaf(&self, label: &str, serial: u8, url: Option<&str>) -> Certificate {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        let subject = name(&format!("CN={label}")).unwrap();
        let mut template = CertificateTemplate::new(subject, key.spki(), &[0x4f, serial], validity());
        let access = |url: &str| (AccessMethod::CaIssuers, GeneralName::Uri(url.into()));
        template.authority_info_access = url.map(access).into_iter().collect();
        self.sign(template)
    }

    async fn publish_crl(&self, fleet: &Fleet, certificate: &Certificate, number: u64, revoked: &[u8]) {
        let template = CrlTemplate::new(self.name.clone(), CrlNumber::from(number), now(), now().plus(3_600));
        let entries = revoked.iter().map(|serial| RevokedEntry::new(&[0x4f, *serial], now()));
        let crl = Crl::decode(template.sign(entries, &self.key).unwrap()).unwrap();
        let origin = Origin { role: Role::Authority, instance: "ca".parse().unwrap(), seen_at_ms: 0 };
        let notice = CrlNotice::of(&crl, certificate.as_issuer(), origin);
        let publisher = Publisher::new(&fleet.nats.bus("ca").await, "ca").await;
        publisher.publish_crl(&notice, crl.der(), certificate.spki()).await.unwrap();
    }
}

/// A hierarchy whose CRLs are published, and whose anchor lies in `root.crt`.
struct Pki {
    root: Ca,
    issuing: Ca,
    issuing_certificate: Certificate,
}

impl Pki {
    async fn found(fleet: &Fleet) -> Pki {
        let (root, issuing) = (Ca::new("CN=Root,O=Test"), Ca::new("CN=Issuing,O=Test"));
        let (root_certificate, issuing_certificate) = (root.certify(&root), root.certify(&issuing));
        write(fleet, "root.crt", &root_certificate);
        root.publish_crl(fleet, &root_certificate, 1, &[]).await;
        issuing.publish_crl(fleet, &issuing_certificate, 1, &[]).await;
        Pki { root, issuing, issuing_certificate }
    }

    fn leaf(&self, fleet: &Fleet, label: &str, serial: u8, url: Option<&str>) -> Certificate {
        let leaf = self.issuing.leaf(label, serial, url);
        write(fleet, &format!("{label}.crt"), &leaf);
        leaf
    }
}

fn write(fleet: &Fleet, file: &str, certificate: &Certificate) {
    std::fs::write(fleet.path(file), certificate.der()).unwrap();
}

/// A repository that begins with these files; where it serves.
async fn start_repository(fleet: &mut Fleet, files: &[&str]) -> SocketAddr {
    let address = free_address();
    let files: Vec<_> = files.iter().map(|file| fleet.path(file)).collect();
    let config =
        format!("state = {:?}\nlisten = '{address}'\ncertificates = {files:?}", fleet.path("repository"));
    fleet.start_service("repository", "repository", &config);
    eventually("the repository serves", async || http_get(address, "/livez").await).await;
    address
}

/// A validator that believes `root.crt`; where it serves.
async fn start_validator(fleet: &mut Fleet, label: &str, more: &str) -> SocketAddr {
    let address = free_address();
    let config = format!(
        "instance = '{label}'\nstate = {:?}\nlisten = '{address}'\n{more}\n[policies.default]\nanchors = [{:?}]\n",
        fleet.path(label),
        fleet.path("root.crt"),
    );
    fleet.start_service("validator", label, &config);
    eventually("the validator has read the streams", async || {
        (http_get(address, "/readyz").await?.status == 200).then_some(())
    })
    .await;
    // The door over NATS opens once that is so.
    eventually("the validator answers over NATS", async || fleet.verdict(label, "root.crt")).await;
    address
}

/// A line of a validator's metrics, as it stands or will stand.
async fn counts(address: SocketAddr, line: &str) {
    eventually(&format!("the validator counts {line}"), async || {
        let metrics = String::from_utf8(http_get(address, "/metrics").await?.body).ok()?;
        metrics.lines().any(|counted| counted.replace("{}", "") == line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaf_whose_intermediate_only_the_repository_has_is_valid_and_the_next_needs_no_repository() {
    let mut fleet = Fleet::start().await;
    let pki = Pki::found(&fleet).await;
    write(&fleet, "issuing.crt", &pki.issuing_certificate);
    pki.leaf(&fleet, "leaf", 1, None);
    pki.leaf(&fleet, "next", 2, None);
    let validator = start_validator(&mut fleet, "v1", "").await;
    fleet.expect("v1", "leaf.crt", "invalid").await;
    start_repository(&mut fleet, &["issuing.crt"]).await;
    // The CRL of the issuing CA was owed, since nobody knew who signed it.
    fleet.expect("v1", "leaf.crt", "valid").await;
    counts(validator, "revocast_discovery_learned_total 1").await;
    fleet.kill("repository");
    fleet.expect("v1", "next.crt", "valid").await;
    fleet.kill("v1");
    start_validator(&mut fleet, "v1", "").await;
    fleet.expect("v1", "next.crt", "valid").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuers_url_is_fetched_only_where_the_configuration_admits_url_and_address() {
    let mut fleet = Fleet::start().await;
    let pki = Pki::found(&fleet).await;
    let server = PlainServer::start(pki.issuing_certificate.der()).await;
    pki.leaf(&fleet, "leaf", 1, Some(&server.url("/issuing.crt")));
    let listed = format!("discovery.issuer_urls = ['{}']", server.url("/"));
    let allowed = "fetch.allowed_networks = ['127.0.0.0/8']";
    start_validator(&mut fleet, "unlisted", allowed).await;
    let guarded = start_validator(&mut fleet, "guarded", &listed).await;
    let open = start_validator(&mut fleet, "open", &format!("{listed}\n{allowed}")).await;
    fleet.expect("unlisted", "leaf.crt", "invalid").await;
    fleet.expect("guarded", "leaf.crt", "invalid").await;
    counts(guarded, "revocast_discovery_asks_total{source=\"url\",outcome=\"forbidden\"} 1").await;
    assert_eq!(server.requests(), 0, "a stranger's URL, and loopback, are left alone");
    fleet.expect("open", "leaf.crt", "valid").await;
    counts(open, "revocast_discovery_asks_total{source=\"url\",outcome=\"found\"} 1").await;
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_counts_by_itself_if_the_certificate_that_names_it_leads_to_an_anchor() {
    let mut fleet = Fleet::start().await;
    let pki = Pki::found(&fleet).await;
    // Another root, believed by another policy, has certified the issuing CA: only the URL leads to it.
    let other = Ca::new("CN=Other Root");
    write(&fleet, "other.crt", &other.certify(&other));
    write(&fleet, "issuing.crt", &pki.issuing_certificate);
    let server = PlainServer::start(other.certify(&pki.issuing).der()).await;
    let url = server.url("/cross.crt");
    pki.leaf(&fleet, "leaf", 1, Some(&url));
    let forger = Ca::new("CN=Issuing,O=Test");
    write(&fleet, "forged.crt", &forger.leaf("forged", 2, Some(&url)));
    let config = format!(
        "certificates = [{:?}]\nfetch.allowed_networks = ['127.0.0.0/8']\n\
         [policies.other]\nanchors = [{:?}]\nrevocation = 'none'",
        fleet.path("issuing.crt"),
        fleet.path("other.crt"),
    );
    start_validator(&mut fleet, "v1", &config).await;
    let under_other = |file: &str| {
        let words = ["cert", "check", "--cert", file, "--validator", "v1", "--policy-name", "other"];
        fleet.json_with_code(&words).1["judgements"][0]["outcome"].clone()
    };
    assert_eq!(under_other("forged.crt"), "invalid");
    assert_eq!(server.requests(), 0, "anybody can put any URL into a certificate of his own making");
    assert_eq!(under_other("leaf.crt"), "valid");
    assert_eq!(server.requests(), 1);
}

fn get(fleet: &Fleet, words: &[&str]) -> (i32, Value) {
    fleet.json_with_code(&[&["cert", "get"], words].concat())
}

/// The exit code of a request that brings no answer, and why.
fn get_nothing(fleet: &Fleet, words: &[&str]) -> (i32, String) {
    let output = fleet.run(&[&["cert", "get"], words].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn hex(octets: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(octets)
}

/// A fleet whose repository has a leaf and its issuer, and a validator that may be sent to that repository.
async fn with_leaf() -> (Fleet, Pki, Certificate, SocketAddr, SocketAddr) {
    let mut fleet = Fleet::start().await;
    let pki = Pki::found(&fleet).await;
    write(&fleet, "issuing.crt", &pki.issuing_certificate);
    let leaf = pki.leaf(&fleet, "leaf", 1, None);
    let repository = start_repository(&mut fleet, &["issuing.crt", "leaf.crt"]).await;
    let config = format!(
        "acquire.urls = ['http://{repository}/certificates']\nfetch.allowed_networks = ['127.0.0.0/8']"
    );
    let validator = start_validator(&mut fleet, "v1", &config).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    (fleet, pki, leaf, repository, validator)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_got_by_each_of_its_names() {
    let (fleet, pki, leaf, repository, validator) = with_leaf().await;
    let (id, url) = (leaf.id().to_string(), format!("http://{repository}/certificates/{}.crt", leaf.id()));
    let (serial, key) = (hex(leaf.serial()), hex(leaf.subject_key_id().unwrap()));
    for words in [
        &["--id", &id][..],
        &["--id", &id, "--validator", "v1", "--policy", "default"],
        &["--issuer", "CN=issuing,O=TEST", "--serial", &serial],
        &["--issuer", "@issuing.crt", "--serial", &serial],
        &["--subject", "CN=leaf", "--key-id", &key],
        &["--subject", "@leaf.crt"],
        &[&url],
    ] {
        let _ = std::fs::remove_file(fleet.path("got.crt"));
        let (code, answer) = get(&fleet, &[words, &["-o", "got.crt"]].concat());
        assert_eq!(code, 0, "{words:?}: {answer}");
        assert_eq!(std::fs::read(fleet.path("got.crt")).unwrap(), leaf.der()[..], "{words:?}");
        let place = if words[0].starts_with("http") { &url } else { "repository" };
        assert_eq!((&answer["source"], &answer["validator"]), (&json!(place), &json!("v1")), "{words:?}");
        assert_eq!(answer["answer"]["judgements"][0]["evidence"][1]["number"], "1", "{answer}");
    }
    // A CA's certificate is known since it was found.
    let issuing = hex(pki.issuing_certificate.subject_key_id().unwrap());
    let (code, answer) = get(&fleet, &["--subject", "CN=Issuing,O=Test", "--key-id", &issuing]);
    assert_eq!((code, &answer["source"]), (0, &json!("known")));
    // The same over HTTP.
    let request = json!({ "from": { "search": { "certificate": id } } }).to_string();
    let answer = http(validator, "POST", "/v1/acquire", &JSON, request.as_bytes()).await.unwrap();
    let der = data_encoding::BASE64.encode(leaf.der());
    assert_eq!((answer.status, &answer.json()["certificate"]), (200, &json!(der)));
    let printed = fleet.run(&["cert", "get", "--id", &id]);
    assert!(String::from_utf8(printed.stdout).unwrap().contains("-----BEGIN CERTIFICATE-----\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_valid_is_not_handed_over_but_its_verdict_is() {
    let (fleet, pki, leaf, ..) = with_leaf().await;
    let id = leaf.id().to_string();
    let (code, answer) = get(&fleet, &["--id", &id, "--dns", "leaf.example", "-o", "got.crt"]);
    let judged = &answer["answer"]["judgements"][0];
    assert_eq!((code, &answer["certificate"], &judged["outcome"]), (1, &Value::Null, &json!("invalid")));
    pki.issuing.publish_crl(&fleet, &pki.issuing_certificate, 2, &[1]).await;
    fleet.expect("v1", "leaf.crt", "revoked").await;
    let (code, answer) = get(&fleet, &["--id", &id, "-o", "got.crt"]);
    let judged = &answer["answer"]["judgements"][0];
    assert_eq!((code, &answer["certificate"], &judged["outcome"]), (1, &Value::Null, &json!("revoked")));
    assert_eq!(judged["evidence"][1]["number"], "2", "{answer}");
    assert!(!fleet.path("got.crt").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_got_is_refused_with_its_reason() {
    let (mut fleet, pki, leaf, repository, validator) = with_leaf().await;
    let unknown = "00".repeat(32);
    let (code, why) = get_nothing(&fleet, &["--id", &unknown]);
    assert!(code == 4 && why.contains("has such a certificate"), "{code} {why}");
    let (code, why) = get_nothing(&fleet, &["--subject", "CN=leaf", "--key-id", "00"]);
    assert!(code == 4 && why.contains("has such a certificate"), "{code} {why}");
    let (code, why) = get_nothing(&fleet, &[&format!("http://{repository}/certificates/none.crt")]);
    assert!(code == 4 && why.contains("404"), "{code} {why}");
    let (code, why) = get_nothing(
        &fleet,
        &[&format!("http://{repository}/ca/{}.crt", pki.issuing_certificate.as_issuer())],
    );
    assert!(code == 3 && why.contains("acquire.urls"), "{code} {why}");
    let (code, why) = get_nothing(&fleet, &["--id", &leaf.id().to_string(), "--policy", "none"]);
    assert!(code == 3 && why.contains("there is no policy"), "{code} {why}");
    // Whoever admits any URL still keeps to the fetcher's rules.
    start_validator(&mut fleet, "any-url", "acquire.any_url = true").await;
    let (code, why) =
        get_nothing(&fleet, &[&format!("http://{repository}/certificates/x.crt"), "--validator", "any-url"]);
    assert!(code == 3 && why.contains("not admitted"), "{code} {why}");
    for (request, status) in [
        (json!({ "from": { "search": { "certificate": unknown } } }), 404),
        (json!({ "from": { "url": "http://169.254.169.254/" } }), 403),
        (json!({ "from": { "search": { "subject": { "name": "AAAA" } } } }), 422),
        (json!({ "from": { "colour": "red" } }), 400),
    ] {
        let answer =
            http(validator, "POST", "/v1/acquire", &JSON, request.to_string().as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty(), "{request}");
    }
}

/// A repository that answers every search with the same octets, or not at all.
async fn liar(fleet: &Fleet, answer: Arc<Mutex<Option<Vec<u8>>>>, asked: Arc<AtomicU64>) -> Service {
    let bus = fleet.nats.bus("liar").await;
    let spec = ServiceSpec {
        name: "liar".into(),
        description: "lies".into(),
        version: "1.0.0".into(),
        metadata: [].into(),
        concurrency: 8,
    };
    let endpoints = [(subjects::SEARCH.to_owned(), Some("repositories"))];
    serve(&bus, spec, &endpoints, move |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = answer.lock().unwrap().clone();
        async move {
            match answer {
                Some(answer) => Ok((Vec::new(), answer.into())),
                None => std::future::pending().await,
            }
        }
    })
    .await
    .unwrap()
}

fn found(certificates: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let certificates = certificates.into_iter().map(Into::into).collect();
    encode(&SearchAnswer { repository: "liar".parse().unwrap(), certificates, more: true }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_repository_costs_a_bounded_number_of_asks_and_changes_no_verdict() {
    let mut fleet = Fleet::start().await;
    let pki = Pki::found(&fleet).await;
    write(&fleet, "issuing.crt", &pki.issuing_certificate);
    pki.leaf(&fleet, "good", 1, None);
    let known = format!("certificates = [{:?}]", fleet.path("issuing.crt"));
    let validator = start_validator(&mut fleet, "v1", &known).await;
    fleet.expect("v1", "good.crt", "valid").await;
    let namesake = Ca::new("CN=Hidden");
    let lies = [
        b"garbage".to_vec(),
        found((0..10_000).map(|_| vec![0x30, 0x00])),
        found((0..10_000).map(|n: u32| n.to_be_bytes().to_vec())),
        found((0..60).map(|_| Ca::new("CN=Stranger").certify(&Ca::new("CN=Stranger")).der().to_vec())),
        // Of the right name, and certified by the real root; but not the key that signed.
        found((0..60).map(|_| pki.root.certify(&Ca::new("CN=Hidden")).der().to_vec())),
        // The right key, certified by nobody who is believed.
        found([namesake.certify(&namesake).der().to_vec()]),
    ];
    let (answer, asked) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
    let _liar = liar(&fleet, answer.clone(), asked.clone()).await;
    for (n, lie) in lies.into_iter().enumerate() {
        *answer.lock().unwrap() = Some(lie);
        // Another issuer's key each time, so that nothing is remembered of the last one.
        let hidden = if n == 5 { &namesake } else { &Ca::new("CN=Hidden") };
        let file = format!("hidden-{n}.crt");
        write(&fleet, &file, &hidden.leaf("hidden", 1, None));
        let before = asked.load(Ordering::Relaxed);
        fleet.expect("v1", &file, "invalid").await;
        let asks = asked.load(Ordering::Relaxed);
        assert!(asks > before, "lie {n} was asked for");
        for _ in 0..3 {
            assert_eq!(fleet.verdict("v1", &file).as_deref(), Some("invalid"), "{n}");
        }
        let again = asked.load(Ordering::Relaxed) - asks;
        assert!(again <= 1, "{again} more asks for lie {n}");
        assert_eq!(fleet.verdict("v1", "good.crt").as_deref(), Some("valid"), "{n}");
    }
    counts(validator, "revocast_discovery_learned_total 0").await;
    // Silence is no lie: then it cannot be told.
    *answer.lock().unwrap() = None;
    write(&fleet, "silent.crt", &Ca::new("CN=Silent").leaf("silent", 1, None));
    assert_eq!(fleet.verdict("v1", "silent.crt").as_deref(), Some("indeterminate"));
    assert_eq!(fleet.verdict("v1", "good.crt").as_deref(), Some("valid"));
    let (code, why) = get_nothing(&fleet, &["--id", &"11".repeat(32)]);
    assert!(code == 4 && why.contains("repository"), "{code} {why}");
}
