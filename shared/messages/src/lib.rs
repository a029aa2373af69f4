//! What travels between the services: the words, and no broker.
//!
//! Begin with [`CrlNotice`]: it is what the whole fleet listens for. Every message is a version octet followed by
//! its fields ([`codec`], the only file that knows the encoding), bounded in size before anything is allocated.
//! Where a message travels is in [`subjects`]; the header lines that an operator reads at the broker are in
//! [`headers`], and a receiver refuses a message whose subject, headers and body disagree.

mod acquire;
mod blob;
pub mod codec;
pub mod headers;
mod incoming;
mod notice;
mod path_share;
mod plain;
mod question;
mod receipt;
mod search;
pub mod subjects;
mod subscription;
mod watch;
mod written;

pub use acquire::{AcquireAnswer, AcquireFrom, AcquireRefusal, AcquireRequest};
pub use blob::Blob;
pub use codec::{DecodeError, Message, decode, encode};
pub use headers::Headers;
pub use incoming::{Incoming, Unreadable};
pub use notice::{
    CertificateNotice, CrlNotice, Disagreement, Heartbeat, INLINE_LIMIT, MAX_LOCATIONS, MAX_NEWLY_REVOKED,
    NoticeDifference, Origin, RevokedEntry,
};
pub use path_share::{PathElement, PathShare};
pub use plain::PlainQuestion;
pub use question::{Answer, Evidence, Judgement, Outcome, Past, Question, QuestionOptions, Refusal, instant};
pub use receipt::{Receipt, Source};
pub use search::{NotASearch, SearchAnswer, SearchBy, SearchRequest, Wanted};
pub use subjects::{Instance, NotAnInstance, Role};
pub use subscription::{
    Interest, Payload, Registration, ScopeState, SubscriptionAnswer, SubscriptionRequest, parse_registry_key,
    registry_key,
};
pub use watch::{
    Seen, VerdictChanged, WatchAnswer, WatchInterest, WatchRegistration, WatchRequest, watch_key,
};

#[cfg(test)]
mod tests;
