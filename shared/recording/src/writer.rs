//! [`Writer`]: makes a recording.

use std::collections::HashSet;
use std::io::Write;

use revocast_messages::{DecodeError, Message, encode};
use revocast_pki::identity::Digest;

use crate::error::RecordingError;
use crate::record::{Beginning, Ending, Record, Recorded};
use crate::{Check, MAGIC, MAX_OBJECT, MAX_OBJECTS, VERSION, check};

/// Writes records, each whole. What was written and flushed can be read although the end never comes.
pub struct Writer<W: Write> {
    out: W,
    before: Check,
    objects: HashSet<Digest>,
    missing: HashSet<Digest>,
    messages: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    pub fn begin(mut out: W, beginning: &Beginning) -> Result<Writer<W>, RecordingError> {
        out.write_all(MAGIC)?;
        out.write_all(&[VERSION])?;
        let mut writer = Writer {
            out,
            before: Check::default(),
            objects: HashSet::new(),
            missing: HashSet::new(),
            messages: 0,
            bytes: MAGIC.len() as u64 + 1,
        };
        writer.message_record(Record::BEGINNING, beginning)?;
        Ok(writer)
    }

    /// Whether this object is in the recording, or was found missing before.
    pub fn knows(&self, object: Digest) -> bool {
        self.objects.contains(&object) || self.missing.contains(&object)
    }

    /// Writes an object, unless it is there.
    pub fn object(&mut self, bytes: &[u8]) -> Result<(), RecordingError> {
        let digest = Digest::of(bytes);
        if self.objects.contains(&digest) {
            return Ok(());
        }
        if bytes.len() > MAX_OBJECT || self.objects.len() >= MAX_OBJECTS {
            return Err(RecordingError::TooLarge { what: format!("object {digest}") });
        }
        self.record(Record::OBJECT, bytes)?;
        self.missing.remove(&digest);
        self.objects.insert(digest);
        Ok(())
    }

    /// Counts an object that is named and could not be had.
    pub fn misses(&mut self, object: Digest) {
        if self.missing.len() < MAX_OBJECTS {
            self.missing.insert(object);
        }
    }

    /// Writes a message. The objects that it names come before it.
    pub fn message(&mut self, message: &Recorded) -> Result<(), RecordingError> {
        self.message_record(Record::MESSAGE, message)?;
        self.messages += 1;
        Ok(())
    }

    /// What is written so far.
    pub fn so_far(&self) -> Ending {
        Ending {
            messages: self.messages,
            objects: self.objects.len() as u64,
            missing: self.missing.len() as u64,
        }
    }

    /// How many octets are written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands what is written to the file.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        Ok(self.out.flush()?)
    }

    /// Ends the recording; gives back what it was written into.
    pub fn end(mut self) -> Result<(Ending, W), RecordingError> {
        let ending = self.so_far();
        self.message_record(Record::ENDING, &ending)?;
        self.out.flush()?;
        Ok((ending, self.out))
    }

    fn message_record<M: Message>(&mut self, kind: u8, message: &M) -> Result<(), RecordingError> {
        let too_large = |error: DecodeError| RecordingError::TooLarge { what: error.to_string() };
        self.record(kind, &encode(message).map_err(too_large)?)
    }

    fn record(&mut self, kind: u8, body: &[u8]) -> Result<(), RecordingError> {
        let length = u32::try_from(body.len())
            .map_err(|_| RecordingError::TooLarge { what: format!("a record of {} bytes", body.len()) })?;
        self.before = check(self.before, kind, body);
        self.out.write_all(&[kind])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(body)?;
        self.out.write_all(&self.before)?;
        self.bytes += body.len() as u64 + 13;
        Ok(())
    }
}
