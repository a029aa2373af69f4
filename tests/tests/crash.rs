//! A validator dies at every named step of its walk, and its disk fails it.
//!
//! ```text
//!   root > issuing > leaves --notices--> nats-server --> a validator for each step, which dies there
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_tests::{DEADLINE, TestCa, ValidatorProcess, World, eventually, root};
use rusqlite::{Connection, params};

/// Every fail point of the notice walk, in its order.
const STEPS: [&str; 28] = [
    "recall",
    "sweep",
    "intake",
    "learn",
    "learned",
    "dedup",
    "plan",
    "owe",
    "owed",
    "fetch",
    "verify-by",
    "verify",
    "file",
    "file-written",
    "file-named",
    "filed",
    "mark",
    "marked",
    "swap",
    "swapped",
    "forget",
    "forgotten",
    "receipt",
    "receipt-told",
    "settle",
    "settled",
    "checkpoint",
    "checkpointed",
];

/// A validator that keeps every CRL in a file of its own, however small.
const FILES: &str = "small_crl_bytes = 0";

/// How many CRLs are issued while validators die. CRL n revokes the leaves 0 to n-1.
const ROUNDS: u32 = 4;
/// How `abort` ends a process.
const SIGABRT: i32 = 6;

/// A validator that dies when it comes by its step for the first time; in its second life, for the second time.
struct Victim {
    step: &'static str,
    validator: ValidatorProcess,
    deaths: u32,
}

impl Victim {
    fn start(&mut self) {
        match self.deaths {
            deaths @ 0..2 => self.validator.start_armed(&format!("{}:{}", self.step, deaths + 1)),
            _ => self.validator.start(),
        }
    }

    /// Whether it does not run; how it came to that must be its step.
    fn is_dead(&mut self) -> bool {
        if let Some(status) = self.validator.ended() {
            let log = self.validator.log();
            assert_eq!(status.signal(), Some(SIGABRT), "{} ended with {status}: {log}", self.step);
            let last_word = format!("fail point {}: the process dies here", self.step);
            assert!(log.contains(&last_word), "{}: {log}", self.step);
            self.deaths += 1;
        }
        !self.validator.is_running()
    }

    /// Waits until it is dead or `probe` says that it has come this far.
    async fn dies_or(&mut self, what: &str, probe: impl AsyncFn(&ValidatorProcess) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !self.is_dead() && !probe(&self.validator).await {
            assert!(Instant::now() < deadline, "{} neither died nor {what}", self.step);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// I2, I5, I7: whatever the step, what was told is enforced after the death, with the broker down; with it up, all
/// converge, no debt is left, and each CRL was applied once.
#[tokio::test]
async fn a_validator_killed_at_any_step_is_never_below_its_mark_and_never_says_good_of_what_is_revoked() {
    let mut world = World::start().await;
    let leaves: Vec<Certificate> = (0..=ROUNDS).map(|n| world.issuing.leaf(n)).collect();
    let mut victims: Vec<Victim> = STEPS
        .iter()
        .flat_map(|step| [(*step, "journal", ""), (*step, "files", FILES)])
        // A CRL in the journal comes by no step of a file.
        .filter(|(step, _, keeps)| *keeps == FILES || !step.starts_with("file"))
        .map(|(step, place, keeps)| {
            let validator = world.validator(&format!("v-{step}-{place}"), keeps);
            Victim { step, validator, deaths: 0 }
        })
        .collect();
    for number in 1..=ROUNDS {
        issue(&world, &mut victims, number).await;
    }
    for victim in &mut victims {
        if victim.deaths == 0 {
            victim.dies_or("came by its step", async |_| false).await;
        }
    }

    let mut before = Vec::new();
    for victim in &mut victims {
        victim.validator.kill();
        before.push(world.told(&victim.validator, &world.issuing).await);
    }
    world.nats.kill();
    victims.iter_mut().for_each(|victim| victim.validator.start());
    for (victim, told) in victims.iter().zip(before) {
        stands_where_it_stood(&world, victim, told, &leaves).await;
    }

    world.nats.start_again().await;
    for victim in &victims {
        converges(&world, victim, &leaves).await;
    }
    for victim in &mut victims {
        victim.validator.stop();
        applied_each_crl_once(victim);
    }
}

/// Issues a CRL while all victims that are alive, or live again, take it in. An even one comes by a debt: its notice is
/// told before anybody can have it.
async fn issue(world: &World, victims: &mut [Victim], number: u32) {
    let crl = world.issuing.crl(number.into(), number);
    let by_debt = number.is_multiple_of(2);
    if by_debt {
        let mut notice = world.issuing.notice(&crl);
        notice.crl = None;
        world.tell(&notice).await;
    } else {
        world.publish(&world.issuing, &crl).await;
    }
    for victim in victims.iter_mut() {
        // Some steps are only taken after a start.
        if number == ROUNDS - 1 && victim.deaths == 0 {
            victim.validator.kill();
        }
        if victim.is_dead() {
            victim.start();
        }
    }
    if by_debt {
        for victim in victims.iter_mut() {
            victim.dies_or("owes", async |it| it.owes().await.is_some_and(|debts| debts > 0)).await;
        }
        world.store(&crl).await;
    }
    for victim in victims {
        let reached = async |it: &ValidatorProcess| {
            it.enforces(&world.issuing).await.flatten() == Some(u64::from(number))
        };
        victim.dies_or("enforces", reached).await;
    }
}

/// With the broker down: what a start finds is the mark, at least what was told, and no leaf on it is good.
async fn stands_where_it_stood(world: &World, victim: &Victim, told: u64, leaves: &[Certificate]) {
    let (step, validator) = (victim.step, &victim.validator);
    let enforced = eventually("it answers", async || validator.enforces(&world.issuing).await).await;
    assert!(enforced.unwrap_or(0) >= told, "{step}: told {told}, enforces {enforced:?}");
    let mark = mark(&validator.state(), &world.issuing);
    assert_eq!(enforced, mark, "{step}: the mark is what is enforced");
    let revoked = usize::try_from(enforced.unwrap_or(0)).unwrap();
    for (n, leaf) in leaves.iter().enumerate() {
        let said = validator.says(leaf).await.unwrap();
        match enforced {
            Some(_) if n < revoked => assert_eq!(said.outcome, "revoked", "{step}: leaf {n} of {revoked}"),
            Some(_) => {}
            None => assert_ne!(said.outcome, "valid", "{step}: nothing is known"),
        }
    }
}

async fn converges(world: &World, victim: &Victim, leaves: &[Certificate]) {
    let (step, validator) = (victim.step, &victim.validator);
    let newest = world.issuing.crl(ROUNDS.into(), ROUNDS);
    eventually(&format!("{step} enforces the newest CRL, told so, and owes nothing"), async || {
        let enforced = validator.enforces(&world.issuing).await? == Some(ROUNDS.into());
        let told = world.told(validator, &world.issuing).await == u64::from(ROUNDS);
        let settled = validator.owes().await? == 0;
        (enforced && told && settled).then_some(())
    })
    .await;
    for crl in [newest, world.root.crl(1, 0)] {
        assert!(Kept::of(validator, &crl).read().is_some(), "{step}: a mark without its CRL");
    }
    let (last, next) = (leaves.len() - 2, leaves.len() - 1);
    assert_eq!(validator.says(&leaves[last]).await.unwrap().outcome, "revoked", "{step}");
    assert_eq!(validator.says(&leaves[next]).await.unwrap().outcome, "valid", "{step}");
}

/// The mark and the record of an apply are one transaction: no CRL is applied twice, whenever the death came.
fn applied_each_crl_once(victim: &Victim) {
    let journal = Connection::open(victim.validator.state().join("journal.db")).unwrap();
    let mut applied = journal.prepare("SELECT digest, count(*) FROM audit GROUP BY digest").unwrap();
    let counts: BTreeMap<String, u32> =
        applied.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert!(counts.values().all(|times| *times == 1), "{}: {counts:?}", victim.step);
    let debts: u32 = journal.query_row("SELECT count(*) FROM owed", [], |row| row.get(0)).unwrap();
    assert_eq!(debts, 0, "{}", victim.step);
}

/// Number of the CRL at a CA's mark, read from a copy of the journal as it lies on the disk.
fn mark(state: &Path, ca: &TestCa) -> Option<u64> {
    let copy = tempfile::tempdir().unwrap();
    for name in names(state).iter().filter(|name| name.starts_with("journal.db")) {
        std::fs::copy(state.join(name), copy.path().join(name)).unwrap();
    }
    let journal = Connection::open(copy.path().join("journal.db")).unwrap();
    let sql = "SELECT digest FROM mark WHERE issuer = ?1";
    let digest = journal.query_row(sql, [ca.issuer().0], |row| row.get(0).map(Digest)).ok()?;
    (1..=ROUNDS).find(|n| ca.crl((*n).into(), *n).digest() == digest).map(u64::from)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_fail_point_of_the_sources_is_a_step_at_which_a_validator_dies() {
    let mut written = BTreeSet::new();
    for folder in ["services/validator/src", "shared/store/src"] {
        fail_points(&root().join(folder), &mut written);
    }
    assert_eq!(written, STEPS.map(str::to_owned).into());
}

fn fail_points(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        for name in names(path) {
            fail_points(&path.join(name), found);
        }
    } else {
        let text = std::fs::read_to_string(path).unwrap();
        let named = text.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(named.map(str::to_owned));
    }
}

/// A CRL as it lies on a validator's disk: in a file, or in the journal.
struct Kept {
    state: PathBuf,
    digest: Digest,
}

impl Kept {
    fn of(validator: &ValidatorProcess, crl: &Crl) -> Kept {
        Kept { state: validator.state(), digest: crl.digest() }
    }

    fn file(&self) -> PathBuf {
        self.state.join("crls").join(self.digest.to_string())
    }

    fn read(&self) -> Option<Vec<u8>> {
        let sql = "SELECT der FROM small_crl WHERE digest = ?1";
        let row = || self.journal().query_row(sql, [self.digest.0], |row| row.get(0)).ok();
        std::fs::read(self.file()).ok().or_else(row)
    }

    /// Puts something else in its place.
    fn write(&self, bytes: &[u8]) {
        if self.file().exists() {
            return std::fs::write(self.file(), bytes).unwrap();
        }
        let sql = "UPDATE small_crl SET der = ?2 WHERE digest = ?1";
        assert_eq!(self.journal().execute(sql, params![self.digest.0, bytes]).unwrap(), 1);
    }

    fn journal(&self) -> Connection {
        Connection::open(self.state.join("journal.db")).unwrap()
    }
}

/// A validator that enforces CRL 2, which revokes leaf 0 and leaf 1, and has ended.
async fn with_a_crl(world: &World, config: &str) -> ValidatorProcess {
    world.publish(&world.issuing, &world.issuing.crl(2, 2)).await;
    let mut validator = world.validator("v1", config);
    validator.start();
    eventually("CRL 2 is enforced", async || {
        (validator.enforces(&world.issuing).await? == Some(2)).then_some(())
    })
    .await;
    validator.stop();
    validator
}

#[tokio::test]
async fn a_torn_crl_file_or_a_flipped_bit_is_never_enforced_and_opens_no_way_back() {
    damaged_is_never_enforced(FILES).await;
}

#[tokio::test]
async fn a_crl_that_is_damaged_within_the_journal_is_never_enforced_and_opens_no_way_back() {
    damaged_is_never_enforced("").await;
}

/// I2, I5: the mark outlives its CRL.
async fn damaged_is_never_enforced(config: &str) {
    let world = World::start().await;
    let mut validator = with_a_crl(&world, config).await;
    let revoked = world.issuing.leaf(1);
    let (older, newest) = (world.issuing.crl(1, 1), world.issuing.crl(2, 2));
    let kept = Kept::of(&validator, &newest);
    assert_eq!(kept.file().exists(), config == FILES);
    let damages: [fn(&mut Vec<u8>); 2] = [|whole| whole.truncate(100), |whole| whole[100] ^= 1];
    for damage in damages {
        let mut bytes = kept.read().unwrap();
        damage(&mut bytes);
        kept.write(&bytes);
        // Only the older CRL is to be had.
        world.tell(&world.issuing.notice(&older)).await;
        validator.start();
        eventually("it has read the heads", async || validator.readiness().await?.0.then_some(())).await;
        assert_eq!(validator.enforces(&world.issuing).await, Some(None));
        assert_eq!(validator.says(&revoked).await.unwrap().outcome, "indeterminate");
        world.tell(&world.issuing.notice(&newest)).await;
        eventually("the CRL comes again", async || {
            (validator.enforces(&world.issuing).await? == Some(2)).then_some(())
        })
        .await;
        assert_eq!(validator.says(&revoked).await.unwrap().outcome, "revoked");
        validator.stop();
    }
}

#[tokio::test]
async fn of_two_crls_that_are_joined_neither_is_enforced_while_the_file_of_one_is_damaged() {
    joined_are_enforced_together(FILES).await;
}

#[tokio::test]
async fn of_two_crls_that_are_joined_neither_is_enforced_while_one_is_damaged_within_the_journal() {
    joined_are_enforced_together("").await;
}

/// I2, I5: what either of two revokes is revoked, and of one alone nobody knows what the other revokes.
async fn joined_are_enforced_together(config: &str) {
    let world = World::start().await;
    let mut validator = with_a_crl(&world, config).await;
    let leaf = world.issuing.leaf(2);
    let (one, other) = (world.issuing.crl(2, 2), world.issuing.crl(2, 3));
    validator.start();
    world.tell(&world.issuing.notice(&other)).await;
    let is_revoked = async || (validator.says(&leaf).await?.outcome == "revoked").then_some(());
    eventually("what the second revokes is revoked", is_revoked).await;
    let newer = world.issuing.crl(3, 3);
    for (damaged, at_hand, again) in [(&other, &one, &other), (&one, &other, &one), (&other, &one, &newer)] {
        validator.stop();
        let damaged = Kept::of(&validator, damaged);
        let whole = damaged.read().unwrap();
        damaged.write(&whole[..100]);
        // Only the one that is whole is to be had.
        world.tell(&world.issuing.notice(at_hand)).await;
        validator.start();
        eventually("it has read the heads", async || validator.readiness().await?.0.then_some(())).await;
        assert_eq!(validator.enforces(&world.issuing).await, Some(None));
        assert_eq!(validator.says(&leaf).await.unwrap().outcome, "indeterminate");
        let says_so = async || Some(validator.readiness().await?.1.iter().any(|reason| reason == "withheld"));
        eventually("it says so", async || says_so().await?.then_some(())).await;
        world.tell(&world.issuing.notice(again)).await;
        let is_revoked = async || (validator.says(&leaf).await?.outcome == "revoked").then_some(());
        eventually("it is enforced again", is_revoked).await;
        eventually("it says so no more", async || (!says_so().await?).then_some(())).await;
    }
    assert_eq!(validator.enforces(&world.issuing).await, Some(Some(3)));
}

#[tokio::test]
async fn a_damaged_journal_is_an_error_that_says_so_and_no_empty_beginning() {
    let world = World::start().await;
    let mut validator = with_a_crl(&world, "").await;
    let journal = validator.state().join("journal.db");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[..64].fill(0x5a);
    std::fs::write(&journal, bytes).unwrap();
    // What SQLite has not yet carried over would stand in for what is damaged.
    for name in ["journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(validator.state().join(name));
    }
    validator.start();
    let status = validator.process().wait(DEADLINE);
    assert_eq!(status.code(), Some(4), "{}", validator.log());
    assert!(validator.log().contains("the journal: file is not a database"), "{}", validator.log());
}

#[tokio::test]
async fn a_panic_on_the_way_of_a_notice_puts_that_one_aside_and_the_checkpoint_goes_on() {
    // The first to come by is the root's CRL.
    a_panic_costs_the_one_notice("dedup:2", 1).await;
}

#[tokio::test]
async fn a_panic_beside_the_runtime_puts_the_notice_aside_and_is_no_debt() {
    // The second to come by is the first of a signer who is looked for.
    a_panic_costs_the_one_notice("verify-by:3", 2).await;
}

/// What goes on beside the notices is missed and told when it fails, and takes nothing else along.
#[tokio::test]
async fn a_part_of_a_validator_that_panics_is_told_by_readiness_and_the_rest_goes_on() {
    let world = World::start().await;
    let mut validator = world.validator("v1", "");
    validator.start_panicking("forget");
    for number in 1..=3 {
        world.publish(&world.issuing, &world.issuing.crl(number, 1)).await;
        eventually("the CRL is enforced", async || {
            (validator.enforces(&world.issuing).await? == Some(number)).then_some(())
        })
        .await;
        if number == 2 {
            eventually("what is superseded is not removed any more", async || {
                validator.readiness().await?.1.contains(&"failed".to_owned()).then_some(())
            })
            .await;
        }
    }
    let (ready, reasons) = validator.readiness().await.unwrap();
    assert!(ready, "{reasons:?}");
}

/// I12: wherever a panic comes from, the checkpoint does not wait for it for ever.
async fn a_panic_costs_the_one_notice(at: &str, which: u64) {
    let world = World::start().await;
    let mut validator = world.validator("v1", "");
    validator.start_panicking(at);
    let enforced = async |ca: &TestCa, number| {
        eventually("the CRL is enforced", async || {
            (validator.enforces(ca).await? == Some(number)).then_some(())
        })
        .await;
    };
    enforced(&world.root, 1).await;
    for number in 1..which {
        world.publish(&world.issuing, &world.issuing.crl(number, 1)).await;
        enforced(&world.issuing, number).await;
    }
    world.publish(&world.issuing, &world.issuing.crl(which, 1)).await;
    eventually("it is put aside", async || {
        let metrics = validator.get("/metrics").await?;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        text.lines().any(|line| line.contains("outcome=\"aside\"") && line.ends_with(" 1")).then_some(())
    })
    .await;
    world.publish(&world.issuing, &world.issuing.crl(which + 1, 2)).await;
    enforced(&world.issuing, which + 1).await;
    assert_eq!(validator.owes().await, Some(0));
    let last = world.bus.stream_state("NOTICES").await.unwrap().last_sequence;
    eventually("the checkpoint has passed all", async || {
        (checkpoint(&validator.state())? >= last).then_some(())
    })
    .await;
}

/// Up to where the notices are done with.
fn checkpoint(state: &Path) -> Option<u64> {
    let journal = Connection::open(state.join("journal.db")).unwrap();
    let sql = "SELECT position FROM checkpoint WHERE stream = 'NOTICES'";
    let position: String = journal.query_row(sql, [], |row| row.get(0)).ok()?;
    serde_json::from_str::<serde_json::Value>(&position).unwrap()["sequence"].as_u64()
}

/// I2, I3, I7: what cannot be written is not enforced, what is enforced stays, and nothing is lost.
#[tokio::test]
async fn a_full_disk_takes_nothing_back_and_what_came_meanwhile_is_applied_once_there_is_room() {
    let world = World::start().await;
    world.publish(&world.issuing, &world.issuing.crl(1, 1)).await;
    let quick = "freshness = { probe = '500ms', degraded_after = '2s' }";
    let mut validator = world.validator("v1", quick);
    validator.say_of_the_policy("fresh_within = '2s'");
    validator.start_on_a_small_disk();
    let (first, second) = (world.issuing.leaf(0), world.issuing.leaf(1));
    eventually("CRL 1 is enforced", async || {
        (validator.enforces(&world.issuing).await? == Some(1)).then_some(())
    })
    .await;
    limit_files(&mut validator, SMALL_DISK);
    world.publish(&world.issuing, &world.issuing.crl(2, 2)).await;
    eventually("it says that its disk failed", async || {
        validator.log().contains("our own disk failed").then_some(())
    })
    .await;
    assert_eq!(validator.enforces(&world.issuing).await, Some(Some(1)));
    assert_eq!(validator.says(&first).await.unwrap().outcome, "revoked");
    assert_eq!(validator.says(&second).await.unwrap().number, Some(1));
    let says_so = async |about: &str| {
        let (ready, reasons) = validator.readiness().await?;
        (ready && reasons.iter().any(|reason| reason == about)).then_some(())
    };
    says_so("disk").await.unwrap();
    // What it knows of the stream ends before the message that it could not take in.
    eventually("nothing proves that it is fresh", async || says_so("freshness").await).await;
    eventually("a policy that wants it fresh says so", async || {
        (validator.says(&second).await?.outcome == "indeterminate").then_some(())
    })
    .await;
    limit_files(&mut validator, "unlimited");
    eventually("CRL 2 is enforced", async || {
        (validator.enforces(&world.issuing).await? == Some(2)).then_some(())
    })
    .await;
    eventually("all is well again", async || {
        let (ready, reasons) = validator.readiness().await?;
        let about = |about: &str| reasons.iter().any(|reason| reason == about);
        (ready && !about("disk") && !about("freshness")).then_some(())
    })
    .await;
    assert_eq!(validator.says(&second).await.unwrap().outcome, "revoked");
}

/// Room for what it logs, and for no more of the journal.
const SMALL_DISK: &str = "16384";

/// Bounds the size of the files that a running validator writes, in octets.
fn limit_files(validator: &mut ValidatorProcess, limit: &str) {
    let (process, limit) = (validator.process().id().to_string(), format!("--fsize={limit}:unlimited"));
    assert!(Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap().success());
}
