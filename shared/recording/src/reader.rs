//! [`Reader`]: reads a recording, and notices what is wrong with it where it is wrong.

use std::collections::HashMap;
use std::io::Read;

use bytes::Bytes;
use revocast_messages::{Message, decode};

use crate::error::RecordingError;
use crate::record::{Beginning, Ending, Record, Recorded};
use crate::{CHECK_OCTETS, Check, MAGIC, MAX_OBJECT, VERSION, check};

/// Reads records in their order. One record is in memory at a time.
pub struct Reader<R: Read> {
    input: R,
    before: Check,
    beginning: Beginning,
    /// The last sequence of each stream.
    reached: HashMap<String, u64>,
    record: u64,
    offset: u64,
    ended: bool,
}

/// What a record's head and check take.
const FRAME_OCTETS: u64 = 5 + CHECK_OCTETS as u64;

impl<R: Read> Reader<R> {
    /// Opens a recording and reads its beginning.
    pub fn open(mut input: R) -> Result<Reader<R>, RecordingError> {
        let mut first = Vec::new();
        input.by_ref().take(MAGIC.len() as u64 + 1).read_to_end(&mut first)?;
        match first.split_at_checked(MAGIC.len()) {
            Some((magic, [VERSION])) if magic == MAGIC => {}
            Some((magic, [version])) if magic == MAGIC => return Err(RecordingError::Version(*version)),
            _ => return Err(RecordingError::NotARecording),
        }
        let mut reader = Reader {
            input,
            before: Check::default(),
            beginning: Beginning { began_at_ms: 0, streams: Vec::new() },
            reached: HashMap::new(),
            record: 1,
            offset: first.len() as u64,
            ended: false,
        };
        let (kind, body) = reader.frame()?;
        if kind != Record::BEGINNING {
            return Err(reader.damaged("a recording begins with its beginning"));
        }
        reader.beginning = reader.decoded(&body)?;
        reader.pass(body.len());
        Ok(reader)
    }

    /// What is recorded.
    pub fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// The next record after the beginning; `None` after the ending. After an error there is nothing to be read.
    pub fn read_next(&mut self) -> Result<Option<Record>, RecordingError> {
        if self.ended {
            return self.nothing_more();
        }
        let (kind, body) = self.frame()?;
        let length = body.len();
        let record = match kind {
            Record::OBJECT => Record::Object(body),
            Record::MESSAGE => Record::Message(self.sayable(&body)?),
            Record::ENDING => Record::Ending(self.decoded::<Ending>(&body)?),
            Record::BEGINNING => return Err(self.damaged("a second beginning")),
            other => return Err(self.damaged(format!("a record of kind {other}, which there is not"))),
        };
        self.ended = matches!(record, Record::Ending(_));
        self.pass(length);
        Ok(Some(record))
    }

    /// One record, with its check found right.
    fn frame(&mut self) -> Result<(u8, Bytes), RecordingError> {
        let head = self.exactly(5)?;
        let (&[kind], length) = head.split_first_chunk().ok_or_else(|| self.cut_short())?;
        let length = length.try_into().map_or(u32::MAX, u32::from_be_bytes) as usize;
        let limit = if kind == Record::OBJECT { MAX_OBJECT } else { Recorded::MAX_BYTES };
        if length > limit {
            return Err(self.damaged(format!("it claims {length} bytes, and {limit} is the limit")));
        }
        let body = self.exactly(length)?;
        let told = self.exactly(CHECK_OCTETS)?;
        self.before = check(self.before, kind, &body);
        if told != self.before {
            return Err(self.damaged("its check is wrong"));
        }
        Ok((kind, body.into()))
    }

    /// A message of a stream that is recorded, in its order, that a broker would take.
    fn sayable(&mut self, body: &[u8]) -> Result<Recorded, RecordingError> {
        let message: Recorded = self.decoded(body)?;
        if let Some(why) = message.unsayable() {
            return Err(self.damaged(why));
        }
        if !self.beginning.streams.iter().any(|stream| stream.name == message.stream) {
            return Err(self.damaged("a message of a stream that is not recorded"));
        }
        let reached = self.reached.entry(message.stream.clone()).or_default();
        if message.sequence <= *reached {
            return Err(self.damaged("its sequence does not ascend"));
        }
        *reached = message.sequence;
        Ok(message)
    }

    /// Takes no more memory than there are octets, whatever was claimed.
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, RecordingError> {
        let mut octets = Vec::new();
        self.input.by_ref().take(length as u64).read_to_end(&mut octets)?;
        if octets.len() < length { Err(self.cut_short()) } else { Ok(octets) }
    }

    fn nothing_more(&mut self) -> Result<Option<Record>, RecordingError> {
        match self.input.by_ref().take(1).read_to_end(&mut Vec::new())? {
            0 => Ok(None),
            _ => Err(self.damaged("something follows the ending")),
        }
    }

    fn decoded<M: Message>(&self, body: &[u8]) -> Result<M, RecordingError> {
        decode(body).map_err(|error| self.damaged(error.to_string()))
    }

    fn pass(&mut self, length: usize) {
        self.record += 1;
        self.offset += length as u64 + FRAME_OCTETS;
    }

    fn cut_short(&self) -> RecordingError {
        RecordingError::CutShort { record: self.record, offset: self.offset }
    }

    fn damaged(&self, why: impl Into<String>) -> RecordingError {
        RecordingError::Damaged { record: self.record, offset: self.offset, why: why.into() }
    }
}
