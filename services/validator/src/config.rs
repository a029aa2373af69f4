//! The validator's configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use revocast_bus::{BusConfig, check_server};
use revocast_daemon::{DoorConfig, RequestLimits};
use revocast_fetch::{FetchConfig, Fetcher};
use revocast_messages::{Instance, Payload, SubscriptionRequest, WatchRequest};
use revocast_pki::identity::IssuerId;
use revocast_store::read_certificates;
use serde::{Deserialize, Serialize};

use crate::acquire::AcquireConfig;
use crate::bridge::BridgeConfig;
use crate::doors::events::EventsConfig;
use crate::freshness::FreshnessConfig;
use crate::paths::PathsConfig;
use crate::polling::PollingConfig;
use crate::question::{DiscoveryConfig, Policies, PolicyError};
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
    /// Issuers of each of whom a current complete CRL must be enforced for the validator to be ready.
    pub required: Vec<IssuerId>,
    /// Whose notices it subscribes to.
    pub subscribe: Subscribe,
    /// The payload that it wishes in notices. Bridges go by it; whoever else speaks tells all subscribers alike.
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
            required: Vec::new(),
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

impl ValidatorConfig {
    /// Fails with the key whose value no validator can run by, and why. The files of certificates are read.
    pub fn check(&self) -> Result<(), String> {
        self.check_policies()?;
        read_certificates(&self.certificates).map_err(|error| format!("certificates: {error}"))?;
        self.check_bridges()?;
        check_bus("bus", &self.bus)?;
        for (key, lease, longest_s) in [
            ("lease", self.lease, SubscriptionRequest::MAX_LEASE_S),
            ("watch.longest_lease", self.watch.longest_lease, WatchRequest::MAX_LEASE_S),
        ] {
            check_lease(key, lease, longest_s)?;
        }
        if let Some((key, _)) = self.durations().into_iter().find(|(_, duration)| duration.is_zero()) {
            return Err(format!("{key}: a duration of zero cannot be meant"));
        }
        if let Some((key, _)) = self.counts().into_iter().find(|(_, count)| *count == 0) {
            return Err(format!("{key}: zero cannot be meant"));
        }
        Fetcher::new(self.fetch.clone()).map(drop).map_err(|error| format!("fetch: {error}"))
    }

    fn check_policies(&self) -> Result<(), String> {
        if self.policies.is_empty() {
            return Err("policies: there is none, and whom to believe has no default".into());
        }
        for (name, policy) in &self.policies {
            // One by one, so that it is known whose file cannot be read.
            let alone = BTreeMap::from([(name.clone(), policy.clone())]);
            Policies::read(&alone, name)
                .map_err(|error| format!("policies.{name}.{}: {error}", policy.key_of(&error)))?;
            for (key, age) in [("max_crl_age", policy.max_crl_age), ("fresh_within", policy.fresh_within)] {
                if age.is_some_and(|age| age.is_zero()) {
                    return Err(format!("policies.{name}.{key}: under zero nothing would ever be valid"));
                }
            }
        }
        if !self.policies.contains_key(&self.default_policy) {
            return Err(format!("default_policy: {:?} is not among the policies", self.default_policy));
        }
        Ok(())
    }

    fn check_bridges(&self) -> Result<(), String> {
        for (n, bridge) in self.bridges.iter().enumerate() {
            let key = format!("bridges.{}", bridge.domain);
            if self.bridges.iter().take(n).any(|other| other.domain == bridge.domain) {
                return Err(format!("{key}: two bridges lead to one domain"));
            }
            check_bus(&format!("{key}.bus"), &bridge.bus)?;
            check_lease(
                &format!("{key}.longest_lease"),
                bridge.longest_lease,
                SubscriptionRequest::MAX_LEASE_S,
            )?;
            if bridge.reassert.is_zero() {
                return Err(format!("{key}.reassert: a duration of zero cannot be meant"));
            }
        }
        Ok(())
    }

    /// Durations by which nothing would ever be done, or nothing else. Others may be zero: a pause, or a memory.
    fn durations(&self) -> Vec<(&'static str, Duration)> {
        let mut durations = vec![
            ("question_deadline", self.question_deadline),
            ("http.header_deadline", self.http.header_deadline),
            ("requests.body_deadline", self.requests.body_deadline),
            ("events.keep_alive", self.events.keep_alive),
            ("freshness.probe", self.freshness.probe),
            ("freshness.degraded_after", self.freshness.degraded_after),
            ("polling.interval", self.polling.interval),
            ("polling.idle_interval", self.polling.idle_interval),
            ("fetch.connect_deadline", self.fetch.connect_deadline),
            ("fetch.first_byte_deadline", self.fetch.first_byte_deadline),
            ("fetch.idle_deadline", self.fetch.idle_deadline),
            ("fetch.total_deadline", self.fetch.total_deadline),
            ("fetch.rate_window", self.fetch.rate_window),
        ];
        durations.extend(self.http.tls.as_ref().map(|tls| ("http.tls.reload", tls.reload)));
        durations
    }

    /// How many at once, and how much at all: with none nothing would ever be done.
    fn counts(&self) -> [(&'static str, usize); 8] {
        [
            ("concurrent_notices", self.concurrent_notices),
            ("concurrent_questions", self.concurrent_questions),
            ("acquire.concurrent", self.acquire.concurrent),
            ("discovery.concurrent", self.discovery.concurrent),
            ("http.connections", self.http.connections),
            ("requests.at_once", self.requests.at_once),
            ("max_crl_bytes", self.max_crl_bytes),
            ("fetch.max_bytes", self.fetch.max_bytes),
        ]
    }
}

/// Leases travel in whole seconds.
fn check_lease(key: &str, lease: Duration, longest_s: u32) -> Result<(), String> {
    if lease < Duration::from_secs(1) || lease > Duration::from_secs(longest_s.into()) {
        return Err(format!("{key}: 1 s to {longest_s} s can be meant"));
    }
    Ok(())
}

fn check_bus(key: &str, bus: &BusConfig) -> Result<(), String> {
    if bus.servers.is_empty() {
        return Err(format!("{key}.servers: there is none"));
    }
    for server in &bus.servers {
        check_server(server).map_err(|why| format!("{key}.servers: {server:?}: {why}"))?;
    }
    if bus.tls_certificate.is_some() != bus.tls_key.is_some() {
        return Err(format!("{key}.tls_certificate: it goes together with tls_key"));
    }
    Ok(())
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

impl PolicyConfig {
    /// The key whose value is wrong.
    fn key_of(&self, error: &PolicyError) -> &'static str {
        match error {
            PolicyError::Oid { text, .. } if self.eku.as_ref() == Some(text) => "eku",
            PolicyError::Oid { .. } => "policies",
            PolicyError::File(_) | PolicyError::NoAnchor(_) | PolicyError::NoDefault(_) => "anchors",
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
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

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
    /// What is said of a configuration, in which ROOT is a file that is there. Its policy may be left out.
    fn checked(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let (subject, key) = (name("CN=Root").unwrap(), SigningKey::generate(KeyKind::Ed25519).unwrap());
        let validity = (Time::from_unix(0), Time::from_unix(1));
        let root = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity);
        let (anchor, file) = (folder.path().join("root.crt"), folder.path().join("validator.toml"));
        std::fs::write(&anchor, root.sign(&subject, &key).unwrap()).unwrap();
        let policy = if text.contains("policies") { "" } else { "\n[policies.default]\nanchors = ['ROOT']" };
        let text = format!("{text}{policy}").replace("ROOT", anchor.to_str().unwrap());
        std::fs::write(&file, text).unwrap();
        load::<ValidatorConfig>(Some(&file), &[]).unwrap().check()
    }

    #[test]
    fn a_value_that_no_validator_can_run_by_is_refused_with_its_key() {
        for (text, key) in [
            ("policies = {}", "policies"),
            ("[policies.default]", "policies.default.anchors"),
            ("[policies.default]\nanchors = []", "policies.default.anchors"),
            ("[policies.default]\nanchors = ['missing.crt']", "policies.default.anchors"),
            ("[policies.default]\nanchors = ['ROOT']\neku = 'x'", "policies.default.eku"),
            ("[policies.default]\nanchors = ['ROOT']\npolicies = ['x']", "policies.default.policies"),
            ("[policies.default]\nanchors = ['ROOT']\nmax_crl_age = '0s'", "policies.default.max_crl_age"),
            ("[policies.default]\nanchors = ['ROOT']\nfresh_within = '0s'", "policies.default.fresh_within"),
            ("[policies.other]\nanchors = ['ROOT']", "default_policy"),
            ("default_policy = 'other'", "default_policy"),
            ("certificates = ['missing.crt']", "certificates"),
            ("lease = '0s'", "lease"),
            ("lease = '999ms'", "lease"),
            ("lease = '25h'", "lease"),
            ("question_deadline = '0s'", "question_deadline"),
            ("concurrent_notices = 0", "concurrent_notices"),
            ("concurrent_questions = 0", "concurrent_questions"),
            ("max_crl_bytes = 0", "max_crl_bytes"),
            ("acquire.concurrent = 0", "acquire.concurrent"),
            ("discovery.concurrent = 0", "discovery.concurrent"),
            ("http.connections = 0", "http.connections"),
            ("http.header_deadline = '0s'", "http.header_deadline"),
            ("http.tls = { certificate = 'a', key = 'b', reload = '0s' }", "http.tls.reload"),
            ("requests.at_once = 0", "requests.at_once"),
            ("requests.body_deadline = '0s'", "requests.body_deadline"),
            ("events.keep_alive = '0s'", "events.keep_alive"),
            ("freshness.probe = '0s'", "freshness.probe"),
            ("freshness.degraded_after = '0s'", "freshness.degraded_after"),
            ("polling.interval = '0s'", "polling.interval"),
            ("polling.idle_interval = '0s'", "polling.idle_interval"),
            ("watch.longest_lease = '0s'", "watch.longest_lease"),
            ("watch.longest_lease = '86401s'", "watch.longest_lease"),
            ("fetch.connect_deadline = '0s'", "fetch.connect_deadline"),
            ("fetch.first_byte_deadline = '0s'", "fetch.first_byte_deadline"),
            ("fetch.idle_deadline = '0s'", "fetch.idle_deadline"),
            ("fetch.total_deadline = '0s'", "fetch.total_deadline"),
            ("fetch.rate_window = '0s'", "fetch.rate_window"),
            ("fetch.max_bytes = 0", "fetch.max_bytes"),
            ("fetch.negative_ttl = '31days'", "fetch: negative_ttl"),
            ("fetch.tls_authorities = 'missing.pem'", "fetch: the authorities"),
            ("bus.servers = []", "bus.servers"),
            ("bus.servers = ['http://broker:4222']", "bus.servers"),
            ("bus.servers = ['nats://']", "bus.servers"),
            ("bus.tls_key = 'key.pem'", "bus.tls_certificate"),
            ("[[bridges]]\nlongest_lease = '0s'", "bridges.other.longest_lease"),
            ("[[bridges]]\nreassert = '0s'", "bridges.other.reassert"),
            ("[[bridges]]\nbus.servers = ['ftp://broker']", "bridges.other.bus.servers"),
            ("[[bridges]]\n[[bridges]]", "bridges.other"),
        ] {
            let why = checked(text).expect_err(text);
            assert!(why.strip_prefix(key).is_some_and(|rest| rest.starts_with([':', ' '])), "{text}: {why}");
            assert!(!text.contains("missing") || why.contains("missing"), "the file is named: {why}");
        }
    }

    #[test]
    fn zero_is_taken_where_it_means_something() {
        for text in [
            "",
            "lease = '1s'",
            "watch = { max_watched = 0, longest_lease = '1day' }",
            "history.keep = '0s'",
            "paths = { cache_bytes = 0, told_per_second = 0, judged_per_second = 0 }",
            "polling = { lately = '0s', before_next_update = '0s', host_gap = '0s', patience = '0s' }",
            "discovery = { rounds = 0, remember = '0s' }",
            "fetch = { minimum_rate = 0, negative_ttl = '0s', backoff_base = '0s', retry_after_ceiling = '0s' }",
            "events.listeners = 0",
            "bus.servers = ['127.0.0.1:4222', 'tls://broker', 'ws://broker', 'wss://broker']",
            "[[bridges]]",
        ] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }
}
