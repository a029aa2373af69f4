//! How paths are kept and shared.

use serde::{Deserialize, Serialize};

/// How paths are kept and shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathsConfig {
    /// Octets of paths that are kept; a usual one takes 4 to 6 KiB. 0: none is kept.
    pub cache_bytes: usize,
    /// Tells the fleet of paths that it finds, and follows what others tell.
    pub share: bool,
    /// At most this many paths are told per second; more are only kept.
    pub told_per_second: u32,
    /// At most this many paths per second are judged of what one other validator tells.
    pub judged_per_second: u32,
}

impl Default for PathsConfig {
    fn default() -> PathsConfig {
        PathsConfig { cache_bytes: 64 << 20, share: true, told_per_second: 50, judged_per_second: 100 }
    }
}
