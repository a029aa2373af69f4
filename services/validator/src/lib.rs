//! A validator (part 4 of the original): enforces CRLs the moment they are announced, and answers questions.
//!
//! Two walks cross here. [`notice`] takes a notice from the stream to the swap: intake, dedup, plan, fetch, verify,
//! persist, swap, receipt, checkpoint, each a file. [`question`] takes a question from a door to its answer: intake,
//! a path that is kept or else a search (the path engine of `revocast-pki` over the live state), answer; [`paths`] keeps
//! what was found and shares it with the fleet. [`acquire`] gets a certificate and puts that question about it;
//! [`elsewhere`] asks repositories and URLs for both. What both walks share is [`state`]: the live CRLs and certificates
//! that readers see, and the journal that survives a kill. Beside them, [`freshness`] tells up to when the fleet's newest
//! is provably known, [`polling`] asks repositories where nobody tells, and [`bridge`] serves validators of other broker
//! domains. [`run`] begins all of it, with what [`recall`] finds on the disk, and ends it; [`following`] hands the streams'
//! messages to the first walk. [`replay`] takes a recording through the first walk, without a fleet.

mod acquire;
mod bridge;
mod config;
mod disk;
mod doors;
mod elsewhere;
mod events;
mod following;
mod freshness;
mod local;
mod metrics;
mod notice;
mod paths;
mod places;
mod polling;
mod question;
mod recall;
pub mod replay;
mod required;
mod run;
mod stale;
mod state;
mod subscribe;
mod watch;
mod withheld;

pub use acquire::AcquireConfig;
pub use bridge::{BridgeConfig, SpeaksFor};
pub use config::{PolicyConfig, Revocation, Subscribe, ValidatorConfig};
pub use doors::events::EventsConfig;
pub use freshness::FreshnessConfig;
pub use local::{Local, NotEnforced, Ways};
pub use paths::PathsConfig;
pub use polling::PollingConfig;
pub use question::{DiscoveryConfig, Policies, PolicyError};
pub use run::{RunError, run};
pub use state::HistoryConfig;
pub use watch::WatchConfig;
