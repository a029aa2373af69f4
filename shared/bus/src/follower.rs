//! [`Follower`]: every message of a stream, in order, through every fault of the broker.
//!
//! A pull consumer without acknowledgements, in memory, on one replica, with a heartbeat of one second: of all
//! kinds the cheapest and the one that notices a lost node soonest. It is made anew at the next sequence on any
//! error. Gaps are told by the *consumer* sequence (streams have gaps of their own). Each attachment reads the
//! heads (last message per subject) first, which heals a tail that the broker lost and refilled, and compares the
//! checkpoint with the stream: one that was recreated or went backwards leads to a resync from the heads.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use crate::connect::Bus;
use crate::error::BusError;
use crate::message::Stored;
use crate::publish::stored;

/// A position in a stream: right after one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The stream's birth: another one is another stream under the same name.
    pub stream_created: String,
    /// Sequence of the last message that is done with.
    pub sequence: u64,
    /// When the broker stored it: nanoseconds since the Unix epoch.
    pub stored_at_ns: i64,
    /// Its subject.
    pub subject: String,
}

/// Why a checkpoint no longer fits its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// The stream was deleted and made anew.
    Recreated,
    /// The stream ends before the checkpoint: the broker lost its tail.
    TailLost,
    /// Another message stands at the checkpoint's sequence: the tail was lost and refilled.
    TailRefilled,
}

/// What a follower tells.
#[derive(Debug)]
pub enum Followed {
    /// The last message of one subject, told at each attachment, in any order and again and again.
    Head(Stored),
    /// The heads are told, the stream is followed from now on.
    Attached {
        /// How many heads there were.
        heads: u64,
        /// Set when the checkpoint did not fit the stream.
        resync: Option<Resync>,
        /// What is told next has a sequence above this; everything up to it was told, or is in the heads.
        after: u64,
    },
    /// The next message in order.
    Next(Stored),
    /// Contact was lost; the follower is trying again by itself.
    Detached {
        /// Why, in words.
        why: String,
    },
}

/// Whether a follower is in contact with its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Messages or heartbeats arrive.
    Attached,
    /// They do not, for this reason.
    Detached(String),
}

/// Follows one stream. Dropping it ends the following.
pub struct Follower {
    told: mpsc::Receiver<Followed>,
    contact: watch::Receiver<Contact>,
    _task: AbortOnDropHandle<()>,
}

/// Silence of twice this means that contact is lost.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A pull request lives this long before the next one takes its place.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// Messages per pull request; with a body limit of 640 KiB it bounds what is under way to 40 MiB at the worst.
const PULL_MESSAGES: usize = 64;
/// The broker forgets the consumer after this long without us.
const INACTIVE: Duration = Duration::from_secs(30);
/// Pauses between attempts to attach.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What may wait between the follower and its reader.
const CAPACITY: usize = 256;
/// An attachment's step that takes longer than this is given up and begun anew.
const STEP_PATIENCE: Duration = Duration::from_secs(10);

impl Follower {
    /// Follows the subjects of `stream` that match `filter`, from `checkpoint` on, or from the heads without one.
    pub fn new(bus: &Bus, stream: &str, filter: &str, checkpoint: Option<Checkpoint>) -> Follower {
        let resume = checkpoint.as_ref().map(|at| (at.stream_created.clone(), at.sequence + 1));
        Follower::start(bus, stream, filter, resume, checkpoint)
    }

    /// Follows from the sequence `first` on, in the stream that was born at `created`; another one under its name leads to
    /// a resync.
    pub fn from_sequence(bus: &Bus, stream: &str, filter: &str, created: &str, first: u64) -> Follower {
        Follower::start(bus, stream, filter, Some((created.to_owned(), first)), None)
    }

    fn start(
        bus: &Bus,
        stream: &str,
        filter: &str,
        resume: Option<(String, u64)>,
        position: Option<Checkpoint>,
    ) -> Follower {
        let (tell, told) = mpsc::channel(CAPACITY);
        let (set_contact, contact) = watch::channel(Contact::Detached("not attached yet".into()));
        let walk = Walk {
            bus: bus.clone(),
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            resume,
            position,
            tell,
            contact: set_contact,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(walk.run()));
        Follower { told, contact, _task: task }
    }

    /// What comes next; never ends by itself. Safe to cancel.
    pub async fn next(&mut self) -> Followed {
        match self.told.recv().await {
            Some(followed) => followed,
            None => std::future::pending().await,
        }
    }

    /// Whether it is in contact, now and as that changes.
    pub fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.clone()
    }
}

struct Walk {
    bus: Bus,
    stream: String,
    filter: String,
    /// The stream's birth, and the first sequence that is not told yet.
    resume: Option<(String, u64)>,
    /// The last message that was told, by which a refilled tail is recognised.
    position: Option<Checkpoint>,
    tell: mpsc::Sender<Followed>,
    contact: watch::Sender<Contact>,
}

/// The reader is gone: the walk is over.
struct ReaderGone;

enum Broken {
    Reader,
    Broker(BusError),
}

impl From<ReaderGone> for Broken {
    fn from(_: ReaderGone) -> Broken {
        Broken::Reader
    }
}

impl From<BusError> for Broken {
    fn from(error: BusError) -> Broken {
        Broken::Broker(error)
    }
}

impl Walk {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.resume.clone();
            let Err(broken) = self.attach_and_follow().await;
            let error = match broken {
                Broken::Reader => return,
                Broken::Broker(error) => error,
            };
            let was_attached = *self.contact.borrow() == Contact::Attached;
            warn!(stream = %self.stream, %error, "contact with the stream is lost");
            self.contact.send_replace(Contact::Detached(error.to_string()));
            if self.say(Followed::Detached { why: error.to_string() }).await.is_err() {
                return;
            }
            if was_attached || before != self.resume {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attach_and_follow(&mut self) -> Result<std::convert::Infallible, Broken> {
        let state = self.bus.stream_state(&self.stream).await?;
        let resync = self.fits(&state).await?;
        let heads = self.tell_heads(&state.created).await?;
        let next = match (&self.resume, resync) {
            (Some((_, next)), None) => *next,
            _ => {
                // What stood before is told by the heads.
                self.position = None;
                state.last_sequence + 1
            }
        };
        self.resume = Some((state.created.clone(), next));
        let consumer = self.consumer(DeliverPolicy::ByStartSequence { start_sequence: next.max(1) }).await?;
        self.contact.send_replace(Contact::Attached);
        self.say(Followed::Attached { heads, resync, after: next.saturating_sub(1) }).await?;
        self.follow(&consumer, &state.created).await
    }

    /// Compares the checkpoint with the stream.
    async fn fits(&self, state: &StreamState) -> Result<Option<Resync>, BusError> {
        let Some((created, next)) = &self.resume else { return Ok(None) };
        if *created != state.created {
            return Ok(Some(Resync::Recreated));
        }
        if *next > state.last_sequence + 1 {
            return Ok(Some(Resync::TailLost));
        }
        let Some(position) = &self.position else { return Ok(None) };
        let found = self.bus.message_at(&self.stream, position.sequence).await?;
        let refilled = found.is_some_and(|found| {
            found.subject != position.subject || found.stored_at_ns as i64 != position.stored_at_ns
        });
        Ok(refilled.then_some(Resync::TailRefilled))
    }

    async fn tell_heads(&mut self, created: &str) -> Result<u64, Broken> {
        let consumer = self.consumer(DeliverPolicy::LastPerSubject).await?;
        let waiting = consumer.cached_info().num_pending;
        let mut told = 0;
        if waiting > 0 {
            let mut messages = self.pull(&consumer).await?;
            while told < waiting {
                let message = self.receive(&mut messages).await?;
                let (head, info) = self.stored(message, created)?;
                if info.consumer_sequence != told + 1 {
                    return Err(BusError::unreachable("a head was lost on its way").into());
                }
                told += 1;
                let last = info.pending == 0;
                self.say(Followed::Head(head)).await?;
                if last {
                    break;
                }
            }
        }
        self.forget(&consumer).await;
        Ok(told)
    }

    async fn follow(
        &mut self,
        consumer: &PullConsumer,
        created: &str,
    ) -> Result<std::convert::Infallible, Broken> {
        let mut messages = self.pull(consumer).await?;
        let mut delivered = 0;
        loop {
            let message = match messages.next().await {
                Some(message) => message.map_err(|error| BusError::unreachable(error.to_string()))?,
                None => return Err(BusError::unreachable("the consumer ended").into()),
            };
            let (message, info) = self.stored(message, created)?;
            delivered += 1;
            if info.consumer_sequence != delivered {
                return Err(BusError::unreachable("a message was lost on its way").into());
            }
            if self.resume.as_ref().is_some_and(|(_, next)| message.sequence < *next) {
                debug!(sequence = message.sequence, "dropped what was told already");
                continue;
            }
            self.resume = Some((created.to_owned(), message.sequence + 1));
            self.position = Some(message.checkpoint());
            self.say(Followed::Next(message)).await?;
        }
    }

    async fn consumer(&self, from: DeliverPolicy) -> Result<PullConsumer, BusError> {
        let name = format!("f{}", unique());
        let config = pull::Config {
            name: Some(name.clone()),
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            filter_subject: self.filter.clone(),
            inactive_threshold: INACTIVE,
            num_replicas: 1,
            memory_storage: true,
            ..pull::Config::default()
        };
        let subject = format!("$JS.API.CONSUMER.CREATE.{}.{name}.{}", self.stream, self.filter);
        let mut violations = self.bus.violations();
        let made = self.bus.jetstream.create_consumer_on_stream(config, &self.stream);
        tokio::select! {
            made = made => made.map_err(|error| BusError::unreachable(format!("a consumer on {} ({error})", self.stream))),
            denied = violations.of(&subject) => Err(denied),
        }
    }

    async fn pull(&self, consumer: &PullConsumer) -> Result<pull::Stream, BusError> {
        consumer
            .stream()
            .heartbeat(HEARTBEAT)
            .expires(PULL_EXPIRES)
            .max_messages_per_batch(PULL_MESSAGES)
            .messages()
            .await
            .map_err(|error| BusError::unreachable(format!("messages of {} ({error})", self.stream)))
    }

    async fn receive(&self, messages: &mut pull::Stream) -> Result<async_nats::jetstream::Message, BusError> {
        match tokio::time::timeout(STEP_PATIENCE, messages.next()).await {
            Ok(Some(message)) => message.map_err(|error| BusError::unreachable(error.to_string())),
            Ok(None) => Err(BusError::unreachable("the consumer ended")),
            Err(_) => Err(BusError::unreachable("the heads did not arrive in time")),
        }
    }

    /// Best effort: the broker forgets an idle consumer by itself.
    async fn forget(&self, consumer: &PullConsumer) {
        let name = &consumer.cached_info().name;
        let _ = self.bus.jetstream.delete_consumer_from_stream(name, &self.stream).await;
    }

    fn stored(
        &self,
        message: async_nats::jetstream::Message,
        created: &str,
    ) -> Result<(Stored, Info), BusError> {
        let damaged = |why: String| BusError::Damaged { what: format!("a message of {}", self.stream), why };
        let info = message.info().map_err(|error| damaged(error.to_string()))?;
        let told = Info { consumer_sequence: info.consumer_sequence, pending: info.pending };
        let (sequence, stored_at_ns) = (info.stream_sequence, info.published.unix_timestamp_nanos());
        let (message, _) = message.split();
        let stored = Stored {
            subject: message.subject.to_string(),
            payload: message.payload,
            sequence,
            stored_at_ns,
            stream_created: created.to_owned(),
            pending: told.pending,
            headers: message.headers.unwrap_or_default(),
        };
        Ok((stored, told))
    }

    async fn say(&self, followed: Followed) -> Result<(), ReaderGone> {
        self.tell.send(followed).await.map_err(|_| ReaderGone)
    }
}

struct Info {
    consumer_sequence: u64,
    pending: u64,
}

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// Its birth, in the broker's words.
    pub created: String,
    /// Sequence of its last message; 0 when it never had one.
    pub last_sequence: u64,
    /// Octets that it holds.
    pub bytes: u64,
    /// Messages that it holds.
    pub messages: u64,
}

impl Bus {
    /// What a stream says of itself, by its leader.
    pub async fn stream_state(&self, stream: &str) -> Result<StreamState, BusError> {
        let info = self.api(&format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await?;
        let number = |field: &str| info["state"][field].as_u64().unwrap_or(0);
        let created = info["created"].as_str().ok_or_else(|| BusError::Damaged {
            what: format!("the state of stream {stream}"),
            why: "it has no birth".into(),
        })?;
        Ok(StreamState {
            created: created.to_owned(),
            last_sequence: number("last_seq"),
            bytes: number("bytes"),
            messages: number("messages"),
        })
    }

    /// The message at a sequence, read at the leader; `None` when it is gone.
    pub async fn message_at(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, BusError> {
        use async_nats::jetstream::stream::LastRawMessageErrorKind as Kind;
        let what = format!("message {sequence} of {stream}");
        match self.stream(stream).await?.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(stored(message, String::new()))),
            Err(error) => match error.kind() {
                Kind::NoMessageFound => Ok(None),
                Kind::JetStream(error) if error.code() == 404 => Ok(None),
                Kind::JetStream(error) => Err(BusError::refused(&what, &error)),
                _ => Err(BusError::unreachable(format!("{what} ({error})"))),
            },
        }
    }
}

/// A name that no other consumer or service has: 64 random bits.
pub(crate) fn unique() -> String {
    use ring::rand::SecureRandom;
    let mut octets = [0; 8];
    // The system's generator does not fail once it is seeded; a repeated name would only fail to be created.
    let _ = ring::rand::SystemRandom::new().fill(&mut octets);
    data_encoding::HEXLOWER.encode(&octets)
}
