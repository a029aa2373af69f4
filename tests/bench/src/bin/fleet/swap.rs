//! Questions while CRLs of 1,000,000 entries are applied without pause, against questions while nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::Client;
use bytes::Bytes;
use revocast_fleet::Publisher;
use revocast_messages::{Answer, Outcome, Question, decode, encode};
use revocast_pki::crl::Crl;
use revocast_tests::NatsServer;

use crate::Failure;
use crate::rig::{Ca, Validator, folder_in_memory, quantile};

const ENTRIES: u64 = 1_000_000;
/// CRLs that are applied, each with another entry.
const APPLIES: u64 = 12;
/// How long questions are asked while nothing happens.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) async fn measure() -> Result<(), Failure> {
    println!("\n## questions while CRLs of {ENTRIES} entries are applied without pause");
    let nats = NatsServer::start().await;
    let (folder, _) = folder_in_memory()?;
    let ca = Ca::root("CN=Swap")?;
    let anchor = folder.path().join("root.der");
    std::fs::write(&anchor, ca.certificate.der())?;
    let publisher = Publisher::new(&nats.bus("authority").await, "authority-1").await;
    let list = |number: u64| ca.crl(number, (0..ENTRIES + number).map(revocast_bench::entry));
    let mut held = list(1)?;
    ca.publish(&publisher, &held).await?;
    let validator = Validator::start("validator-1", &anchor, folder.path(), Some(&nats));
    validator.ready().await?;
    let mut notices = Vec::new();
    for number in 2..APPLIES + 2 {
        let next: Crl = list(number)?;
        let mut notice = ca.notice(&next);
        notice.add_difference(&held, &next);
        notices.push(notice);
        held = next;
    }
    drop(held);

    let client = async_nats::connect(nats.url()).await?;
    let question = Question { certificates: vec![ca.leaf(1)?.into()], ..Question::default() };
    let asked = Bytes::from(encode(&question)?);
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(client.clone(), asked.clone(), stop.clone()));
    tokio::time::sleep(IDLE).await;
    stop.store(true, Ordering::Relaxed);
    let mut idle = asking.await??;

    stop.store(false, Ordering::Relaxed);
    let asking = tokio::spawn(ask(client.clone(), asked.clone(), stop.clone()));
    let bus = nats.bus("authority").await;
    let started = Instant::now();
    for notice in &notices {
        let body = encode(notice)?;
        bus.publish("NOTICES", &notice.subject().to_string(), &notice.headers(), body.into()).await?;
        until_decided_by(&client, &asked, notice.crl_id).await?;
    }
    let each = started.elapsed() / APPLIES as u32;
    stop.store(true, Ordering::Relaxed);
    let mut during = asking.await??;
    for (what, times) in [("idle", &mut idle), ("during", &mut during)] {
        let (count, p50, p99) = (times.len(), quantile(times, 0.5), quantile(times, 0.99));
        let longest = times.last().copied().unwrap_or_default();
        println!("{what:8} {count:7} questions  p50 {p50:9.1?}  p99 {p99:9.1?}  longest {longest:9.1?}");
    }
    let ratio = quantile(&mut during, 0.99).as_secs_f64() / quantile(&mut idle, 0.99).as_secs_f64();
    println!("p99 during {APPLIES} applies, {each:.1?} each: {ratio:.2} x idle");
    validator.stop().await;
    Ok(())
}

async fn ask(client: Client, asked: Bytes, stop: Arc<AtomicBool>) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        client.request("pki.validate", asked.clone()).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Until an answer rests on this CRL.
async fn until_decided_by(
    client: &Client,
    asked: &Bytes,
    crl: revocast_pki::identity::CrlId,
) -> Result<(), Failure> {
    loop {
        let answer: Answer = decode(&client.request("pki.validate", asked.clone()).await?.payload)?;
        let Some(judged) = answer.judgements.first() else { return Err("no judgement".into()) };
        if judged.outcome != Outcome::Valid {
            return Err(format!("the leaf is {}: {}", judged.outcome, judged.reason).into());
        }
        if judged.evidence.iter().any(|found| found.crl_id == crl) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
