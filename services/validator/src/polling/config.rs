//! [`PollingConfig`]: how often repositories are asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How repositories are asked for CRLs that nobody announces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollingConfig {
    /// Without proof of freshness: how often a URL is asked whose certificates were asked about lately; also how often
    /// near nextUpdate until there is a newer CRL. A tenth more or less.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The same for all other URLs.
    #[serde(with = "humantime_serde")]
    pub idle_interval: Duration,
    /// How long after a question a URL counts as used.
    #[serde(with = "humantime_serde")]
    pub lately: Duration,
    /// How long before nextUpdate a newer CRL is looked for; at most a quarter of the CRL's life.
    #[serde(with = "humantime_serde")]
    pub before_next_update: Duration,
    /// Between two requests of this validator to one host, but for those that questions wait for.
    #[serde(with = "humantime_serde")]
    pub host_gap: Duration,
    /// Whether a question that wants for a CRL has it fetched.
    pub on_demand: bool,
    /// How long such a question waits for it, within its own deadline.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
}

impl Default for PollingConfig {
    fn default() -> PollingConfig {
        PollingConfig {
            interval: Duration::from_secs(60),
            idle_interval: Duration::from_secs(600),
            lately: Duration::from_secs(3_600),
            before_next_update: Duration::from_secs(300),
            host_gap: Duration::from_secs(1),
            on_demand: true,
            patience: Duration::from_secs(2),
        }
    }
}
