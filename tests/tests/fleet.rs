//! The main job, with real processes: a revocation is enforced across a fleet, whatever happens to its parts.
//!
//! ```text
//!   authority (root > issuing > leaf) --notice--> nats-server --> v1 v2 v3 --receipts--> authority's operator
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use revocast_bus::{Bus, Headers};
use revocast_fleet::Publisher;
use revocast_messages::subjects::Subject;
use revocast_messages::{CrlNotice, Origin, Role, decode, encode, subjects};
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, Digest, ScopeId};
use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey};
use revocast_pki::name::Name;
use revocast_tests::{Fleet, PlainServer, ValidatorProcess, World, eventually, free_address};
use rusqlite::Connection;
use serde_json::Value;

/// An authority, a leaf, and validators v1 to vn that enforce what there is.
async fn fleet_of(validators: usize) -> Fleet {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    for n in 1..=validators {
        fleet.start_validator(&format!("v{n}"), "");
    }
    fleet.settled(validators).await;
    fleet
}

fn revoke(fleet: &Fleet, name: &str, more: &[&str]) -> (i32, Value) {
    let file = format!("{name}.crt");
    let words = [&["ca", "revoke", "issuing", "--cert", &file, "--reason", "keyCompromise"], more].concat();
    fleet.json_with_code(&words)
}

#[tokio::test]
async fn a_revocation_is_enforced_across_the_fleet_when_revoke_wait_returns() {
    let fleet = fleet_of(3).await;
    for validator in ["v1", "v2", "v3", "any"] {
        // What it enforces may be told before its door is open.
        fleet.expect(validator, "leaf.crt", "valid").await;
    }
    let (code, report) = revoke(&fleet, "leaf", &["--wait"]);
    assert_eq!(code, 0, "{report}");
    let enforced: Vec<&str> = report["fleet"]["enforced"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[0].as_str().unwrap())
        .collect();
    assert_eq!(enforced, ["v1", "v2", "v3"]);
    for validator in ["v1", "v2", "v3", "any"] {
        assert_eq!(fleet.verdict(validator, "leaf.crt").as_deref(), Some("revoked"), "{validator}");
    }
}

#[tokio::test]
async fn a_validator_started_later_answers_from_the_streams_history() {
    let mut fleet = fleet_of(1).await;
    revoke(&fleet, "leaf", &["--wait"]);
    fleet.start_validator("late", "");
    fleet.expect("late", "leaf.crt", "revoked").await;
}

#[tokio::test]
async fn a_validator_restarted_with_the_broker_down_answers_from_its_own_store() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.issue("other");
    fleet.start_authority();
    // The door over HTTP does not need the broker.
    let port = free_address().port();
    let listen = |fleet: &mut Fleet| {
        let config = format!(
            "instance = 'v1'\nstate = {:?}\nlisten = '127.0.0.1:{port}'\n[policies.default]\nanchors = [{:?}]\n",
            fleet.path("v1"),
            fleet.path("root.crt"),
        );
        fleet.start_service("validator", "v1", &config);
    };
    listen(&mut fleet);
    fleet.settled(1).await;
    revoke(&fleet, "leaf", &["--wait"]);
    fleet.kill("v1");
    fleet.nats.kill();
    listen(&mut fleet);
    let judged = async |name: &str| {
        let certificate = std::fs::read(fleet.path(&format!("{name}.crt"))).unwrap();
        eventually("the validator answers over HTTP", async || {
            let answer: Value =
                serde_json::from_str(&post(port, "/v1/validate", &certificate).await?).ok()?;
            Some(answer["judgements"][0].clone())
        })
        .await
    };
    assert_eq!(judged("leaf").await["outcome"], "revoked");
    let other = judged("other").await;
    assert_eq!(other["outcome"], "valid", "{other}");
    assert_eq!(other["evidence"][1]["number"], "2", "the answer names the CRL that decided");
}

#[tokio::test]
async fn lies_and_garbage_change_no_verdict_and_the_next_good_notice_is_applied() {
    let fleet = fleet_of(1).await;
    let bus = fleet.nats.bus("liar").await;
    let head = head_of(&fleet, &bus).await;
    let before = aside(&bus).await;

    // Every lie is told in the name of the authority, with valid credentials.
    let forged = forgery(&head, CrlNumber::from(99));
    let enormous_number = forgery(&head, "1427247692705959881058285969449495136382746624".parse().unwrap());
    let lower_number = CrlNotice { number: Some(CrlNumber::from(0)), crl_id: CrlId([5; 32]), ..head.clone() };
    let anothers_scope = CrlNotice { scope: ScopeId([7; 16]), crl_id: CrlId([7; 32]), ..head.clone() };
    let attacker_url = CrlNotice {
        number: Some(CrlNumber::from(98)),
        crl_id: CrlId([9; 32]),
        crl: None,
        digest: Digest([9; 32]),
        locations: vec!["http://127.0.0.1:9/attack".into()],
        ..head.clone()
    };
    for lie in [&forged, &enormous_number, &lower_number, &anothers_scope, &attacker_url] {
        say(&bus, &lie.subject(), &lie.headers(), encode(lie).unwrap()).await;
    }
    say(&bus, &head.subject(), &Vec::new(), b"garbage".to_vec()).await;
    say(&bus, &head.subject(), &Vec::new(), vec![0xff; 900_000]).await;
    let mut future = encode(&head).unwrap();
    future[0] = 200;
    say(&bus, &head.subject(), &Vec::new(), future).await;
    let lying_header = vec![("Revocast-Crl-Number", "12345".to_owned())];
    say(
        &bus,
        &head.subject(),
        &lying_header,
        encode(&CrlNotice { number: Some(CrlNumber::from(97)), ..head.clone() }).unwrap(),
    )
    .await;

    eventually("what is unreadable or a lie is put aside", async || {
        (aside(&bus).await - before >= 7).then_some(())
    })
    .await;
    assert_eq!(fleet.verdict("v1", "leaf.crt").as_deref(), Some("valid"));
    let (code, report) = revoke(&fleet, "leaf", &["--wait"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(fleet.verdict("v1", "leaf.crt").as_deref(), Some("revoked"));
}

#[tokio::test]
async fn every_service_stops_when_it_is_told_to_with_and_without_a_broker() {
    let mut fleet = fleet_of(1).await;
    fleet.start_validator("v2", "");
    fleet.settled(2).await;
    fleet.stop("v2");
    fleet.stop("authority-1");
    fleet.start_authority();
    fleet.nats.kill();
    fleet.stop("v1");
    fleet.stop("authority-1");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_every_service() {
    let mut fleet = fleet_of(2).await;
    fleet.issue("second");
    // The ledger has it; nobody could be told.
    fleet.kill("authority-1");
    fleet.nats.kill();
    let (code, report) = revoke(&fleet, "leaf", &[]);
    assert_eq!((code, &report["newly_revoked"]), (0, &Value::from(1)));
    for service in ["v1", "v2"] {
        fleet.kill(service);
    }
    fleet.nats.start_again().await;
    fleet.start_authority();
    fleet.start_validator("v1", "");
    fleet.start_validator("v2", "");
    for validator in ["v1", "v2"] {
        fleet.expect(validator, "leaf.crt", "revoked").await;
        fleet.expect(validator, "second.crt", "valid").await;
    }
}

#[tokio::test]
async fn a_broker_killed_and_restarted_while_notices_flow_loses_nothing() {
    let mut fleet = fleet_of(2).await;
    let names: Vec<String> = (0..6).map(|n| format!("leaf{n}")).collect();
    names.iter().for_each(|name| fleet.issue(name));
    for (n, name) in names.iter().enumerate() {
        if n == 2 {
            fleet.nats.kill();
        }
        if n == 4 {
            fleet.nats.start_again().await;
        }
        let (code, _) = revoke(&fleet, name, &[]);
        assert_eq!(code, 0);
    }
    for validator in ["v1", "v2"] {
        for name in &names {
            fleet.expect(validator, &format!("{name}.crt"), "revoked").await;
        }
        fleet.expect(validator, "leaf.crt", "valid").await;
    }
}

#[tokio::test]
async fn a_stopped_validator_shows_as_unknown_once_its_lease_lapsed() {
    let mut fleet = fleet_of(2).await;
    fleet.kill("v2");
    eventually("the lease of v2 lapses", async || {
        let (_, scopes) = fleet.json_with_code(&["status"]);
        let validators = scopes[0]["validators"].as_array()?;
        let v2 = validators.iter().find(|validator| validator["validator"] == "v2")?;
        (v2["unknown"] == true).then_some(())
    })
    .await;
    let (code, report) = revoke(&fleet, "leaf", &["--wait"]);
    assert_eq!((code, &report["fleet"]["unknown"][0]), (2, &Value::from("v2")), "{report}");
}

#[tokio::test]
async fn a_validator_that_lags_while_its_lease_lives_is_told_as_behind() {
    let mut fleet = fleet_of(1).await;
    let config = format!(
        "instance = 'v2'\nstate = {:?}\nlisten = '127.0.0.1:0'\nlease = '600s'\n[policies.default]\nanchors = [{:?}]\n",
        fleet.path("v2"),
        fleet.path("root.crt"),
    );
    fleet.start_service("validator", "v2", &config);
    fleet.settled(2).await;
    fleet.service("v2").signal(Signal::SIGSTOP);
    let head = head_of(&fleet, &fleet.nats.bus("reader").await).await;
    let (code, report) = revoke(&fleet, "leaf", &[]);
    assert_eq!(code, 0, "{report}");
    eventually("v1 enforces it, and v2 is behind", async || {
        let (code, scopes) = fleet.json_with_code(&["status"]);
        let scope = scope_of(&scopes, &head);
        let [v1, v2] = scope["validators"].as_array()?.as_slice() else { return None };
        assert_eq!(v2["unknown"], false, "its lease lives");
        let lags = scope["behind"] == serde_json::json!(["v2"]) && v1["current"] == true;
        (code == 2 && lags && scope["number"] == "2" && scope["watermark"] == "1").then_some(())
    })
    .await;
    fleet.service("v2").signal(Signal::SIGCONT);
    fleet.settled(2).await;
}

#[tokio::test]
async fn a_watched_status_is_a_line_each_time_and_sigterm_ends_it() {
    let fleet = fleet_of(1).await;
    let mut watching = fleet.command(&["status", "--watch", "100ms", "--json"]);
    let mut child = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let scopes: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(scopes[0]["validators"][0]["validator"], "v1", "{scopes}");
    }
    revocast_tests::signal(child.id(), Signal::SIGTERM);
    assert!(lines.all(|line| serde_json::from_str::<Value>(&line.unwrap()).is_ok()), "half a document");
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(15) || status.success(), "{status}");
    // Nothing is registered or kept in its name.
    let registry = fleet.nats.bus("reader").await.bucket(subjects::SUBSCRIPTIONS).await.unwrap();
    let keys: Vec<String> = registry.entries(">").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["all.v1"]);
}

#[tokio::test]
async fn with_nobody_subscribed_nobody_is_behind_and_the_table_says_so() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    eventually("the CRLs are announced", async || {
        (fleet.json_with_code(&["status"]).1.as_array()?.len() == 2).then_some(())
    })
    .await;
    let shown = fleet.run(&["status"]);
    let table = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(0), "{table}");
    assert_eq!(table.matches("nobody subscribed").count(), 4, "in either table: {table}");
}

#[tokio::test]
async fn a_forged_number_makes_nobody_behind_and_is_shown_as_unproven() {
    let fleet = fleet_of(2).await;
    let bus = fleet.nats.bus("liar").await;
    let head = head_of(&fleet, &bus).await;
    let number = "1427247692705959881058285969449495136382746624";
    let as_watcher = |lie: CrlNotice| CrlNotice {
        origin: Origin { role: Role::Watcher, instance: "liar".parse().unwrap(), seen_at_ms: 0 },
        ..lie
    };
    // Signed by another key, in the name of a CRL that is enforced, and with nothing to be had.
    let signed = forgery(&head, number.parse().unwrap());
    let borrowed = CrlNotice { number: Some(number.parse().unwrap()), ..head.clone() };
    let empty = CrlNotice { crl: None, crl_id: CrlId([9; 32]), digest: Digest([9; 32]), ..borrowed.clone() };
    // The authority's own lie takes the place of its true head, so it comes last.
    let told = [as_watcher(signed.clone()), as_watcher(borrowed), as_watcher(empty), signed];
    for lie in &told {
        let body = encode(lie).unwrap();
        let stream = lie.origin.role.stream();
        bus.publish(stream, &lie.subject().to_string(), &Headers::new(), body.into()).await.unwrap();
        let (code, scopes) = fleet.json_with_code(&["status"]);
        let scope = scope_of(&scopes, &head);
        let real = head.number.unwrap().to_string();
        let told: Vec<&Value> =
            scope["unproven"].as_array().unwrap().iter().map(|one| &one["number"]).collect();
        assert!(!told.is_empty() && told.iter().all(|told| **told == number), "{scope}");
        assert_eq!((code, &scope["behind"]), (0, &Value::Array(Vec::new())), "{scope}");
        if lie.origin.role == Role::Watcher {
            assert_eq!(scope["number"], real.as_str(), "{scope}");
        }
    }
    let table = String::from_utf8(fleet.run(&["status"]).stdout).unwrap();
    assert!(table.contains(&format!("{number} by liar")) && !table.contains("BEHIND\n"), "{table}");
    let (code, report) = revoke(&fleet, "leaf", &["--wait"]);
    assert_eq!(code, 0, "{report}");
    fleet.settled(2).await;
}

#[tokio::test]
async fn a_cross_certificate_makes_a_foreign_leaf_valid_and_its_revocation_undoes_it() {
    let fleet = fleet_of(1).await;
    fleet.json(&[
        "ca",
        "init",
        "foreign",
        "--subject",
        "CN=Foreign Root,O=Elsewhere",
        "--out",
        "foreign.crt",
    ]);
    fleet.json(&["ca", "issue", "foreign", "--subject", "CN=stranger", "--out", "stranger.crt"]);
    fleet.expect("v1", "stranger.crt", "invalid").await;
    fleet.json(&["ca", "cross", "root", "--cert", "foreign.crt", "--out", "cross.crt"]);
    fleet.expect("v1", "stranger.crt", "valid").await;
    let (code, report) = fleet.json_with_code(&[
        "ca",
        "revoke",
        "root",
        "--cert",
        "cross.crt",
        "--reason",
        "cessationOfOperation",
        "--wait",
    ]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(fleet.verdict("v1", "stranger.crt").as_deref(), Some("revoked"));
}

async fn head_of(fleet: &Fleet, bus: &Bus) -> CrlNotice {
    let cas = fleet.json(&["ca", "list"]);
    let issuing = cas.as_array().unwrap().iter().find(|ca| ca["label"] == "issuing").unwrap();
    let crl = fleet.json(&["status"]);
    let scope = crl.as_array().unwrap().iter().find(|scope| scope["issuer"] == issuing["issuer"]).unwrap();
    let subject = Subject::CrlNotice {
        class: Role::Authority,
        issuer: issuing["issuer"].as_str().unwrap().parse().unwrap(),
        scope: scope["scope"].as_str().unwrap().parse().unwrap(),
        kind: CrlKind::Complete,
    };
    let head = bus.head(subjects::NOTICES, &subject.to_string()).await.unwrap().unwrap();
    decode(&head.payload).unwrap()
}

/// What `status` shows of the scope of a notice.
fn scope_of<'v>(scopes: &'v Value, notice: &CrlNotice) -> &'v Value {
    let scope = notice.scope.to_string();
    let found = scopes.as_array().unwrap().iter().find(|shown| shown["scope"] == scope.as_str());
    found.unwrap_or_else(|| panic!("{scope} is not among {scopes}"))
}

/// A CRL in the issuer's name, without entries, signed by nobody's key.
fn forgery(head: &CrlNotice, number: CrlNumber) -> CrlNotice {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let name = Name::decode(head.issuer_name.0.clone()).unwrap();
    let template = CrlTemplate::new(name, number, head.this_update.plus(1), head.this_update.plus(86_400));
    let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
    CrlNotice { scope: head.scope, ..CrlNotice::of(&crl, head.issuer, head.origin.clone()) }
}

async fn say(bus: &Bus, subject: &Subject, headers: &Headers, body: Vec<u8>) {
    let bare: Headers = headers.iter().filter(|(name, _)| *name != "Nats-Msg-Id").cloned().collect();
    bus.publish(subjects::NOTICES, &subject.to_string(), &bare, body.into()).await.unwrap();
}

async fn aside(bus: &Bus) -> u64 {
    bus.stream_state(subjects::ASIDE).await.unwrap().last_sequence
}

/// A POST without a client library: what a stranger's program would send.
async fn post(port: u16, path: &str, body: &[u8]) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.ok()?.ok()?;
    Some(String::from_utf8(answer).ok()?.split_once("\r\n\r\n")?.1.to_owned())
}

/// What the audit record says of each apply of a CA's CRLs, the oldest first: number, digest, who told it, whence it came,
/// how many entries came and went.
type Audited = (String, String, String, String, u32, u32);

fn audited(validator: &ValidatorProcess, crl: &Crl, notice: &CrlNotice) -> Vec<Audited> {
    let journal = Connection::open(validator.state().join("journal.db")).unwrap();
    let sql = "SELECT number, digest, told_by, source, added, removed FROM audit
               WHERE issuer = ?1 AND scope = ?2 AND kind = ?3 ORDER BY id";
    let mut statement = journal.prepare(sql).unwrap();
    let key = [notice.issuer.to_string(), notice.scope.to_string(), crl.kind().to_string()];
    let rows = statement.query_map(key, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn an_apply_leaves_a_record_of_who_told_whence_it_came_and_what_changed() {
    let world = World::start().await;
    let here = "repositories = ['http://127.0.0.1:']\n[fetch]\nallowed_networks = ['127.0.0.0/8']\n";
    let mut validator = world.validator("v1", here);
    validator.start();
    let enforced = async |number: u64| {
        eventually(&format!("CRL {number} is enforced"), async || {
            (validator.enforces(&world.issuing).await? == Some(number)).then_some(())
        })
        .await;
    };
    // One within its notice, one in the object store, one that only a repository has.
    let crls = [world.issuing.crl(1, 2), world.issuing.crl(2, 5), world.issuing.crl(3, 1)];
    world.publish(&world.issuing, &crls[0]).await;
    enforced(1).await;
    let stored = CrlNotice { crl: None, ..world.issuing.notice(&crls[1]) };
    let signer = world.issuing.certificate.spki();
    Publisher::new(&world.bus, "world").await.publish_crl(&stored, crls[1].der(), signer).await.unwrap();
    enforced(2).await;
    let site = PlainServer::start(crls[2].der()).await;
    let locations = vec![site.url("/ca.crl")];
    world.tell(&CrlNotice { crl: None, locations, ..world.issuing.notice(&crls[2]) }).await;
    enforced(3).await;

    let told_by = stored.subject().to_string();
    let expected = [("inline", 2, 0), ("object", 3, 0), ("repository", 0, 4)];
    let expected = crls.iter().zip(expected).map(|(crl, (source, added, removed))| {
        let number = crl.number().unwrap().to_string();
        (number, crl.digest().to_string(), told_by.clone(), source.to_owned(), added, removed)
    });
    assert_eq!(audited(&validator, &crls[0], &stored), expected.collect::<Vec<_>>());
}
