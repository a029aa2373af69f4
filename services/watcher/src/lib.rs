//! A watcher (the issuance check software of the original): looks at the URLs of CAs that announce nothing, and
//! announces their new CRLs.
//!
//! Begin with [`run`]. Which URLs are watched is decided in [`demand`]: the configured ones, and those that living
//! subscriptions name on hosts that the configuration allows. [`watch`] polls one URL while this watcher holds its
//! lease, asking only for what is new ([`polls`]); what comes is judged in [`sight`] and announced once a known key has
//! signed it ([`announce`]). Until then it is pending, and nobody hears of it.

mod announce;
mod config;
mod demand;
mod polls;
mod run;
mod sight;
#[cfg(test)]
mod tests;
mod watch;

pub use config::{WatchConfig, WatcherConfig};
pub use run::{RunError, run};
