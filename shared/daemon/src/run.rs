//! [`run`]: a service from its start to its end.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::metrics::Metrics;

/// What a service is given. Cheap to clone.
#[derive(Clone, Default)]
pub struct Context {
    /// Says when to end.
    pub stop: CancellationToken,
    /// Where it says whether it is ready.
    pub health: Health,
    /// Where it counts.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself or when it was told to, with all its work done.
    Well,
    /// With an error, which was logged.
    Badly,
}

/// A service that was told to end has this long for what is under way; it is cut off then.
/// Supervisors wait longer; whoever restarts a fleet does not want to.
const STOP_PATIENCE: Duration = Duration::from_millis(1_800);

/// Runs a service on a runtime of its own until it ends. SIGTERM and SIGINT tell it to.
pub fn run<F, E>(name: &str, service: impl FnOnce(Context) -> F) -> Ended
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "the runtime does not start");
            return Ended::Badly;
        }
    };
    let context = Context::default();
    let ended = runtime.block_on(async {
        let stop = context.stop.clone();
        tokio::spawn(stop_on_signal(stop.clone()));
        info!(service = name, "starting");
        let service = service(context);
        tokio::pin!(service);
        let ended = tokio::select! {
            ended = &mut service => ended,
            () = stop.cancelled() => match tokio::time::timeout(STOP_PATIENCE, &mut service).await {
                Ok(ended) => ended,
                Err(_) => {
                    warn!("cut off: what was under way took longer than {STOP_PATIENCE:?}");
                    Ok(())
                }
            },
        };
        match ended {
            Ok(()) => {
                info!(service = name, "ended");
                Ended::Well
            }
            Err(error) => {
                error!(service = name, %error, "ended badly");
                Ended::Badly
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        error!("signals cannot be received; only SIGKILL will end this process");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
    }
    stop.cancel();
}
