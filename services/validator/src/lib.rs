//! A validator (part 4 of the original): enforces CRLs the moment they are announced, and answers questions.
//!
//! Two walks cross here. [`notice`] takes a notice from the stream to the swap: intake, dedup, plan, fetch, verify,
//! persist, swap, receipt, checkpoint, each a file. [`question`] takes a question from a door to its answer: intake,
//! discover and validate (the path engine of `revocast-pki` over the live state), answer. What both share is
//! [`state`]: the live CRLs and certificates that readers see, and the journal that survives a kill.
//! [`bridge`] serves validators of other broker domains. [`run`] begins all of it and ends it. [`replay`] takes a
//! recording through the first walk, without a fleet.

mod bridge;
mod config;
mod doors;
mod events;
mod metrics;
mod notice;
mod question;
pub mod replay;
mod run;
mod state;
mod subscribe;
mod watch;

pub use bridge::{BridgeConfig, SpeaksFor};
pub use config::{PolicyConfig, Revocation, Subscribe, ValidatorConfig};
pub use doors::events::EventsConfig;
pub use question::{Policies, PolicyError};
pub use run::{RunError, run};
pub use state::HistoryConfig;
pub use watch::WatchConfig;
