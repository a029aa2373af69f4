//! Watched verdicts: whoever watches is told of each change once, and nothing is taken back.
//!
//! ```text
//!   Root (> Issuing) > leaf      --CRLs--> nats-server --> v1 v2 v3 --VERDICTS--> whoever watches the leaf
//! ```
//!
//! The validators run in this process, under a clock that the test holds.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use revocast_bus::{Bus, BusConfig};
use revocast_client::{WatchError, Watching, ask, client_name, watch};
use revocast_daemon::{Clock, Context};
use revocast_fleet::Publisher;
use revocast_messages::{
    CertificateNotice, Outcome, Question, Refusal, VerdictChanged, WatchInterest, WatchRequest, codec,
    decode, subjects,
};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::CrlNumber;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};
use revocast_tests::{DEADLINE, Fleet, NatsServer, Process, TestCa, eventually};
use revocast_validator::{PolicyConfig, RunError, ValidatorConfig, WatchConfig, run};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A validator in this process.
struct Validator {
    context: Context,
    task: JoinHandle<Result<(), RunError>>,
}

impl Validator {
    /// What a series of its metrics says; 0 while there is none.
    fn counted(&self, series: &str) -> u64 {
        let text = self.context.metrics.text();
        // A series without labels is written with empty ones.
        let found = text.lines().find_map(|line| {
            let rest = line.strip_prefix(series)?;
            rest.strip_prefix("{}").unwrap_or(rest).strip_prefix(' ')
        });
        found.map_or(0, |count| count.parse::<f64>().unwrap() as u64)
    }

    /// How many certificates it watches.
    fn watched(&self) -> u64 {
        self.counted("revocast_watched")
    }

    /// The greatest number of the CRLs that it enforces.
    fn enforces(&self) -> u64 {
        let text = self.context.metrics.text();
        let numbers = text.lines().filter(|line| line.starts_with("x509_crl_number{"));
        numbers.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).fold(0.0, f64::max) as u64
    }

    async fn stop(self) {
        self.context.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// A broker, a root, and a clock that stands still until it is set.
struct World {
    server: NatsServer,
    by_role: bool,
    ca: TestCa,
    clock: Clock,
    folder: TempDir,
}

impl World {
    async fn new() -> World {
        World::around(NatsServer::start().await, false)
    }

    fn around(server: NatsServer, by_role: bool) -> World {
        let ca = TestCa::new("CN=Root");
        let clock = Clock::held_at((ca.certificate.not_before().unix() + 100) * 1_000);
        let folder = tempfile::Builder::new().prefix("revocast-watch-").tempdir().unwrap();
        std::fs::write(folder.path().join("root.crt"), ca.certificate.der()).unwrap();
        World { server, by_role, ca, clock, folder }
    }

    /// The instant at which the world began, and `seconds` more.
    fn at(&self, seconds: i64) -> Time {
        self.ca.certificate.not_before().plus(100 + seconds)
    }

    /// Sets the clock of all validators.
    fn set(&self, seconds: i64) {
        self.clock.set(self.at(seconds).unix() * 1_000);
    }

    fn config_of(&self, role: &str) -> BusConfig {
        if self.by_role { self.server.config_of(role) } else { self.server.bus_config() }
    }

    /// A connection as the user of a role.
    async fn bus(&self, role: &str) -> Bus {
        let config = self.config_of(role);
        eventually("the broker can be reached", async || Bus::connect(&config, role).await.ok()).await
    }

    fn validator(&self, name: &str, change: impl FnOnce(&mut ValidatorConfig)) -> Validator {
        let anchors = vec![self.folder.path().join("root.crt")];
        let policy = PolicyConfig { anchors, ..PolicyConfig::default() };
        let mut config = ValidatorConfig {
            instance: name.parse().unwrap(),
            state: self.folder.path().join(name),
            listen: ([127, 0, 0, 1], 0).into(),
            bus: self.config_of("validator"),
            policies: [("default".to_owned(), policy)].into(),
            ..ValidatorConfig::default()
        };
        change(&mut config);
        let context = Context { clock: self.clock.clone(), ..Context::default() };
        Validator { task: tokio::spawn(run(config, context.clone())), context }
    }

    /// A leaf under the root, valid for 3,000 seconds from the beginning of the world.
    fn leaf(&self, serial: u8) -> Certificate {
        issue(&self.ca, &format!("CN=leaf {serial}"), serial, (self.at(-50), self.at(3_000)))
    }

    /// The root's CRL of this number with these entries, issued and due at these seconds; announced to all.
    async fn issue_crl(&self, number: u64, entries: &[(u8, Reason)], at: i64, due: i64) -> Crl {
        let crl = crl(&self.ca, number, entries, self.at(at), self.at(due));
        self.announce(&self.ca, &crl).await;
        crl
    }

    async fn announce(&self, ca: &TestCa, crl: &Crl) {
        let publisher = Publisher::new(&self.bus("authority").await, "authority").await;
        publisher.publish_crl(&ca.notice(crl), crl.der(), ca.certificate.spki()).await.unwrap();
    }

    async fn watch(&self, certificate: &Certificate, lease_s: u32) -> Watching {
        let bus = self.bus("client").await;
        let request = request(certificate, lease_s);
        eventually("a watch is taken", async || watch(&bus, request.clone(), DEADLINE).await.ok()).await
    }

    /// How many verdicts were told so far.
    async fn told(&self) -> u64 {
        let bus = self.bus("operator").await;
        bus.stream_state(subjects::VERDICTS).await.unwrap().last_sequence
    }

    /// What was told last of a watch.
    async fn head(&self, watching: &Watching) -> VerdictChanged {
        let bus = self.bus("operator").await;
        let subject = watching.current().subject().to_string();
        decode(&bus.head(subjects::VERDICTS, &subject).await.unwrap().unwrap().payload).unwrap()
    }

    /// What one validator says by itself.
    async fn says(&self, validator: &str, certificate: &Certificate) -> Outcome {
        let question =
            Question { certificates: vec![certificate.der().clone().into()], ..Question::default() };
        let (bus, name) = (self.bus("client").await, validator.parse().unwrap());
        let answer =
            eventually("it answers", async || ask(&bus, &question, Some(&name), DEADLINE).await.ok());
        answer.await.judgements[0].outcome
    }
}

fn issue(ca: &TestCa, subject: &str, serial: u8, validity: (Time, Time)) -> Certificate {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let template = CertificateTemplate::new(name(subject).unwrap(), key.spki(), &[serial], validity);
    Certificate::decode(template.sign(ca.certificate.subject(), &ca.key).unwrap()).unwrap()
}

fn crl(ca: &TestCa, number: u64, entries: &[(u8, Reason)], at: Time, due: Time) -> Crl {
    let subject = ca.certificate.subject().clone();
    let template = CrlTemplate::new(subject, CrlNumber::from(number), at, due);
    let entries = entries.iter().map(|(serial, reason)| RevokedEntry::new(&[*serial], at).because(*reason));
    Crl::decode(template.sign(entries, &ca.key).unwrap()).unwrap()
}

fn request(certificate: &Certificate, lease_s: u32) -> WatchRequest {
    WatchRequest {
        client: client_name(),
        certificate: certificate.der().clone().into(),
        intermediates: Vec::new(),
        options: Default::default(),
        interest: WatchInterest::Start { lease_s },
    }
}

async fn enforce(validators: &[&Validator], number: u64) {
    let what = format!("everybody enforces CRL {number}");
    eventually(&what, async || {
        validators.iter().all(|validator| validator.enforces() == number).then_some(())
    })
    .await;
}

async fn watching(validators: &[&Validator], count: u64) {
    let what = format!("everybody watches {count}");
    eventually(&what, async || validators.iter().all(|validator| validator.watched() == count).then_some(()))
        .await;
}

/// Waits until they have told "revoked" so often, all together: it is counted once it is acknowledged.
async fn told_revoked(validators: &[&Validator], count: u64) {
    let told = |validator: &&Validator| validator.counted("revocast_watch_told_total{outcome=\"revoked\"}");
    eventually(&format!("{count} are told"), async || {
        let sum = validators.iter().map(told).sum::<u64>();
        assert!(sum <= count, "{sum} told instead of {count}");
        (sum == count).then_some(())
    })
    .await;
}

async fn next(watching: &mut Watching) -> VerdictChanged {
    tokio::time::timeout(DEADLINE, watching.next()).await.expect("a change is told").unwrap()
}

const KEY: Reason = Reason::KeyCompromise;

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_told_once_although_three_validators_judge() {
    let world = World::new().await;
    let all = [world.validator("v1", |_| ()), world.validator("v2", |_| ()), world.validator("v3", |_| ())];
    let all: Vec<&Validator> = all.iter().collect();
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&all, 1).await;
    let (first, other) = (world.leaf(1), world.leaf(2));
    let mut first = world.watch(&first, 3_600).await;
    let mut other = world.watch(&other, 3_600).await;
    assert_eq!(first.current().outcome, Outcome::Valid);
    watching(&all, 2).await;
    world.issue_crl(2, &[(1, KEY)], 0, 3_000).await;
    let told = next(&mut first).await;
    assert_eq!((told.outcome, told.before), (Outcome::Revoked, Some(Outcome::Valid)));
    assert_eq!(told.evidence[0].number, Some(CrlNumber::from(2)));
    enforce(&all, 2).await;
    world.issue_crl(3, &[(1, KEY), (2, KEY)], 0, 3_000).await;
    assert_eq!(next(&mut other).await.outcome, Outcome::Revoked);
    enforce(&all, 3).await;
    eventually("everybody has judged what was to be judged", async || {
        let done = |validator: &&Validator| validator.counted("revocast_watch_due") == 0;
        all.iter().all(done).then_some(())
    })
    .await;
    assert_eq!(world.told().await, 4, "each verdict was told at first, and once when it changed");
    told_revoked(&all, 2).await;
    other.stop().await.unwrap();
    watching(&all, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_revoked_at_once_are_each_told_once_and_the_validators_share_the_telling() {
    const MANY: u8 = 100;
    let world = World::new().await;
    let (v1, v2) = (world.validator("v1", |_| ()), world.validator("v2", |_| ()));
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&v1, &v2], 1).await;
    let mut watched = Vec::new();
    for serial in 1..=MANY {
        watched.push(world.watch(&world.leaf(serial), 3_600).await);
    }
    watching(&[&v1, &v2], u64::from(MANY)).await;
    let entries: Vec<(u8, Reason)> = (1..=MANY).map(|serial| (serial, KEY)).collect();
    world.issue_crl(2, &entries, 0, 3_000).await;
    for watching in &mut watched {
        assert_eq!(next(watching).await.outcome, Outcome::Revoked);
    }
    assert_eq!(world.told().await, 2 * u64::from(MANY));
    told_revoked(&[&v1, &v2], u64::from(MANY)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_laggard_takes_no_revocation_back() {
    let world = World::new().await;
    let v1 = world.validator("v1", |_| ());
    let laggard = world.validator("laggard", |_| ());
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&v1, &laggard], 1).await;
    let leaf = world.leaf(1);
    let mut first = world.watch(&leaf, 3_600).await;
    watching(&[&v1, &laggard], 1).await;
    // From now on it takes no CRL in, and enforces what it has kept.
    laggard.stop().await;
    let laggard = world.validator("laggard", |config| config.max_crl_bytes = 1);
    watching(&[&laggard], 1).await;
    world.issue_crl(2, &[(1, KEY)], 0, 3_000).await;
    assert_eq!(next(&mut first).await.outcome, Outcome::Revoked);
    eventually("the laggard holds its verdict back", async || {
        (laggard.counted("revocast_watch_silent_total{reason=\"behind\"}") > 0).then_some(())
    })
    .await;
    assert_eq!(world.says("laggard", &leaf).await, Outcome::Valid, "it is one");
    assert_eq!(world.told().await, 2);
    // Alone, it still says to a new client what was told, and not what it knows.
    v1.stop().await;
    let second = world.watch(&leaf, 3_600).await;
    assert_eq!(second.current().outcome, Outcome::Revoked);
    laggard.stop().await;
    let laggard = world.validator("laggard", |config| config.max_crl_bytes = 1);
    eventually("restarted, it holds its verdict back again", async || {
        (laggard.counted("revocast_watch_silent_total{reason=\"behind\"}") > 0).then_some(())
    })
    .await;
    assert_eq!(world.head(&first).await.outcome, Outcome::Revoked);
    assert_eq!(world.told().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_by_time_or_by_a_newer_crl_is_told() {
    let world = World::new().await;
    let validator = world.validator("v1", |_| ());
    world.issue_crl(1, &[], 0, 1_000).await;
    enforce(&[&validator], 1).await;
    let mut leaf = world.watch(&world.leaf(1), 3_600).await;
    assert_eq!((leaf.current().outcome, leaf.current().until), (Outcome::Valid, Some(world.at(1_000))));
    world.set(1_001);
    let stale = next(&mut leaf).await;
    assert_eq!(
        (stale.outcome, stale.reason.as_str()),
        (Outcome::Indeterminate, "its CRL is past nextUpdate")
    );
    world.issue_crl(2, &[], 1_001, 9_000).await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Valid);
    world.issue_crl(3, &[(1, Reason::CertificateHold)], 1_001, 9_000).await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Revoked);
    world.issue_crl(4, &[], 1_001, 9_000).await;
    let released = next(&mut leaf).await;
    assert_eq!((released.outcome, released.before), (Outcome::Valid, Some(Outcome::Revoked)));
    world.set(3_001);
    let expired = next(&mut leaf).await;
    assert_eq!((expired.outcome, expired.before), (Outcome::Invalid, Some(Outcome::Valid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_path_makes_a_watched_verdict_valid() {
    let world = World::new().await;
    let validator = world.validator("v1", |_| ());
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&validator], 1).await;
    let mut issuing = TestCa::new("CN=Issuing");
    let subject = issuing.certificate.subject().clone();
    let template =
        CertificateTemplate::ca(subject, issuing.key.spki(), &[9], (world.at(-50), world.at(9_000)));
    let certificate = template.sign(world.ca.certificate.subject(), &world.ca.key).unwrap();
    issuing.certificate = Certificate::decode(certificate).unwrap();
    let leaf = issue(&issuing, "CN=leaf", 1, (world.at(-50), world.at(3_600)));
    let mut leaf = world.watch(&leaf, 3_600).await;
    assert_eq!(leaf.current().outcome, Outcome::Invalid);
    let notice = CertificateNotice { issuer: world.ca.issuer(), ..issuing.certificate_notice() };
    let publisher = Publisher::new(&world.bus("authority").await, "authority").await;
    publisher.publish_certificate(&notice).await.unwrap();
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Indeterminate, "there is a path, and no CRL");
    world.announce(&issuing, &crl(&issuing, 7, &[], world.at(0), world.at(3_000))).await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Valid);
    // Revoked is the CA in between, by a CRL of another whose clock is ahead: it counts when its second comes.
    world.issue_crl(8, &[(9, KEY)], 10, 3_000).await;
    enforce(&[&validator], 8).await;
    world.set(10);
    let revoked = next(&mut leaf).await;
    assert_eq!((revoked.outcome, revoked.before), (Outcome::Revoked, Some(Outcome::Valid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_lease_ends_the_watch_and_what_it_costs() {
    let world = World::new().await;
    let (v1, v2) = (world.validator("v1", |_| ()), world.validator("v2", |_| ()));
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&v1, &v2], 1).await;
    let leaf = world.leaf(1);
    let lapsing = world.watch(&leaf, 5).await;
    let mut lasting = world.watch(&world.leaf(2), 3_600).await;
    watching(&[&v1, &v2], 2).await;
    drop(lapsing);
    world.set(6);
    watching(&[&v1, &v2], 1).await;
    world.issue_crl(2, &[(1, KEY), (2, KEY)], 6, 3_000).await;
    assert_eq!(next(&mut lasting).await.outcome, Outcome::Revoked);
    enforce(&[&v1, &v2], 2).await;
    assert_eq!(world.told().await, 3, "both at first, and the one that is still watched");
    // Whoever watches again is told what is true by now.
    let again = world.watch(&leaf, 3_600).await;
    assert_eq!((again.current().outcome, again.current().before), (Outcome::Revoked, Some(Outcome::Valid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_broker_is_down_is_told_when_it_is_back() {
    let mut world = World::new().await;
    let (v1, v2) = (world.validator("v1", |_| ()), world.validator("v2", |_| ()));
    world.issue_crl(1, &[], 0, 1_000).await;
    enforce(&[&v1, &v2], 1).await;
    let mut leaf = world.watch(&world.leaf(1), 3_600).await;
    watching(&[&v1, &v2], 1).await;
    world.server.kill();
    world.set(1_001);
    world.server.start_again().await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Indeterminate);
    world.issue_crl(2, &[(1, KEY)], 1_001, 3_000).await;
    let told = next(&mut leaf).await;
    assert_eq!((told.outcome, told.before), (Outcome::Revoked, Some(Outcome::Indeterminate)));
    assert_eq!(world.told().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_limit_and_what_makes_no_sense_is_refused_in_words() {
    let world = World::new().await;
    let limited = WatchConfig { max_watched: 1, longest_lease: Duration::from_secs(60) };
    let validator = world.validator("v1", |config| config.watch = limited);
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&validator], 1).await;
    let _first = world.watch(&world.leaf(1), 60).await;
    let bus = world.bus("client").await;
    let refused = async |request: WatchRequest| match watch(&bus, request, DEADLINE).await {
        Err(WatchError::Refused(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is watched"),
    };
    let full = refused(request(&world.leaf(2), 60)).await;
    assert!(
        matches!(&full, Refusal::Busy { why } if why.starts_with("1 certificates are watched")),
        "{full}"
    );
    let long = refused(request(&world.leaf(1), 61)).await;
    assert_eq!(long.to_string(), "a lease of 61 s: 1 to 60 s are given");
    let garbage = WatchRequest { certificate: vec![1, 2, 3].into(), ..request(&world.leaf(1), 60) };
    assert!(matches!(refused(garbage).await, Refusal::Malformed { .. }));
    // A foreign client asks in JSON, and is answered in it.
    let lines = vec![("Content-Type", "application/json".to_owned())];
    let asked = codec::to_json(&request(&world.leaf(2), 60)).unwrap();
    let answer = bus.ask(subjects::WATCH, &lines, asked.into(), DEADLINE).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["refused"]["busy"]["why"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_taken_told_and_ended_and_the_broker_denies_none_of_it() {
    let mut world = World::around(NatsServer::with_accounts().await, true);
    let validator = world.validator("v1", |_| ());
    world.issue_crl(1, &[], 0, 3_000).await;
    enforce(&[&validator], 1).await;
    let mut leaf = world.watch(&world.leaf(1), 3_600).await;
    world.issue_crl(2, &[(1, Reason::CertificateHold)], 0, 3_000).await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Revoked);
    assert_nothing_was_denied(&world.server);
    // Coming back, the client library asks for more than at first.
    world.server.kill();
    world.server.start_again().await;
    world.issue_crl(3, &[], 0, 3_000).await;
    assert_eq!(next(&mut leaf).await.outcome, Outcome::Valid);
    leaf.stop().await.unwrap();
    watching(&[&validator], 0).await;
    assert_nothing_was_denied(&world.server);
}

fn assert_nothing_was_denied(server: &NatsServer) {
    let log = server.log();
    let denied: Vec<&str> = log.lines().filter(|line| line.contains("Violation")).collect();
    assert!(denied.is_empty(), "{}", denied.join("\n"));
}

#[tokio::test]
async fn the_program_prints_what_stands_and_what_changes_and_ends_when_it_should() {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    fleet.start_validator("v1", "");
    fleet.settled(1).await;
    let printed = fleet.path("printed.jsonl");
    let words = [
        "cert",
        "watch",
        "leaf.crt",
        "--until",
        "revoked",
        "--json",
        "--exec",
        "echo $REVOCAST_OUTCOME >> told",
    ];
    let mut command = fleet.command(&words);
    command.stdout(std::fs::File::create(&printed).unwrap());
    let mut program = Process::start("cert watch", &mut command);
    let lines = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    eventually("what stands is printed", async || (lines(&printed).len() == 1).then_some(())).await;
    fleet.json(&["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise"]);
    let status = program.wait(DEADLINE);
    assert_eq!(status.code(), Some(1));
    let told: Vec<serde_json::Value> =
        lines(&printed).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (told[0]["verdict"]["outcome"].as_str(), &told[0]["before"]),
        (Some("valid"), &serde_json::Value::Null)
    );
    assert_eq!(
        (told[1]["verdict"]["outcome"].as_str(), told[1]["before"].as_str()),
        (Some("revoked"), Some("valid"))
    );
    assert_eq!(lines(&fleet.path("told")), ["valid", "revoked"]);
    // Told to, it ends its lease and itself.
    let mut command = fleet.command(&["cert", "watch", "leaf.crt"]);
    command.stdout(std::fs::File::create(&printed).unwrap());
    let mut program = Process::start("cert watch", &mut command);
    eventually("what stands is printed", async || (lines(&printed).len() == 1).then_some(())).await;
    assert!(lines(&printed)[0].contains("leaf.crt: revoked, says v1"), "{:?}", lines(&printed));
    assert_eq!(program.stop(DEADLINE).code(), Some(0));
}
