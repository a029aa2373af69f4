//! The validator's configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use revocast_bus::BusConfig;
use revocast_daemon::{DoorConfig, RequestLimits};
use revocast_fetch::FetchConfig;
use revocast_messages::{Instance, Payload};
use revocast_pki::identity::IssuerId;
use serde::{Deserialize, Serialize};

use crate::acquire::AcquireConfig;
use crate::bridge::BridgeConfig;
use crate::doors::events::EventsConfig;
use crate::freshness::FreshnessConfig;
use crate::paths::PathsConfig;
use crate::polling::PollingConfig;
use crate::question::DiscoveryConfig;
use crate::state::{HistoryConfig, SMALL};
use crate::watch::WatchConfig;

/// How a validator runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidatorConfig {
    /// Its name among the instances: a subject token. Receipts bear it.
    pub instance: Instance,
    /// Folder of its journal and its CRL files.
    pub state: PathBuf,
    /// CRLs up to so many octets lie in the journal itself, which makes them durable with one write; larger ones are files,
    /// which hold up no other CRL's mark while they are written.
    pub small_crl_bytes: usize,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// The policy of a question that names none.
    pub default_policy: String,
    /// Files and folders of certificates that may help to build paths; none is believed by being there.
    pub certificates: Vec<PathBuf>,
    /// URL prefixes of repositories that may be asked for what a notice names, besides the distribution points of
    /// known certificates.
    pub repositories: Vec<String>,
    /// Whose notices it subscribes to.
    pub subscribe: Subscribe,
    /// The payload that it wishes in notices.
    pub payload: Payload,
    /// How long a subscription lives without renewal; it is renewed at a third of it.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// Whether it unsubscribes when it is stopped: then no watermark waits for it any more.
    pub unsubscribe_on_stop: bool,
    /// The largest CRL that it takes in, in octets.
    pub max_crl_bytes: usize,
    /// How many notices are worked on at once.
    pub concurrent_notices: usize,
    /// How many questions are searched for at once; further ones wait. What is known needs no search.
    pub concurrent_questions: usize,
    /// How long a question may take.
    #[serde(with = "humantime_serde")]
    pub question_deadline: Duration,
    /// How paths are kept and shared.
    pub paths: PathsConfig,
    /// How the HTTP door is held.
    pub http: DoorConfig,
    /// What requests over HTTP may take.
    pub requests: RequestLimits,
    /// How events are told over HTTP.
    pub events: EventsConfig,
    /// What is kept of the past, for questions about it.
    pub history: HistoryConfig,
    /// When it is asked whether the streams' newest is known, and when it counts as not known.
    pub freshness: FreshnessConfig,
    /// How repositories are asked for CRLs that nobody announces.
    pub polling: PollingConfig,
    /// How the broker is reached.
    pub bus: BusConfig,
    /// How repositories are reached.
    pub fetch: FetchConfig,
    /// How issuers are looked for that are not at hand.
    pub discovery: DiscoveryConfig,
    /// How certificates are got for clients.
    pub acquire: AcquireConfig,
    /// Other broker domains whose validators it serves.
    pub bridges: Vec<BridgeConfig>,
    /// How verdicts are watched.
    pub watch: WatchConfig,
    /// Policies by name.
    pub policies: BTreeMap<String, PolicyConfig>,
}

impl Default for ValidatorConfig {
    fn default() -> ValidatorConfig {
        ValidatorConfig {
            instance: "validator-1".parse().unwrap_or_else(|_| unreachable!("a subject token")),
            state: "validator".into(),
            small_crl_bytes: SMALL,
            listen: SocketAddr::from(([127, 0, 0, 1], 8444)),
            default_policy: "default".into(),
            certificates: Vec::new(),
            repositories: Vec::new(),
            subscribe: Subscribe::All,
            payload: Payload::Full,
            lease: Duration::from_secs(60),
            unsubscribe_on_stop: false,
            max_crl_bytes: 256 << 20,
            concurrent_notices: 32,
            concurrent_questions: 256,
            question_deadline: Duration::from_secs(5),
            paths: PathsConfig::default(),
            http: DoorConfig::default(),
            requests: RequestLimits::default(),
            events: EventsConfig::default(),
            history: HistoryConfig::default(),
            freshness: FreshnessConfig::default(),
            polling: PollingConfig::default(),
            bus: BusConfig::default(),
            fetch: FetchConfig::default(),
            discovery: DiscoveryConfig::default(),
            acquire: AcquireConfig::default(),
            bridges: Vec::new(),
            watch: WatchConfig::default(),
            policies: BTreeMap::new(),
        }
    }
}

/// Whose notices are subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscribe {
    /// Every issuer.
    #[default]
    All,
    /// The anchors, and every CA that leads to one, as they become known.
    Anchors,
    /// These issuers only.
    Issuers(Vec<IssuerId>),
}

/// What a validator asks of a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Files and folders of trust anchors (certificates).
    pub anchors: Vec<PathBuf>,
    /// Takes an anchor by name and key alone, without the constraints of its certificate.
    pub anchors_as_keys: bool,
    /// user-initial-policy-set, dotted; empty: any policy (RFC 5280 6.1.1 (c)).
    pub policies: Vec<String>,
    /// initial-explicit-policy.
    pub explicit_policy: bool,
    /// initial-policy-mapping-inhibit.
    pub inhibit_policy_mapping: bool,
    /// initial-any-policy-inhibit.
    pub inhibit_any_policy: bool,
    /// Extended key usage that the target must serve, by name (`serverAuth`) or dotted.
    pub eku: Option<String>,
    /// Admits algorithms and key sizes of old.
    pub legacy_algorithms: bool,
    /// How revocation counts.
    pub revocation: Revocation,
    /// For so long after its nextUpdate a CRL still counts as current, to the second.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// A certificate is indeterminate if its CRL was issued longer ago than this.
    #[serde(with = "humantime_serde")]
    pub max_crl_age: Option<Duration>,
    /// The answer is indeterminate once nothing proves, for longer than this, that the streams' newest is known.
    #[serde(with = "humantime_serde")]
    pub fresh_within: Option<Duration>,
}

impl Default for PolicyConfig {
    fn default() -> PolicyConfig {
        PolicyConfig {
            anchors: Vec::new(),
            anchors_as_keys: false,
            policies: Vec::new(),
            explicit_policy: false,
            inhibit_policy_mapping: false,
            inhibit_any_policy: false,
            eku: None,
            legacy_algorithms: false,
            revocation: Revocation::Hard,
            grace: Duration::ZERO,
            max_crl_age: None,
            fresh_within: None,
        }
    }
}

/// How revocation counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Revocation {
    /// Each certificate must be known not to be revoked.
    #[default]
    Hard,
    /// What is revoked is refused; what is not known passes.
    Soft,
    /// Nobody asks.
    None,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use revocast_daemon::{load, show};

    use super::*;

    #[test]
    fn the_sample_names_every_key_and_says_its_default() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/validator.toml");
        let mut read: ValidatorConfig = load(Some(&sample), &[]).unwrap();
        let text = std::fs::read_to_string(&sample).unwrap();
        let shown = show(&read).unwrap();
        // Whom to believe has no default.
        let mut policy = std::mem::take(&mut read.policies).remove("default").unwrap();
        assert!(!std::mem::take(&mut policy.anchors).is_empty());
        assert_eq!((read, policy), (ValidatorConfig::default(), PolicyConfig::default()));
        for key in shown.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("{key} = "))),
                "{key} is not in the sample"
            );
        }
    }
}
