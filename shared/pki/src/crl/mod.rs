//! Certificate revocation lists (RFC 5280 section 5).

mod reason;

pub use reason::{Reason, ReasonFlags};
