//! `revocast notices`: what travels between the services; as it travels (`tail`), into a file (`record`), and out of one
//! (`replay`): into a broker, or through a validator's own deciders without one (`dry`).

mod dry;
mod record;
mod replay;
mod tail;

use clap::Subcommand;

use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Subcommand)]
pub(crate) enum NoticesVerb {
    /// Print notices as they arrive, until interrupted.
    ///
    /// Examples:
    ///   revocast notices tail --heads
    ///   revocast notices tail --limit 1 --json
    #[command(verbatim_doc_comment)]
    Tail(tail::TailArgs),
    /// Write what stands in the notice streams, and the CRLs that it names, into one file.
    ///
    /// Ends at what is there, or with --follow when interrupted; what is written by then is a whole recording.
    ///
    /// Examples:
    ///   revocast notices record --out incident.rec
    ///   revocast notices record --out incident.rec --stream NOTICES --from 1200 --follow
    #[command(verbatim_doc_comment)]
    Record(record::RecordArgs),
    /// Play a recording into a broker, or with --dry tell what a validator would have enforced when.
    ///
    /// Into a broker without accounts that is set up for it (`revocast nats apply`), never into the one that was recorded.
    /// Playing the same recording again adds nothing. Exit code 1 if the broker refused a message.
    ///
    /// Examples:
    ///   revocast notices replay incident.rec --speed 10 --into nats://127.0.0.1:4333
    ///   revocast notices replay incident.rec --dry --anchors root.crt
    #[command(verbatim_doc_comment)]
    Replay(replay::ReplayArgs),
}

pub(crate) fn run(verb: &NoticesVerb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        NoticesVerb::Tail(args) => tail::run(args, output),
        NoticesVerb::Record(args) => record::run(args, output),
        NoticesVerb::Replay(args) => replay::run(args, output),
    }
}

/// Returns when this process is told to end, by SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
