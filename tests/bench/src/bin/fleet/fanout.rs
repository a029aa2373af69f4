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

/// What each validator said when it enforced.
type Enforced = Arc<Mutex<Vec<Said>>>;

/// A permit for each validator that said that a notice came.
static CAME: Semaphore = Semaphore::const_new(0);

/// Hears what the validators' logs say.
struct Ear(Enforced);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: LayerContext<'_, S>) {
        let mut said =
            Said { at: Instant::now(), took: Duration::ZERO, persist: Duration::ZERO, message: "" };
        event.record(&mut said);
        CAME.add_permits(usize::from(said.message == A_NOTICE_CAME));
        if said.message == ENFORCED {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        }
    }
}

const A_NOTICE_CAME: &str = "a notice came";
const ENFORCED: &str = "enforced";

#[derive(Clone)]
struct Said {
    at: Instant,
    /// Since the arrival of the notice.
    took: Duration,
    /// Of that, what was spent on writing it to the disk.
    persist: Duration,
    message: &'static str,
}

impl tracing::field::Visit for Said {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        match field.name() {
            "took_us" => self.took = Duration::from_micros(value),
            "persist_us" => self.persist = Duration::from_micros(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let message = format!("{value:?}");
            self.message =
                [A_NOTICE_CAME, ENFORCED].into_iter().find(|known| message == *known).unwrap_or_default();
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
    let disk = tempfile::Builder::new().prefix("revocast-bench-").tempdir()?;
    // The machine is not the same from minute to minute.
    let mut floor = raw().await?;
    let in_memory = ours(memory.path(), &enforced).await?;
    floor.extend(raw().await?);
    let on_disk = ours(disk.path(), &enforced).await?;
    floor.extend(raw().await?);
    let (p50, p99) = (quantile(&mut floor, 0.5), quantile(&mut floor, 0.99));
    println!("raw JetStream, until the last has it          p50 {p50:9.1?}  p99 {p99:9.1?}");
    tell_row(is_memory, in_memory, p50)?;
    tell_row(false, on_disk, p50)
}

fn tell_row(is_memory: bool, times: Times, floor: Duration) -> Result<(), Failure> {
    let words = if is_memory { "state in memory" } else { "state on a disk" };
    let Times { mut persist, mut told_again, mut has, mut enforces } = times;
    for (what, times) in [
        ("of nothing new, until the last has it", &mut told_again),
        ("until the last has it", &mut has),
        ("until the last enforces it", &mut enforces),
    ] {
        let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        let ratio = p50.as_secs_f64() / floor.as_secs_f64();
        println!("ours, {words}, {what:38}  p50 {p50:9.1?}  p99 {p99:9.1?}  {ratio:.2} x");
    }
    // Undisturbed by all the others, about.
    let each = quantile(&mut persist, 0.1);
    println!("ours, {words}, of that on writing it                   each {each:9.1?}");
    if is_memory {
        // Which takes nothing but the processors.
        let cores = std::thread::available_parallelism()?.get();
        let rest = quantile(&mut enforces, 0.5).saturating_sub(each * VALIDATORS as u32 / cores as u32);
        let ratio = rest.as_secs_f64() / floor.as_secs_f64();
        println!(
            "ours, without that, until the last enforces it                 p50 {rest:9.1?}  {ratio:.2} x"
        );
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
    /// What each spends on writing a CRL to the disk.
    persist: Vec<Duration>,
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
        take(enforced);
        let start = Instant::now();
        tell(&bus, &notice).await?;
        until("all enforce the CRL", || heard() >= VALIDATORS).await?;
        let told = take(enforced);
        let arrivals =
            told.iter().filter_map(|said| said.at.checked_sub(said.took)?.checked_duration_since(start));
        times.has.push(arrivals.max().unwrap_or_default());
        let swaps = told.iter().map(|said| said.at.duration_since(start));
        times.persist.extend(told.iter().map(|said| said.persist));
        times.enforces.push(swaps.max().unwrap_or_default());
    }
    for validator in validators {
        validator.stop().await;
    }
    take(enforced);
    Ok(times)
}

/// What was said until now.
fn take(enforced: &Enforced) -> Vec<Said> {
    std::mem::take(&mut enforced.lock().unwrap_or_else(PoisonError::into_inner))
}
