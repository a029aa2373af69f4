//! The one encoding: a version octet, then bincode (fixed field order, variable-length integers).
//!
//! The size bound is judged before anything is decoded, and lengths inside are judged against the bytes that are
//! there before anything is allocated for them. The version is that of the message's own layout: a reader puts a
//! message of a version that it does not know aside instead of guessing. Golden vectors hold the layouts.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something that travels.
pub trait Message: Serialize + DeserializeOwned {
    /// Its name in errors and logs.
    const NAME: &'static str;
    /// Version of its layout, written as the first octet.
    const VERSION: u8;
    /// Upper bound of its encoded size in octets, version included.
    const MAX_BYTES: usize;

    /// Appends its binary form: what is derived, or the same more quickly.
    fn write(&self, to: &mut Binary) -> Result<(), Unwritten> {
        to.value(self)
    }

    /// Appends its JSON form: what is derived, or the same more quickly.
    fn write_json(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(to, self)
    }
}

/// Why bytes are not the message that they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Larger than the message may be.
    #[error("{name} of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// Which message.
        name: &'static str,
        /// Octets that arrived.
        size: usize,
        /// [`Message::MAX_BYTES`].
        limit: usize,
    },
    /// No bytes at all.
    #[error("{name} is empty")]
    Empty {
        /// Which message.
        name: &'static str,
    },
    /// Written by a release with another layout.
    #[error("{name} has version {found}; this release reads version {known}")]
    UnknownVersion {
        /// Which message.
        name: &'static str,
        /// Version octet that arrived.
        found: u8,
        /// [`Message::VERSION`].
        known: u8,
    },
    /// The fields cannot be read.
    #[error("{name} cannot be decoded: {why}")]
    Malformed {
        /// Which message.
        name: &'static str,
        /// The decoder's words.
        why: String,
    },
}

/// No container inside a message may claim more than this many octets, whatever the message.
const CONTAINER_LIMIT: usize = 8 << 20;

/// Most messages have at most so many octets.
const USUAL: usize = 512;

/// Most answers have at most so many in JSON; more of them would be beyond what allocators have at hand.
const USUAL_IN_JSON: usize = 1_000;

/// Numbers below it are one octet; it says that two octets follow, least significant first.
const TWO_OCTETS: u8 = 251;
const FOUR_OCTETS: u8 = 252;
const EIGHT_OCTETS: u8 = 253;

fn layout() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<CONTAINER_LIMIT>()
}

/// The message as it travels.
///
/// Fails only if a message was built above its own limit.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, DecodeError> {
    let mut written = Binary(Vec::with_capacity(USUAL));
    written.0.push(M::VERSION);
    message
        .write(&mut written)
        .map_err(|Unwritten(why)| DecodeError::Malformed { name: M::NAME, why: why.to_string() })?;
    within_bound::<M>(&written.0)?;
    Ok(written.0)
}

/// The binary form of a message, as far as it is written.
#[derive(Debug, Default)]
pub struct Binary(Vec<u8>);

/// A value that has no binary form.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unwritten(bincode::error::EncodeError);

impl Binary {
    /// Appends a value as a field of a message. Several in a tuple are as they would be one after another.
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Unwritten> {
        bincode::serde::encode_into_writer(value, self, bincode::config::standard()).map_err(Unwritten)
    }

    /// Appends octets whose number the layout says: an identifier.
    pub fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// Appends a number that is not negative, or how many follow, or which of several it is.
    pub fn unsigned(&mut self, value: u64) {
        if let Ok(small @ 0..TWO_OCTETS) = u8::try_from(value) {
            self.0.push(small);
        } else if let Ok(value) = u16::try_from(value) {
            self.0.push(TWO_OCTETS);
            self.octets(&value.to_le_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.0.push(FOUR_OCTETS);
            self.octets(&value.to_le_bytes());
        } else {
            self.0.push(EIGHT_OCTETS);
            self.octets(&value.to_le_bytes());
        }
    }

    /// Appends a number that may be negative.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Appends a text.
    pub fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.octets(text.as_bytes());
    }

    /// Appends what may be absent.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Binary, T)) {
        self.0.push(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// What is written.
    pub fn into_octets(self) -> Vec<u8> {
        self.0
    }
}

/// Octets of a message, of which what is read is taken off. `None`: not read here; [`decode`] tells whether it can be.
pub(crate) struct Octets<'a>(pub &'a [u8]);

impl<'a> Octets<'a> {
    /// The next octet.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// How many follow.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = match self.next()? {
            TWO_OCTETS => u16::from_le_bytes(self.chunk()?).into(),
            FOUR_OCTETS => u32::from_le_bytes(self.chunk()?),
            count if count < TWO_OCTETS => count.into(),
            _ => return None,
        };
        usize::try_from(count).ok()
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    /// Octets that say how many they are.
    pub(crate) fn blob(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (blob, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(blob)
    }

    /// A text that may be absent.
    pub(crate) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.next()? {
            0 => Some(None),
            1 => str::from_utf8(self.blob()?).ok().map(Some),
            _ => None,
        }
    }
}

/// Arrays are written octet by octet.
impl bincode::enc::write::Writer for Binary {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        match bytes {
            [octet] => self.0.push(*octet),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// Reads a message; trailing bytes are refused.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    within_bound::<M>(bytes)?;
    let (version, body) = bytes.split_first().ok_or(DecodeError::Empty { name: M::NAME })?;
    if *version != M::VERSION {
        return Err(DecodeError::UnknownVersion { name: M::NAME, found: *version, known: M::VERSION });
    }
    let malformed = |why: String| DecodeError::Malformed { name: M::NAME, why };
    // The borrowing decoder checks a byte string's length against the input before taking it.
    let (message, read) = bincode::serde::borrow_decode_from_slice(body, layout())
        .map_err(|error| malformed(error.to_string()))?;
    if read != body.len() {
        return Err(malformed(format!("{} bytes remain after it", body.len() - read)));
    }
    Ok(message)
}

/// The same message as JSON, for clients in other languages; octets are base64, identifiers hex.
pub fn to_json<M: Message>(message: &M) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::with_capacity(USUAL_IN_JSON);
    message
        .write_json(&mut bytes)
        .map_err(|error| DecodeError::Malformed { name: M::NAME, why: error.to_string() })?;
    Ok(bytes)
}

/// Reads a message that a client wrote as JSON, under the same size bound.
pub fn from_json<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    within_bound::<M>(bytes)?;
    serde_json::from_slice(bytes)
        .map_err(|error| DecodeError::Malformed { name: M::NAME, why: error.to_string() })
}

fn within_bound<M: Message>(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() > M::MAX_BYTES {
        return Err(DecodeError::TooLarge { name: M::NAME, size: bytes.len(), limit: M::MAX_BYTES });
    }
    Ok(())
}
