//! The repository around a real broker: what the streams bring is served, what is posted is told.
//!
//! ```text
//!   notices ---> repository ---> GET /crl/... (ETag, 304)
//!   POST /v1/crls --^    \-----> notice with the difference
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use revocast_bus::{Bus, Headers};
use revocast_daemon::Context;
use revocast_fleet::Publisher;
use revocast_messages::subjects::{self, Subject};
use revocast_messages::{
    CrlNotice, Interest, Payload, Role, SubscriptionAnswer, SubscriptionRequest, decode, encode,
};
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::CrlKind;
use revocast_repository::{RepositoryConfig, RunError, run};
use revocast_tests::{DEADLINE, HttpAnswer, NatsServer, TestCa, eventually, free_address, http, http_get};
use tokio::task::JoinHandle;

/// A repository in this process.
struct Repository {
    address: SocketAddr,
    context: Context,
    task: JoinHandle<Result<(), RunError>>,
}

impl Repository {
    async fn start(
        server: &NatsServer,
        state: &Path,
        change: impl FnOnce(&mut RepositoryConfig),
    ) -> Repository {
        let mut config = RepositoryConfig {
            state: state.to_owned(),
            listen: free_address(),
            base_url: Some("http://repository.example".into()),
            heartbeat: Duration::from_secs(1),
            reassert: Duration::from_secs(2),
            bus: server.bus_config(),
            ..RepositoryConfig::default()
        };
        change(&mut config);
        let (address, context) = (config.listen, Context::default());
        let task = tokio::spawn(run(config, context.clone()));
        let repository = Repository { address, context, task };
        eventually("the repository serves", async || repository.get("/livez").await).await;
        repository
    }

    async fn get(&self, path: &str) -> Option<HttpAnswer> {
        http_get(self.address, path).await
    }

    async fn post(&self, body: &[u8]) -> HttpAnswer {
        http(self.address, "POST", "/v1/crls", &[], body).await.unwrap()
    }

    /// Waits until it serves this CRL as its issuer's newest.
    async fn serves(&self, ca: &TestCa, crl: &Crl) -> HttpAnswer {
        let path = format!("/crl/{}.crl", ca.issuer());
        eventually("the CRL is served", async || {
            self.get(&path).await.filter(|answer| answer.body == *crl.der())
        })
        .await
    }

    fn counted(&self, line: &str) -> bool {
        self.context.metrics.text().lines().any(|counted| counted == line)
    }

    async fn stop(self) {
        self.context.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// As SIGKILL would: without a word.
    async fn kill(self) {
        self.task.abort();
        self.context.stop.cancel();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

async fn publish(bus: &Bus, ca: &TestCa, crl: &Crl) {
    let publisher = Publisher::new(bus, "test").await;
    publisher.publish_certificate(&ca.certificate_notice()).await.unwrap();
    publisher.publish_crl(&ca.notice(crl), crl.der(), ca.certificate.spki()).await.unwrap();
}

/// The notice that stands as the repository's own on a scope.
async fn told(bus: &Bus, ca: &TestCa, crl: &Crl) -> Option<CrlNotice> {
    let subject = Subject::CrlNotice {
        class: Role::Repository,
        issuer: ca.issuer(),
        scope: crl.scope(ca.issuer()),
        kind: CrlKind::Complete,
    };
    let head = bus.head(subjects::NOTICES, &subject.to_string()).await.ok()??;
    decode(&head.payload).ok()
}

#[tokio::test]
async fn what_the_stream_brings_is_served_with_a_strong_tag_and_304() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let crl = ca.crl(1, 3);
    publish(&bus, &ca, &crl).await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    let answer = repository.serves(&ca, &crl).await;
    assert_eq!(answer.header("content-type"), "application/pkix-crl");
    assert_eq!(answer.header("etag"), format!("\"{}\"", crl.digest()));
    assert_eq!(answer.header("content-length"), crl.der().len().to_string());
    assert!(!answer.header("last-modified").is_empty());
    let path = format!("/crl/{}/{}/complete.crl", ca.issuer(), crl.scope(ca.issuer()));
    let again = |tag: String| {
        let path = path.clone();
        async move { http(repository.address, "GET", &path, &[("If-None-Match", &tag)], &[]).await.unwrap() }
    };
    let unchanged = again(format!("\"{}\"", crl.digest())).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let newer = ca.crl(2, 4);
    publish(&bus, &ca, &newer).await;
    eventually("the newer one is served", async || {
        (again(format!("\"{}\"", crl.digest())).await.body == *newer.der()).then_some(())
    })
    .await;
    let head = http(repository.address, "HEAD", &path, &[], &[]).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), newer.der().len().to_string());
    let scopes = repository.get("/v1/scopes").await.unwrap().json();
    assert_eq!((&scopes[0]["number"], &scopes[0]["downloads"]), (&"2".into(), &1.into()));
}

#[tokio::test]
async fn after_a_kill_it_serves_at_once_with_the_broker_down() {
    let (mut server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let crl = ca.crl(7, 1);
    publish(&server.bus("test").await, &ca, &crl).await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    repository.serves(&ca, &crl).await;
    repository.kill().await;
    server.kill();
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    let answer = repository.get(&format!("/crl/{}.crl", ca.issuer())).await.unwrap();
    assert_eq!(answer.body, *crl.der());
    assert_eq!(repository.get("/readyz").await.unwrap().status, 200);
    server.start_again().await;
    let newer = ca.crl(8, 2);
    publish(&server.bus("test").await, &ca, &newer).await;
    repository.serves(&ca, &newer).await;
    repository.stop().await;
}

#[tokio::test]
async fn what_is_posted_is_told_with_the_difference_and_what_is_newly_revoked() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let certificate = folder.path().join("ca.crt");
    std::fs::write(&certificate, ca.certificate.der()).unwrap();
    let bus = server.bus("test").await;
    let repository = Repository::start(&server, &folder.path().join("state"), |config| {
        config.certificates = vec![certificate]
    })
    .await;
    let (one, two) = (ca.crl(1, 12_000), ca.crl(2, 12_003));
    // The broker may not be reached yet; the notice follows then.
    assert!([201, 202].contains(&repository.post(one.der()).await.status));
    eventually("the first one is told", async || told(&bus, &ca, &one).await).await;
    let answer = repository.post(two.der()).await;
    assert_eq!((answer.status, &answer.json()["notice"]), (201, &"stored".into()));
    let notice = told(&bus, &ca, &two).await.unwrap();
    assert_eq!((notice.crl_id, notice.newly_revoked.len()), (two.id(), 3));
    assert!(notice.locations[0].starts_with("http://repository.example/crl/"), "{:?}", notice.locations);
    let difference = Difference::decode(notice.difference.unwrap().bytes.0).unwrap();
    assert_eq!(difference.apply(&one).unwrap(), two.der());
    assert_eq!(repository.post(two.der()).await.status, 200);
    repository.serves(&ca, &two).await;
}

#[tokio::test]
async fn a_lower_number_a_bad_signature_a_stranger_and_garbage_are_refused_with_a_reason() {
    let (server, folder) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let (ca, namesake, stranger) = (TestCa::new("CN=CA"), TestCa::new("CN=CA"), TestCa::new("CN=Stranger"));
    publish(&server.bus("test").await, &ca, &ca.crl(5, 1)).await;
    let repository = Repository::start(&server, folder.path(), |config| config.max_crl_bytes = 1 << 16).await;
    repository.serves(&ca, &ca.crl(5, 1)).await;
    let mut damaged = ca.crl(6, 1).der().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    for (body, status, why) in [
        (ca.crl(4, 1).der().to_vec(), 409, "number 5"),
        (namesake.crl(9, 1).der().to_vec(), 422, "none of the known keys of CN=CA"),
        (damaged, 422, "none of the known keys of CN=CA"),
        (stranger.crl(9, 1).der().to_vec(), 422, "no certificate of CN=Stranger is known"),
        (b"<html>".to_vec(), 422, "not a CRL"),
        (vec![0x30; 1 << 17], 413, "65536 bytes"),
    ] {
        let answer = repository.post(&body).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, status, "{error}");
        assert!(error.contains(why), "{error}");
    }
    repository.serves(&ca, &ca.crl(5, 1)).await;
}

#[tokio::test]
async fn a_crl_posted_while_the_broker_is_down_is_durable_and_told_later() {
    let (mut server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let certificate = folder.path().join("ca.crt");
    std::fs::write(&certificate, ca.certificate.der()).unwrap();
    server.kill();
    let crl = ca.crl(1, 1);
    let start = async |server: &NatsServer| {
        Repository::start(server, &folder.path().join("state"), |config| {
            config.certificates = vec![certificate.clone()];
            config.notice_patience = Duration::from_millis(100);
        })
        .await
    };
    let repository = start(&server).await;
    let answer = repository.post(crl.der()).await;
    assert_eq!((answer.status, &answer.json()["notice"]), (202, &"pending".into()));
    repository.kill().await;
    let _repository = start(&server).await;
    server.start_again().await;
    let bus = server.bus("test").await;
    eventually("it is told", async || told(&bus, &ca, &crl).await).await;
}

#[tokio::test]
async fn a_notice_that_comes_before_the_certificate_waits_for_it() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    let (publisher, crl) = (Publisher::new(&bus, "test").await, ca.crl(1, 1));
    publisher.publish_crl(&ca.notice(&crl), crl.der(), ca.certificate.spki()).await.unwrap();
    eventually("the notice is owed", async || {
        repository.counted("revocast_notices_total{outcome=\"owed\"} 1").then_some(())
    })
    .await;
    assert_eq!(repository.get(&format!("/crl/{}.crl", ca.issuer())).await.unwrap().status, 404);
    publisher.publish_certificate(&ca.certificate_notice()).await.unwrap();
    repository.serves(&ca, &crl).await;
}

#[tokio::test]
async fn lies_are_counted_and_do_not_delay_the_next_good_notice() {
    let (server, folder) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let (ca, namesake) = (TestCa::new("CN=CA"), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let good = ca.crl(2, 2);
    publish(&bus, &ca, &ca.crl(1, 1)).await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    repository.serves(&ca, &ca.crl(1, 1)).await;
    let subject = ca.notice(&good).subject().to_string();
    let forged = CrlNotice {
        issuer: ca.issuer(),
        scope: good.scope(ca.issuer()),
        ..namesake.notice(&namesake.crl(9, 9))
    };
    let noise = vec![0xa5; 500_000];
    for body in [encode(&forged).unwrap(), noise] {
        bus.publish(subjects::NOTICES, &subject, &Headers::new(), body.into()).await.unwrap();
    }
    publish(&bus, &ca, &good).await;
    repository.serves(&ca, &good).await;
    eventually("the lies are counted", async || {
        let refused = repository.counted("revocast_notices_total{outcome=\"refused\"} 1");
        (refused && repository.counted("revocast_put_aside_total{reason=\"version\"} 1")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_crl_above_the_inline_limit_comes_from_the_object_store() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let crl = ca.crl(1, 12_000);
    assert!(ca.notice(&crl).crl.is_none());
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    publish(&server.bus("test").await, &ca, &crl).await;
    repository.serves(&ca, &crl).await;
}

#[tokio::test]
async fn certificates_are_served_by_their_ca_by_their_hash_and_by_search() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA,O=Example"));
    publish(&server.bus("test").await, &ca, &ca.crl(1, 0)).await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    repository.serves(&ca, &ca.crl(1, 0)).await;
    let der = ca.certificate.der();
    for path in [
        format!("/ca/{}.crt", ca.issuer()),
        format!("/certificates/{}.crt", ca.certificate.id()),
        "/certificates/search.cgi?name=CA".to_owned(),
    ] {
        let answer = repository.get(&path).await.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/pkix-cert"), "{path}");
        assert_eq!(answer.body, *der, "{path}");
    }
    for (path, status) in [
        ("/certificates/search.cgi?name=Nobody", 404),
        ("/certificates/search.cgi?certHash=short", 400),
        ("/crls/search.cgi?name=CA", 400),
        ("/ca/../../etc/passwd", 404),
        ("/crl/00.crl", 404),
    ] {
        assert_eq!(repository.get(path).await.unwrap().status, status, "{path}");
    }
    let issuers = repository.get("/v1/issuers").await.unwrap().json();
    assert_eq!((&issuers[0]["name"], &issuers[0]["scopes"]), (&"CN=CA,O=Example".into(), &1.into()));
}

#[tokio::test]
async fn a_subscription_is_answered_with_the_numbers_that_are_held() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    publish(&bus, &ca, &ca.crl(3, 0)).await;
    let repository = Repository::start(&server, folder.path(), |_| ()).await;
    repository.serves(&ca, &ca.crl(3, 0)).await;
    let request = SubscriptionRequest {
        validator: "v-1".parse().unwrap(),
        issuer: Some(ca.issuer()),
        interest: Interest::Start { payload: Payload::Full, lease_s: 60 },
        locations: Vec::new(),
    };
    let (subject, body) = (request.subject().to_string(), encode(&request).unwrap());
    let answer = eventually("the subscription is answered", async || {
        bus.ask(&subject, &Headers::new(), body.clone().into(), Duration::from_secs(5)).await.ok()
    })
    .await;
    let SubscriptionAnswer::Accepted { role, scopes, .. } = decode(&answer).unwrap() else {
        panic!("not accepted")
    };
    assert_eq!((role, scopes[0].number), (Role::Repository, Some(3.into())));
}

#[tokio::test]
async fn a_publisher_begun_before_there_is_an_object_store_uses_it_as_soon_as_there_is() {
    let server = NatsServer::bare().await;
    let (bus, ca) = (server.bus("test").await, TestCa::new("CN=Somebody"));
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for declaration in revocast_bus::declare::built_in() {
        if declaration.name() == "OBJ_crls" { rest.push(declaration) } else { first.push(declaration) }
    }
    for declaration in first {
        bus.apply(&declaration).await.unwrap();
    }
    let publisher = Publisher::new(&bus, "test").await;
    let early = ca.crl(1, 1);
    publisher.publish_crl(&ca.notice(&early), early.der(), ca.certificate.spki()).await.unwrap();
    bus.apply(&rest[0]).await.unwrap();
    let objects = eventually("the store is found", async || publisher.objects().await).await;
    let late = ca.crl(2, 2);
    publisher.publish_crl(&ca.notice(&late), late.der(), ca.certificate.spki()).await.unwrap();
    let has = async |crl: &Crl| objects.has(&crl.digest().to_string()).await.unwrap();
    assert_eq!((has(&early).await, has(&late).await), (false, true));
}
