//! A notice of 1 KB until the last of 64 validators has it, and until the last enforces it, against a raw JetStream
//! fan-out to 64 consumers. Validators are in this process, with their state in memory; what a disk costs is a row of
//! its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer::AckPolicy, consumer::DeliverPolicy, consumer::pull};
use futures::StreamExt;
use revocast_bus::Bus;
use revocast_fleet::Publisher;
use revocast_messages::encode;
use revocast_tests::NatsServer;
use tokio::sync::Semaphore;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::Failure;
use crate::rig::{Ca, Validator, folder_in_memory, quantile, until};

/// Validators, and raw consumers.
const VALIDATORS: usize = 64;
/// Notices per row.
const NOTICES: u64 = 100;
/// Between two notices, of the floor as of ours: notices come one at a time, to processors that have gone to sleep, and
/// receipts and checkpoints of one are no part of the next one's time.
const REST: Duration = Duration::from_millis(50);

/// When each validator said that it enforces, and how long after the arrival of the notice.
type Enforced = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// A permit for each validator that said that a notice came.
static CAME: Semaphore = Semaphore::const_new(0);

/// Hears what the validators' logs say.
struct Ear(Enforced);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        CAME.add_permits(usize::from(said.came));
        if said.enforced {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), said.took));
        }
    }
}

#[derive(Default)]
struct Said {
    came: bool,
    enforced: bool,
    took: Duration,
}

impl tracing::field::Visit for Said {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "took_us" {
            self.took = Duration::from_micros(value);
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let message = format!("{value:?}");
            self.enforced = message == "enforced";
            self.came = message == "a notice came";
        }
    }
}

pub(crate) async fn measure() -> Result<(), Failure> {
    let enforced = Enforced::default();
    let targets = tracing_subscriber::filter::Targets::new()
        .with_target("revocast_validator::notice", tracing::Level::DEBUG);
    tracing_subscriber::registry().with(targets).with(Ear(enforced.clone())).init();
    println!("\n## one notice to {VALIDATORS} validators in this process, {NOTICES} notices");
    let (memory, is_memory) = folder_in_memory()?;
    let mut raw = raw().await?;
    let (p50, p99) = (quantile(&mut raw, 0.5), quantile(&mut raw, 0.99));
    println!("raw JetStream, until the last has it          p50 {p50:9.1?}  p99 {p99:9.1?}");
    let words = if is_memory { "state in memory" } else { "state on a disk" };
    row(words, memory.path(), &enforced, p50).await?;
    let disk = tempfile::Builder::new().prefix("revocast-bench-").tempdir()?;
    row("state on a disk", disk.path(), &enforced, p50).await
}

async fn row(
    words: &str,
    folder: &std::path::Path,
    enforced: &Enforced,
    floor: Duration,
) -> Result<(), Failure> {
    let Times { mut told_again, mut has, mut enforces } = ours(folder, enforced).await?;
    for (what, times) in [
        ("of nothing new, until the last has it", &mut told_again),
        ("until the last has it", &mut has),
        ("until the last enforces it", &mut enforces),
    ] {
        let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        let ratio = p50.as_secs_f64() / floor.as_secs_f64();
        println!("ours, {words}, {what:38}  p50 {p50:9.1?}  p99 {p99:9.1?}  {ratio:.2} x");
    }
    Ok(())
}

/// A notice of about 1 KB to 64 consumers, each with a connection of its own, without acknowledgements.
async fn raw() -> Result<Vec<Duration>, Failure> {
    let nats = NatsServer::start().await;
    let got = Arc::new(Semaphore::new(0));
    for _ in 0..VALIDATORS {
        let client = async_nats::connect(nats.url()).await?;
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            deliver_policy: DeliverPolicy::New,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = jetstream::new(client).get_stream("NOTICES").await?.create_consumer(config).await?;
        let (mut messages, got) = (consumer.messages().await?, got.clone());
        tokio::spawn(async move {
            while let Some(Ok(_)) = messages.next().await {
                got.add_permits(1);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ca = Ca::root("CN=Raw")?;
    let bus = nats.bus("authority").await;
    let mut times = Vec::new();
    for number in 1..=NOTICES {
        let notice = ca.notice(&ca.crl(number, [])?);
        tokio::time::sleep(REST).await;
        let start = Instant::now();
        tell(&bus, &notice).await?;
        got.acquire_many(VALIDATORS as u32).await?.forget();
        times.push(start.elapsed());
    }
    Ok(times)
}

/// The publishing that both rows share: one message, confirmed.
async fn tell(bus: &Bus, notice: &revocast_messages::CrlNotice) -> Result<(), Failure> {
    let (subject, body) = (notice.subject().to_string(), encode(notice)?);
    bus.publish("NOTICES", &subject, &notice.headers(), body.into()).await?;
    Ok(())
}

/// From the publishing on.
#[derive(Default)]
struct Times {
    /// Until the last has a notice that tells of nothing new: delivery alone.
    told_again: Vec<Duration>,
    /// Until the last has one of a new CRL, while others verify it on the same cores.
    has: Vec<Duration>,
    /// Until the last enforces it.
    enforces: Vec<Duration>,
}

async fn ours(folder: &std::path::Path, enforced: &Enforced) -> Result<Times, Failure> {
    let nats = NatsServer::start().await;
    let ca = Ca::root("CN=Fan")?;
    let anchor = folder.join("root.der");
    std::fs::write(&anchor, ca.certificate.der())?;
    let bus = nats.bus("authority").await;
    let publisher = Publisher::new(&bus, "authority-1").await;
    let first = ca.crl(1, [])?;
    ca.publish(&publisher, &first).await?;
    let validators: Vec<Validator> = (0..VALIDATORS)
        .map(|n| Validator::start(&format!("validator-{n}"), &anchor, folder, Some(&nats)))
        .collect();
    for validator in &validators {
        validator.ready().await?;
    }
    let heard = || enforced.lock().unwrap_or_else(PoisonError::into_inner).len();
    until("all enforce the first CRL", || heard() >= VALIDATORS).await?;
    let mut times = Times::default();
    let known = ca.notice(&first);
    let (subject, body) = (known.subject().to_string(), bytes::Bytes::from(encode(&known)?));
    for _ in 0..NOTICES {
        tokio::time::sleep(REST).await;
        CAME.forget_permits(usize::MAX >> 4);
        let start = Instant::now();
        // Without its id, by which the broker would know it again.
        bus.publish("NOTICES", &subject, &Vec::new(), body.clone()).await?;
        CAME.acquire_many(VALIDATORS as u32).await?.forget();
        times.told_again.push(start.elapsed());
    }
    for number in 2..NOTICES + 2 {
        let notice = ca.notice(&ca.crl(number, [])?);
        tokio::time::sleep(REST).await;
        enforced.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let start = Instant::now();
        tell(&bus, &notice).await?;
        until("all enforce the CRL", || heard() >= VALIDATORS).await?;
        let told = enforced.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let arrivals =
            told.iter().filter_map(|(at, took)| at.checked_sub(*took)?.checked_duration_since(start));
        times.has.push(arrivals.max().unwrap_or_default());
        let swaps = told.iter().map(|(at, _)| at.duration_since(start));
        times.enforces.push(swaps.max().unwrap_or_default());
    }
    for validator in validators {
        validator.stop().await;
    }
    enforced.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Ok(times)
}
