//! The repository's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use revocast_bus::BusConfig;
use revocast_daemon::DoorConfig;
use revocast_messages::Instance;
use serde::{Deserialize, Serialize};

/// How a repository runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepositoryConfig {
    /// Its name among the instances: a subject token.
    pub instance: Instance,
    /// Folder of the certificates and CRLs that it keeps.
    pub state: PathBuf,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// How the HTTP door is held.
    pub http: DoorConfig,
    /// Where clients reach it, like `http://crl.example`, without a trailing slash: notices name it as a location.
    pub base_url: Option<String>,
    /// Files and folders of certificates that it begins with. None is believed by being there: their keys are tried
    /// on CRLs, and they are served.
    pub certificates: Vec<PathBuf>,
    /// The largest CRL that it takes in, in octets.
    pub max_crl_bytes: usize,
    /// How many notices are worked on at once; further ones wait in the stream.
    pub concurrent_notices: usize,
    /// How many posted CRLs are worked on at once; further ones are told to come back.
    pub concurrent_posts: usize,
    /// How long a posted CRL may take to arrive.
    #[serde(with = "humantime_serde")]
    pub post_deadline: Duration,
    /// How long whoever posted a CRL waits for the broker to confirm its notice. The CRL is durable by then, and the
    /// notice goes out later if the broker cannot be reached.
    #[serde(with = "humantime_serde")]
    pub notice_patience: Duration,
    /// How often it says that it is alive.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How often it announces again what was posted to it, which heals what a broker lost.
    #[serde(with = "humantime_serde")]
    pub reassert: Duration,
    /// The longest lease that a subscriber gets.
    #[serde(with = "humantime_serde")]
    pub longest_lease: Duration,
    /// How the broker is reached.
    pub bus: BusConfig,
}

impl Default for RepositoryConfig {
    fn default() -> RepositoryConfig {
        RepositoryConfig {
            instance: "repository-1".parse().unwrap_or_else(|_| unreachable!("a subject token")),
            state: "repository".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8442)),
            http: DoorConfig::default(),
            base_url: None,
            certificates: Vec::new(),
            // A CRL of 5,000,000 entries has 220 MB.
            max_crl_bytes: 256 << 20,
            concurrent_notices: 16,
            // Each may hold `max_crl_bytes`.
            concurrent_posts: 4,
            post_deadline: Duration::from_secs(60),
            notice_patience: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            reassert: Duration::from_secs(300),
            longest_lease: Duration::from_secs(3_600),
            bus: BusConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_the_defaults_and_knows_every_key() {
        let sample: RepositoryConfig = toml::from_str(include_str!("../../../ops/repository.toml")).unwrap();
        assert_eq!(sample, RepositoryConfig::default());
        assert!(toml::from_str::<RepositoryConfig>("instanse = 'x'").is_err());
    }
}
