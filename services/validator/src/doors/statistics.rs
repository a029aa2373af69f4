//! What `nats service stats` and `nats service info` show of a validator beside its questions: how far it has followed
//! each stream, and how it is configured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use revocast_bus::Stored;
use revocast_daemon::{Health, Reason, show};
use revocast_pki::identity::Digest;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::config::ValidatorConfig;
use crate::question::Judge;

/// How far one stream is followed.
pub(crate) struct Position {
    /// The stream.
    pub stream: &'static str,
    sequence: AtomicU64,
    /// Messages that the broker had beyond the last one that it sent.
    pending: AtomicU64,
    attached: AtomicBool,
    /// Notices under way hold permits of it.
    gate: Arc<Semaphore>,
    places: usize,
}

impl Position {
    /// At the beginning; `gate` has `places` permits while nothing is under way.
    pub(crate) fn new(stream: &'static str, gate: Arc<Semaphore>, places: usize) -> Position {
        Position {
            stream,
            sequence: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            attached: AtomicBool::new(false),
            gate,
            places,
        }
    }

    /// A message was told by the broker: the next one, or a head.
    pub(crate) fn told(&self, message: &Stored) {
        self.sequence.fetch_max(message.sequence, Ordering::Relaxed);
        self.pending.store(message.pending, Ordering::Relaxed);
    }

    /// Whether messages come.
    pub(crate) fn attached(&self, attached: bool) {
        self.attached.store(attached, Ordering::Relaxed);
    }

    fn told_of(&self) -> StreamStatistics {
        let under_way = self.places.saturating_sub(self.gate.available_permits()) as u64;
        let lag = self.pending.load(Ordering::Relaxed).saturating_add(under_way);
        StreamStatistics {
            last_sequence: self.sequence.load(Ordering::Relaxed),
            lag: self.attached.load(Ordering::Relaxed).then_some(lag),
        }
    }
}

#[derive(Serialize)]
struct StreamStatistics {
    last_sequence: u64,
    /// Messages that are not worked on yet, or under way; null while the stream is not followed.
    lag: Option<u64>,
}

#[derive(Serialize)]
struct Statistics {
    streams: HashMap<&'static str, StreamStatistics>,
    scopes: usize,
    certificates: usize,
    freshness_s: Option<u64>,
    ready: bool,
    /// What keeps it from being ready, or makes it less than it should be.
    reasons: Vec<Reason>,
}

/// The `data` of the service's statistics, at the moment of the call.
pub(crate) fn statistics(judge: &Judge, positions: &[Arc<Position>], health: &Health) -> serde_json::Value {
    let statistics = Statistics {
        streams: positions.iter().map(|position| (position.stream, position.told_of())).collect(),
        scopes: judge.live.scopes(),
        certificates: judge.live.certificates(),
        freshness_s: judge.freshness.age(judge.clock.now_ms()).map(|age| age.as_secs()),
        ready: health.is_ready(),
        reasons: health.reasons(),
    };
    serde_json::to_value(statistics).unwrap_or_default()
}

/// The service's metadata. Validators that are configured alike have the same `configuration`, whatever their names,
/// folders and addresses.
pub(crate) fn metadata(config: &ValidatorConfig, judge: &Judge) -> HashMap<String, String> {
    [
        ("instance", config.instance.to_string()),
        ("policies", judge.policies.names()),
        ("default_policy", config.default_policy.clone()),
        ("configuration", fingerprint(config)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The first 16 octets of SHA-256 over the configuration as it is shown: secrets are masked there.
fn fingerprint(config: &ValidatorConfig) -> String {
    let alike = ValidatorConfig {
        instance: ValidatorConfig::default().instance,
        state: PathBuf::new(),
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..config.clone()
    };
    let shown = show(&alike).unwrap_or_default();
    Digest::of(shown.as_bytes()).to_string().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_that_are_configured_alike_have_one_fingerprint() {
        let one = ValidatorConfig::default();
        let other = ValidatorConfig {
            instance: "validator-2".parse().unwrap(),
            state: "elsewhere".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 1)),
            ..ValidatorConfig::default()
        };
        let stricter = ValidatorConfig { default_policy: "strict".into(), ..ValidatorConfig::default() };
        assert_eq!(fingerprint(&one), fingerprint(&other));
        assert_ne!(fingerprint(&one), fingerprint(&stricter));
        assert_eq!(fingerprint(&one).len(), 32);
    }
}
