//! What can go wrong around a validator (the fault matrix): connections that are half open, notices that are many, old
//! or garbage, streams that are lost, clocks that jump, and nobody there at all.

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;

use revocast_bus::declare;
use revocast_daemon::{Clock, Context};
use revocast_messages::{Answer, Registration, codec, decode, encode, subjects};
use revocast_pki::certificate::Certificate;
use revocast_tests::{
    DEADLINE, Fleet, PlainServer, Proxy, Said, TestCa, ValidatorProcess, World, debts, eventually,
    free_address, http, http_get,
};
use revocast_validator::{PolicyConfig, RunError, Subscribe, ValidatorConfig, run};
use tokio::task::JoinHandle;

/// More entries than a notice has room for.
const LARGE: u32 = 12_000;

async fn enforced(validator: &ValidatorProcess, world: &World, number: u64) {
    eventually(&format!("CRL {number} is enforced"), async || {
        (validator.enforces(&world.issuing).await? == Some(number)).then_some(())
    })
    .await;
}

async fn outcome(validator: &ValidatorProcess, certificate: &Certificate) -> String {
    eventually("it answers", async || validator.says(certificate).await).await.outcome
}

/// I3, I13: nobody tells it that nothing comes any more.
#[tokio::test]
async fn a_half_open_connection_is_noticed_told_and_made_good() {
    let world = World::start().await;
    world.publish(&world.issuing, &world.issuing.crl(1, 1)).await;
    let proxy = Proxy::start(world.nats.url().trim_start_matches("nats://")).await;
    let mut validator = world.validator_at(format!("nats://{}", proxy.address()), "v1");
    validator.start();
    enforced(&validator, &world, 1).await;
    eventually("it is well", async || {
        let (ready, reasons) = validator.readiness().await?;
        (ready && reasons.is_empty()).then_some(())
    })
    .await;
    proxy.freeze();
    world.publish(&world.issuing, &world.issuing.crl(2, 2)).await;
    eventually("it says that it is cut off", async || {
        let (ready, reasons) = validator.readiness().await?;
        (ready && reasons.iter().any(|about| about == subjects::NOTICES)).then_some(())
    })
    .await;
    assert_eq!(outcome(&validator, &world.issuing.leaf(0)).await, "revoked", "it goes on answering");
    proxy.thaw();
    enforced(&validator, &world, 2).await;
    eventually("it is well again", async || validator.readiness().await?.1.is_empty().then_some(())).await;
}

/// I2, I4, I11: the same CRL told 300 times and older ones in between cost a download each, at the most.
#[tokio::test]
async fn notices_by_the_hundred_in_any_order_cost_one_download_a_crl_and_take_nothing_back() {
    let world = World::start().await;
    let mut sites = Vec::new();
    let mut notices = Vec::new();
    for number in 1..=5 {
        let crl = world.issuing.crl(number, LARGE);
        let site = PlainServer::start(crl.der()).await;
        let mut notice = world.issuing.notice(&crl);
        notice.locations = vec![site.url("/ca.crl")];
        sites.push(site);
        notices.push(notice);
    }
    let more = "repositories = ['http://127.0.0.1:']\n[fetch]\nallowed_networks = ['127.0.0.0/8']\n";
    let mut validators = [world.validator("v1", more), world.validator("v2", more)];
    validators.iter_mut().for_each(ValidatorProcess::start);
    for validator in &validators {
        eventually("it follows", async || validator.readiness().await?.0.then_some(())).await;
    }
    // A fixed walk through all of them that is in no order: 7 has no factor in common with their number.
    for step in 0..300 {
        world.tell(&notices[step * 7 % notices.len()]).await;
    }
    world.tell(&notices[4]).await;
    for validator in &validators {
        enforced(validator, &world, 5).await;
    }
    world.tell(&notices[0]).await;
    world.publish(&world.issuing, &world.issuing.crl(6, 1)).await;
    for validator in &validators {
        enforced(validator, &world, 6).await;
    }
    let downloads: Vec<u64> = sites.iter().map(PlainServer::whole).collect();
    assert!(downloads.iter().all(|times| *times <= 1), "{downloads:?}");
    assert_eq!(downloads[4], 1, "{downloads:?}");
}

/// I9, I12: for each good notice one that cannot be read.
#[tokio::test]
async fn garbage_between_good_notices_delays_none_of_them() {
    let world = World::start().await;
    let mut validator = world.validator("v1", "");
    validator.start();
    eventually("it follows", async || validator.readiness().await?.0.then_some(())).await;
    for number in 1..=20 {
        let crl = world.issuing.crl(number, 3);
        let notice = world.issuing.notice(&crl);
        let good = encode(&notice).unwrap();
        let bad = match number % 4 {
            0 => b"garbage".to_vec(),
            1 => vec![0xff; 900_000],
            2 => good[..good.len() / 2].to_vec(),
            // The release after the next.
            _ => [&[200], &good[1..]].concat(),
        };
        world.tell_bytes(&notice, bad.into()).await;
        world.publish(&world.issuing, &crl).await;
        enforced(&validator, &world, number).await;
    }
    eventually("each is put aside", async || {
        (world.bus.stream_state(subjects::ASIDE).await.ok()?.last_sequence >= 20).then_some(())
    })
    .await;
}

/// I2, I3: the broker lost all, and the first who speaks again speaks of old.
#[tokio::test]
async fn a_stream_deleted_and_made_anew_takes_no_validator_back_and_loses_no_newer_crl() {
    let world = World::start().await;
    world.publish(&world.issuing, &world.issuing.crl(3, 3)).await;
    let mut validator = world.validator("v1", "");
    validator.start();
    enforced(&validator, &world, 3).await;
    world.delete_stream(subjects::NOTICES).await;
    for declaration in declare::built_in() {
        world.bus.apply(&declaration).await.unwrap();
    }
    world.tell(&world.issuing.notice(&world.issuing.crl(1, 1))).await;
    world.introduce().await;
    world.publish(&world.root, &world.root.crl(2, 0)).await;
    eventually("it follows the new stream", async || {
        (validator.enforces(&world.root).await? == Some(2)).then_some(())
    })
    .await;
    assert_eq!(validator.enforces(&world.issuing).await, Some(Some(3)));
    world.publish(&world.issuing, &world.issuing.crl(4, 4)).await;
    enforced(&validator, &world, 4).await;
    assert_eq!(outcome(&validator, &world.issuing.leaf(3)).await, "revoked");
}

/// A validator in this process, with a clock that the test holds.
struct Held {
    address: SocketAddr,
    context: Context,
    task: JoinHandle<Result<(), RunError>>,
}

impl Held {
    async fn start(world: &World, state: &Path, clock: &Clock) -> Held {
        Held::subscribing(world, state, clock, Subscribe::All).await
    }

    async fn subscribing(world: &World, state: &Path, clock: &Clock, subscribe: Subscribe) -> Held {
        std::fs::create_dir_all(state).unwrap();
        let anchor = state.join("anchor.crt");
        std::fs::write(&anchor, world.root.certificate.der()).unwrap();
        let policy = PolicyConfig { anchors: vec![anchor], ..PolicyConfig::default() };
        let config = ValidatorConfig {
            state: state.to_owned(),
            listen: free_address(),
            bus: world.nats.bus_config(),
            subscribe,
            policies: [("default".to_owned(), policy)].into(),
            ..ValidatorConfig::default()
        };
        let (address, context) = (config.listen, Context { clock: clock.clone(), ..Context::default() });
        let task = tokio::spawn(run(config, context.clone()));
        eventually("it serves", async || http_get(address, "/livez").await).await;
        Held { address, context, task }
    }

    async fn says(&self, certificate: &Certificate) -> Said {
        let answer = http(self.address, "POST", "/v1/validate", &[], certificate.der()).await.unwrap();
        Said::about(certificate, &codec::from_json::<Answer>(&answer.body).unwrap()).unwrap()
    }

    /// Waits until it says "valid" by the CRL of this number.
    async fn admits_by(&self, certificate: &Certificate, number: u64) {
        eventually(&format!("it says valid by CRL {number}"), async || {
            let said = self.says(certificate).await;
            (said.number == Some(number) && said.outcome == "valid").then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.context.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * 24 * HOUR_MS;

/// I2, I6: with a warm store and nobody there it answers at once, says how old its CRL is, and stops saying "valid" when
/// nextUpdate has passed.
#[tokio::test]
async fn alone_with_its_store_a_validator_answers_with_true_ages_until_nextupdate_passes() {
    let mut world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::system().now_ms();
    let clock = Clock::held_at(now);
    let crl = world.issuing.crl(1, 1);
    world.publish(&world.issuing, &crl).await;
    let (revoked, good) = (world.issuing.leaf(0), world.issuing.leaf(1));
    let validator = Held::start(&world, folder.path(), &clock).await;
    validator.admits_by(&good, 1).await;
    validator.stop().await;
    world.nats.kill();
    let validator = Held::start(&world, folder.path(), &clock).await;
    let said = validator.says(&good).await;
    let age_s = now.div_euclid(1_000) - crl.this_update().unix();
    assert_eq!((said.outcome.as_str(), said.number, said.age_s), ("valid", Some(1), Some(age_s)));
    clock.set(now + HOUR_MS);
    assert_eq!(validator.says(&good).await.age_s, Some(age_s + 3_600));
    clock.set(crl.next_update().unwrap().unix() * 1_000 + 1_000);
    assert_eq!(validator.says(&good).await.outcome, "indeterminate");
    assert_eq!(validator.says(&revoked).await.outcome, "revoked", "what is revoked stays so");
    validator.stop().await;
}

/// I2, I3, I6: no verdict is good by a wrong clock, no CRL is lost by it, and no debt is put off by ten years.
#[tokio::test]
async fn a_clock_that_steps_an_hour_back_or_ten_years_ahead_makes_nothing_good_and_loses_nothing() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::system().now_ms();
    let clock = Clock::held_at(now);
    let good = world.issuing.leaf(9);
    world.publish(&world.issuing, &world.issuing.crl(1, 1)).await;
    let validator = Held::start(&world, folder.path(), &clock).await;
    validator.admits_by(&good, 1).await;
    let mut number = 1;
    for stepped in [now - 2 * HOUR_MS, now + 10 * YEAR_MS] {
        clock.set(stepped);
        assert_ne!(validator.says(&good).await.outcome, "valid");
        // While the clock is wrong one comes that cannot be had yet, and one that can.
        number += 2;
        let owed = world.issuing.crl(number - 1, 2);
        let mut notice = world.issuing.notice(&owed);
        notice.crl = None;
        world.tell(&notice).await;
        eventually("it is owed", async || {
            (debts(&http_get(validator.address, "/metrics").await?)? == 1).then_some(())
        })
        .await;
        clock.set(now);
        world.store(&owed).await;
        validator.admits_by(&good, number - 1).await;
        world.publish(&world.issuing, &world.issuing.crl(number, 3)).await;
        validator.admits_by(&good, number).await;
    }
    validator.stop().await;
}

/// Who does not count any more is said goodbye to, so that no watermark of theirs waits for this validator.
#[tokio::test]
async fn an_issuer_that_leads_to_no_anchor_any_more_is_unsubscribed_from() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::system().now_ms();
    let clock = Clock::held_at(now);
    let validator = Held::subscribing(&world, folder.path(), &clock, Subscribe::Anchors).await;
    let subscribed = async |wanted: &[&TestCa]| {
        let entries = world.bus.bucket(subjects::SUBSCRIPTIONS).await.ok()?.entries(">").await.ok()?;
        let issuers: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| decode::<Registration>(&entry.value?).ok()?.issuer)
            .collect();
        let as_wanted = wanted.iter().all(|ca| issuers.contains(&ca.issuer()));
        (as_wanted && issuers.len() == wanted.len()).then_some(())
    };
    eventually("it subscribes to both", async || subscribed(&[&world.root, &world.issuing]).await).await;
    // The certificate of the CA below the root has ended.
    clock.set(now + YEAR_MS);
    eventually("it subscribes to the root alone", async || subscribed(&[&world.root]).await).await;
    validator.stop().await;
}

/// I3, I7: nothing can be told while the broker has no room, nobody stops for that, and then all of it is told.
#[tokio::test]
async fn a_broker_whose_disk_is_full_silences_nobody_and_loses_nothing() {
    let mut fleet = Fleet::with_little_room().await;
    fleet.init_cas();
    fleet.start_authority();
    fleet.start_validator("v1", "");
    fleet.settled(1).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    fleet.nats.fill().await;
    let bus = fleet.nats.bus("test").await;
    let stored = async || bus.stream_state(subjects::NOTICES).await.unwrap().last_sequence;
    let before = stored().await;
    // The CA decides all the same; its notice waits in the ledger.
    fleet.json(&["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise", "--offline"]);
    fleet.issue("another");
    fleet.expect("v1", "another.crt", "valid").await;
    // Nor does a validator need room to begin.
    fleet.kill("v1");
    fleet.start_validator("v1", "");
    fleet.expect("v1", "another.crt", "valid").await;
    assert_eq!(stored().await, before, "nothing was taken in meanwhile");
    fleet.nats.make_room().await;
    fleet.expect("v1", "leaf.crt", "revoked").await;
    fleet.settled(1).await;
}
