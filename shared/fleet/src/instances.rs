//! [`Instances`]: what the running validators say of themselves, as services of the broker: who they are (`$SRV.INFO`), and
//! how (`$SRV.STATS`).

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
    let (info, statistics) = (format!("$SRV.INFO.{SERVICE}"), format!("$SRV.STATS.{SERVICE}"));
    let (info, statistics) = tokio::join!(
        bus.ask_all(&info, Bytes::new(), PATIENCE),
        bus.ask_all(&statistics, Bytes::new(), PATIENCE)
    );
    Ok(joined(&info?, &statistics?))
}

#[derive(Deserialize)]
struct Info {
    id: String,
    version: String,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Statistics {
    id: String,
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

/// Who they are and how they are, by the id that each start of a service has. What cannot be read says nothing.
fn joined(info: &[Bytes], statistics: &[Bytes]) -> Instances {
    let read = statistics.iter().filter_map(|told| serde_json::from_slice::<Statistics>(told).ok());
    let mut by_id: BTreeMap<String, Statistics> = read.map(|one| (one.id.clone(), one)).collect();
    let info = info.iter().filter_map(|told| serde_json::from_slice::<Info>(told).ok());
    let view = |info: Info| {
        let instance = info.metadata.get("instance")?.parse().ok()?;
        Some((instance, view(info.version, by_id.remove(&info.id))))
    };
    info.filter_map(view).collect()
}

fn view(version: String, statistics: Option<Statistics>) -> InstanceView {
    let endpoints = statistics.map(|statistics| statistics.endpoints).unwrap_or_default();
    let questions = endpoints.iter().map(|endpoint| endpoint.num_requests).sum();
    // Every endpoint says the same of the whole.
    let data = endpoints.into_iter().find_map(|endpoint| endpoint.data).unwrap_or_default();
    let Data { ready, reasons, freshness_s } = data;
    InstanceView { version, ready, reasons, freshness_s, questions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_is_read_from_its_statistics_and_an_older_one_says_less() {
        let info = |id: &str, instance: &str| {
            Bytes::from(format!(
                r#"{{"id": "{id}", "version": "0.1.0", "metadata": {{"instance": "{instance}"}}}}"#
            ))
        };
        let told = br#"{"type": "io.nats.micro.v1.stats_response", "name": "revocast-validator", "id": "x",
            "version": "0.1.0", "started": "2026-11-22T00:00:00Z", "endpoints": [
                {"name": "a", "subject": "pki.validate", "num_requests": 3, "data": {"ready": false, "freshness_s": 7,
                 "reasons": [{"about": "broker", "why": "cut off", "blocks": true}]}},
                {"name": "b", "subject": "pki.explain", "num_requests": 2, "data": null}]}"#;
        let older = br#"{"id": "y", "endpoints": [{"num_requests": 1}]}"#;
        let info =
            [info("x", "v-1"), info("y", "v-2"), info("z", "v-3"), info("w", "not a name"), Bytes::new()];
        let read = joined(&info, &[Bytes::from_static(older), Bytes::from_static(told), Bytes::new()]);
        let names: Vec<&str> = read.keys().map(Instance::as_str).collect();
        assert_eq!(names, ["v-1", "v-2", "v-3"]);
        let reason = InstanceReason { about: "broker".into(), why: "cut off".into(), blocks: true };
        let expected = InstanceView {
            version: "0.1.0".into(),
            ready: Some(false),
            reasons: vec![reason],
            freshness_s: Some(7),
            questions: 5,
        };
        let views: Vec<&InstanceView> = read.values().collect();
        assert_eq!(*views[0], expected);
        assert_eq!((views[1].ready, views[1].questions, views[2].questions), (None, 1, 0));
    }
}
