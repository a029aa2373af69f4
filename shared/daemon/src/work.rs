//! How a service's work is paced, and how what blocks is kept off the runtime.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
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
