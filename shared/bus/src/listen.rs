//! [`Listener`]: hears what is said on a subject now, without a stream behind it and without any right at JetStream.
//!
//! What is said while there is no contact is not heard. The listener tells that it may have missed something
//! ([`Heard::Again`]), and whoever listens asks for what stands.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::connect::{Bus, Violations};
use crate::error::BusError;

/// How often it is looked whether the connection was made anew.
const LOOK: Duration = Duration::from_millis(100);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message {
        /// Its body.
        payload: Bytes,
        /// Its sequence in the stream that said it again; `None` if no stream did.
        sequence: Option<u64>,
    },
    /// The connection was made anew: something may have been missed.
    Again,
    /// This user may not hear it.
    Denied(BusError),
}

/// Listens to one subject. Dropping it ends the listening.
pub struct Listener {
    bus: Bus,
    subject: String,
    violations: Violations,
    subscription: async_nats::Subscriber,
    looking: Interval,
    connections: u64,
}

impl Bus {
    /// Listens to `subject` from now on: whatever is said after the broker answered a later request is heard.
    pub async fn listen(&self, subject: &str) -> Result<Listener, BusError> {
        let (connections, violations) = (self.connections(), self.violations());
        let subscription = self
            .client
            .subscribe(subject.to_owned())
            .await
            .map_err(|error| BusError::unreachable(format!("{subject} ({error})")))?;
        let mut looking = interval(LOOK);
        looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let subject = subject.to_owned();
        Ok(Listener { bus: self.clone(), subject, subscription, violations, looking, connections })
    }
}

impl Listener {
    /// What is heard next. Safe to cancel.
    pub async fn next(&mut self) -> Heard {
        loop {
            tokio::select! {
                message = self.subscription.next() => match message {
                    Some(message) => return heard(message),
                    // The client is gone, and nothing will be heard any more.
                    None => std::future::pending().await,
                },
                denied = self.violations.of(&self.subject) => return Heard::Denied(denied),
                _ = self.looking.tick() => {
                    let connections = self.bus.connections();
                    if connections != self.connections && self.bus.is_connected() {
                        self.connections = connections;
                        return Heard::Again;
                    }
                }
            }
        }
    }
}

fn heard(message: async_nats::Message) -> Heard {
    let line = message.headers.as_ref().and_then(|lines| lines.get("Nats-Sequence"));
    let sequence = line.and_then(|line| line.as_str().parse().ok());
    Heard::Message { payload: message.payload, sequence }
}
