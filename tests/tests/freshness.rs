//! Never stale for long: validators that find out by themselves what nobody tells them, and say what they cannot know.
//!
//! ```text
//!   a CA that announces nothing --CRL--> plain HTTP server <--GET, 304-- validators <--sightings--> broker
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::Signal;
use revocast_bus::{Bus, Call, ServiceSpec, serve};
use revocast_daemon::Context;
use revocast_fetch::FetchConfig;
use revocast_fleet::registrar::{self, Knowledge, Responsible};
use revocast_fleet::{Overview, Publisher};
use revocast_messages::subjects::{self, Subject};
use revocast_messages::{
    CrlNotice, Interest, Origin, Registration, Role, ScopeState, SubscriptionAnswer, SubscriptionRequest,
    decode, encode, registry_key,
};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlId, CrlKind, Digest, IssuerId, ScopeId};
use revocast_tests::{
    DEADLINE, Fleet, NatsServer, PlainServer, SilentCa, StallingServer, eventually, free_address, http,
    http_get, open_as_many_files_as_allowed,
};
use revocast_validator::{FreshnessConfig, PolicyConfig, PollingConfig, RunError, ValidatorConfig, run};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A validator in this process.
struct Validator {
    address: SocketAddr,
    context: Context,
    task: JoinHandle<Result<(), RunError>>,
    _state: TempDir,
}

impl Validator {
    /// Starts one that believes `anchor`; everything takes a second where it takes a minute by default.
    async fn start(
        server: &NatsServer,
        name: &str,
        anchor: &Certificate,
        change: impl FnOnce(&mut ValidatorConfig),
    ) -> Validator {
        let state = tempfile::Builder::new().prefix("revocast-validator-").tempdir().unwrap();
        let file = state.path().join("anchor.crt");
        std::fs::write(&file, anchor.der()).unwrap();
        let policy = PolicyConfig { anchors: vec![file], ..PolicyConfig::default() };
        let mut config = ValidatorConfig {
            instance: name.parse().unwrap(),
            state: state.path().join("state"),
            listen: free_address(),
            lease: Duration::from_secs(6),
            freshness: quick_freshness(),
            polling: quick_polling(),
            bus: server.bus_config(),
            fetch: FetchConfig {
                allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
                backoff_base: Duration::from_millis(100),
                ..FetchConfig::default()
            },
            policies: BTreeMap::from([("default".into(), policy)]),
            ..ValidatorConfig::default()
        };
        change(&mut config);
        let (address, context) = (config.listen, Context::default());
        let task = tokio::spawn(run(config, context.clone()));
        let validator = Validator { address, context, task, _state: state };
        eventually("the validator lives", async || http_get(validator.address, "/livez").await).await;
        validator
    }

    async fn ready(&self) {
        eventually("the validator is ready, and nothing is wrong", async || {
            let answer = http_get(self.address, "/readyz").await?.json();
            (answer["ready"] == true && about(&answer, "freshness").is_none()).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.context.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn quick_freshness() -> FreshnessConfig {
    FreshnessConfig { probe: Duration::from_millis(500), degraded_after: Duration::from_secs(3) }
}

fn quick_polling() -> PollingConfig {
    PollingConfig {
        interval: Duration::from_secs(1),
        host_gap: Duration::from_millis(10),
        ..PollingConfig::default()
    }
}

/// What `/readyz` says about something.
fn about(readiness: &Value, what: &str) -> Option<String> {
    let reasons = readiness["reasons"].as_array()?;
    let found = reasons.iter().find(|reason| reason["about"] == what)?;
    found["why"].as_str().map(ToOwned::to_owned)
}

/// What a validator says of a certificate; `None` while it does not answer.
async fn judgement(address: SocketAddr, certificate: &Certificate) -> Option<Value> {
    let answer = http(address, "POST", "/v1/validate", &[], certificate.der()).await?.json();
    Some(answer["judgements"][0].clone())
}

async fn expect(address: SocketAddr, certificate: &Certificate, outcome: &str) {
    let what = format!("{address} says {outcome}");
    eventually(&what, async || (judgement(address, certificate).await?["outcome"] == outcome).then_some(()))
        .await;
}

/// The sum over all series of a metric whose labels contain `label`.
async fn metric(address: SocketAddr, name: &str, label: &str) -> Option<f64> {
    let text = String::from_utf8(http_get(address, "/metrics").await?.body).ok()?;
    let of_name =
        |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
    let values = text.lines().filter(of_name).filter(|line| line.contains(label));
    Some(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

async fn expect_metric(address: SocketAddr, name: &str, label: &str, at_least: f64) {
    let what = format!("{name}{{{label}}} of {address} is at least {at_least}");
    eventually(&what, async || (metric(address, name, label).await? >= at_least).then_some(())).await;
}

fn origin() -> Origin {
    Origin { role: Role::Authority, instance: "a-1".parse().unwrap(), seen_at_ms: 0 }
}

/// A notice of `crl` as an authority would publish it: without the CRL, for it is at `url`.
fn pointing_notice(ca: &SilentCa, crl: &Crl, url: &str) -> CrlNotice {
    let mut notice = CrlNotice::of(crl, ca.issuer(), origin());
    (notice.crl, notice.locations) = (None, vec![url.to_owned()]);
    notice
}

async fn say(bus: &Bus, notice: &CrlNotice) {
    let body: Bytes = encode(notice).unwrap().into();
    let subject = notice.subject().to_string();
    bus.publish(subjects::NOTICES, &subject, &notice.headers(), body).await.unwrap();
}

/// I10: a repository that never ends, with many notices, delays no other issuer's notice and no other debt.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_never_ends_delays_nobody_else() {
    let server = NatsServer::start().await;
    let bus = server.bus("publisher").await;
    let dead = StallingServer::start().await;
    let ca = SilentCa::new("CN=Dead", &dead.url("/ca.crl"));
    let (leaf, serial) = ca.leaf();
    let sound = PlainServer::start(b"").await;
    let prefixes = vec![dead.url("/"), sound.url("/")];
    let validator = Validator::start(&server, "v1", &ca.certificate, |config| {
        config.repositories = prefixes;
        config.polling.on_demand = false;
    })
    .await;
    validator.ready().await;
    // More than there are places for notices, each in a scope of its own.
    let crl = ca.crl(1, 3_600, &[], 0);
    for n in 0..100u8 {
        let lie = CrlNotice {
            scope: ScopeId([n; 16]),
            crl_id: CrlId([n; 32]),
            digest: Digest([n; 32]),
            ..pointing_notice(&ca, &crl, &dead.url(&format!("/{n}")))
        };
        say(&bus, &lie).await;
    }
    eventually("the dead repository is asked", async || (dead.asked() > 0).then_some(())).await;
    // One brings its CRL along; the next is at a repository that answers.
    let publisher = Publisher::new(&bus, "a-1").await;
    let inline = CrlNotice::of(&crl, ca.issuer(), origin());
    publisher.publish_crl(&inline, crl.der(), ca.certificate.spki()).await.unwrap();
    expect(validator.address, &leaf, "valid").await;
    let next = ca.crl(2, 3_600, &[serial], 0);
    sound.show(next.der());
    say(&bus, &pointing_notice(&ca, &next, &sound.url("/ca.crl"))).await;
    expect(validator.address, &leaf, "revoked").await;
    assert_eq!(metric(validator.address, "revocast_crls_applied_total", "repository").await, Some(1.0));
    assert!(metric(validator.address, "revocast_notices_owed", "").await.unwrap() >= 50.0);
    validator.stop().await;
}

/// I3, I11: without a broker every validator enforces what the repository shows, asking only for what is new; with the
/// broker back nothing is applied twice.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_each_validator_polls_and_with_it_back_nothing_is_applied_twice() {
    let mut fleet = Fleet::start().await;
    let site = PlainServer::start(b"").await;
    let ca = SilentCa::new("CN=Silent", &site.url("/ca.crl"));
    let (leaf, serial) = ca.leaf();
    std::fs::write(fleet.path("root.crt"), ca.certificate.der()).unwrap();
    site.show(ca.crl(1, 3_600, &[], 0).der());
    let names = ["v1", "v2", "v3"];
    let doors: Vec<SocketAddr> = names.iter().map(|_| free_address()).collect();
    for (name, door) in names.iter().zip(&doors) {
        let config = format!(
            "instance = '{name}'\nstate = {:?}\nlisten = '{door}'\n\
             [policies.default]\nanchors = [{:?}]\n\
             [fetch]\nallowed_networks = ['127.0.0.0/8']\n\
             [freshness]\nprobe = '500ms'\ndegraded_after = '3s'\n\
             [polling]\ninterval = '1s'\nhost_gap = '10ms'\npatience = '10s'",
            fleet.path(name),
            fleet.path("root.crt"),
        );
        fleet.start_service("validator", name, &config);
    }
    for door in &doors {
        // The first question has the CRL fetched, and is answered with it.
        eventually("the validator is fresh", async || {
            let readiness = http_get(*door, "/readyz").await?.json();
            (readiness["ready"] == true && about(&readiness, "freshness").is_none()).then_some(())
        })
        .await;
        expect(*door, &leaf, "valid").await;
    }
    assert_eq!(site.whole(), 1, "with the broker there one validator asks for all");

    fleet.nats.kill();
    for door in &doors {
        expect_metric(*door, "revocast_degraded", "", 1.0).await;
        expect_metric(*door, "revocast_repository_polls_total", "not_modified", 2.0).await;
        let readiness = http_get(*door, "/readyz").await.unwrap().json();
        assert!(about(&readiness, "freshness").is_some() && readiness["ready"] == true, "{readiness}");
    }
    assert_eq!(site.whole(), 1, "what is not new is not sent again");
    site.show(ca.crl(2, 3_600, &[serial], 0).der());
    for door in &doors {
        expect(*door, &leaf, "revoked").await;
    }
    assert_eq!(site.whole(), 1 + names.len() as u64);

    fleet.nats.start_again().await;
    let bus = fleet.nats.bus("test").await;
    let subject = Subject::CrlNotice {
        class: Role::Validator,
        issuer: ca.issuer(),
        scope: ca.crl(2, 1, &[], 0).scope(ca.issuer()),
        kind: CrlKind::Complete,
    };
    eventually("the fleet is told what was found", async || {
        let head = bus.head(subjects::SIGHTINGS, &subject.to_string()).await.ok()??;
        (decode::<CrlNotice>(&head.payload).ok()?.number? == 2u64.into()).then_some(())
    })
    .await;
    for door in &doors {
        expect_metric(*door, "revocast_repository_polls_total", "", 1.0).await;
        eventually("the validator is fresh again", async || {
            (metric(*door, "revocast_degraded", "").await? == 0.0).then_some(())
        })
        .await;
        assert_eq!(metric(*door, "revocast_crls_applied_total", "").await, Some(2.0));
    }
}

/// A CRL that nobody announces: near nextUpdate one validator of the fleet finds it, and all enforce it.
#[tokio::test(flavor = "multi_thread")]
async fn near_next_update_one_validator_finds_the_next_crl_for_all() {
    let server = NatsServer::start().await;
    let site = PlainServer::start(b"").await;
    let ca = SilentCa::new("CN=Silent", &site.url("/ca.crl"));
    let (leaf, serial) = ca.leaf();
    let mut validators = Vec::new();
    for n in 1..=4 {
        let validator = Validator::start(&server, &format!("v{n}"), &ca.certificate, |_| {}).await;
        validator.ready().await;
        validators.push(validator);
    }
    site.show(ca.crl(1, 20, &[], 0).der());
    for validator in &validators {
        expect(validator.address, &leaf, "valid").await;
    }
    site.show(ca.crl(2, 3_600, &[serial], 0).der());
    for validator in &validators {
        expect(validator.address, &leaf, "revoked").await;
    }
    assert_eq!(site.whole(), 2, "each CRL was fetched once");
    // What is announced is counted once it is acknowledged.
    eventually("each CRL was announced once", async || {
        let mut published = 0.0;
        for validator in &validators {
            published += metric(validator.address, "revocast_notices_published_total", "stored").await?;
        }
        assert!(published <= 2.0, "{published} announcements of two CRLs");
        (published == 2.0).then_some(())
    })
    .await;
    for validator in validators {
        validator.stop().await;
    }
}

/// I3, I13: a connection that is open and says nothing proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_makes_answers_indeterminate_where_freshness_is_asked_for() {
    let server = NatsServer::start().await;
    let site = PlainServer::start(b"").await;
    let ca = SilentCa::new("CN=Silent", &site.url("/ca.crl"));
    let (leaf, _) = ca.leaf();
    site.show(ca.crl(1, 3_600, &[], 0).der());
    let validator = Validator::start(&server, "v1", &ca.certificate, |config| {
        for policy in config.policies.values_mut() {
            policy.fresh_within = Some(Duration::from_secs(4));
        }
    })
    .await;
    validator.ready().await;
    expect(validator.address, &leaf, "valid").await;
    server.process().signal(Signal::SIGSTOP);
    expect(validator.address, &leaf, "indeterminate").await;
    let reason = judgement(validator.address, &leaf).await.unwrap()["reason"].to_string();
    assert!(reason.contains("nothing proves"), "{reason}");
    server.process().signal(Signal::SIGCONT);
    expect(validator.address, &leaf, "valid").await;
    validator.stop().await;
}

/// Knows nothing that a subscriber would want to know.
#[derive(Clone)]
struct Ignorant;

impl Knowledge for Ignorant {
    fn now_ms(&self) -> i64 {
        revocast_daemon::Clock::system().now_ms()
    }

    async fn scopes(&self, _: Option<IssuerId>) -> Vec<ScopeState> {
        Vec::new()
    }
}

async fn answer_subscriptions(bus: &Bus, issuers: Vec<IssuerId>) -> revocast_bus::Service {
    let who = Responsible {
        role: Role::Authority,
        instance: "a-1".parse().unwrap(),
        issuers,
        longest_lease: Duration::from_secs(60),
    };
    registrar::start(bus, who, Ignorant).await.unwrap()
}

async fn registrations(bus: &Bus) -> Option<Vec<Registration>> {
    let entries = bus.bucket(subjects::SUBSCRIPTIONS).await.ok()?.entries(">").await.ok()?;
    entries.into_iter().map(|entry| decode(&entry.value?).ok()).collect()
}

/// Of a herd, all in this process.
const FOLLOWERS: usize = 200;

/// I11: validators that start with empty caches at once cost a CRL's repository one download.
#[tokio::test(flavor = "multi_thread")]
async fn a_herd_with_empty_caches_downloads_each_crl_once() {
    open_as_many_files_as_allowed();
    let server = NatsServer::start().await;
    let bus = server.bus("publisher").await;
    let site = PlainServer::start(b"").await;
    let ca = SilentCa::new("CN=Large", &site.url("/ca.crl"));
    let (leaf, serial) = ca.leaf();
    let _registrar = answer_subscriptions(&bus, Vec::new()).await;
    // Too large to travel in a notice, and in no object store yet.
    let crl = ca.crl(1, 3_600, &[serial], 10_000);
    site.show(crl.der());
    say(&bus, &pointing_notice(&ca, &crl, &ca.url)).await;
    let starting = (0..FOLLOWERS).map(|n| {
        let (server, ca) = (&server, &ca);
        async move {
            Validator::start(server, &format!("v{n}"), &ca.certificate, |config| {
                config.lease = Duration::from_secs(60);
                config.repositories = vec![ca.url.clone()];
            })
            .await
        }
    });
    let validators = futures::future::join_all(starting).await;
    eventually("every follower subscribed and told that it enforces the CRL", async || {
        let overview = Overview::read(&bus, Ignorant.now_ms()).await.ok()?.scopes();
        let scope = overview.first()?;
        (scope.enforced && scope.validators.len() == FOLLOWERS).then_some(())
    })
    .await;
    expect(validators[FOLLOWERS - 1].address, &leaf, "revoked").await;
    assert_eq!(site.whole(), 1);
    let stopping = validators.into_iter().map(Validator::stop);
    futures::future::join_all(stopping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_follow_the_anchors_and_end_with_a_goodbye_where_that_is_wished() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    let config = |name: &str| {
        format!("subscribe = 'anchors'\nunsubscribe_on_stop = {}\npayload = 'full'", name == "leaving")
    };
    for name in ["leaving", "staying"] {
        fleet.start_validator(name, &config(name));
    }
    let bus = fleet.nats.bus("test").await;
    let subscribed = async |validator: &str| {
        let found = registrations(&bus).await?;
        let issuers = found.into_iter().filter(|one| one.validator.as_str() == validator);
        Some(issuers.map(|one| one.issuer).collect::<Vec<_>>())
    };
    for name in ["leaving", "staying"] {
        eventually("the root and the CA below it are subscribed to", async || {
            let issuers = subscribed(name).await?;
            (issuers.len() == 2 && !issuers.contains(&None)).then_some(())
        })
        .await;
    }
    fleet.stop("leaving");
    eventually("the one that said goodbye is gone", async || {
        subscribed("leaving").await?.is_empty().then_some(())
    })
    .await;
    fleet.stop("staying");
    eventually("the one that did not is unknown once its lease lapsed", async || {
        let (_, scopes) = fleet.json_with_code(&["status"]);
        let validators = scopes[0]["validators"].as_array()?;
        (validators.len() == 1 && validators[0]["unknown"] == true).then_some(())
    })
    .await;
    let stopped = fleet.json(&["validator", "unsubscribe", "staying"]);
    assert_eq!(stopped.as_array().unwrap().len(), 2, "{stopped}");
    assert_eq!(subscribed("staying").await, Some(Vec::new()));
}

/// A renewal that is on its way when a validator ends may be registered after its goodbye.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_registered_after_the_goodbye_is_taken_back() {
    let server = NatsServer::start().await;
    let bus = server.bus("registrar").await;
    let registry = bus.bucket(subjects::SUBSCRIPTIONS).await.unwrap();
    let (asked, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let spec = ServiceSpec {
        name: "slow-registrar".into(),
        description: "registers a subscription once it was stopped".into(),
        version: "1.0.0".into(),
        metadata: Default::default(),
        concurrency: 8,
    };
    let answer = {
        let (registry, asked, stopped) = (registry.clone(), asked.clone(), stopped.clone());
        move |call: Call| {
            let (registry, asked, stopped) = (registry.clone(), asked.clone(), stopped.clone());
            async move {
                let request: SubscriptionRequest = decode(&call.payload).unwrap();
                let key = registry_key(request.issuer, &request.validator);
                if request.interest == Interest::Stop {
                    registry.delete(&key).await.unwrap();
                    stopped.notify_one();
                } else {
                    asked.notify_one();
                    stopped.notified().await;
                    registry.put(&key, "a registration".into()).await.unwrap();
                }
                Ok((Vec::new(), encode(&SubscriptionAnswer::Stopped).unwrap().into()))
            }
        }
    };
    let _registrar = serve(&bus, spec, &[("pki.subscribe.all.*".into(), None)], answer).await.unwrap();
    let ca = SilentCa::new("CN=Root", "http://127.0.0.1:9/ca.crl");
    let validator = Validator::start(&server, "leaving", &ca.certificate, |config| {
        config.unsubscribe_on_stop = true;
    })
    .await;
    tokio::time::timeout(DEADLINE, asked.notified()).await.unwrap();
    validator.stop().await;
    let entries = registry.entries(">").await.unwrap();
    assert!(entries.iter().all(|entry| entry.value.is_none()), "{entries:?}");
    assert!(registry.get("all.leaving").await.unwrap().is_some_and(|entry| entry.revision > 2));
}
