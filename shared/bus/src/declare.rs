//! What the broker must have, as files: `nats/streams/*.json`, compared with what it has.
//!
//! Declared properties are minimum requirements: the broker adds metadata and defaults of its own, and a declared
//! list of subjects or key of metadata must be contained in what is there. Nothing is ever deleted or destroyed;
//! an existing stream that differs is changed only where the change loses nothing.

use serde_json::{Map, Value, json};

use crate::connect::Bus;
use crate::error::BusError;

/// One declared stream (a bucket and an object store are streams, too).
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    name: String,
    config: Map<String, Value>,
}

/// A file that declares no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct NotADeclaration {
    /// Its name.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

impl Declaration {
    /// Reads a declaration: a JSON object in JetStream's own terms, with at least `name`.
    pub fn parse(file: &str, text: &str) -> Result<Declaration, NotADeclaration> {
        let wrong = |why: String| NotADeclaration { file: file.to_owned(), why };
        let config: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let name =
            config.get("name").and_then(Value::as_str).ok_or_else(|| wrong("it has no name".into()))?;
        Ok(Declaration { name: name.to_owned(), config })
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every property in which `actual` falls short. `replicas` is how many the broker can place.
    pub fn compare(&self, actual: &Map<String, Value>, replicas: u64) -> Vec<Difference> {
        let wanted = self.for_replicas(replicas);
        wanted
            .iter()
            .filter(|(property, wanted)| !satisfies(property, wanted, actual.get(*property)))
            .map(|(property, wanted)| Difference {
                stream: self.name.clone(),
                property: property.clone(),
                declared: wanted.clone(),
                actual: actual.get(property).cloned().unwrap_or(Value::Null),
            })
            .collect()
    }

    /// A single server places one replica, whatever is declared.
    fn for_replicas(&self, replicas: u64) -> Map<String, Value> {
        let mut config = self.config.clone();
        let declared = config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
        config.insert("num_replicas".into(), declared.min(replicas).into());
        config
    }
}

/// The declarations that this release was built with.
pub fn built_in() -> Vec<Declaration> {
    macro_rules! declarations {
        ($($name:literal),* $(,)?) => {
            [$(($name, include_str!(concat!("../../../nats/streams/", $name, ".json")))),*]
        };
    }
    declarations![
        "NOTICES",
        "SIGHTINGS",
        "RECEIPTS",
        "PATHS",
        "VERDICTS",
        "DOCUMENTS",
        "ASIDE",
        "KV_subscriptions",
        "KV_watches",
        "KV_leases",
        "OBJ_crls",
    ]
    .into_iter()
    .filter_map(|(file, text)| Declaration::parse(file, text).ok())
    .collect()
}

/// Where the broker falls short of a declaration.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Which stream.
    pub stream: String,
    /// Which property; `stream` when it is missing as a whole.
    pub property: String,
    /// What is declared.
    pub declared: Value,
    /// What is there; null when nothing is.
    pub actual: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { stream, property, declared, actual } = self;
        if property == "stream" {
            return write!(f, "{stream}: is not there");
        }
        write!(f, "{stream}: {property} is {actual}, declared is {declared}")
    }
}

/// What applying a declaration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Applied {
    /// It was as declared.
    Unchanged,
    /// It was made.
    Created,
    /// It was changed to what is declared.
    Changed,
    /// It differs, and changing it could lose something: left as it is.
    Differs,
}

/// Properties that can be raised or set on a living stream without losing a message.
const CHANGEABLE: [&str; 14] = [
    "subjects",
    "max_consumers",
    "max_msgs_per_subject",
    "max_bytes",
    "max_age",
    "max_msg_size",
    "num_replicas",
    "description",
    "metadata",
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_msg_ttl",
    "subject_delete_marker_ttl",
    "republish",
];

impl Bus {
    /// Compares the broker with the declarations; empty when it has all that is asked for.
    pub async fn check(&self, declarations: &[Declaration]) -> Result<Vec<Difference>, BusError> {
        let mut differences = Vec::new();
        for declaration in declarations {
            differences.extend(self.check_one(declaration).await?.1);
        }
        Ok(differences)
    }

    /// Makes what is missing and changes what can be changed without loss. Never deletes.
    pub async fn apply(&self, declaration: &Declaration) -> Result<(Applied, Vec<Difference>), BusError> {
        let (actual, differences) = self.check_one(declaration).await?;
        let Some(actual) = actual else {
            self.create_as_declared(declaration).await?;
            return Ok((Applied::Created, Vec::new()));
        };
        if differences.is_empty() {
            return Ok((Applied::Unchanged, differences));
        }
        if !differences.iter().all(loses_nothing) {
            return Ok((Applied::Differs, differences));
        }
        let mut config = actual;
        for difference in &differences {
            merge(&mut config, &difference.property, &difference.declared);
        }
        self.api(&format!("STREAM.UPDATE.{}", declaration.name), &Value::Object(config)).await?;
        let (_, left) = self.check_one(declaration).await?;
        Ok((if left.is_empty() { Applied::Changed } else { Applied::Differs }, left))
    }

    async fn create_as_declared(&self, declaration: &Declaration) -> Result<(), BusError> {
        let create = |replicas| {
            let config = Value::Object(declaration.for_replicas(replicas));
            async move { self.api(&format!("STREAM.CREATE.{}", declaration.name), &config).await }
        };
        match create(u64::MAX).await {
            // 10074: replicas > 1 not supported in non-clustered mode.
            Err(BusError::Refused { why, .. }) if why.contains("10074") => create(1).await.map(|_| ()),
            made => made.map(|_| ()),
        }
    }

    async fn check_one(
        &self,
        declaration: &Declaration,
    ) -> Result<(Option<Map<String, Value>>, Vec<Difference>), BusError> {
        match self.api(&format!("STREAM.INFO.{}", declaration.name), &json!({})).await {
            Ok(info) => {
                let clustered = info["cluster"]["name"].is_string();
                let actual = info["config"].as_object().cloned().unwrap_or_default();
                let differences = declaration.compare(&actual, if clustered { u64::MAX } else { 1 });
                Ok((Some(actual), differences))
            }
            Err(BusError::Absent { .. }) => {
                let missing = Difference {
                    stream: declaration.name.clone(),
                    property: "stream".into(),
                    declared: Value::Object(declaration.config.clone()),
                    actual: Value::Null,
                };
                Ok((None, vec![missing]))
            }
            Err(error) => Err(error),
        }
    }

    /// A request to the JetStream API, in its own words.
    pub(crate) async fn api(&self, operation: &str, body: &Value) -> Result<Value, BusError> {
        let subject = format!("$JS.API.{operation}");
        let payload = serde_json::to_vec(body).unwrap_or_default();
        let answer = self.ask(&subject, &Vec::new(), payload.into(), crate::connect::REQUEST_TIMEOUT).await;
        let answer = answer.map_err(|error| match error {
            // JetStream itself answers for an absent stream; no responders means that JetStream is not up.
            BusError::Absent { .. } => BusError::unreachable(format!("JetStream ({operation})")),
            error => error,
        })?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| BusError::Damaged { what: operation.into(), why: error.to_string() })?;
        match serde_json::from_value::<async_nats::jetstream::Error>(answer["error"].clone()) {
            Ok(error) => Err(BusError::refused(operation, &error)),
            Err(_) => Ok(answer),
        }
    }

    pub(crate) async fn stream(
        &self,
        name: &str,
    ) -> Result<async_nats::jetstream::stream::Stream<()>, BusError> {
        self.jetstream
            .get_stream_no_info(name)
            .await
            .map_err(|error| BusError::unreachable(format!("stream {name} ({error})")))
    }
}

/// `max_*` properties grow, lists and metadata are added to, flags are switched on.
fn loses_nothing(difference: &Difference) -> bool {
    if !CHANGEABLE.contains(&difference.property.as_str()) {
        return false;
    }
    let limit = |value: &Value| match value.as_i64() {
        None | Some(..=0) => i64::MAX,
        Some(limit) => limit,
    };
    !difference.property.starts_with("max_") || limit(&difference.declared) >= limit(&difference.actual)
}

fn merge(config: &mut Map<String, Value>, property: &str, declared: &Value) {
    match (config.get_mut(property), declared) {
        (Some(Value::Array(there)), Value::Array(wanted)) => {
            let missing: Vec<Value> = wanted.iter().filter(|value| !there.contains(value)).cloned().collect();
            there.extend(missing);
        }
        (Some(Value::Object(there)), Value::Object(wanted)) => {
            there.extend(wanted.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        _ => {
            config.insert(property.into(), declared.clone());
        }
    }
}

fn satisfies(property: &str, wanted: &Value, actual: Option<&Value>) -> bool {
    match (wanted, actual) {
        (Value::Array(wanted), Some(Value::Array(actual))) => {
            wanted.iter().all(|value| actual.contains(value))
        }
        (Value::Object(wanted), Some(Value::Object(actual))) => {
            wanted.iter().all(|(key, value)| satisfies(key, value, actual.get(key)))
        }
        // The broker leaves out what is false or zero.
        (Value::Bool(false), None) => true,
        (Value::Number(zero), None) => zero.as_i64() == Some(0),
        (Value::Number(wanted), Some(Value::Number(actual))) if property == "num_replicas" => {
            actual.as_u64() >= wanted.as_u64()
        }
        (wanted, Some(actual)) => wanted == actual,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(declared: Value, actual: Value, replicas: u64) -> Vec<String> {
        let declaration = Declaration::parse("X", &declared.to_string()).unwrap();
        declaration
            .compare(actual.as_object().unwrap(), replicas)
            .into_iter()
            .map(|difference| difference.property)
            .collect()
    }

    #[test]
    fn what_the_broker_adds_is_no_difference_and_what_it_lacks_is() {
        let declared = json!({"name": "X", "subjects": ["a"], "max_bytes": 10, "metadata": {"k": "v"}, "num_replicas": 3});
        let same = json!({"name": "X", "subjects": ["a", "b"], "max_bytes": 10, "metadata": {"k": "v", "_nats.level": "1"}, "num_replicas": 3});
        assert!(differences(declared.clone(), same, 9).is_empty());
        let less = json!({"name": "X", "subjects": ["b"], "max_bytes": 9, "num_replicas": 1});
        assert_eq!(
            differences(declared.clone(), less, 9),
            ["max_bytes", "metadata", "num_replicas", "subjects"]
        );
        let single = json!({"name": "X", "subjects": ["a"], "max_bytes": 10, "metadata": {"k": "v"}, "num_replicas": 1});
        assert!(differences(declared, single, 1).is_empty());
    }

    #[test]
    fn every_file_of_the_release_is_a_declaration() {
        assert_eq!(built_in().len(), 11);
    }

    #[test]
    fn a_change_that_could_lose_messages_is_left_to_the_operator() {
        let difference = |property: &str, declared: Value, actual: Value| Difference {
            stream: "X".into(),
            property: property.into(),
            declared,
            actual,
        };
        assert!(loses_nothing(&difference("max_bytes", json!(10), json!(5))));
        assert!(!loses_nothing(&difference("max_bytes", json!(5), json!(10))));
        assert!(!loses_nothing(&difference("max_age", json!(5), json!(0))));
        assert!(!loses_nothing(&difference("storage", json!("file"), json!("memory"))));
        assert!(loses_nothing(&difference("subjects", json!(["a"]), json!(["b"]))));
    }
}
