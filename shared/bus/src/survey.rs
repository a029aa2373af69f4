//! [`Bus::ask_all`]: one question to all who serve a subject, whoever and however many they are.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::connect::Bus;
use crate::error::BusError;

/// At most this many answers are taken: more instances than any fleet has.
const MAX_ANSWERS: usize = 4_096;

/// Once somebody has answered, so much silence means that all have. Answers travel within milliseconds.
const SILENCE: Duration = Duration::from_millis(300);

impl Bus {
    /// Asks all who listen on `subject`, and takes their answers until there is silence, or `patience` is over. Nobody's
    /// silence is told: an instance that does not answer is missing.
    pub async fn ask_all(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Vec<Bytes>, BusError> {
        let failed =
            |error: &dyn std::fmt::Display| BusError::unreachable(format!("all on {subject} ({error})"));
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
        let mut violations = self.violations();
        self.client
            .publish_with_reply(subject.to_owned(), inbox, payload)
            .await
            .map_err(|error| failed(&error))?;
        let until = tokio::time::Instant::now() + patience;
        let mut taken: Vec<Bytes> = Vec::new();
        while taken.len() < MAX_ANSWERS {
            let quiet =
                if taken.is_empty() { until } else { until.min(tokio::time::Instant::now() + SILENCE) };
            tokio::select! {
                answer = answers.next() => match answer {
                    // "No responders".
                    Some(answer) if answer.status.is_some_and(|status| status.as_u16() == 503) => break,
                    Some(answer) => taken.push(answer.payload),
                    None => return Err(failed(&"the connection is closed")),
                },
                denied = violations.of(subject) => return Err(denied),
                () = tokio::time::sleep_until(quiet) => break,
            }
        }
        // Best effort: the subscription ends with its handle.
        let _ = answers.unsubscribe().await;
        Ok(taken)
    }
}
