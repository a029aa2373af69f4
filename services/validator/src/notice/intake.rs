//! Step 1: a stored message becomes a notice, or a reason to put it aside.

use revocast_bus::Stored;
use revocast_messages::{Incoming, Unreadable};

/// Reads a message of a notice stream. Subject, headers and body must agree.
pub(crate) fn read(stream: &str, message: &Stored) -> Result<Incoming, Unreadable> {
    Incoming::read(stream, &message.subject, |name| message.header(name), &message.payload)
}
