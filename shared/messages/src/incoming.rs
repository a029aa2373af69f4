//! [`Incoming`]: a message of a notice stream, read and held against its subject and headers.

use crate::codec::{DecodeError, decode};
use crate::notice::{CertificateNotice, CrlNotice, Disagreement, Heartbeat};
use crate::subjects::{Subject, UnknownSubject};

/// What arrives on a notice stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A CRL was issued.
    Crl(Box<CrlNotice>),
    /// A certificate was issued.
    Certificate(CertificateNotice),
    /// A publisher is alive.
    Heartbeat(Heartbeat),
}

/// Why a message is put aside, unread.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its subject is none of ours.
    #[error(transparent)]
    Subject(#[from] UnknownSubject),
    /// Its subject belongs into another stream, or is not told in any.
    #[error("{subject} does not belong into the stream {stream}")]
    Stream {
        /// Where it was published.
        subject: String,
        /// Where it was found.
        stream: String,
    },
    /// Its body cannot be read.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// Subject, headers and body say different things.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
}

impl Unreadable {
    /// One word for counting.
    pub fn word(&self) -> &'static str {
        match self {
            Unreadable::Subject(_) => "subject",
            Unreadable::Stream { .. } => "stream",
            Unreadable::Body(DecodeError::UnknownVersion { .. }) => "version",
            Unreadable::Body(DecodeError::TooLarge { .. }) => "size",
            Unreadable::Body(_) => "undecodable",
            Unreadable::Disagreement(_) => "disagreement",
        }
    }
}

impl Incoming {
    /// Reads a message that was found in `stream`.
    pub fn read<'h>(
        stream: &str,
        subject: &str,
        header: impl Fn(&str) -> Option<&'h str>,
        payload: &[u8],
    ) -> Result<Incoming, Unreadable> {
        let parsed: Subject = subject.parse()?;
        let foreign = || Unreadable::Stream { subject: subject.to_owned(), stream: stream.to_owned() };
        match &parsed {
            Subject::CrlNotice { class, .. } if class.stream() == stream => {
                let notice: CrlNotice = decode(payload)?;
                notice.agrees_with(&parsed, header)?;
                Ok(Incoming::Crl(Box::new(notice)))
            }
            Subject::CertificateNotice { class, .. } if class.stream() == stream => {
                let notice: CertificateNotice = decode(payload)?;
                notice.agrees_with(&parsed)?;
                Ok(Incoming::Certificate(notice))
            }
            Subject::Heartbeat { class, .. } if class.stream() == stream => {
                let heartbeat: Heartbeat = decode(payload)?;
                if heartbeat.subject() != parsed {
                    return Err(Disagreement { place: "subject", what: "the instance" }.into());
                }
                Ok(Incoming::Heartbeat(heartbeat))
            }
            _ => Err(foreign()),
        }
    }
}
