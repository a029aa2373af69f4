//! What a deployment may decide about discovery.

use std::time::Duration;

use revocast_fetch::Prefixes;
use serde::{Deserialize, Serialize};

/// How issuers are looked for that neither the question nor the local graph has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Asks a repository of the fleet, over NATS.
    pub ask_repository: bool,
    /// Fetches the caIssuers URLs of certificates that lead to an anchor of one of the policies.
    pub fetch_issuers: bool,
    /// URL prefixes below which caIssuers URLs may be fetched whoever names them: certificates that lead nowhere yet,
    /// and so anybody's.
    pub issuer_urls: Prefixes,
    /// How many times is looked one step further for one question.
    pub rounds: usize,
    /// Certificates that are taken in for one question.
    pub max_certificates: usize,
    /// Octets of certificates that are taken in for one question.
    pub max_bytes: usize,
    /// Questions for which is looked at once; further ones wait within their deadline.
    pub concurrent: usize,
    /// What a source had, or did not have, is remembered for this long.
    #[serde(with = "humantime_serde")]
    pub remember: Duration,
}

impl Default for DiscoveryConfig {
    fn default() -> DiscoveryConfig {
        DiscoveryConfig {
            ask_repository: true,
            fetch_issuers: true,
            issuer_urls: Prefixes::default(),
            // Real paths have up to six certificates between target and anchor.
            rounds: 8,
            // As many as a question may bring along.
            max_certificates: 64,
            max_bytes: 1 << 20,
            concurrent: 16,
            // A certificate that is issued before its repository shows it must not be missed for long.
            remember: Duration::from_secs(15),
        }
    }
}
