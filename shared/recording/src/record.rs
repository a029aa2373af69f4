//! What a recording consists of.

use bytes::Bytes;
use revocast_messages::{Blob, CrlNotice, Message, decode};
use revocast_pki::identity::Digest;
use serde::{Deserialize, Serialize};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What is recorded.
    Beginning(Beginning),
    /// A CRL that later messages name.
    Object(Bytes),
    /// A message.
    Message(Recorded),
    /// The recording is whole.
    Ending(Ending),
}

impl Record {
    pub(crate) const BEGINNING: u8 = 1;
    pub(crate) const OBJECT: u8 = 2;
    pub(crate) const MESSAGE: u8 = 3;
    pub(crate) const ENDING: u8 = 255;
}

/// A stream that is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedStream {
    /// Its name.
    pub name: String,
    /// Its birth, in the broker's words.
    pub created: String,
}

/// What is recorded. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// When the recording began: milliseconds since the Unix epoch, by the recorder's clock.
    pub began_at_ms: i64,
    /// The streams.
    pub streams: Vec<RecordedStream>,
}

impl Message for Beginning {
    const NAME: &'static str = "beginning of a recording";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 4096;
}

/// A message of a stream, word for word. Layout version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The stream's name.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// When the broker stored it: nanoseconds since the Unix epoch, by the broker's clock.
    pub stored_at_ns: i64,
    /// Where it was published.
    pub subject: String,
    /// Its header lines: name and value, sorted by name.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: Blob,
}

impl Message for Recorded {
    const NAME: &'static str = "recorded message";
    const VERSION: u8 = 1;
    // The broker takes messages of up to 1 MiB, header lines included (nats/streams).
    const MAX_BYTES: usize = 2 << 20;
}

/// At most this many header lines of a message; ours have about a dozen.
pub const MAX_HEADER_LINES: usize = 128;

/// Subjects are shorter: the broker's own advice is 256.
const MAX_SUBJECT: usize = 1024;

impl Recorded {
    /// When the broker stored it: milliseconds since the Unix epoch.
    pub fn stored_at_ms(&self) -> i64 {
        self.stored_at_ns.div_euclid(1_000_000)
    }

    /// The CRL that must be had from elsewhere, and its size as announced: nothing if it is no notice of a CRL, or one
    /// that carries the CRL.
    pub fn named_object(&self) -> Option<(Digest, u64)> {
        let notice = decode::<CrlNotice>(&self.payload).ok()?;
        notice.crl.is_none().then_some((notice.digest, notice.size_bytes))
    }

    /// What keeps it from being said to a broker again, in words.
    pub(crate) fn unsayable(&self) -> Option<&'static str> {
        let plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic());
        if self.subject.is_empty() || self.subject.len() > MAX_SUBJECT || !plain(&self.subject) {
            return Some("its subject is none");
        }
        if self.headers.len() > MAX_HEADER_LINES {
            return Some("it has too many header lines");
        }
        let named = |name: &String| !name.is_empty() && plain(name) && !name.contains(':');
        let breaks = |value: &String| value.contains(['\r', '\n', '\0']);
        match self.headers.iter().all(|(name, value)| named(name) && !breaks(value)) {
            true => None,
            false => Some("a header line is none"),
        }
    }
}

/// What was recorded. Layout version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How many messages.
    pub messages: u64,
    /// How many objects.
    pub objects: u64,
    /// How many objects are named, and could not be had.
    pub missing: u64,
}

impl Message for Ending {
    const NAME: &'static str = "ending of a recording";
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 64;
}
