//! A message as the broker keeps it.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::follower::Checkpoint;

/// Header lines: name and value.
pub type Headers = Vec<(&'static str, String)>;

/// A stored message.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it was published.
    pub subject: String,
    /// Its body.
    pub payload: Bytes,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When the broker stored it: nanoseconds since the Unix epoch, by the broker's clock.
    pub stored_at_ns: i128,
    /// The stream's birth, as the broker tells it; changes when the stream is made anew.
    pub stream_created: String,
    /// Messages that the consumer had still to send when it sent this one; 0 for one that was read by itself.
    pub pending: u64,
    pub(crate) headers: HeaderMap,
}

impl Stored {
    /// A message that came from elsewhere than a broker, without header lines.
    pub fn new(subject: String, payload: Bytes, sequence: u64, stored_at_ns: i128) -> Stored {
        let (stream_created, headers) = (String::new(), HeaderMap::new());
        Stored { subject, payload, sequence, stored_at_ns, stream_created, pending: 0, headers }
    }

    /// Sets the header lines. Lines that cannot be such (a name with a colon, a value with a line break) are left out.
    #[must_use]
    pub fn with_header_lines(mut self, lines: &[(String, String)]) -> Stored {
        self.headers = line_map(lines);
        self
    }

    /// A header line by name; the first of several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    /// All header lines, sorted by name.
    pub fn header_lines(&self) -> Vec<(String, String)> {
        let all = self.headers.iter();
        let mut lines: Vec<(String, String)> = all
            .flat_map(|(name, values)| {
                values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
            })
            .collect();
        // Several lines of one name keep their order.
        lines.sort_by(|(a, _), (b, _)| a.cmp(b));
        lines
    }

    /// When the broker stored it: milliseconds since the Unix epoch.
    pub fn stored_at_ms(&self) -> i64 {
        (self.stored_at_ns / 1_000_000) as i64
    }

    /// The position right after this message.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            stream_created: self.stream_created.clone(),
            sequence: self.sequence,
            stored_at_ns: self.stored_at_ns as i64,
            subject: self.subject.clone(),
        }
    }
}

pub(crate) fn header_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, one_line(value).as_str());
    }
    map
}

/// A text as the value of a header line: a line break would let it write header lines of its own.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Header lines whose names are not ours.
pub(crate) fn line_map(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            map.append(name, value);
        }
    }
    map
}
