//! The authority's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use revocast_bus::BusConfig;
use revocast_daemon::DoorConfig;
use revocast_messages::Instance;
use serde::{Deserialize, Serialize};

/// How an authority runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorityConfig {
    /// Its name among the instances: a subject token.
    pub instance: Instance,
    /// The ledger: an SQLite file with the CAs' keys, what they issued and what they revoked.
    pub ledger: PathBuf,
    /// How the broker is reached.
    pub bus: BusConfig,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// How the HTTP door is held.
    pub http: DoorConfig,
    /// How often it says that it is alive.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How often it re-asserts its newest CRLs and CA certificates, which heals what a broker lost.
    #[serde(with = "humantime_serde")]
    pub reassert: Duration,
    /// A CRL is issued anew when less than this share of its life is left.
    pub renew_share: f64,
    /// The longest lease that a subscriber gets.
    #[serde(with = "humantime_serde")]
    pub longest_lease: Duration,
}

impl Default for AuthorityConfig {
    fn default() -> AuthorityConfig {
        AuthorityConfig {
            instance: "authority-1".parse().unwrap_or_else(|_| unreachable!("a subject token")),
            ledger: "authority.db".into(),
            bus: BusConfig::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8441)),
            http: DoorConfig::default(),
            heartbeat: Duration::from_secs(10),
            reassert: Duration::from_secs(300),
            renew_share: 0.25,
            longest_lease: Duration::from_secs(3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use revocast_daemon::{load, show};

    use super::*;

    #[test]
    fn the_sample_names_every_key_and_says_its_default() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/authority.toml");
        let read: AuthorityConfig = load(Some(&sample), &[]).unwrap();
        assert_eq!(read, AuthorityConfig::default());
        let text = std::fs::read_to_string(&sample).unwrap();
        let shown = show(&read).unwrap();
        for key in shown.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{key} = "))),
                "{key} is not in the sample"
            );
        }
    }
}
