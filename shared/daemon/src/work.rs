//! How a service's work is paced, and how what blocks is kept off the runtime.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// A shorter period would leave no time for anything else.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// Ticks at once and then every `period`, a millisecond at the least; what was missed is not made up for.
pub fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(SHORTEST_PERIOD));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
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
