//! How verdicts are watched.

use std::time::Duration;

use revocast_messages::WatchRequest;
use serde::{Deserialize, Serialize};

/// How verdicts are watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchConfig {
    /// At most this many certificates of the whole fleet are watched; further requests are refused. Each costs its
    /// bytes and about a kilobyte.
    pub max_watched: usize,
    /// The longest lease that is given: at most a day.
    #[serde(with = "humantime_serde")]
    pub longest_lease: Duration,
}

impl Default for WatchConfig {
    fn default() -> WatchConfig {
        WatchConfig { max_watched: 10_000, longest_lease: Duration::from_secs(3_600) }
    }
}

impl WatchConfig {
    /// The longest lease in seconds.
    pub(crate) fn longest_lease_s(&self) -> u32 {
        u32::try_from(self.longest_lease.as_secs()).unwrap_or(u32::MAX).min(WatchRequest::MAX_LEASE_S)
    }
}
