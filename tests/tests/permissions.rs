//! Who may say and hear what: `nats/accounts.conf` at work, and the cluster of `nats/cluster`.
//!
//! Each role does its job and the broker denies none of it; what is not its job is denied and told as denied.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use revocast_bus::declare::{Declaration, built_in};
use revocast_bus::{
    Bus, BusConfig, BusError, Followed, Follower, Published, ServiceSpec, Standing, Stored, serve,
};
use revocast_fleet::{Overview, Publisher, beat};
use revocast_messages::{CrlNotice, Instance, Origin, Role, decode, subjects};
use revocast_tests::{
    DEADLINE, Fleet, NatsCluster, NatsServer, PASSWORD, PlainServer, TestCa, eventually, free_address, http,
};

const NOW_MS: i64 = 1_790_000_000_000;

/// Lines of the broker's log in which it denied something.
fn denials(server: &NatsServer) -> Vec<String> {
    server.log().lines().filter(|line| line.contains("Violation")).map(ToOwned::to_owned).collect()
}

fn assert_nothing_was_denied(server: &NatsServer) {
    let denied = denials(server);
    assert!(denied.is_empty(), "{}", denied.join("\n"));
}

#[tokio::test]
async fn the_fleet_does_its_whole_job_and_the_broker_denies_none_of_it() {
    let mut fleet = Fleet::with_accounts().await;
    fleet.init_cas();
    fleet.start_authority();
    fleet.start_validator("v1", "");
    fleet.start_validator("v2", "");
    fleet.settled(2).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    let revoke = ["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise", "--wait"];
    let (code, report) = fleet.json_with_code(&revoke);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["fleet"]["enforced"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(fleet.verdict("v2", "leaf.crt").as_deref(), Some("revoked"));
    fleet.json(&["nats", "check"]);
    assert!(fleet.run(&["notices", "tail", "--heads", "--limit", "1"]).status.success());
    let members = fleet.json(&["status", "--validators"]);
    assert_eq!(members.as_array().unwrap().len(), 2, "{members}");
    assert!(fleet.json(&["notices", "record", "--out", "all.rec"])["messages"].as_u64() > Some(0));
    // A message that cannot be read is put aside.
    let authority = fleet.nats.as_role("authority").await;
    let subject = format!("pki.notice.crl.authority.{}.{}.complete", "00".repeat(16), "11".repeat(16));
    authority.publish(subjects::NOTICES, &subject, &Vec::new(), "noise".into()).await.unwrap();
    let monitor = fleet.nats.as_role("monitor").await;
    eventually("both validators put the noise aside", async || {
        (monitor.stream_state(subjects::ASIDE).await.ok()?.messages >= 2).then_some(())
    })
    .await;
    // Coming back, the client library asks for more than at first.
    assert_nothing_was_denied(&fleet.nats);
    fleet.nats.kill();
    fleet.nats.start_again().await;
    let monitor = fleet.nats.as_role("monitor").await;
    eventually("JetStream answers", async || monitor.stream_state(subjects::RECEIPTS).await.ok()).await;
    fleet.issue("other");
    eventually("a revocation is enforced again", async || {
        let (code, report) =
            fleet.json_with_code(&["ca", "revoke", "issuing", "--cert", "other.crt", "--wait"]);
        (code == 0 && report["fleet"]["enforced"].as_array()?.len() == 2).then_some(())
    })
    .await;
    fleet.stop("v1");
    fleet.stop("authority-1");
    assert_nothing_was_denied(&fleet.nats);
}

#[tokio::test]
async fn the_watcher_tells_the_repository_serves_and_the_broker_denies_none_of_it() {
    let mut fleet = Fleet::with_accounts().await;
    let (watched, posted) = (TestCa::new("CN=Watched"), TestCa::new("CN=Posted"));
    // Too large to travel in the notice: it goes through the object store.
    let (seen, brought) = (watched.crl(1, 20_000), posted.crl(1, 2));
    let server = PlainServer::start(seen.der()).await;
    for (file, ca) in [("watched.crt", &watched), ("posted.crt", &posted)] {
        std::fs::write(fleet.path(file), ca.certificate.der()).unwrap();
    }
    let address = free_address();
    let repository = format!(
        "state = {:?}\nlisten = '{address}'\ncertificates = [{:?}]\nheartbeat = '1s'",
        fleet.path("repository"),
        fleet.path("posted.crt"),
    );
    fleet.start_service("repository", "repository", &repository);
    let watcher = format!(
        "state = {:?}\nlisten = '127.0.0.1:0'\ncertificates = [{:?}]\nheartbeat = '1s'\n\
         [[watch]]\nurl = '{}'\ninterval = '1s'\n[fetch]\nallowed_networks = ['127.0.0.0/8']",
        fleet.path("watcher"),
        fleet.path("watched.crt"),
        server.url("/ca.crl"),
    );
    fleet.start_service("watcher", "watcher", &watcher);
    let serves = async |path: String| Some(http(address, "GET", &path, &[], &[]).await?.body);
    eventually("what the watcher saw is served", async || {
        (serves(format!("/crl/{}.crl", watched.issuer())).await? == *seen.der()).then_some(())
    })
    .await;
    eventually("what is posted is told", async || {
        let answer = http(address, "POST", "/v1/crls", &[], brought.der()).await?;
        [200, 201].contains(&answer.status).then_some(())
    })
    .await;
    let monitor = fleet.nats.as_role("monitor").await;
    eventually("both CRLs are known to the fleet", async || {
        (Overview::read(&monitor, NOW_MS).await.ok()?.scopes().len() == 2).then_some(())
    })
    .await;
    fleet.stop("watcher");
    fleet.stop("repository");
    assert_nothing_was_denied(&fleet.nats);
}

#[tokio::test]
async fn the_validator_searches_and_gets_certificates_and_the_broker_denies_none_of_it() {
    let mut fleet = Fleet::with_accounts().await;
    fleet.init_cas();
    fleet.start_authority();
    let address = free_address();
    let repository = format!(
        "state = {:?}\nlisten = '{address}'\ncertificates = [{:?}]",
        fleet.path("repository"),
        fleet.path("leaf.crt"),
    );
    fleet.start_service("repository", "repository", &repository);
    fleet.start_validator("v1", "");
    fleet.settled(1).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    let id = revocast_tests::sha256_hex(&std::fs::read(fleet.path("leaf.crt")).unwrap());
    for validator in ["any", "v1"] {
        eventually("the certificate is handed over", async || {
            let got = fleet.run(&["cert", "get", "--id", &id, "--validator", validator]);
            got.status.success().then_some(())
        })
        .await;
    }
    // Whoever may ask the validator may ask the repository, too.
    let client = fleet.nats.as_role("client").await;
    let json = vec![("Content-Type", "application/json".to_owned())];
    let request = format!(r#"{{"by": {{"certificate": "{id}"}}}}"#);
    let found = client.ask(subjects::SEARCH, &json, request.into(), DEADLINE).await.unwrap();
    assert!(String::from_utf8_lossy(&found).contains(r#""more":false"#), "{found:?}");
    fleet.stop("v1");
    fleet.stop("repository");
    assert_nothing_was_denied(&fleet.nats);
}

/// Everything that the publishers do at the broker, by the calls that they make.
async fn publish_as(server: &NatsServer, role: Role) {
    let bus = server.as_role(role.token()).await;
    let instance: Instance = role.token().parse().unwrap();
    let publisher = Publisher::new(&bus, role.token()).await;
    // Too large to go inside the notice, so that whoever judges it reads the object store.
    let ca = TestCa::new("CN=Somebody");
    let (crl, spki) = (ca.crl(1, 20_000), ca.certificate.spki());
    let origin = Origin { role, instance: instance.clone(), seen_at_ms: NOW_MS };
    let notice = CrlNotice::of(&crl, ca.issuer(), origin);
    assert!(notice.crl.is_none());
    let published = publisher.publish_crl(&notice, crl.der(), spki).await.unwrap();
    assert!(matches!(published, Published::Stored(_)), "{published:?}");
    let again = publisher.publish_crl(&notice, crl.der(), spki).await.unwrap();
    assert!(matches!(again, Published::AlreadyThere(_)), "{again:?}");
    let objects = publisher.objects().await.unwrap();
    assert_eq!(objects.get(&crl.digest().to_string(), 1 << 24).await.unwrap(), crl.der());
    beat(&bus, role, &instance, 10, NOW_MS).await;
    let registry = bus.bucket(subjects::SUBSCRIPTIONS).await.unwrap();
    registry.put("all.somebody", "registration".into()).await.unwrap();
    registry.delete("all.somebody").await.unwrap();
}

async fn follow_as(server: &NatsServer, role: &str, streams: &[&str]) {
    let bus = server.as_role(role).await;
    for stream in streams {
        let mut follower = Follower::new(&bus, stream, subjects::ALL_NOTICES, None);
        let attached = async {
            loop {
                match follower.next().await {
                    Followed::Attached { .. } => return,
                    Followed::Detached { why } => panic!("{role} does not follow {stream}: {why}"),
                    Followed::Head(_) | Followed::Next(_) => {}
                }
            }
        };
        tokio::time::timeout(DEADLINE, attached).await.unwrap();
        bus.message_at(stream, 1).await.unwrap();
    }
}

#[tokio::test]
async fn repository_and_watcher_publish_follow_and_register() {
    let server = NatsServer::with_accounts().await;
    for role in [Role::Repository, Role::Watcher] {
        publish_as(&server, role).await;
    }
    follow_as(&server, "repository", &[subjects::NOTICES, subjects::SIGHTINGS]).await;
    follow_as(&server, "watcher", &[subjects::NOTICES, subjects::SIGHTINGS]).await;
    follow_as(&server, "monitor", &[subjects::NOTICES, subjects::SIGHTINGS]).await;
    let watcher = server.as_role("watcher").await;
    let leases = watcher.bucket(subjects::LEASES).await.unwrap();
    let mut lease = leases.lease("watch.somebody", "watcher").await.unwrap().unwrap();
    assert!(leases.lease("watch.somebody", "another").await.unwrap().is_none());
    lease.renew("watcher").await.unwrap();
    lease.release().await;
    watcher.bucket(subjects::SUBSCRIPTIONS).await.unwrap().entries(">").await.unwrap();
    assert_nothing_was_denied(&server);
}

#[tokio::test]
async fn the_monitor_reads_the_status_and_whatever_services_say_of_themselves() {
    let server = NatsServer::with_accounts().await;
    publish_as(&server, Role::Authority).await;
    let monitor = server.as_role("monitor").await;
    let overview = Overview::read(&monitor, NOW_MS).await.unwrap();
    assert_eq!(overview.scopes().len(), 1);
    assert!(monitor.check(&built_in()).await.unwrap().is_empty());
    // A recording holds the CRLs that notices name.
    let head = last_message(&monitor, subjects::NOTICES).await;
    let notice: CrlNotice = decode(&head.payload).unwrap();
    let objects = monitor.objects(subjects::CRLS, subjects::LEASES, "monitor").await.unwrap();
    objects.get(&notice.digest.to_string(), 1 << 24).await.unwrap();
    let _service = refusing_validator(&server).await;
    let told = monitor.ask("$SRV.PING", &Vec::new(), Bytes::new(), DEADLINE).await.unwrap();
    assert!(String::from_utf8_lossy(&told).contains("refusing"), "{told:?}");
    assert_nothing_was_denied(&server);
}

/// The last notice of a CRL in a stream.
async fn last_message(bus: &Bus, stream: &str) -> Stored {
    let mut follower = Follower::new(bus, stream, subjects::ALL_NOTICES, None);
    loop {
        match tokio::time::timeout(DEADLINE, follower.next()).await.unwrap() {
            Followed::Head(head) if decode::<CrlNotice>(&head.payload).is_ok() => return head,
            Followed::Attached { .. } => panic!("there is no notice in {stream}"),
            _ => {}
        }
    }
}

/// What a role tries.
enum Attempt {
    /// A message into a stream.
    Publish(&'static str, &'static str),
    /// A request to the broker's API, or to a service.
    Ask(&'static str),
}

async fn attempt(bus: &Bus, attempt: &Attempt) -> Result<(), BusError> {
    match attempt {
        Attempt::Publish(stream, subject) => {
            bus.publish(stream, subject, &Vec::new(), "x".into()).await.map(|_| ())
        }
        Attempt::Ask(subject) => {
            bus.ask(subject, &Vec::new(), Bytes::new(), Duration::from_secs(5)).await.map(|_| ())
        }
    }
}

#[tokio::test]
async fn nobody_does_what_is_not_his() {
    use Attempt::{Ask, Publish};
    let server = NatsServer::with_accounts().await;
    let fleet = ["authority", "repository", "watcher", "validator", "bridge", "client", "monitor"];
    let mut cases: Vec<(&str, Attempt)> = Vec::new();
    for role in fleet {
        for subject in [
            "$JS.API.STREAM.CREATE.OTHER",
            "$JS.API.STREAM.UPDATE.NOTICES",
            "$JS.API.STREAM.DELETE.NOTICES",
            "$JS.API.STREAM.PURGE.SIGHTINGS",
            "$JS.API.STREAM.MSG.DELETE.RECEIPTS",
            "$JS.API.STREAM.RESTORE.NOTICES",
            "$JS.API.STREAM.SNAPSHOT.NOTICES",
            // Without a name and a filter in the subject the broker cannot tell what is asked for.
            "$JS.API.CONSUMER.CREATE.NOTICES",
            "$JS.API.CONSUMER.DURABLE.CREATE.NOTICES.x",
        ] {
            cases.push((role, Ask(subject)));
        }
    }
    for (role, subject) in [
        ("repository", "pki.notice.crl.authority.i.s.complete"),
        ("watcher", "pki.notice.crl.authority.i.s.complete"),
        ("watcher", "pki.notice.crl.repository.i.s.complete"),
        ("watcher", "pki.notice.cert.authority.i.c"),
        ("watcher", "pki.heartbeat.authority.a"),
        ("validator", "pki.notice.crl.authority.i.s.complete"),
        ("validator", "pki.notice.crl.repository.i.s.complete"),
        ("bridge", "pki.notice.crl.authority.i.s.complete"),
        ("bridge", "pki.notice.cert.repository.i.c"),
        ("client", "pki.notice.crl.authority.i.s.complete"),
        ("monitor", "pki.notice.crl.authority.i.s.complete"),
        ("operator", "pki.notice.crl.authority.i.s.complete"),
    ] {
        cases.push((role, Publish(subjects::NOTICES, subject)));
    }
    for (role, stream, subject) in [
        ("authority", subjects::SIGHTINGS, "pki.notice.crl.watcher.i.s.complete"),
        ("bridge", subjects::SIGHTINGS, "pki.notice.crl.watcher.i.s.complete"),
        ("bridge", subjects::SIGHTINGS, "pki.heartbeat.validator.v"),
        ("bridge", subjects::RECEIPTS, "pki.receipt.v.i.s.complete"),
        ("bridge", subjects::ASIDE, "pki.aside.v"),
        ("bridge", "KV_leases", "$KV.leases.fetch.x"),
        ("client", subjects::SIGHTINGS, "pki.notice.crl.watcher.i.s.complete"),
        ("client", subjects::RECEIPTS, "pki.receipt.v.i.s.complete"),
        ("authority", subjects::RECEIPTS, "pki.receipt.v.i.s.complete"),
        ("operator", subjects::RECEIPTS, "pki.receipt.v.i.s.complete"),
        ("authority", subjects::PATHS, "pki.path.v.p.t"),
        ("repository", subjects::PATHS, "pki.path.v.p.t"),
        ("watcher", subjects::PATHS, "pki.path.v.p.t"),
        ("client", subjects::PATHS, "pki.path.v.p.t"),
        ("monitor", subjects::PATHS, "pki.path.v.p.t"),
        ("validator", "KV_subscriptions", "$KV.subscriptions.all.v"),
        ("monitor", "KV_subscriptions", "$KV.subscriptions.all.v"),
        ("client", "OBJ_crls", "$O.crls.C.x"),
        ("monitor", "OBJ_crls", "$O.crls.M.x"),
        ("repository", "KV_leases", "$KV.leases.fetch.x"),
        ("client", "KV_watches", "$KV.watches.w.c"),
        ("authority", "KV_watches", "$KV.watches.w.c"),
        ("client", subjects::VERDICTS, "pki.verdict.w"),
        ("watcher", subjects::VERDICTS, "pki.verdict.w"),
        // Only the broker says a verdict again.
        ("validator", subjects::VERDICTS, "pki.told.w"),
        ("client", subjects::VERDICTS, "pki.told.w"),
    ] {
        cases.push((role, Publish(stream, subject)));
    }
    for (role, subject) in [
        ("client", "pki.subscribe.all.v"),
        ("bridge", "pki.subscribe.all.v"),
        ("bridge", "pki.validate"),
        ("bridge", "$JS.API.CONSUMER.CREATE.NOTICES.f.pki.>"),
        ("bridge", "$JS.API.CONSUMER.CREATE.SIGHTINGS.f.pki.>"),
        ("bridge", "$JS.API.STREAM.INFO.RECEIPTS"),
        ("monitor", "pki.validate"),
        ("authority", "pki.validate"),
        ("monitor", "pki.acquire"),
        ("repository", "pki.acquire"),
        ("watcher", "pki.repository.search"),
        ("client", "$JS.API.STREAM.INFO.NOTICES"),
        ("client", "$JS.API.STREAM.INFO.VERDICTS"),
        ("client", "$JS.API.DIRECT.GET.VERDICTS.pki.verdict.w"),
        ("client", "$JS.API.CONSUMER.MSG.NEXT.VERDICTS.x"),
        ("monitor", "pki.watch"),
        ("client", "$SRV.PING"),
    ] {
        cases.push((role, Ask(subject)));
    }
    for role in fleet.into_iter().chain(["operator"]) {
        let bus = server.as_role(role).await;
        for (_, tried) in cases.iter().filter(|(who, _)| *who == role) {
            let (Ask(subject) | Publish(_, subject)) = tried;
            let came = attempt(&bus, tried).await;
            assert!(matches!(came, Err(BusError::Denied { .. })), "{role} {subject}: {came:?}");
        }
    }
}

#[tokio::test]
async fn the_declarations_are_the_operators_to_apply() {
    let server = NatsServer::with_accounts().await;
    let more = Declaration::parse("more", r#"{"name": "MORE", "subjects": ["more"]}"#).unwrap();
    for role in ["authority", "repository", "watcher", "validator", "bridge", "client", "monitor"] {
        let denied = server.as_role(role).await.apply(&more).await;
        assert!(matches!(denied, Err(BusError::Denied { .. })), "{role}: {denied:?}");
    }
    server.as_role("operator").await.apply(&more).await.unwrap();
}

/// A validator that refuses every question with an empty answer.
async fn refusing_validator(server: &NatsServer) -> revocast_bus::Service {
    let bus = server.as_role("validator").await;
    let spec = ServiceSpec {
        name: "refusing".into(),
        description: "refuses".into(),
        version: "1.0.0".into(),
        metadata: [].into(),
        concurrency: 1,
    };
    let endpoints = [(subjects::VALIDATE.to_owned(), Some("validators"))];
    let service = serve(&bus, spec, &endpoints, |_| async { Err("no".to_owned()) }).await.unwrap();
    // The broker takes what a connection says in order: once it answers, it knows the service.
    bus.stream_state(subjects::NOTICES).await.unwrap();
    service
}

#[tokio::test]
async fn questions_are_answered_into_the_inbox_of_whoever_asked() {
    let server = NatsServer::with_accounts().await;
    let _service = refusing_validator(&server).await;
    // The role's own inbox, and one below it for an instance.
    for inbox in ["_INBOX_client", "_INBOX_client.c7"] {
        let config = BusConfig { inbox_prefix: Some(inbox.into()), ..server.config_of("client") };
        let client = Bus::connect(&config, inbox).await.unwrap();
        let refused = client.ask(subjects::VALIDATE, &Vec::new(), "x".into(), DEADLINE).await;
        assert!(matches!(refused, Err(BusError::Refused { .. })), "{inbox}: {refused:?}");
    }
    assert_nothing_was_denied(&server);
}

/// A client that is not ours, as the user of a role.
fn foreign(role: &str) -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::with_user_and_password(role.into(), PASSWORD.into())
        .custom_inbox_prefix(format!("_INBOX_{role}"))
}

#[tokio::test]
async fn an_answer_to_a_forged_reply_subject_deletes_no_stream() {
    let server = NatsServer::with_accounts().await;
    let _service = refusing_validator(&server).await;
    let client = foreign("client").connect(server.url()).await.unwrap();
    let forged = "$JS.API.STREAM.DELETE.NOTICES";
    client.publish_with_reply(subjects::VALIDATE, forged, "x".into()).await.unwrap();
    client.flush().await.unwrap();
    eventually("the broker denies the answer", async || {
        let denied = denials(&server);
        denied.iter().any(|line| line.contains("validator") && line.contains(forged)).then_some(())
    })
    .await;
    server.as_role("operator").await.stream_state(subjects::NOTICES).await.unwrap();
}

#[tokio::test]
async fn nobody_hears_the_inbox_of_another() {
    let server = NatsServer::with_accounts().await;
    for (role, heard) in [
        ("client", "_INBOX_validator.>"),
        ("client", "_INBOX_operator.>"),
        ("client", "_INBOX.>"),
        ("client", ">"),
        ("client", "pki.validate"),
        // Whatever is said there may have been refused.
        ("client", "pki.verdict.*"),
        ("validator", "pki.told.*"),
        // Only as one of the validators that share the requests out.
        ("validator", "pki.watch"),
        ("validator", "_INBOX_client.>"),
        ("bridge", "pki.notice.>"),
        ("bridge", "_INBOX_validator.>"),
        // Only as one of the validators that share the questions out.
        ("validator", "pki.validate"),
        ("validator", "pki.acquire"),
        ("repository", "pki.repository.search"),
        ("watcher", "pki.notice.>"),
        ("monitor", "_INBOX_operator.>"),
    ] {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let tell = Arc::new(tell);
        let options = foreign(role).event_callback(move |event| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(event.to_string());
            }
        });
        let client = options.connect(server.url()).await.unwrap();
        let mut subscription = client.subscribe(heard).await.unwrap();
        let denied = async {
            while let Some(words) = told.recv().await {
                if words.to_lowercase().contains("permissions violation for subscription") {
                    return;
                }
            }
        };
        tokio::select! {
            () = denied => {}
            heard = subscription.next() => panic!("{role} heard {heard:?}"),
            () = tokio::time::sleep(DEADLINE) => panic!("{role} may hear {heard}"),
        }
    }
}

/// Publishes one more head, however long the broker takes to confirm it; its sequence.
async fn publish_number(bus: &Bus, number: u64) -> u64 {
    let subject = format!("pki.notice.crl.authority.{}.{}.complete", "00".repeat(16), "11".repeat(16));
    let (headers, body) = (Vec::new(), Bytes::from(number.to_string()));
    let judge = |head: Stored| {
        let standing = if head.payload == body { Standing::Same } else { Standing::Worse };
        async move { standing }
    };
    let published = bus.publish_head(subjects::NOTICES, &subject, &headers, body.clone(), judge);
    match tokio::time::timeout(DEADLINE, published).await.unwrap().unwrap() {
        Published::Stored(sequence) | Published::AlreadyThere(sequence) => sequence,
        Published::Superseded(_) => unreachable!("nobody else publishes"),
    }
}

#[tokio::test]
async fn a_three_node_cluster_applies_three_replicas() {
    let mut cluster = NatsCluster::start().await;
    let operator = cluster.as_role("operator").await;
    for declaration in built_in() {
        eventually("the cluster takes a declaration", async || operator.apply(&declaration).await.ok()).await;
    }
    assert!(operator.check(&built_in()).await.unwrap().is_empty());

    let authority = cluster.as_role("authority").await;
    assert_eq!(publish_number(&authority, 1).await, 1);
    let leader = leader_of(&cluster, subjects::NOTICES).await;
    cluster.node(&leader).kill();
    assert_eq!(publish_number(&authority, 2).await, 2);
    assert_ne!(leader_of(&cluster, subjects::NOTICES).await, leader);

    cluster.node(&leader).start_again().await;
    eventually("three replicas stand again", async || {
        let info = info_of(&cluster, subjects::NOTICES).await?;
        let replicas = info.cluster?.replicas;
        (replicas.len() == 2 && replicas.iter().all(|replica| replica.current)).then_some(())
    })
    .await;
}

async fn info_of(cluster: &NatsCluster, stream: &str) -> Option<async_nats::jetstream::stream::Info> {
    let client = foreign("operator").connect(cluster.running().url()).await.ok()?;
    let jetstream = async_nats::jetstream::new(client);
    let found = jetstream.get_stream(stream).await.ok()?;
    Some(found.cached_info().clone())
}

async fn leader_of(cluster: &NatsCluster, stream: &str) -> String {
    eventually("the stream has a leader", async || info_of(cluster, stream).await?.cluster?.leader).await
}
