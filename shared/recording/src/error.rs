//! What can be wrong with a recording.

/// A recording that cannot be read or written. Records are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file says no.
    #[error("the recording: {0}")]
    Io(#[from] std::io::Error),
    /// Its first octets are others.
    #[error("this is no recording")]
    NotARecording,
    /// Written by another release.
    #[error("the recording has format version {0}; this release reads version {known}", known = crate::VERSION)]
    Version(u8),
    /// It ends without an ending, within a record or between two: whoever wrote it was interrupted.
    #[error("the recording is cut short in record {record}, at byte {offset}")]
    CutShort {
        /// The record that is not there, or not whole.
        record: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A record is not what was written, or never could be.
    #[error("record {record}, at byte {offset}, is damaged: {why}")]
    Damaged {
        /// Which one.
        record: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// It is above what a recording holds.
    #[error("{what} is above what a recording holds")]
    TooLarge {
        /// What should have been written.
        what: String,
    },
}

impl RecordingError {
    /// Whether what stands before is whole: the writer was interrupted, and nothing else is wrong.
    pub fn is_cut_short(&self) -> bool {
        matches!(self, RecordingError::CutShort { .. })
    }
}
