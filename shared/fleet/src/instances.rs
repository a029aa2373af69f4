//! [`Instances`]: what the running validators say of themselves, as services of the broker (`$SRV.STATS`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bus, BusError};
use revocast_messages::Instance;
use serde::{Deserialize, Serialize};

/// The name under which validators serve.
const SERVICE: &str = "revocast-validator";

/// Validators that are cut off do not answer; the others do within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running validators, by name.
pub type Instances = BTreeMap<Instance, InstanceView>;

/// What a running validator says of itself. An older release says less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceView {
    /// Version of its release.
    pub version: String,
    /// Whether it is ready.
    pub ready: Option<bool>,
    /// What keeps it from being ready, or makes it less than it should be: about what, and why.
    pub reasons: Vec<InstanceReason>,
    /// Seconds since it last heard from the notice streams; `None` if it never has.
    pub freshness_s: Option<u64>,
    /// Questions that it has answered since its start.
    pub questions: u64,
}

/// Something that is wrong with a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReason {
    /// What it is about, one word.
    pub about: String,
    /// In words.
    pub why: String,
    /// Whether it is not ready because of it.
    pub blocks: bool,
}

/// Asks the running validators.
pub async fn instances(bus: &Bus) -> Result<Instances, BusError> {
    let told = bus.ask_all(&format!("$SRV.STATS.{SERVICE}"), Bytes::new(), PATIENCE).await?;
    Ok(told.iter().filter_map(|told| read(told)).collect())
}

#[derive(Deserialize)]
struct Statistics {
    version: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    num_requests: u64,
    #[serde(default)]
    data: Option<Data>,
}

/// What our own releases add.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    ready: Option<bool>,
    reasons: Vec<InstanceReason>,
    freshness_s: Option<u64>,
}

fn read(told: &[u8]) -> Option<(Instance, InstanceView)> {
    let statistics: Statistics = serde_json::from_slice(told).ok()?;
    let instance = statistics.metadata.get("instance")?.parse().ok()?;
    let questions = statistics.endpoints.iter().map(|endpoint| endpoint.num_requests).sum();
    // Every endpoint says the same of the whole.
    let data = statistics.endpoints.into_iter().find_map(|endpoint| endpoint.data).unwrap_or_default();
    let Data { ready, reasons, freshness_s } = data;
    Some((instance, InstanceView { version: statistics.version, ready, reasons, freshness_s, questions }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_is_read_from_its_statistics_and_an_older_one_says_less() {
        let told = br#"{"type": "io.nats.micro.v1.stats_response", "name": "revocast-validator", "id": "x", "version": "0.1.0",
            "metadata": {"instance": "v-1"}, "started": "2026-11-22T00:00:00Z", "endpoints": [
                {"name": "a", "subject": "pki.validate", "num_requests": 3, "data": {"ready": false, "freshness_s": 7,
                 "reasons": [{"about": "broker", "why": "cut off", "blocks": true}]}},
                {"name": "b", "subject": "pki.explain", "num_requests": 2, "data": null}]}"#;
        let (instance, view) = read(told).unwrap();
        let reason = InstanceReason { about: "broker".into(), why: "cut off".into(), blocks: true };
        let expected = InstanceView {
            version: "0.1.0".into(),
            ready: Some(false),
            reasons: vec![reason],
            freshness_s: Some(7),
            questions: 5,
        };
        assert_eq!((instance.as_str(), view), ("v-1", expected));
        let older =
            br#"{"version": "0.0.9", "metadata": {"instance": "v-2"}, "endpoints": [{"num_requests": 1}]}"#;
        let (_, view) = read(older).unwrap();
        assert_eq!((view.ready, view.questions), (None, 1));
        assert_eq!(read(br#"{"version": "1"}"#), None);
        assert_eq!(read(b"garbage"), None);
    }
}
