//! The watcher between a plain HTTP server and a real broker.
//!
//! ```text
//!   a CA that announces nothing --CRL--> plain HTTP server <--GET, 304-- watcher --notice--> SIGHTINGS
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use revocast_bus::{Bus, Stored};
use revocast_daemon::Context;
use revocast_fetch::FetchConfig;
use revocast_fleet::Publisher;
use revocast_messages::subjects::{self, Subject};
use revocast_messages::{CrlNotice, Payload, Registration, Role, decode, encode};
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::CrlKind;
use revocast_tests::{DEADLINE, NatsServer, PlainServer, TestCa, eventually, free_address, http_get};
use revocast_watcher::{RunError, WatchConfig, WatcherConfig, run};
use tokio::task::JoinHandle;

/// A watcher in this process.
struct Watcher {
    address: SocketAddr,
    context: Context,
    task: JoinHandle<Result<(), RunError>>,
}

impl Watcher {
    async fn start(server: &NatsServer, state: &Path, change: impl FnOnce(&mut WatcherConfig)) -> Watcher {
        let mut config = WatcherConfig {
            state: state.to_owned(),
            listen: free_address(),
            heartbeat: Duration::from_secs(1),
            reassert: Duration::from_secs(2),
            bus: server.bus_config(),
            fetch: FetchConfig {
                allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
                negative_ttl: Duration::from_millis(100),
                backoff_base: Duration::from_millis(100),
                ..FetchConfig::default()
            },
            ..WatcherConfig::default()
        };
        change(&mut config);
        let (address, context) = (config.listen, Context::default());
        let task = tokio::spawn(run(config, context.clone()));
        let watcher = Watcher { address, context, task };
        eventually("the watcher lives", async || http_get(watcher.address, "/livez").await).await;
        watcher
    }

    /// How often a look at a URL ended so.
    fn polls(&self, url: &str, outcome: &str) -> u64 {
        let series = format!("revocast_polls_total{{url=\"{url}\",outcome=\"{outcome}\"}} ");
        let text = self.context.metrics.text();
        let count = text.lines().find_map(|line| line.strip_prefix(&series));
        count.map_or(0, |count| count.parse().unwrap())
    }

    async fn polled(&self, url: &str, outcome: &str, times: u64) {
        let what = format!("{outcome} {times} times at {url}");
        eventually(&what, async || (self.polls(url, outcome) >= times).then_some(())).await;
    }

    async fn stop(self) {
        self.context.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn watch(url: &str) -> Vec<WatchConfig> {
    vec![WatchConfig { url: url.to_owned(), interval: Duration::from_millis(200) }]
}

fn certificate_file(folder: &Path, ca: &TestCa) -> Vec<PathBuf> {
    let path = folder.join(format!("{}.crt", ca.issuer()));
    std::fs::write(&path, ca.certificate.der()).unwrap();
    vec![path]
}

/// The watchers' notice that stands on a scope.
async fn head(bus: &Bus, ca: &TestCa, crl: &Crl) -> Option<Stored> {
    let subject = Subject::CrlNotice {
        class: Role::Watcher,
        issuer: ca.issuer(),
        scope: crl.scope(ca.issuer()),
        kind: CrlKind::Complete,
    };
    bus.head(subjects::SIGHTINGS, &subject.to_string()).await.ok()?
}

async fn told(bus: &Bus, ca: &TestCa, crl: &Crl) -> CrlNotice {
    eventually("the CRL is announced", async || {
        let notice: CrlNotice = decode(&head(bus, ca, crl).await?.payload).ok()?;
        (notice.crl_id == crl.id()).then_some(notice)
    })
    .await
}

#[tokio::test]
async fn a_new_crl_is_announced_and_what_is_not_new_is_asked_for_in_vain() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let (one, two) = (ca.crl(1, 12_000), ca.crl(2, 12_002));
    let site = PlainServer::start(one.der()).await;
    let url = site.url("/ca.crl");
    let watcher = Watcher::start(&server, &folder.path().join("state"), |config| {
        config.watch = watch(&url);
        config.certificates = certificate_file(folder.path(), &ca);
    })
    .await;
    let notice = told(&bus, &ca, &one).await;
    assert_eq!(notice.locations, [url.as_str()]);
    assert_eq!((notice.crl, notice.digest), (None, one.digest()));
    assert_eq!(notice.origin.role, Role::Watcher);
    watcher.polled(&url, "not_modified", 3).await;
    assert_eq!(site.whole(), 1);
    site.show(two.der());
    let notice = told(&bus, &ca, &two).await;
    assert_eq!(notice.newly_revoked.len(), 2);
    let difference = Difference::decode(notice.difference.unwrap().bytes.0).unwrap();
    assert_eq!(difference.apply(&one).unwrap(), two.der());
    assert_eq!(site.whole(), 2);
    watcher.stop().await;
}

#[tokio::test]
async fn the_certificates_of_configured_cas_are_announced() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let _watcher = Watcher::start(&server, &folder.path().join("state"), |config| {
        config.certificates = certificate_file(folder.path(), &ca);
    })
    .await;
    let (class, issuer, certificate) = (Role::Watcher, ca.issuer(), ca.certificate.id());
    let subject = Subject::CertificateNotice { class, issuer, certificate }.to_string();
    eventually("the certificate is announced", async || {
        bus.head(subjects::SIGHTINGS, &subject).await.ok().flatten()
    })
    .await;
}

#[tokio::test]
async fn garbage_a_forgery_and_an_older_crl_are_not_announced() {
    let (server, folder) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let (ca, namesake) = (TestCa::new("CN=CA"), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let site = PlainServer::start(b"<html>It works!</html>").await;
    let url = site.url("/ca.crl");
    let watcher = Watcher::start(&server, &folder.path().join("state"), |config| {
        config.watch = watch(&url);
        config.certificates = certificate_file(folder.path(), &ca);
    })
    .await;
    watcher.polled(&url, "garbage", 1).await;
    site.show(namesake.crl(9, 9).der());
    watcher.polled(&url, "pending", 1).await;
    assert!(head(&bus, &ca, &ca.crl(1, 1)).await.is_none());
    let good = ca.crl(5, 5);
    site.show(good.der());
    let sequence = {
        told(&bus, &ca, &good).await;
        head(&bus, &ca, &good).await.unwrap().sequence
    };
    site.show(ca.crl(4, 4).der());
    watcher.polled(&url, "lower", 1).await;
    assert_eq!(head(&bus, &ca, &good).await.unwrap().sequence, sequence);
    assert!(head(&bus, &namesake, &namesake.crl(9, 9)).await.is_none());
}

#[tokio::test]
async fn a_restart_neither_announces_nor_fetches_the_same_again() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let crl = ca.crl(1, 1);
    let site = PlainServer::start(crl.der()).await;
    let url = site.url("/ca.crl");
    let start = async || {
        Watcher::start(&server, &folder.path().join("state"), |config| {
            config.watch = watch(&url);
            config.certificates = certificate_file(folder.path(), &ca);
        })
        .await
    };
    let watcher = start().await;
    told(&bus, &ca, &crl).await;
    let sequence = head(&bus, &ca, &crl).await.unwrap().sequence;
    watcher.stop().await;
    let watcher = start().await;
    watcher.polled(&url, "not_modified", 2).await;
    eventually("the heads are asserted", async || {
        let text = watcher.context.metrics.text();
        text.contains("revocast_notices_published_total{outcome=\"already_there\"}").then_some(())
    })
    .await;
    assert_eq!(site.whole(), 1);
    assert_eq!(head(&bus, &ca, &crl).await.unwrap().sequence, sequence);
}

#[tokio::test]
async fn a_crl_whose_signer_is_not_known_is_announced_when_its_certificate_comes() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let crl = ca.crl(1, 1);
    let site = PlainServer::start(crl.der()).await;
    let url = site.url("/ca.crl");
    let watcher = Watcher::start(&server, folder.path(), |config| config.watch = watch(&url)).await;
    watcher.polled(&url, "pending", 1).await;
    watcher.polled(&url, "not_modified", 1).await;
    assert!(head(&bus, &ca, &crl).await.is_none());
    let publisher = Publisher::new(&bus, "test").await;
    publisher.publish_certificate(&ca.certificate_notice()).await.unwrap();
    told(&bus, &ca, &crl).await;
    assert_eq!(site.whole(), 1);
}

#[tokio::test]
async fn of_two_watchers_one_watches_and_the_other_takes_over() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let site = PlainServer::start(ca.crl(1, 1).der()).await;
    let url = site.url("/ca.crl");
    let start = async |name: &str| {
        Watcher::start(&server, &folder.path().join(name), |config| {
            config.instance = name.parse().unwrap();
            config.watch = watch(&url);
            config.certificates = certificate_file(folder.path(), &ca);
        })
        .await
    };
    let one = start("w-1").await;
    told(&bus, &ca, &ca.crl(1, 1)).await;
    let two = start("w-2").await;
    let before = one.polls(&url, "not_modified");
    one.polled(&url, "not_modified", before + 10).await;
    assert_eq!(two.polls(&url, "known") + two.polls(&url, "new"), 0, "the other stands by");
    one.stop().await;
    site.show(ca.crl(2, 2).der());
    told(&bus, &ca, &ca.crl(2, 2)).await;
    assert_eq!(two.polls(&url, "new"), 1);
}

#[tokio::test]
async fn a_killed_watcher_goes_on_at_once_when_it_is_started_again() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let site = PlainServer::start(ca.crl(1, 1).der()).await;
    let url = site.url("/ca.crl");
    let start = async || {
        Watcher::start(&server, &folder.path().join("state"), |config| {
            config.watch = watch(&url);
            config.certificates = certificate_file(folder.path(), &ca);
        })
        .await
    };
    let killed = start().await;
    told(&bus, &ca, &ca.crl(1, 1)).await;
    killed.task.abort();
    killed.context.stop.cancel();
    assert!(killed.task.await.unwrap_err().is_cancelled());
    site.show(ca.crl(2, 2).der());
    let (began, _watcher) = (std::time::Instant::now(), start().await);
    told(&bus, &ca, &ca.crl(2, 2)).await;
    assert!(began.elapsed() < Duration::from_secs(20), "its own lease, of 30 seconds, did not hold it up");
}

#[tokio::test]
async fn what_nobody_subscribed_to_is_not_polled_and_other_hosts_never_are() {
    let (server, folder, ca) =
        (NatsServer::start().await, tempfile::tempdir().unwrap(), TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let crl = ca.crl(1, 1);
    let site = PlainServer::start(crl.der()).await;
    let _watcher = Watcher::start(&server, &folder.path().join("state"), |config| {
        config.allowed_hosts = vec!["127.0.0.1".into()];
        config.demanded_interval = Duration::from_millis(200);
        config.certificates = certificate_file(folder.path(), &ca);
    })
    .await;
    let registration = |url: String, lapses_at_ms| Registration {
        validator: "v-1".parse().unwrap(),
        issuer: Some(ca.issuer()),
        payload: Payload::Full,
        lapses_at_ms,
        locations: vec![url],
        responsible: "w-1".parse().unwrap(),
    };
    let registry = bus.bucket(subjects::SUBSCRIPTIONS).await.unwrap();
    let lapsed = registration(site.url("/lapsed.crl"), 1);
    registry.put("all.v-0", encode(&lapsed).unwrap().into()).await.unwrap();
    let foreign = registration(site.url("/foreign.crl").replace("127.0.0.1", "localhost"), i64::MAX);
    registry.put("all.v-2", encode(&foreign).unwrap().into()).await.unwrap();
    assert_eq!(site.requests(), 0);
    let living = registration(site.url("/ca.crl"), i64::MAX);
    registry.put(&living.key(), encode(&living).unwrap().into()).await.unwrap();
    assert_eq!(told(&bus, &ca, &crl).await.locations, [site.url("/ca.crl")]);
    assert_eq!(site.whole(), 1, "only the living one on an allowed host is fetched");
    registry.delete(&living.key()).await.unwrap();
    eventually("it is no longer polled", async || {
        let before = site.requests();
        tokio::time::sleep(Duration::from_secs(1)).await;
        (site.requests() == before).then_some(())
    })
    .await;
}
