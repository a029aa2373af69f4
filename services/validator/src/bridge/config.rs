//! The configuration of a bridge.

use std::time::Duration;

use revocast_bus::BusConfig;
use revocast_messages::{Instance, Payload};
use revocast_pki::identity::IssuerId;
use serde::{Deserialize, Serialize};

/// Another broker domain whose validators this one serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// What the other domain is called in logs, metrics and readiness. No two bridges of a validator lead to one.
    pub domain: Instance,
    /// What this domain is called over there, in a header line of each notice.
    pub home: Instance,
    /// Whose CRLs it speaks for there.
    pub issuers: SpeaksFor,
    /// The most that goes into a notice; the subscribers' wishes decide below that.
    pub payload: Payload,
    /// The longest lease that it gives.
    #[serde(with = "humantime_serde")]
    pub longest_lease: Duration,
    /// How often what should stand there is looked at, and told again where it is gone.
    #[serde(with = "humantime_serde")]
    pub reassert: Duration,
    /// How the other domain's broker is reached.
    pub bus: BusConfig,
}

impl Default for BridgeConfig {
    fn default() -> BridgeConfig {
        let name = |text: &str| text.parse().unwrap_or_else(|_| unreachable!("a subject token"));
        BridgeConfig {
            domain: name("other"),
            home: name("home"),
            issuers: SpeaksFor::All,
            payload: Payload::Full,
            longest_lease: Duration::from_secs(3_600),
            reassert: Duration::from_secs(300),
            bus: BusConfig::default(),
        }
    }
}

/// Whose CRLs a bridge speaks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeaksFor {
    /// Every issuer whose CRLs this validator enforces.
    #[default]
    All,
    /// These only.
    Only(Vec<IssuerId>),
}

impl SpeaksFor {
    /// Whether an issuer is among them.
    pub(crate) fn covers(&self, issuer: IssuerId) -> bool {
        match self {
            SpeaksFor::All => true,
            SpeaksFor::Only(issuers) => issuers.contains(&issuer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        bridges: Vec<BridgeConfig>,
    }

    /// The lines of the sample from `# [[bridges]]` to the next empty one, without their mark.
    fn sample() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/validator.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().skip_while(|line| *line != "# [[bridges]]");
        let lines = lines.take_while(|line| !line.is_empty());
        lines.map(|line| format!("{}\n", line.trim_start_matches('#').trim_start())).collect()
    }

    #[test]
    fn the_sample_names_every_key_of_a_bridge() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bridges.toml");
        std::fs::write(&file, sample()).unwrap();
        let read: Sample = revocast_daemon::load(Some(&file), &[]).unwrap();
        let shown = revocast_daemon::show(&BridgeConfig::default()).unwrap();
        let keys = shown.lines().take_while(|line| !line.starts_with('['));
        for key in keys.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
            assert!(sample().lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
        }
        let [bridge] = read.bridges.as_slice() else { panic!("{} bridges", read.bridges.len()) };
        let bus = bridge.bus.clone();
        assert_ne!(bus, BusConfig::default());
        assert_eq!(*bridge, BridgeConfig { bus, ..BridgeConfig::default() });
    }
}
