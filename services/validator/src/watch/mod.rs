//! A verdict changes. What happens after a swap, or when time passes, for certificates that clients watch:
//!
//! 1. [`asked`]: what is watched, and what the watch is called, so that validators that are configured alike agree
//! 2. [`registry`]: who watches what for how long, and which verdicts are due to be judged anew (pure)
//! 3. [`reach`]: which CRLs, certificates and instants a verdict may depend on
//! 4. [`keep`]: judge what is due, beside the questions and never before them
//! 5. [`evidence`]: may it take the place of what was told last? Only on newer evidence (pure)
//! 6. [`tell`]: compare-and-set on the head of the watch
//!
//! [`follow`] brings registrations, heads and events in. Every validator of the fleet judges every watched certificate,
//! and compare-and-set makes one of them tell: nobody leads, and nobody's death is a gap.

mod asked;
mod config;
mod evidence;
mod follow;
mod keep;
mod metrics;
mod reach;
mod registry;
mod tell;

pub use config::WatchConfig;
pub(crate) use follow::run;
pub(crate) use keep::Watches;
pub(crate) use metrics::WatchCounts;
