//! A start with 10,000 CAs and 250 MB of CRLs from the validator's own store, without a broker, against reading,
//! hashing and verifying the same files.

use std::path::Path;
use std::time::{Duration, Instant};

use revocast_fleet::Publisher;
use revocast_pki::identity::Digest;
use revocast_pki::mint::RevokedEntry;
use revocast_pki::signature::AlgorithmPolicy;
use revocast_tests::{NatsServer, http};

use crate::Failure;
use crate::rig::{Ca, Validator, now};

const CAS: u32 = 10_000;
/// Entries of each CRL, which make it about 25 KB.
const ENTRIES: u32 = 710;

pub(crate) async fn measure() -> Result<(), Failure> {
    println!("\n## a start with {CAS} CAs from the store");
    let folder = tempfile::Builder::new().prefix("revocast-bench-").tempdir()?;
    let root = Ca::root("CN=Start Root")?;
    let anchor = folder.path().join("root.der");
    std::fs::write(&anchor, root.certificate.der())?;
    let lists = fill(&root, &anchor, folder.path()).await?;
    let octets: usize = lists.iter().map(|(_, der)| der.len()).sum();
    println!("{} CRLs, {:.0} MB", lists.len(), octets as f64 / 1e6);
    let keys: Vec<(Vec<u8>, Digest)> =
        lists.into_iter().map(|(spki, der)| (spki, Digest::of(&der))).collect();
    let store = folder.path().join("validator-1").join("crls");
    let (mut floors, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        floors.push(floor(&keys, &store)?);
        starts.push(start(&anchor, folder.path(), keys.len()).await?);
    }
    floors.sort_unstable();
    starts.sort_unstable();
    let (floor, start) = (floors[1], starts[1]);
    println!("read, hash, verify, on one thread  {floor:9.1?}");
    println!(
        "start until all are enforced       {start:9.1?}  {:.2} x",
        start.as_secs_f64() / floor.as_secs_f64()
    );
    Ok(())
}

/// A validator takes all of it from the broker once. Returns keys and CRLs.
async fn fill(root: &Ca, anchor: &Path, folder: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Failure> {
    let nats = NatsServer::start().await;
    let publisher = Publisher::new(&nats.bus("authority").await, "authority-1").await;
    let validator = Validator::start("validator-1", anchor, folder, Some(&nats));
    let mut lists = Vec::new();
    let mut publishing = tokio::task::JoinSet::new();
    for n in 0..CAS {
        let ca = root.below(&format!("CN=CA {n}"), n)?;
        let entries = (0..ENTRIES).map(|entry| {
            let serial = u128::from(n) << 64 | u128::from(entry) << 32 | 0x4000_0000 << 96;
            RevokedEntry::new(&serial.to_be_bytes(), now())
        });
        let crl = ca.crl(1, entries)?;
        lists.push((ca.key.spki().to_vec(), crl.der().to_vec()));
        while publishing.len() >= 64 {
            publishing.join_next().await;
        }
        let (root, publisher) = (root.issuer(), publisher.clone());
        publishing.spawn(async move {
            let introduced = ca.introduce_under(root, &publisher).await;
            introduced.and(ca.publish(&publisher, &crl).await)
        });
    }
    while let Some(published) = publishing.join_next().await {
        published??;
    }
    enforced(&validator, lists.len()).await?;
    validator.stop().await;
    Ok(lists)
}

/// Until the validator says that it enforces `count` CRLs.
async fn enforced(validator: &Validator, count: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        if let Some(answer) = http(validator.address, "GET", "/v1/scopes?limit=1", &[], &[]).await
            && answer.status == 200
        {
            let text = String::from_utf8_lossy(&answer.body);
            if text.matches("\"crl_id\"").count() >= count {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            return Err("the CRLs were not taken in within ten minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn floor(keys: &[(Vec<u8>, Digest)], store: &Path) -> Result<Duration, Failure> {
    let started = Instant::now();
    let policy = AlgorithmPolicy::default();
    for (spki, digest) in keys {
        let bytes = std::fs::read(store.join(digest.to_string()))?;
        if Digest::of(&bytes) != *digest {
            return Err("a file was damaged".into());
        }
        revocast_pki::crl::Header::decode(bytes.clone())?.verify(spki, &policy)?;
        std::hint::black_box(bytes);
    }
    Ok(started.elapsed())
}

/// From nothing until the HTTP door is open, which is when everything in the store is enforced.
async fn start(anchor: &Path, folder: &Path, count: usize) -> Result<Duration, Failure> {
    let started = Instant::now();
    let validator = Validator::start("validator-1", anchor, folder, None);
    loop {
        if let Some(answer) = http(validator.address, "GET", "/livez", &[], &[]).await
            && answer.status == 200
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let taken = started.elapsed();
    enforced(&validator, count).await?;
    validator.stop().await;
    Ok(taken)
}
