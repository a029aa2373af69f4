//! What a service says of itself to whoever asks all of them, those of its name, or it alone.

use std::sync::Arc;

use async_nats::datetime::{DateTime, now};
use async_nats::service::{Info, PingResponse, Stats};
use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use serde::Serialize;
use tracing::warn;

use super::ServiceSpec;
use super::endpoint::Told;
use crate::error::BusError;

pub(super) struct Discovery {
    client: Client,
    asked: SelectAll<Subscriber>,
    info: Info,
    started: DateTime,
    endpoints: Vec<Arc<Told>>,
}

impl Discovery {
    pub(super) async fn new(
        client: Client,
        id: String,
        spec: ServiceSpec,
        endpoints: Vec<Arc<Told>>,
    ) -> Result<Discovery, BusError> {
        let ServiceSpec { name, description, version, metadata, .. } = spec;
        let mut asked = Vec::new();
        for subject in ["$SRV.*".to_owned(), format!("$SRV.*.{name}"), format!("$SRV.*.{name}.{id}")] {
            let subscribed = client.subscribe(subject.clone()).await;
            asked.push(
                subscribed.map_err(|error| BusError::Refused { what: subject, why: error.to_string() })?,
            );
        }
        let info = Info {
            kind: "io.nats.micro.v1.info_response".into(),
            name,
            id,
            description,
            version,
            metadata,
            endpoints: endpoints.iter().map(|told| told.info()).collect(),
        };
        Ok(Discovery { client, asked: select_all(asked), info, started: now(), endpoints })
    }

    /// Answers until it is dropped; `statistics` are the service's own words, said of each endpoint.
    pub(super) async fn answer_all(mut self, statistics: impl Fn() -> serde_json::Value) {
        while let Some(message) = self.asked.next().await {
            let answer = match verb(&message) {
                "PING" => json(&self.ping()),
                "INFO" => json(&self.info),
                "STATS" => json(&self.statistics(&statistics)),
                _ => continue,
            };
            let Some((to, answer)) = message.reply.zip(answer) else { continue };
            if let Err(error) = self.client.publish(to, answer).await {
                warn!(%error, "what the service is could not be told");
            }
        }
    }

    fn ping(&self) -> PingResponse {
        let Info { name, id, version, metadata, .. } = self.info.clone();
        PingResponse { kind: "io.nats.micro.v1.ping_response".into(), name, id, version, metadata }
    }

    fn statistics(&self, own: impl Fn() -> serde_json::Value) -> Stats {
        let Info { name, id, version, .. } = self.info.clone();
        let endpoints = self.endpoints.iter().map(|told| told.statistics(own())).collect();
        Stats {
            kind: "io.nats.micro.v1.stats_response".into(),
            name,
            id,
            version,
            started: self.started,
            endpoints,
        }
    }
}

/// What is asked for: the second token of the subject.
fn verb(message: &Message) -> &str {
    message.subject.split('.').nth(1).unwrap_or_default()
}

fn json(answer: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(answer)
        .inspect_err(|error| warn!(%error, "what the service is cannot be written down"))
        .ok()
        .map(Bytes::from)
}
