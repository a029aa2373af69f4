//! Publishing once for ever: a subject's last message is its *head*, and a head is replaced only by a better one.
//!
//! JetStream's own deduplication forgets after two minutes, and acknowledged messages can be lost. So the head is
//! read at the leader, ours is published under the condition that the head is still that one, and the whole is
//! repeated until our message, or a better one, is seen to stand there. Doing it again later is harmless: that is
//! how publishers re-assert their heads and heal whatever a broker lost.

use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use tracing::debug;

use crate::connect::Bus;
use crate::error::BusError;
use crate::message::{Headers, Stored, header_map, line_map};

/// How a head stands to what we want to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It says what we want to say.
    Same,
    /// It is better and sound: ours is obsolete.
    Better,
    /// Ours is better, or the head is unsound: replace it.
    Worse,
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Ours stands at this sequence.
    Stored(u64),
    /// The same thing stood there already.
    AlreadyThere(u64),
    /// A better one stands there.
    Superseded(u64),
}

impl Published {
    /// One word for counting.
    pub fn word(self) -> &'static str {
        match self {
            Published::Stored(_) => "stored",
            Published::AlreadyThere(_) => "already_there",
            Published::Superseded(_) => "superseded",
        }
    }
}

/// What a head leaves to do.
enum Judged {
    /// Nothing.
    Stands(Published),
    /// Ours is to follow upon this sequence; 0 where there is no head.
    Replaceable(u64),
}

/// First pause between attempts; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A leader election takes about five seconds, so longer pauses only lose time.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Attempts at a head that somebody else keeps changing; a race of honest publishers is over after two or three.
const MAX_CONFLICTS: u32 = 64;

impl Bus {
    /// Publishes `payload` as the head of `subject` in `stream`, unless `judge` finds that the head that is there
    /// says the same or better. Tries until the broker has confirmed one of the three outcomes.
    ///
    /// Fails only where trying again cannot help: denied, too large, no such stream, refused. The caller bounds
    /// the time by dropping the future; nothing half-done is left.
    pub async fn publish_head<J, F>(
        &self,
        stream: &str,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        judge: J,
    ) -> Result<Published, BusError>
    where
        J: Fn(Stored) -> F + Send + Sync,
        F: Future<Output = Standing> + Send,
    {
        let (mut pause, mut conflicts) = (FIRST_PAUSE, 0);
        loop {
            match self.publish_head_once(stream, subject, headers, payload.clone(), &judge).await {
                Err(BusError::Conflict { .. }) if conflicts < MAX_CONFLICTS => conflicts += 1,
                Err(error) if error.is_passing() => {
                    debug!(%subject, %error, "publishing again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    async fn publish_head_once<J, F>(
        &self,
        stream: &str,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        judge: &J,
    ) -> Result<Published, BusError>
    where
        J: Fn(Stored) -> F + Send + Sync,
        F: Future<Output = Standing> + Send,
    {
        let expected = match self.judged(stream, subject, judge).await? {
            Judged::Stands(published) => return Ok(published),
            Judged::Replaceable(expected) => expected,
        };
        let (sequence, duplicate) =
            self.publish_after(stream, subject, headers, payload.clone(), expected).await?;
        if !duplicate {
            return Ok(Published::Stored(sequence));
        }
        // The broker looks at the key before the expected sequence: a duplicate is one that another publisher of the same
        // was faster with, that a better one has followed since, or that is gone. The head tells; where ours is to stand
        // and its key is spent, it goes without.
        let expected = match self.judged(stream, subject, judge).await? {
            Judged::Stands(published) => return Ok(published),
            Judged::Replaceable(expected) => expected,
        };
        let bare: Headers = headers.iter().filter(|(name, _)| *name != "Nats-Msg-Id").cloned().collect();
        let (sequence, _) = self.publish_after(stream, subject, &bare, payload, expected).await?;
        Ok(Published::Stored(sequence))
    }

    /// What the head that stands at this moment leaves to do.
    async fn judged<J, F>(&self, stream: &str, subject: &str, judge: &J) -> Result<Judged, BusError>
    where
        J: Fn(Stored) -> F + Send + Sync,
        F: Future<Output = Standing> + Send,
    {
        let Some(head) = self.head(stream, subject).await? else { return Ok(Judged::Replaceable(0)) };
        let sequence = head.sequence;
        Ok(match judge(head).await {
            Standing::Same => Judged::Stands(Published::AlreadyThere(sequence)),
            Standing::Better => Judged::Stands(Published::Superseded(sequence)),
            Standing::Worse => Judged::Replaceable(sequence),
        })
    }

    /// The last message on `subject`, read at the stream's leader; `None` when there is none.
    pub async fn head(&self, stream: &str, subject: &str) -> Result<Option<Stored>, BusError> {
        let what = format!("the last message on {subject} in {stream}");
        let handle = self.stream(stream).await?;
        let asked = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let mut violations = self.violations();
        let read = tokio::select! {
            read = handle.get_last_raw_message_by_subject(subject) => read,
            denied = violations.of(&asked) => return Err(denied),
        };
        match read {
            Ok(message) => Ok(Some(stored(message, String::new()))),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(error) => Err(BusError::refused(&what, &error)),
                _ => Err(BusError::unreachable(format!("{what} ({error})"))),
            },
        }
    }

    /// Publishes a message that needs no head: each one counts (receipts, heartbeats, what was put aside).
    /// Returns its sequence once the broker has confirmed it.
    pub async fn publish(
        &self,
        stream: &str,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
    ) -> Result<u64, BusError> {
        let message = PublishMessage::build().headers(header_map(headers)).expected_stream(stream);
        self.send(subject, message, payload).await.map(|(sequence, _)| sequence)
    }

    /// Publishes a message word for word, with header lines of any name. Returns its sequence, and whether the broker
    /// knew its `Nats-Msg-Id` already.
    pub async fn publish_verbatim(
        &self,
        stream: &str,
        subject: &str,
        lines: &[(String, String)],
        payload: Bytes,
    ) -> Result<(u64, bool), BusError> {
        let message = PublishMessage::build().headers(line_map(lines)).expected_stream(stream);
        self.send(subject, message, payload).await
    }

    async fn publish_after(
        &self,
        stream: &str,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        expected: u64,
    ) -> Result<(u64, bool), BusError> {
        let message = PublishMessage::build()
            .headers(header_map(headers))
            .expected_stream(stream)
            .expected_last_subject_sequence(expected);
        self.send(subject, message, payload).await
    }

    pub(crate) async fn send(
        &self,
        subject: &str,
        message: PublishMessage,
        payload: Bytes,
    ) -> Result<(u64, bool), BusError> {
        let size = payload.len();
        let mut violations = self.violations();
        let sent = async {
            let acknowledged =
                self.jetstream.send_publish(subject.to_owned(), message.payload(payload)).await?;
            acknowledged.await
        };
        let sent = tokio::select! {
            sent = sent => sent,
            denied = violations.of(subject) => return Err(denied),
        };
        sent.map(|ack| (ack.sequence, ack.duplicate)).map_err(|error| publish_error(subject, size, &error))
    }
}

fn publish_error(
    subject: &str,
    size: usize,
    error: &async_nats::jetstream::context::PublishError,
) -> BusError {
    let what = format!("publish to {subject}");
    match error.kind() {
        PublishErrorKind::WrongLastSequence => BusError::Conflict { subject: subject.into() },
        PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge { size },
        PublishErrorKind::Other | PublishErrorKind::WrongLastMessageId => {
            let words =
                std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            // 10077 covers three refusals (message too large, bytes exceeded, messages per subject): told apart by words.
            if words.contains("message size exceeds") {
                BusError::TooLarge { size }
            } else if words.contains("10077") || words.contains("10060") || words.contains("maximum") {
                BusError::Refused { what, why: words }
            } else {
                BusError::unreachable(format!("{what} ({words})"))
            }
        }
        // "No stream" is also what a stream without a leader answers, so it is worth another try.
        _ => BusError::unreachable(format!("{what} ({error})")),
    }
}

pub(crate) fn stored(
    message: async_nats::jetstream::message::StreamMessage,
    stream_created: String,
) -> Stored {
    Stored {
        subject: message.subject.to_string(),
        payload: message.payload,
        sequence: message.sequence,
        stored_at_ns: message.time.unix_timestamp_nanos(),
        stream_created,
        pending: 0,
        headers: message.headers,
    }
}
