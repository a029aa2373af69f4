//! The watcher's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use revocast_bus::BusConfig;
use revocast_daemon::DoorConfig;
use revocast_fetch::FetchConfig;
use revocast_messages::Instance;
use serde::{Deserialize, Serialize};

/// How a watcher runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatcherConfig {
    /// Its name among the instances: a subject token. Of several watchers with the same URLs each needs its own.
    pub instance: Instance,
    /// Folder of the CRLs that it saw last.
    pub state: PathBuf,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// How the HTTP door is held.
    pub http: DoorConfig,
    /// Files and folders of the issuers' certificates: their keys are tried on CRLs, and those of CAs are announced so
    /// that validators learn of them. Certificates that others announce are tried, too.
    pub certificates: Vec<PathBuf>,
    /// Hosts whose URLs are watched when living subscriptions name them, by exact name or address; others are not.
    pub allowed_hosts: Vec<String>,
    /// How often a URL is looked at that subscriptions name.
    #[serde(with = "humantime_serde")]
    pub demanded_interval: Duration,
    /// The largest CRL that is fetched, in octets.
    pub max_crl_bytes: usize,
    /// How often it says that it is alive.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How often it announces again what it holds, which heals what a broker lost.
    #[serde(with = "humantime_serde")]
    pub reassert: Duration,
    /// The longest lease that a subscriber gets.
    #[serde(with = "humantime_serde")]
    pub longest_lease: Duration,
    /// What is watched in any case.
    pub watch: Vec<WatchConfig>,
    /// How the broker is reached.
    pub bus: BusConfig,
    /// How the CAs' hosts are reached.
    pub fetch: FetchConfig,
}

/// A URL that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchConfig {
    /// Where a CRL is found: `http`, `https`, and what `fetch.schemes` admits besides.
    pub url: String,
    /// How often it is looked at, a tenth more or less.
    #[serde(with = "humantime_serde", default = "default_interval")]
    pub interval: Duration,
}

/// CAs issue every few hours, and what is not new costs them a few hundred bytes.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

fn default_interval() -> Duration {
    DEFAULT_INTERVAL
}

impl Default for WatcherConfig {
    fn default() -> WatcherConfig {
        WatcherConfig {
            instance: "watcher-1".parse().unwrap_or_else(|_| unreachable!("a subject token")),
            state: "watcher".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            http: DoorConfig::default(),
            certificates: Vec::new(),
            allowed_hosts: Vec::new(),
            demanded_interval: DEFAULT_INTERVAL,
            max_crl_bytes: revocast_fetch::config::MAX_BYTES,
            heartbeat: Duration::from_secs(10),
            reassert: Duration::from_secs(300),
            longest_lease: Duration::from_secs(3_600),
            watch: Vec::new(),
            bus: BusConfig::default(),
            fetch: FetchConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_the_defaults_and_knows_every_key() {
        let sample: WatcherConfig = toml::from_str(include_str!("../../../ops/watcher.toml")).unwrap();
        assert_eq!(sample, WatcherConfig::default());
        assert!(toml::from_str::<WatcherConfig>("[[watch]]\nurl = 'http://h/x'\nevery = '1s'").is_err());
        let one: WatcherConfig = toml::from_str("[[watch]]\nurl = 'http://h/x'").unwrap();
        assert_eq!(one.watch[0].interval, DEFAULT_INTERVAL);
    }
}
