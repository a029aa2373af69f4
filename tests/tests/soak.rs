//! Minutes of trouble, with figures at the end: `make soak`. REVOCAST_SOAK_S says how many seconds each test goes on.

#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use revocast_bus::{Bus, declare};
use revocast_fleet::Publisher;
use revocast_messages::subjects;
use revocast_tests::{Askers, LoadedFleet, NatsCluster, TestCa, ValidatorProcess, eventually, receipt};

/// How long each test goes on.
fn duration() -> Duration {
    let said = std::env::var("REVOCAST_SOAK_S").ok().and_then(|said| said.parse().ok());
    Duration::from_secs(said.unwrap_or(120))
}

/// I5, I7, I11: validators are killed, stopped, started and added at any moment while CRLs flow and questions never stop.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn validators_that_come_and_go_for_minutes_say_nothing_wrong_and_lose_no_question() {
    let until = Instant::now() + duration();
    let mut fleet = LoadedFleet::start(8, u32::try_from(duration().as_secs()).unwrap()).await;
    fleet.issue().await;
    fleet.all_enforce().await;
    let askers = Askers::start(&fleet.world.nats, fleet.asked(), 8).await;
    let mut chance: u32 = 1;
    while Instant::now() < until {
        // A sequence that is the same in each run, and looks like none.
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        fleet.issue().await;
        tokio::time::sleep(Duration::from_millis(u64::from(chance >> 8) % 300)).await;
        match chance >> 29 {
            0 => fleet.stop_one(),
            1 | 2 => fleet.start_stopped(),
            3..=6 => fleet.kill_one(),
            _ => fleet.nothing(),
        }
        fleet.all_enforce().await;
    }
    let tally = askers.finish().await;
    println!(
        "{} CRLs, {} downloads, {} kills; {} questions, {} asked twice, {} lost, {} wrong; every receipt came",
        fleet.issued(),
        fleet.downloads(),
        fleet.killed(),
        tally.asked,
        tally.retried,
        tally.lost,
        tally.wrong.len()
    );
    assert_eq!((&tally.wrong[..], tally.lost), (&[][..], 0));
    assert!(fleet.downloads() <= fleet.issued() + fleet.killed());
}

/// I3, I7: the leader of a three-node cluster is killed every three seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make soak"]
async fn with_the_leader_killed_every_three_seconds_no_notice_and_no_receipt_is_lost() {
    let mut cluster = NatsCluster::start().await;
    let operator = cluster.as_role("operator").await;
    for declaration in declare::built_in() {
        eventually("the cluster takes declarations", async || operator.apply(&declaration).await.ok()).await;
    }
    let ca = TestCa::new("CN=Root,O=Test");
    let folder = tempfile::tempdir().unwrap();
    let mut validators = Vec::new();
    for name in ["v1", "v2", "v3"] {
        let urls = cluster.urls();
        let mut validator = ValidatorProcess::new(folder.path(), name, &urls, &ca.certificate, "");
        validator.connect_by_role();
        validator.start();
        validators.push(validator);
    }
    let (authority, monitor) = (cluster.as_role("authority").await, cluster.as_role("monitor").await);
    let until = Instant::now() + duration();
    let (published, killed) =
        tokio::join!(publish_until(until, &authority, &ca), kill_leaders_until(until, &mut cluster));
    for validator in &validators {
        let name = validator.name();
        eventually(&format!("{name} enforces CRL {published} and has told so"), async || {
            let enforces = validator.enforces(&ca).await? == Some(published);
            let told = receipt(&monitor, name, &ca).await.ok()? == published;
            (enforces && told).then_some(())
        })
        .await;
    }
    println!("{killed} leaders killed, {published} CRLs published and enforced by all; every receipt came");
}

/// Publishes one CRL after the other, each until it is confirmed; tells how many.
async fn publish_until(until: Instant, bus: &Bus, ca: &TestCa) -> u64 {
    let publisher = Publisher::new(bus, "authority-1").await;
    let mut number = 0;
    while Instant::now() < until {
        number += 1;
        let crl = ca.crl(number, 5);
        publisher.publish_crl(&ca.notice(&crl), crl.der(), ca.certificate.spki()).await.unwrap();
    }
    number
}

/// Kills whichever node leads the notices, every three seconds, and starts it again at once; tells how often.
async fn kill_leaders_until(until: Instant, cluster: &mut NatsCluster) -> u64 {
    let mut killed = 0;
    let mut beat = tokio::time::interval(Duration::from_secs(3));
    while Instant::now() < until {
        beat.tick().await;
        if let Some(leader) = cluster.leader_of(subjects::NOTICES).await {
            cluster.node(&leader).kill();
            cluster.node(&leader).start_again().await;
            killed += 1;
        }
    }
    killed
}
