//! What a deployment may decide about acquisition.

use revocast_fetch::Prefixes;
use serde::{Deserialize, Serialize};

/// How certificates are got for clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcquireConfig {
    /// URL prefixes from which clients may have certificates fetched, besides the `repositories`.
    pub urls: Prefixes,
    /// Whether clients may name any URL that the fetcher's rules admit. Off by default: nothing is fetched from a URL
    /// that only a message named.
    pub any_url: bool,
    /// Requests that are worked on at once; further ones wait within their deadline.
    pub concurrent: usize,
}

impl Default for AcquireConfig {
    fn default() -> AcquireConfig {
        AcquireConfig { urls: Prefixes::default(), any_url: false, concurrent: 32 }
    }
}
