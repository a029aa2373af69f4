//! What a notice announces and what a repository shows: the new CRL later, another one instead, far more than is
//! wanted, or nothing that anybody ever signed.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use revocast_messages::{CrlNotice, encode, subjects};
use revocast_pki::crl::Crl;
use revocast_pki::identity::CrlNumber;
use revocast_tests::{PlainServer, ValidatorProcess, World, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Repositories of this machine may be asked.
const HERE: &str = "repositories = ['http://127.0.0.1:']\n[fetch]\nallowed_networks = ['127.0.0.0/8']\n";

/// A notice that brings nothing along, of a CRL that is in no store.
fn bare(world: &World, crl: &Crl, site: &PlainServer) -> CrlNotice {
    let mut notice = world.issuing.notice(crl);
    (notice.crl, notice.locations) = (None, vec![site.url("/ca.crl")]);
    notice
}

async fn start(world: &World, name: &str, more: &str) -> ValidatorProcess {
    let mut validator = world.validator(name, more);
    validator.start();
    eventually("it follows", async || validator.readiness().await?.0.then_some(())).await;
    validator
}

async fn enforced(validator: &ValidatorProcess, world: &World, number: u64) {
    eventually(&format!("{} enforces CRL {number}", validator.name()), async || {
        (validator.enforces(&world.issuing).await? == Some(number)).then_some(())
    })
    .await;
}

async fn owes(validator: &ValidatorProcess, debts: u64) {
    eventually(&format!("{} owes {debts}", validator.name()), async || {
        (validator.owes().await? == debts).then_some(())
    })
    .await;
}

async fn put_aside(world: &World) -> u64 {
    world.bus.stream_state(subjects::ASIDE).await.unwrap().last_sequence
}

/// I3, I7, I11: the notice is there before the repository shows the new CRL.
#[tokio::test]
async fn a_repository_that_shows_the_new_crl_later_is_waited_for_and_sends_it_to_one_of_the_fleet() {
    let world = World::start().await;
    let (old, new) = (world.issuing.crl(1, 1), world.issuing.crl(2, 2));
    let site = PlainServer::start(old.der()).await;
    let validators = [start(&world, "v1", HERE).await, start(&world, "v2", HERE).await];
    world.tell(&bare(&world, &new, &site)).await;
    for validator in &validators {
        owes(validator, 1).await;
    }
    eventually("the older one is enforced where it was shown", async || {
        for validator in &validators {
            if validator.enforces(&world.issuing).await? == Some(1) {
                return Some(());
            }
        }
        None
    })
    .await;
    eventually("it is asked again", async || (site.requests() > 4).then_some(())).await;
    assert!(site.whole() <= 2, "the older one was sent {} times to two validators", site.whole());
    let before = site.show(new.der());
    for validator in &validators {
        enforced(validator, &world, 2).await;
        owes(validator, 0).await;
        assert_eq!(validator.says(&world.issuing.leaf(1)).await.unwrap().outcome, "revoked");
    }
    assert_eq!(site.whole() - before, 1, "the new CRL was sent once");
    assert_eq!(put_aside(&world).await, 0);
    assert!(!world.has(&old).await, "what was not announced is in no store");
    assert!(world.has(&new).await);
}

/// I11: what one of the fleet was shown the others need not ask for.
#[tokio::test]
async fn a_fleet_asks_a_repository_that_shows_something_else_about_once_per_try() {
    const VALIDATORS: usize = 5;
    const TRIES: usize = 5;
    let world = World::start().await;
    let site = PlainServer::start(world.issuing.crl(1, 1).der()).await;
    let mut validators = Vec::new();
    for n in 0..VALIDATORS {
        validators.push(start(&world, &format!("v{n}"), HERE).await);
    }
    world.tell(&bare(&world, &world.issuing.crl(2, 2), &site)).await;
    let tried = |validator: &ValidatorProcess| validator.log().matches("a notice was not applied").count();
    for validator in &validators {
        eventually("it has tried", async || (tried(validator) >= TRIES).then_some(())).await;
    }
    let tries: usize = validators.iter().map(tried).sum();
    // As often as two of them would without the others.
    assert!(site.requests() < 3 * TRIES as u64, "asked {} times in {tries} tries", site.requests());
}

/// I3, I4: what the issuer signed counts, whatever was announced.
#[tokio::test]
async fn a_newer_crl_than_the_announced_one_is_enforced_and_told_to_the_fleet() {
    let world = World::start().await;
    let (announced, newer) = (world.issuing.crl(2, 2), world.issuing.crl(3, 3));
    let site = PlainServer::start(newer.der()).await;
    let reaches = start(&world, "v1", HERE).await;
    let told = start(&world, "v2", "").await;
    world.tell(&bare(&world, &announced, &site)).await;
    for validator in [&reaches, &told] {
        enforced(validator, &world, 3).await;
        owes(validator, 0).await;
        assert_eq!(validator.says(&world.issuing.leaf(2)).await.unwrap().outcome, "revoked");
    }
    // The announced one comes by another way: it takes nothing back.
    world.publish(&world.issuing, &announced).await;
    world.publish(&world.root, &world.root.crl(2, 0)).await;
    eventually("what was told later is enforced", async || {
        (reaches.enforces(&world.root).await? == Some(2)).then_some(())
    })
    .await;
    assert_eq!(reaches.enforces(&world.issuing).await, Some(Some(3)));
}

/// I1, I9, I10: number 2^150 at the CA's own URL, and a URL of the liar's.
#[tokio::test]
async fn a_lie_about_a_number_is_waited_out_with_pauses_and_delays_no_true_crl() {
    let world = World::start().await;
    let first = world.issuing.crl(1, 1);
    let (site, attackers) = (PlainServer::start(first.der()).await, PlainServer::start(first.der()).await);
    let admitted = HERE.replace("http://127.0.0.1:", &site.url("/"));
    let validator = start(&world, "v1", &admitted).await;
    let mut lie = bare(&world, &world.issuing.crl(9, 9), &site);
    lie.number = Some(CrlNumber::from_integer(&[&[0x40][..], &[0; 18]].concat()).unwrap());
    lie.locations.push(attackers.url("/ca.crl"));
    world.tell(&lie).await;
    enforced(&validator, &world, 1).await;
    owes(&validator, 1).await;
    for number in 2..=5 {
        world.publish(&world.issuing, &world.issuing.crl(number, 3)).await;
        enforced(&validator, &world, number).await;
    }
    assert_eq!(validator.says(&world.issuing.leaf(8)).await.unwrap().outcome, "valid");
    assert_eq!(attackers.requests(), 0);
    assert!(site.requests() < 10, "asked {} times", site.requests());
}

/// I9: what is declared is judged before anything is asked for.
#[tokio::test]
async fn a_crl_that_is_declared_as_100_megabytes_or_a_gigabyte_is_refused_before_any_download() {
    let world = World::start().await;
    world.publish(&world.issuing, &world.issuing.crl(1, 1)).await;
    let next = world.issuing.crl(2, 2);
    let site = PlainServer::start(next.der()).await;
    let validator = start(&world, "v1", &format!("max_crl_bytes = 50_000_000\n{HERE}")).await;
    enforced(&validator, &world, 1).await;
    for (n, size_bytes) in [(1, 100_000_000), (2, 1_000_000_000), (3, u64::MAX)] {
        let notice = CrlNotice { size_bytes, ..bare(&world, &next, &site) };
        world.tell_bytes(&notice, encode(&notice).unwrap().into()).await;
        eventually("it is put aside", async || (put_aside(&world).await == n).then_some(())).await;
    }
    assert_eq!((site.requests(), validator.owes().await), (0, Some(0)));
    assert_eq!(validator.says(&world.issuing.leaf(0)).await.unwrap().outcome, "revoked");
    assert_eq!(validator.says(&world.issuing.leaf(1)).await.unwrap().outcome, "valid");
    world.publish(&world.issuing, &next).await;
    enforced(&validator, &world, 2).await;
}

/// A repository that sends 100 MB whoever asks, without saying so before; its URL, how often it was asked, and how many
/// octets were taken off it.
async fn greedy() -> (String, Arc<AtomicU64>, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ca.crl", listener.local_addr().unwrap());
    let (asked, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = (asked.clone(), taken.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counts.0.fetch_add(1, Ordering::Relaxed);
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            for _ in 0..1_600 {
                if sent.is_err() {
                    break;
                }
                sent = stream.write_all(&[0x30; 1 << 16]).await;
                counts.1.fetch_add(1 << 16, Ordering::Relaxed);
            }
        }
    });
    (url, asked, taken)
}

/// I9, I10: who sends without end is hung up on at the limit, and asked again with pauses.
#[tokio::test]
async fn a_repository_that_sends_100_megabytes_is_cut_off_at_the_limit_and_delays_nobody() {
    let world = World::start().await;
    let (url, asked, taken) = greedy().await;
    let validator = start(&world, "v1", &format!("max_crl_bytes = 100_000\n{HERE}")).await;
    let mut notice = world.issuing.notice(&world.issuing.crl(1, 1));
    (notice.crl, notice.locations) = (None, vec![url]);
    world.tell(&notice).await;
    eventually("it is asked", async || (asked.load(Ordering::Relaxed) >= 1).then_some(())).await;
    world.publish(&world.issuing, &world.issuing.crl(2, 2)).await;
    enforced(&validator, &world, 2).await;
    owes(&validator, 0).await;
    let (asked, taken) = (asked.load(Ordering::Relaxed), taken.load(Ordering::Relaxed));
    // What the kernel holds on its way is not the validator's.
    assert!(taken < asked * 16_000_000, "{taken} octets at {asked} requests");
}
