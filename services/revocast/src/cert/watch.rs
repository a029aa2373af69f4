//! `revocast cert watch`: the fleet tells whenever its verdict on a certificate changes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, ValueEnum};
use revocast_bus::Bus;
use revocast_client::{WatchError, Watching, client_name, watch};
use revocast_messages::{
    DecodeError, Outcome, QuestionOptions, Refusal, VerdictChanged, WatchInterest, WatchRequest,
};
use revocast_pki::asn1::Time;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fleet::certificates;
use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Files that one run watches; each is a lease and a subscription.
const MAX_FILES: usize = 1_024;
/// Verdicts that may wait to be printed.
const WAITING: usize = 64;

/// Options of `watch`.
#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Files whose first certificate is watched; others in a file are taken as untrusted.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Certificates that may lead to an anchor.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    untrusted: Vec<PathBuf>,
    /// The fleet's policy by name; its default if absent.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The host that the certificate must name.
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// The purpose: serverAuth, clientAuth, or an OID.
    #[arg(long, value_name = "NAME|OID")]
    eku: Option<String>,
    /// How long the fleet watches on if this client dies.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// End when a certificate is revoked, is invalid or revoked, or when its verdict changes at all.
    #[arg(long, value_name = "revoked|invalid|change")]
    until: Option<Until>,
    /// Run this with `sh -c` for each verdict, one at a time: REVOCAST_FILE, REVOCAST_CERTIFICATE, REVOCAST_OUTCOME,
    /// REVOCAST_BEFORE (empty at first) and REVOCAST_REASON tell it what happened.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// How long to wait for each answer.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    #[command(flatten)]
    bus: BusArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    Revoked,
    Invalid,
    Change,
}

impl Until {
    fn is_met(self, told: &Told) -> bool {
        match self {
            Until::Revoked => told.verdict.outcome == Outcome::Revoked,
            Until::Invalid => matches!(told.verdict.outcome, Outcome::Revoked | Outcome::Invalid),
            Until::Change => told.before.is_some(),
        }
    }
}

/// A verdict as it is printed.
#[derive(Serialize)]
struct Told {
    file: PathBuf,
    /// What was printed before of this file.
    before: Option<Outcome>,
    verdict: VerdictChanged,
}

impl WatchArgs {
    /// Watches until it is interrupted, or until what is waited for has happened.
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if self.files.len() > MAX_FILES {
            let count = self.files.len();
            return Err(Failure::usage(format!(
                "{count} files are above the limit of {MAX_FILES} for one run"
            )));
        }
        let requests = self.requests()?;
        block_on(async {
            let bus = self.bus.connect().await?;
            let stop = CancellationToken::new();
            let (tell, told) = mpsc::channel(WAITING);
            let mut tasks = JoinSet::new();
            for (file, request) in self.files.iter().zip(requests) {
                let task =
                    follow(bus.clone(), file.clone(), request, self.patience, tell.clone(), stop.clone());
                tasks.spawn(task);
            }
            drop(tell);
            let ended = self.print(told, output).await;
            stop.cancel();
            // Leases are ended on the way out; whoever does not answer in time lets them lapse.
            while tasks.join_next().await.is_some() {}
            bus.close().await;
            ended
        })
    }

    fn requests(&self) -> Result<Vec<WatchRequest>, Failure> {
        let mut untrusted = Vec::new();
        for path in &self.untrusted {
            untrusted.extend(certificates(path)?);
        }
        let client = client_name();
        let lease_s = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        let request = |file: &PathBuf| -> Result<WatchRequest, Failure> {
            let mut found = certificates(file)?.into_iter();
            let certificate = found
                .next()
                .ok_or_else(|| Failure::usage(format!("{}: no certificate is in it", file.display())))?;
            Ok(WatchRequest {
                client: client.clone(),
                certificate,
                intermediates: found.chain(untrusted.iter().cloned()).collect(),
                options: QuestionOptions {
                    policy: self.policy.clone(),
                    dns: self.dns.clone(),
                    eku: self.eku.clone(),
                    ..QuestionOptions::default()
                },
                interest: WatchInterest::Start { lease_s },
            })
        };
        self.files.iter().map(request).collect()
    }

    async fn print(
        &self,
        mut told: mpsc::Receiver<Result<Told, WatchError>>,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io)?;
        loop {
            let told = tokio::select! {
                told = told.recv() => match told {
                    Some(told) => told.map_err(failure)?,
                    None => return Ok(Exit::Ok),
                },
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
                _ = terminate.recv() => return Ok(Exit::Ok),
            };
            output.record(&told, || text(&told));
            if let Some(command) = &self.exec {
                execute(command, &told, output).await;
            }
            if self.until.is_some_and(|until| until.is_met(&told)) {
                return Ok(exit(told.verdict.outcome));
            }
        }
    }
}

/// Follows one file's verdict, and hands on what stands and what changes.
async fn follow(
    bus: Bus,
    file: PathBuf,
    request: WatchRequest,
    patience: Duration,
    tell: mpsc::Sender<Result<Told, WatchError>>,
    stop: CancellationToken,
) {
    let mut watching = tokio::select! {
        watching = watch(&bus, request, patience) => match watching {
            Ok(watching) => watching,
            Err(error) => {
                let _ = tell.send(Err(error)).await;
                return;
            }
        },
        () = stop.cancelled() => return,
    };
    tokio::select! {
        () = hand_on(&mut watching, &file, &tell) => {}
        () = stop.cancelled() => {}
    }
    let _ = tokio::time::timeout(STOP_PATIENCE, watching.stop()).await;
}

/// A lease that cannot be ended within this lapses by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

async fn hand_on(watching: &mut Watching, file: &Path, tell: &mpsc::Sender<Result<Told, WatchError>>) {
    let mut before = None;
    let mut verdict = Ok(watching.current().clone());
    loop {
        let told = verdict.map(|verdict| Told { file: file.to_owned(), before, verdict });
        before = told.as_ref().ok().map(|told| told.verdict.outcome);
        let failed = told.is_err();
        if tell.send(told).await.is_err() || failed {
            return;
        }
        verdict = watching.next().await;
    }
}

/// A command that fails is told of, and ends nothing: the next verdict may matter more.
async fn execute(command: &str, told: &Told, output: &Output) {
    let before = told.before.map_or_else(String::new, |before| before.to_string());
    let status = tokio::process::Command::new("sh")
        .args(["-c", command])
        .env("REVOCAST_FILE", &told.file)
        .env("REVOCAST_CERTIFICATE", told.verdict.certificate.to_string())
        .env("REVOCAST_OUTCOME", told.verdict.outcome.to_string())
        .env("REVOCAST_BEFORE", before)
        .env("REVOCAST_REASON", &told.verdict.reason)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await;
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => output.failure(&Failure::io(format!("{command}: {status}"))),
        Err(error) => output.failure(&Failure::io(format!("{command}: {error}"))),
    }
}

fn failure(error: WatchError) -> Failure {
    match error {
        WatchError::Refused(Refusal::Malformed { .. }) | WatchError::Codec(DecodeError::TooLarge { .. }) => {
            Failure::usage(error)
        }
        WatchError::Refused(Refusal::Busy { .. })
        | WatchError::Codec(_)
        | WatchError::Bus(_)
        | WatchError::Unfit => Failure::io(error),
    }
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Valid => Exit::Ok,
        Outcome::Revoked | Outcome::Invalid => Exit::Invalid,
        Outcome::Indeterminate => Exit::Indeterminate,
    }
}

fn text(told: &Told) -> String {
    let Told { file, before, verdict } = told;
    let at = Time::from_unix(verdict.judged_at_ms.div_euclid(1_000));
    let plain = matches!(verdict.outcome, Outcome::Valid | Outcome::Revoked);
    let why = if plain { String::new() } else { format!(" ({})", verdict.reason) };
    let was = before.map_or_else(String::new, |before| format!("{before} -> "));
    let (file, outcome, by) = (file.display(), verdict.outcome, &verdict.validator);
    format!("{at}  {file}: {was}{outcome}{why}, says {by} under policy {}", verdict.policy)
}
