//! A repository (parts 2 and 3 of the original): keeps certificates and CRLs, serves them, and tells of new ones.
//!
//! Begin with [`run`]. CRLs come on two walks: [`intake`] takes them from the notice streams (`plan` decides how the
//! bytes are had, `owed` keeps what cannot be had yet), [`post`] takes them from whoever posts them and announces
//! them. Both end on the shelf of `revocast-store`, which keeps only what a known key signed and what stands above
//! the rest. [`doors`] serves the shelf over HTTP at the URLs that certificates name, `search` by RFC 4387;
//! [`searches`] finds certificates over NATS.

mod assertion;
mod config;
mod document;
mod doors;
mod intake;
mod listing;
mod owed;
mod plan;
mod post;
mod run;
mod search;
mod searches;
#[cfg(test)]
mod tests;

pub use config::RepositoryConfig;
pub use run::{RunError, run};
