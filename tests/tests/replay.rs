//! Recordings of real runs: what was enforced then is enforced again, in another fleet and without any.
//!
//! ```text
//!   broker, v1 --record--> incident.rec --replay--> another broker, v2
//!                                       `---------> simulation (no broker)
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use revocast_bus::Bus;
use revocast_fleet::Publisher;
use revocast_messages::{CrlNotice, Headers, encode, headers, subjects};
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_recording::{Beginning, Reader, Record, Recorded, RecordedStream, Writer};
use revocast_tests::{Fleet, NatsServer, Process, TestCa, eventually, free_address, http_get};
use revocast_validator::replay::{Played, Simulation, state_digest};
use revocast_validator::{Policies, PolicyConfig};
use serde_json::Value;

/// A validator that serves HTTP at this address and believes these anchors.
fn start_validator(fleet: &mut Fleet, name: &str, address: SocketAddr, anchors: &[PathBuf]) {
    let config = format!(
        "instance = '{name}'\nstate = {:?}\nlisten = '{address}'\nlease = '6s'\n\
         [policies.default]\nanchors = {anchors:?}\n",
        fleet.path(name),
    );
    fleet.start_service("validator", name, &config);
}

/// What a validator enforces, as `GET /v1/scopes` tells it.
async fn scopes(address: SocketAddr) -> Option<Vec<Value>> {
    Some(http_get(address, "/v1/scopes").await?.json().as_array()?.clone())
}

/// The digest of what `GET /v1/scopes` tells.
fn digest(scopes: &[Value]) -> Digest {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    state_digest(scopes.iter().map(|scope| {
        let key = (
            text(&scope["issuer"]).parse().unwrap(),
            text(&scope["scope"]).parse().unwrap(),
            text(&scope["kind"]).parse().unwrap(),
        );
        let others = scope["conflicting"].as_array().unwrap().iter();
        let crls = std::iter::once(&scope["crl_id"]).chain(others).map(|id| text(id).parse().unwrap());
        (key, crls.collect())
    }))
}

async fn say(bus: &Bus, notice: &CrlNotice, body: Vec<u8>) {
    let lines: Headers =
        notice.headers().into_iter().filter(|(name, _)| *name != headers::MESSAGE_ID).collect();
    let subject = notice.subject().to_string();
    bus.publish(subjects::NOTICES, &subject, &lines, body.into()).await.unwrap();
}

/// A run with everything in it: revocations, two CRLs under one number, one too large for its notice, a lie, garbage.
/// Returns the anchors' files, and what v1 enforces in the end.
async fn incident(fleet: &mut Fleet, address: SocketAddr) -> (Vec<PathBuf>, Digest) {
    fleet.init_cas();
    let (conflicted, large) = (TestCa::new("CN=Conflicted"), TestCa::new("CN=Large"));
    let mut anchors = vec![fleet.path("root.crt")];
    for (name, ca) in [("conflicted.crt", &conflicted), ("large.crt", &large)] {
        std::fs::write(fleet.path(name), ca.certificate.der()).unwrap();
        anchors.push(fleet.path(name));
    }
    fleet.start_authority();
    start_validator(fleet, "v1", address, &anchors);
    let bus = fleet.nats.bus("authority").await;
    for crl in [conflicted.crl(1, 1), conflicted.crl(1, 2)] {
        let notice = conflicted.notice(&crl);
        say(&bus, &notice, encode(&notice).unwrap()).await;
    }
    let crl = large.crl(1, 20_000);
    let notice = large.notice(&crl);
    assert!(notice.crl.is_none(), "it travels through the object store");
    let publisher = Publisher::new(&bus, "authority").await;
    publisher.publish_crl(&notice, crl.der(), large.certificate.spki()).await.unwrap();
    let forged: Crl = TestCa::new("CN=Conflicted").crl(9, 0);
    let lie = conflicted.notice(&forged);
    say(&bus, &lie, encode(&lie).unwrap()).await;
    say(&bus, &lie, b"garbage".to_vec()).await;
    fleet.json(&["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise"]);
    let state = eventually("v1 enforces all of it", async || {
        let scopes = scopes(address).await?;
        let has = |field: &str, wanted: Value| scopes.iter().any(|scope| scope[field] == wanted);
        let joined = scopes.iter().any(|scope| scope["conflicting"].as_array().unwrap().len() == 1);
        (scopes.len() == 4 && joined && has("entries", 20_000.into()) && has("number", "2".into()))
            .then(|| digest(&scopes))
    })
    .await;
    (anchors, state)
}

/// What came of each message, and the state at the end.
async fn simulated(file: &Path, anchors: &[PathBuf]) -> (Vec<Played>, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let config = PolicyConfig { anchors: anchors.to_vec(), ..PolicyConfig::default() };
    let policies = Policies::read(&BTreeMap::from([("default".to_owned(), config)]), "default").unwrap();
    let mut simulation = Simulation::new(folder.path(), policies, []).unwrap();
    let mut reader = Reader::open(BufReader::new(File::open(file).unwrap())).unwrap();
    let mut played = Vec::new();
    while let Some(record) = reader.read_next().unwrap() {
        played.extend(simulation.play(record).await.unwrap());
    }
    simulation.settle().await.unwrap();
    (played, simulation.digest())
}

#[tokio::test]
async fn a_replay_enforces_what_was_enforced_live_in_another_fleet_and_without_one() {
    let mut fleet = Fleet::start().await;
    let (anchors, live) = incident(&mut fleet, free_address()).await;
    let recorded = fleet.json(&["notices", "record", "--out", "incident.rec"]);
    assert_eq!((&recorded["objects"], &recorded["missing_objects"]), (&1.into(), &0.into()), "{recorded}");
    let messages = recorded["messages"].clone();
    let file = fleet.path("incident.rec");

    // Without a broker: twice the same, bit for bit, and the state of the live run.
    let first = simulated(&file, &anchors).await;
    assert_eq!(first.1, live, "{:#?}", first.0);
    assert_eq!(simulated(&file, &anchors).await, first);
    assert_eq!(first.0.iter().filter(|played| played.outcome == "aside").count(), 2);

    // Into another broker, twice.
    let mut other = Fleet::start().await;
    let url = other.nats.url();
    let replay = ["notices", "replay", file.to_str().unwrap(), "--speed", "instant", "--into", &url];
    let played = fleet.json(&replay);
    assert_eq!((&played["messages"], &played["already_there"]), (&messages, &0.into()), "{played}");
    let again = fleet.json(&replay);
    assert_eq!((&again["messages"], &again["already_there"]), (&0.into(), &messages), "{again}");
    let stored = other.nats.bus("test").await.stream_state(subjects::NOTICES).await.unwrap();
    assert_eq!(Value::from(stored.last_sequence), messages);
    let address = free_address();
    start_validator(&mut other, "v2", address, &anchors);
    eventually("v2 enforces what v1 enforces", async || {
        (digest(&scopes(address).await?) == live).then_some(())
    })
    .await;

    // Dry, as an operator sees it.
    let words = ["notices", "replay", "incident.rec", "--dry", "--json", "--anchors"];
    let printed = fleet.command(&words).args(&anchors).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let end: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!((&end["state"], &end["owed"]), (&live.to_string().into(), &0.into()));
}

#[tokio::test]
async fn a_replay_is_refused_where_it_does_no_good() {
    let fleet = Fleet::start().await;
    let (ca, bus) = (TestCa::new("CN=Somebody"), fleet.nats.bus("authority").await);
    for number in 1..=3 {
        let notice = ca.notice(&ca.crl(number, 1));
        say(&bus, &notice, encode(&notice).unwrap()).await;
    }
    let recorded = fleet.json(&["notices", "record", "--out", "all.rec", "--stream", "notices"]);
    assert_eq!(recorded["messages"], 3, "{recorded}");
    let replay = |file: &str, url: &str| {
        let output = fleet.run(&["notices", "replay", file, "--speed", "instant", "--into", url]);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    // Into the broker that was recorded.
    let (code, why) = replay("all.rec", &fleet.nats.url());
    assert_eq!(code, 3, "{why}");
    // Into one without streams.
    let bare = NatsServer::bare().await;
    let (code, why) = replay("all.rec", &bare.url());
    assert!(code == 1 && why.contains("not set up"), "{why}");
    // What is damaged, cut short, or no recording: told with the record, before anything is played.
    let other = NatsServer::start().await;
    let whole = std::fs::read(fleet.path("all.rec")).unwrap();
    let mut damaged = whole.clone();
    let at = damaged.len() - 100;
    damaged[at] ^= 1;
    for (file, content, expected) in [
        ("damaged.rec", &damaged[..], "is damaged"),
        ("torn.rec", &whole[..whole.len() - 100], "cut short in record"),
        ("none.rec", b"-----BEGIN", "no recording"),
    ] {
        std::fs::write(fleet.path(file), content).unwrap();
        let (code, why) = replay(file, &other.url());
        assert!(code == 1 && why.contains(expected), "{file}: {code} {why}");
    }
    let bus = other.bus("test").await;
    assert_eq!(bus.stream_state(subjects::NOTICES).await.unwrap().messages, 0);
    // What stands before a cut can be played all the same.
    let played = fleet.json(&[
        "notices",
        "replay",
        "torn.rec",
        "--cut-short",
        "--speed",
        "instant",
        "--into",
        &other.url(),
    ]);
    assert_eq!((&played["cut_short"], &played["messages"]), (&true.into(), &2.into()), "{played}");
}

#[tokio::test]
async fn a_recording_that_follows_is_whole_when_it_is_interrupted() {
    let fleet = Fleet::start().await;
    let ca = TestCa::new("CN=Somebody");
    let bus = fleet.nats.bus("authority").await;
    let notice = ca.notice(&ca.crl(1, 1));
    say(&bus, &notice, encode(&notice).unwrap()).await;
    let words = ["notices", "record", "--out", "live.rec", "--stream", "NOTICES", "--follow"];
    let mut recorder = Process::start("recorder", fleet.command(&words).stdout(Stdio::null()));
    let file = fleet.path("live.rec");
    let recorded = |file: &Path| -> Option<(u64, bool)> {
        let mut reader = Reader::open(BufReader::new(File::open(file).ok()?)).ok()?;
        let mut messages = 0;
        loop {
            match reader.read_next() {
                Ok(Some(Record::Message(_))) => messages += 1,
                Ok(Some(_)) => {}
                Ok(None) => return Some((messages, true)),
                Err(error) => return error.is_cut_short().then_some((messages, false)),
            }
        }
    };
    eventually("what is there is recorded", async || (recorded(&file)? == (1, false)).then_some(())).await;
    let next = ca.notice(&ca.crl(2, 2));
    say(&bus, &next, encode(&next).unwrap()).await;
    eventually("what comes is recorded", async || (recorded(&file)? == (2, false)).then_some(())).await;
    recorder.signal(Signal::SIGINT);
    assert!(recorder.wait(Duration::from_secs(10)).success());
    assert_eq!(recorded(&file), Some((2, true)));
}

#[tokio::test]
async fn a_replayed_message_keeps_its_lines_and_says_what_it_is_a_replay_of() {
    let (from, into) = (Fleet::start().await, NatsServer::start().await);
    let ca = TestCa::new("CN=Somebody");
    let notice = ca.notice(&ca.crl(1, 1));
    let bus = from.nats.bus("authority").await;
    say(&bus, &notice, encode(&notice).unwrap()).await;
    let subject = notice.subject().to_string();
    let original = bus.head(subjects::NOTICES, &subject).await.unwrap().unwrap();
    from.json(&["notices", "record", "--out", "one.rec"]);
    // At its own speed: a single message is due at once.
    from.json(&["notices", "replay", "one.rec", "--into", &into.url()]);
    let replayed = into.bus("test").await.head(subjects::NOTICES, &subject).await.unwrap().unwrap();
    assert_eq!(replayed.payload, original.payload);
    for line in [headers::ISSUER, headers::SCOPE, headers::KIND, headers::NUMBER] {
        assert_eq!(replayed.header(line), original.header(line), "{line}");
    }
    assert!(replayed.header(headers::REPLAY_OF).unwrap().ends_with("/1"));
    assert_eq!(replayed.header(headers::STORED_AT).unwrap(), original.stored_at_ns.to_string());
    assert_eq!(into.bus("test").await.stream_state("OBJ_crls").await.unwrap().messages, 2, "the CRL itself");
}

/// A recording of two messages, an hour apart.
fn an_hour_apart(file: &Path) {
    let stream = RecordedStream { name: subjects::NOTICES.into(), created: "once".into() };
    let beginning = Beginning { began_at_ms: 0, streams: vec![stream] };
    let mut writer = Writer::begin(File::create(file).unwrap(), &beginning).unwrap();
    let ca = TestCa::new("CN=Somebody");
    for number in 1..=2 {
        let notice = ca.notice(&ca.crl(number, 1));
        let message = Recorded {
            stream: subjects::NOTICES.into(),
            sequence: number,
            stored_at_ns: number as i64 * 3_600_000_000_000,
            subject: notice.subject().to_string(),
            headers: Vec::new(),
            payload: encode(&notice).unwrap().into(),
        };
        writer.message(&message).unwrap();
    }
    writer.end().unwrap();
}

#[tokio::test]
async fn a_replay_keeps_the_pauses_and_ends_when_it_is_interrupted() {
    let into = Fleet::start().await;
    an_hour_apart(&into.path("slow.rec"));
    let bus = into.nats.bus("test").await;
    let played = async || bus.stream_state(subjects::NOTICES).await.unwrap().messages;
    let mut replay = Process::start(
        "replay",
        into.command(&["notices", "replay", "slow.rec", "--speed", "original"]).stdout(Stdio::null()),
    );
    eventually("the first message is played", async || (played().await == 1).then_some(())).await;
    assert!(replay.is_running());
    replay.signal(Signal::SIGTERM);
    assert!(replay.wait(Duration::from_secs(10)).success());
    assert_eq!(played().await, 1);
    // A million times as fast, the hour is nothing; what was played is there already.
    let rest = into.json(&["notices", "replay", "slow.rec", "--speed", "1000000"]);
    assert_eq!((&rest["messages"], &rest["already_there"]), (&1.into(), &1.into()), "{rest}");
}

#[tokio::test]
async fn a_question_about_the_past_is_answered_from_history() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    fleet.start_validator("v1", "[history]\nkeep = '1h'");
    fleet.start_validator("v2", "");
    fleet.settled(2).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    // Times are whole seconds: a moment after v1 knew all, and before the revocation.
    let before = now_s() + 1;
    eventually("that moment is over", async || (now_s() > before).then_some(())).await;
    fleet.json(&["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise", "--wait"]);
    let before = before.to_string();
    fleet.expect("v1", "leaf.crt", "revoked").await;
    for option in ["--as-of", "--as-known-at"] {
        let (code, answer) = ask(&fleet, "v1", &[option, &before]);
        assert_eq!((code, &answer["judgements"][0]["outcome"]), (0, &"valid".into()), "{answer}");
        assert!(answer["past"]["as_of"].is_string(), "{answer}");
        let (code, answer) = ask(&fleet, "v2", &[option, &before]);
        assert_eq!(code, 2, "{answer}");
        assert!(answer["judgements"][0]["reason"].as_str().unwrap().contains("no history"), "{answer}");
        assert_eq!(ask(&fleet, "v1", &[option, "2020-01-01T00:00:00Z"]).0, 2);
    }
    // The broker's receipts tell how the fleet was.
    let number = |words: &[&str]| {
        let (_, scopes) = fleet.json_with_code(words);
        let of_leaf = scopes.as_array().unwrap().iter().find(|scope| {
            scope["issuer_name"] == "O=Test,CN=Issuing" || scope["issuer_name"] == "CN=Issuing,O=Test"
        });
        of_leaf.map(|scope| (scope["number"].clone(), scope["watermark"].clone())).unwrap()
    };
    assert_eq!(number(&["status", "--at", &before]), ("1".into(), "1".into()));
    assert_eq!(number(&["status"]), ("2".into(), "2".into()));
    // History outlives the process.
    fleet.kill("v1");
    fleet.start_validator("v1", "[history]\nkeep = '1h'");
    let words = ["cert", "check", "--cert", "leaf.crt", "--validator", "v1", "--as-of", &before];
    eventually("v1 answers again", async || fleet.run(&words).status.success().then_some(())).await;
}

#[tokio::test]
async fn the_status_tells_of_each_validator_what_it_is_and_how() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    fleet.start_validator("v1", "");
    fleet.start_validator("v2", "");
    fleet.settled(2).await;
    let scopes = fleet.json(&["status"]);
    for scope in scopes.as_array().unwrap() {
        assert_eq!(scope["behind"], Value::Array(Vec::new()), "{scope}");
        assert_eq!(scope["watermark"], scope["number"], "{scope}");
        assert!(scope["next_update"].is_string(), "{scope}");
    }
    eventually("both say who they are", async || {
        let members = fleet.json(&["status", "--validators"]);
        let members = members.as_array()?;
        let names: Vec<&str> = members.iter().filter_map(|member| member["validator"].as_str()).collect();
        let told = |member: &Value| {
            member["running"]["version"] == env!("CARGO_PKG_VERSION")
                && member["running"]["ready"] == true
                && member["subscriptions"][0]["responsible"] == "authority-1"
                && (member["behind"] == 0 && member["scopes"] == scopes.as_array().unwrap().len())
        };
        (names == ["v1", "v2"] && members.iter().all(told)).then_some(())
    })
    .await;
    fleet.kill("v2");
    eventually("v2 does not answer", async || {
        let members = fleet.json(&["status", "--validators"]);
        (members[1]["running"].is_null() && members[0]["running"].is_object()).then_some(())
    })
    .await;
}

/// Asks one validator about the leaf; the exit code, and the answer.
fn ask(fleet: &Fleet, validator: &str, more: &[&str]) -> (i32, Value) {
    let words = ["cert", "check", "--cert", "leaf.crt", "--validator", validator];
    fleet.json_with_code(&[&words[..], more].concat())
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
