//! How a service's work is paced, and how what blocks is kept off the runtime.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

/// A shorter period would leave no time for anything else.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Ticks at once and then every `period`, a millisecond at the least; what was missed is not made up for.
pub fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(SHORTEST_PERIOD));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// From so many octets on work on them takes milliseconds and more.
pub const LARGE: usize = 1 << 20;

/// What is large yields to everything else of this machine that wants the processor: about a tenth is left to it.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// As [`blocking`], for work on so many octets. What is large gets a thread of its own that stands back behind all
/// others, so that questions are answered meanwhile as if nothing happened.
pub async fn standing_back<T: Send + 'static>(octets: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if octets < LARGE {
        return blocking(work).await;
    }
    let (done, result) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new().name("revocast-large".into()).spawn(move || {
        stand_back();
        // Whoever waited may have gone.
        let _ = done.send(std::panic::catch_unwind(AssertUnwindSafe(work)));
    });
    match (begun, result.await) {
        (Ok(_), Ok(Ok(done))) => done,
        (Ok(_), Ok(Err(panic))) => std::panic::resume_unwind(panic),
        (Ok(_), Err(_)) => std::future::pending().await,
        (Err(error), _) => panic!("no thread for work on {octets} octets: {error}"),
    }
}

/// On Linux the priority is the thread's own; threads that it begins have the same.
fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        debug!(%error, "a thread does not stand back");
    }
}

/// Runs what blocks on the disk or the processor beside the runtime; a panic there is one here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime ends, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs work of which a panic must not be the end of more than that: what it said is given back.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_given_back_in_its_words_also_one_beside_the_runtime() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let number = 5;
        assert_eq!(caught(async { panic!("at {number}") }).await, Err::<(), _>("at 5".to_owned()));
        assert_eq!(caught(blocking(|| panic!("below"))).await, Err::<(), _>("below".to_owned()));
    }
}
