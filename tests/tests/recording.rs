//! What is recorded and what is played: a part of a stream, and both streams at once.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use revocast_fleet::Publisher;
use revocast_messages::{Role, encode, subjects};
use revocast_pki::crl::Crl;
use revocast_recording::{Reader, Record, Recorded};
use revocast_tests::{NatsServer, Process, TestCa, ValidatorProcess, World, eventually, program};
use serde_json::Value;

/// A verb of `notices` at a broker.
fn command(nats: &NatsServer, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("notices").args(words).arg("--json").env("REVOCAST_NATS", nats.url()).stdin(Stdio::null());
    command
}

/// Runs one that must succeed; what it printed.
fn run(nats: &NatsServer, words: &[&str]) -> Value {
    let output = command(nats, words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The messages of a recording, which is whole.
fn messages(file: &Path) -> Vec<Recorded> {
    let mut reader = Reader::open(BufReader::new(File::open(file).unwrap())).unwrap();
    let mut messages = Vec::new();
    while let Some(record) = reader.read_next().unwrap() {
        if let Record::Message(message) = record {
            messages.push(message);
        }
    }
    messages
}

async fn say(nats: &NatsServer, ca: &TestCa, numbers: impl Iterator<Item = u64>) {
    let bus = nats.bus("authority").await;
    for number in numbers {
        let notice = ca.notice(&ca.crl(number, 1));
        let (subject, body) = (notice.subject().to_string(), encode(&notice).unwrap());
        bus.publish(subjects::NOTICES, &subject, &Vec::new(), body.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_part_of_a_stream_is_recorded_from_one_sequence_until_another_as_far_as_it_is_there() {
    let nats = NatsServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new("CN=Somebody");
    say(&nats, &ca, 1..=5).await;
    let file = |n: usize| folder.path().join(format!("{n}.rec"));
    let record = |n: usize, bounds: &[&str]| {
        let file = file(n);
        let words = ["record", "--stream", "NOTICES", "--out", file.to_str().unwrap()];
        let told = run(&nats, &[&words[..], bounds].concat());
        let sequences: Vec<u64> = messages(&file).iter().map(|message| message.sequence).collect();
        let stream = &told["streams"][0];
        assert_eq!(stream["messages"], sequences.len(), "{told}");
        assert_eq!(stream["first_sequence"].as_u64(), sequences.first().copied(), "{told}");
        assert_eq!(stream["last_sequence"].as_u64(), sequences.last().copied(), "{told}");
        sequences
    };
    for (n, (bounds, expected)) in [
        (&["--from", "2", "--until", "4"][..], &[2, 3, 4][..]),
        (&["--from", "4"], &[4, 5]),
        (&["--until", "2"], &[1, 2]),
        (&["--from", "3", "--until", "3"], &[3]),
        (&["--until", "99"], &[1, 2, 3, 4, 5]),
        (&["--from", "9"], &[]),
        (&["--from", "4", "--until", "2"], &[]),
        // What is still to come is waited for only with --follow.
        (&["--from", "5", "--until", "9"], &[5]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(record(n, bounds), expected, "{bounds:?}");
    }

    // It follows until the sequence is there, and ends by itself.
    let live = file(100);
    let words = ["record", "--stream", "notices", "--from", "5", "--until", "7", "--follow", "--out"];
    let words = [&words[..], &[live.to_str().unwrap()]].concat();
    let mut recorder = Process::start("recorder", command(&nats, &words).stdout(Stdio::null()));
    eventually("it has begun", async || live.exists().then_some(())).await;
    say(&nats, &ca, 6..=8).await;
    assert!(recorder.wait(Duration::from_secs(30)).success());
    assert_eq!(messages(&live).iter().map(|message| message.sequence).collect::<Vec<_>>(), [5, 6, 7]);

    // Of one subject the last 16 are kept: of 30, 15 to 30.
    say(&nats, &ca, 9..=30).await;
    assert_eq!(record(101, &["--from", "3", "--until", "17"]), [15, 16, 17]);
    assert!(record(102, &["--until", "9"]).is_empty());

    for words in [
        &["record", "--out", "x.rec", "--from", "2"][..],
        &["record", "--out", "x.rec", "--until", "2", "--stream", "both"],
        &["record", "--out", "x.rec", "--from", "0", "--stream", "notices"],
    ] {
        let refused = command(&nats, words).current_dir(folder.path()).output().unwrap();
        assert_eq!((refused.status.success(), folder.path().join("x.rec").exists()), (false, false));
    }
}

/// As a watcher announces it.
async fn sight(world: &World, ca: &TestCa, crl: &Crl) {
    let mut notice = ca.notice(crl);
    (notice.origin.role, notice.origin.instance) = (Role::Watcher, "watcher-1".parse().unwrap());
    let publisher = Publisher::new(&world.bus, "watcher-1").await;
    publisher.publish_crl(&notice, crl.der(), ca.certificate.spki()).await.unwrap();
}

async fn enforced(validator: &ValidatorProcess, ca: &TestCa, number: u64) {
    eventually(&format!("{} enforces CRL {number}", validator.name()), async || {
        (validator.enforces(ca).await? == Some(number)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn notices_and_sightings_replayed_into_an_empty_broker_lead_to_what_was_enforced_live() {
    let world = World::start().await;
    // It travels through the object store, and only a watcher tells of it.
    let seen = world.root.subordinate("CN=Seen,O=Test");
    let mut live = world.validator("v1", "");
    live.start();
    world.introduce_one(&seen).await;
    for number in 1..=3 {
        world.publish(&world.issuing, &world.issuing.crl(number, number as u32)).await;
        sight(&world, &seen, &seen.crl(number, 12_000)).await;
    }
    enforced(&live, &world.issuing, 3).await;
    enforced(&live, &seen, 3).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.rec");
    let told = run(&world.nats, &["record", "--out", file.to_str().unwrap()]);
    assert_eq!((&told["objects"], &told["missing_objects"]), (&3.into(), &0.into()), "{told}");
    let recorded = messages(&file);
    assert!(recorded.is_sorted_by_key(|message| message.stored_at_ns), "in the order of time");
    let count = |stream: &str| recorded.iter().filter(|message| message.stream == stream).count() as u64;
    assert_eq!((count(subjects::NOTICES), count(subjects::SIGHTINGS)), (6, 3), "{told}");

    let other = NatsServer::start().await;
    let servers = [other.url()];
    let mut follows = ValidatorProcess::new(folder.path(), "v2", &servers, &world.root.certificate, "");
    follows.start();
    eventually("it follows", async || follows.readiness().await?.0.then_some(())).await;
    let replay = ["replay", file.to_str().unwrap(), "--speed", "instant"];
    for (played, there) in [(9, 0), (0, 9)] {
        let told = run(&other, &replay);
        assert_eq!((&told["messages"], &told["already_there"]), (&played.into(), &there.into()), "{told}");
    }
    let bus = other.bus("test").await;
    for (stream, messages) in [(subjects::NOTICES, 6), (subjects::SIGHTINGS, 3)] {
        assert_eq!(bus.stream_state(stream).await.unwrap().last_sequence, messages, "{stream}");
    }
    // Whoever comes later learns the same from the heads.
    let mut later = ValidatorProcess::new(folder.path(), "v3", &servers, &world.root.certificate, "");
    later.start();
    for validator in [&follows, &later] {
        for (ca, number) in [(&world.root, 1), (&world.issuing, 3), (&seen, 3)] {
            enforced(validator, ca, number).await;
        }
        for (ca, n, outcome) in
            [(&world.issuing, 2, "revoked"), (&seen, 11_999, "revoked"), (&seen, 12_000, "valid")]
        {
            assert_eq!(validator.says(&ca.leaf(n)).await.unwrap().outcome, outcome);
        }
    }
}
