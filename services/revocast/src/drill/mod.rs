//! `revocast drill`: a mass revocation, rehearsed. Mints a CA and CRLs of any size, revokes at once, and measures
//! what a fleet makes of it: time to the last receipt, bytes on the wire, repository downloads, memory, and how
//! questions fare meanwhile. CA/Browser Forum asks CAs to test mass revocation every year (Baseline Requirements 5.7.1).

mod authority;
mod fleet;
mod questions;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use revocast_fleet::WaitReport;
use revocast_messages::Source;
use serde::Serialize;

use crate::broker::Broker;
use crate::bus::block_on_until_stopped;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};
use authority::DrillAuthority;
use fleet::DrillFleet;
use questions::{Latency, Questions};

/// Options of `drill`.
#[derive(Args)]
pub(crate) struct DrillArgs {
    /// Entries of the CRL before the revocation.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    entries: u32,
    /// How many are revoked at once.
    #[arg(long, value_name = "N", default_value_t = 100)]
    revoke: u32,
    /// How many validators enforce.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    validators: u16,
    /// Questions that are under way at any time while all this happens; 0 asks none.
    #[arg(long, value_name = "N", default_value_t = 4)]
    questions: u16,
    /// CRLs are only to be had from the CA's repository, as if a watcher had seen them there: no object store, no
    /// differences.
    #[arg(long)]
    repository: bool,
    /// How long to wait for the last receipt.
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The nats-server program, 2.15 or later.
    #[arg(long, value_name = "FILE", env = "NATS_SERVER", default_value = "nats-server")]
    nats_server: PathBuf,
}

/// One CRL on its way through the fleet.
#[derive(Serialize)]
struct Passage {
    entries: usize,
    crl_bytes: usize,
    notice_bytes: usize,
    /// What a validator takes over the network for it: the notice, and the CRL unless the notice led to it.
    bytes_per_validator: usize,
    /// From the decision to the last receipt, signing and publishing included.
    last_receipt_ms: u128,
    /// From the notice's arrival at the broker to the first and last receipt, by the broker's clock.
    first_enforced_ms: Option<i64>,
    last_enforced_ms: Option<i64>,
    sources: Vec<(Source, usize)>,
    missing: usize,
}

/// What the drill measured.
#[derive(Serialize)]
struct Report {
    validators: u16,
    cores: usize,
    first: Passage,
    mass_revocation: Passage,
    repository_downloads: u64,
    questions_before: Option<Latency>,
    questions_during: Option<Latency>,
    wrong_verdicts: u64,
    memory_bytes_peak: u64,
}

pub(crate) fn run(args: &DrillArgs, output: &Output) -> Result<Exit, Failure> {
    let report = block_on_until_stopped(rehearse(args, output))?;
    let complete = report.mass_revocation.missing == 0 && report.wrong_verdicts == 0;
    output.result(&report, || text(&report));
    Ok(if complete { Exit::Ok } else { Exit::Indeterminate })
}

/// Questions are asked alone for this long, to compare with.
const CALM: Duration = Duration::from_secs(2);

async fn rehearse(args: &DrillArgs, output: &Output) -> Result<Report, Failure> {
    output.progress("Starting a broker ...");
    let (broker, bus) = Broker::start(&args.nats_server).await?;
    let mut authority = DrillAuthority::found(&bus, args.repository).await?;
    output.progress(&format!("Starting {} validators in this process ...", args.validators));
    let fleet = DrillFleet::start(&broker, &authority, args.validators).await?;
    fleet.subscribed(&bus, args.patience).await?;

    output.progress(&format!("A first CRL of {} entries ...", args.entries));
    let first = pass(&mut authority, args.entries, args.patience, &bus).await?;
    let leaf = authority.leaf()?;
    let mut before = None;
    let mut questions = None;
    if args.questions > 0 {
        output.progress("Questions, while nothing happens ...");
        let asked = Questions::start(broker.config(), &leaf, args.questions).await?;
        tokio::time::sleep(CALM).await;
        before = Some(asked.take());
        questions = Some(asked);
    }
    output.progress(&format!("{} revoked at once ...", args.revoke));
    let mass_revocation = pass(&mut authority, args.revoke, args.patience, &bus).await?;
    let (mut during, mut wrong) = (None, 0);
    if let Some(questions) = questions {
        during = Some(questions.take());
        wrong = questions.stop().await;
    }
    let repository_downloads = authority.downloads();
    fleet.stop().await;
    bus.close().await;
    broker.stop().await;
    Ok(Report {
        validators: args.validators,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        first,
        mass_revocation,
        repository_downloads,
        questions_before: before,
        questions_during: during,
        wrong_verdicts: wrong,
        memory_bytes_peak: peak_memory(),
    })
}

/// Revokes `revoke` more, and waits for the last receipt.
async fn pass(
    authority: &mut DrillAuthority,
    revoke: u32,
    patience: Duration,
    bus: &revocast_bus::Bus,
) -> Result<Passage, Failure> {
    let wait = authority.wait(bus).await?;
    let started = Instant::now();
    let issued = authority.revoke(revoke).await?;
    let report = wait.finish(issued.scope, issued.order, issued.stored_at_ms, patience).await;
    let last_receipt_ms = started.elapsed().as_millis();
    let times = |report: &WaitReport| report.enforced.iter().map(|(_, took)| *took).collect::<Vec<_>>();
    let sources = authority.sources(bus, &issued).await?;
    let whole = sources.iter().any(|(source, _)| matches!(source, Source::Object | Source::Repository));
    Ok(Passage {
        bytes_per_validator: issued.notice_bytes + if whole { issued.crl_bytes } else { 0 },
        entries: issued.entries,
        crl_bytes: issued.crl_bytes,
        notice_bytes: issued.notice_bytes,
        last_receipt_ms,
        first_enforced_ms: times(&report).into_iter().min(),
        last_enforced_ms: times(&report).into_iter().max(),
        sources,
        missing: report.missing.len(),
    })
}

fn text(report: &Report) -> String {
    let passage = |name: &str, passage: &Passage| {
        let sources: Vec<String> = passage
            .sources
            .iter()
            .map(|(source, count)| format!("{count} {source:?}").to_lowercase())
            .collect();
        [
            name.to_owned(),
            passage.entries.to_string(),
            passage.crl_bytes.to_string(),
            passage.notice_bytes.to_string(),
            passage.bytes_per_validator.to_string(),
            format!("{} ms", passage.last_receipt_ms),
            passage.last_enforced_ms.map_or_else(|| "-".into(), |took| format!("{took} ms")),
            sources.join(", "),
            passage.missing.to_string(),
        ]
    };
    let heading = [
        "CRL",
        "ENTRIES",
        "BYTES",
        "NOTICE BYTES",
        "PER VALIDATOR",
        "DECISION TO LAST RECEIPT",
        "NOTICE TO LAST RECEIPT",
        "SOURCES",
        "MISSING",
    ];
    let mut lines = vec![table(
        heading,
        [passage("first", &report.first), passage("mass revocation", &report.mass_revocation)],
    )];
    for (name, latency) in [("before", &report.questions_before), ("during", &report.questions_during)] {
        if let Some(latency) = latency {
            lines.push(format!(
                "questions {name}: {} answered, p50 {} us, p99 {} us, longest {} us",
                latency.answered, latency.p50_us, latency.p99_us, latency.longest_us
            ));
        }
    }
    lines.push(format!(
        "{} repository downloads, {} wrong verdicts, at most {} MiB of memory for {} validators on {} cores",
        report.repository_downloads,
        report.wrong_verdicts,
        report.memory_bytes_peak >> 20,
        report.validators,
        report.cores
    ));
    lines.join("\n")
}

/// The most memory that this process ever held; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}
