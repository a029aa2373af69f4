//! What the services of a fleet do alike: messages with a meaning, over a bus that has none.
//!
//! [`Publisher`] publishes notices so that a better one always stands, [`Announcer`] does so for a service that has
//! other things to do meanwhile, [`registrar`] answers subscriptions and writes the registry, [`overview`] reads
//! registry, heads and receipts and tells who enforces what, [`instances`] asks the running validators how they are.

mod announcement;
mod announcer;
mod heads;
pub mod instances;
mod members;
pub mod overview;
mod publisher;
pub mod registrar;

pub use announcement::{Announcement, notice_of};
pub use announcer::{Announced, Announcer};
pub use members::{MemberView, SubscriptionView};
pub use overview::{LagView, Overview, ScopeView, UnprovenView, ValidatorView, Wait, WaitReport};
pub use publisher::{Publisher, beat};
