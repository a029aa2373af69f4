//! What the broker refuses, or does not answer.

/// Why an operation at the broker failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The broker's permissions forbid it. Retrying does not help.
    #[error("the broker's permissions deny {what}")]
    Denied {
        /// The broker's words: the operation and the subject.
        what: String,
    },
    /// No answer in time, no leader, not connected. Retrying helps.
    #[error("the broker does not answer: {what}")]
    Unreachable {
        /// What was asked.
        what: String,
    },
    /// Nobody answers this subject, or no such stream, bucket, object or message.
    #[error("{what} is not there")]
    Absent {
        /// What was looked for.
        what: String,
    },
    /// Larger than the broker or the stream takes.
    #[error("a message of {size} bytes is above what the broker takes")]
    TooLarge {
        /// Octets of the payload.
        size: usize,
    },
    /// Another writer was faster: read again.
    #[error("another writer was faster on {subject}")]
    Conflict {
        /// Where.
        subject: String,
    },
    /// The broker answered with an error of its own.
    #[error("the broker refuses {what}: {why}")]
    Refused {
        /// What was asked.
        what: String,
        /// Its words, with its error code.
        why: String,
    },
    /// What came back is not what it should be.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// What was read.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// The connection's settings cannot be used.
    #[error("the broker connection cannot be set up: {0}")]
    Settings(String),
}

impl BusError {
    /// Whether trying again later can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, BusError::Unreachable { .. } | BusError::Conflict { .. })
    }

    pub(crate) fn unreachable(what: impl Into<String>) -> BusError {
        BusError::Unreachable { what: what.into() }
    }

    pub(crate) fn absent(what: impl Into<String>) -> BusError {
        BusError::Absent { what: what.into() }
    }

    /// Of a JetStream API error.
    pub(crate) fn refused(what: &str, error: &async_nats::jetstream::Error) -> BusError {
        if error.code() == 404 {
            return BusError::absent(what);
        }
        if error.code() == 503 {
            return BusError::unreachable(format!("{what} ({error})"));
        }
        BusError::Refused { what: what.into(), why: error.to_string() }
    }
}
