//! A recording: what stood in the notice streams, and the CRLs that it names, in one file. The format, its reader and
//! its writer; no broker, no clock.
//!
//! Begin with [`Reader`] and [`Writer`]; what they pass is a [`Record`]. [`Merge`] puts the messages of two streams into
//! one order. Nothing that a recording says is believed: whoever plays it treats its messages as if the broker had
//! brought them. Its checks tell damage from truth, not a liar from an honest man.
//!
//! # Format, version 1
//!
//! ```text
//! 8 octets  "REVOCREC"
//! 1 octet   version of the format: 1
//! then records, each
//!   1 octet   kind: 1 beginning, 2 object, 3 message, 255 ending
//!   4 octets  length of the body, big endian
//!   n octets  body
//!   8 octets  check: the first of SHA-256(check of the record before, kind, length, SHA-256(body))
//! ```
//!
//! The check before the first record is eight zeros. Since each check rests on the one before, a record that was
//! damaged, left out or moved is noticed at its place. The body of an object is the object, named by its SHA-256; the other
//! bodies are messages in the one encoding of `revocast-messages`, version octet first: [`Beginning`], [`Recorded`],
//! [`Ending`]. The beginning comes first and once. An object comes before the first message that names it, and once. The
//! sequences of one stream ascend. Nothing follows the ending; a recording without one was interrupted.

mod error;
mod merge;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub use error::RecordingError;
pub use merge::Merge;
pub use reader::Reader;
pub use record::{Beginning, Ending, MAX_HEADER_LINES, Record, Recorded, RecordedStream};
pub use writer::Writer;

/// The first octets of every recording.
const MAGIC: &[u8; 8] = b"REVOCREC";

/// The version of the format that is written, and the only one that is read.
const VERSION: u8 = 1;

/// No object may be larger, in octets: what validators take in unless they are told otherwise (`max_crl_bytes`).
pub const MAX_OBJECT: usize = 256 << 20;

/// At most this many objects in one recording: their hashes are kept in memory, 32 octets each.
pub const MAX_OBJECTS: usize = 1 << 20;

const CHECK_OCTETS: usize = 8;

type Check = [u8; CHECK_OCTETS];

/// The check of a record, from that of the one before.
fn check(before: Check, kind: u8, body: &[u8]) -> Check {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut words = before.to_vec();
    words.push(kind);
    words.extend_from_slice(&length.to_be_bytes());
    words.extend_from_slice(&revocast_pki::identity::Digest::of(body).0);
    let [a, b, c, d, e, f, g, h, ..] = revocast_pki::identity::Digest::of(&words).0;
    [a, b, c, d, e, f, g, h]
}
