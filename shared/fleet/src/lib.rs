//! What the services of a fleet do alike: messages with a meaning, over a bus that has none.
//!
//! [`Publisher`] publishes notices so that a better one always stands, [`registrar`] answers subscriptions and writes
//! the registry, [`overview`] reads registry, heads and receipts and tells who enforces what.

pub mod overview;
mod publisher;
pub mod registrar;

pub use overview::{Overview, ScopeView, ValidatorView, Wait, WaitReport};
pub use publisher::{Publisher, beat};
