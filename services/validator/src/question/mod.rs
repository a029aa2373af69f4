//! A question arrives. The steps, each a file:
//!
//! 1. [`intake`]: certificates, candidates and options, within their limits; options narrow a policy, never widen it
//! 2. [`judge`]: validate, ask the live CRLs: the path engine of `revocast-pki` over [`crate::state::Live`]; what has no
//!    path goes on to [`discover`], which asks a repository and the URLs that certificates name
//! 3. [`answer`]: the verdict in words, with the CRLs that decided and their age
//!
//! A question about the past goes the same way over what was enforced once ([`history`]).
//!
//! The [`policy`] says who is believed and what is required. Nothing here is remembered but signatures that were
//! found right: revocation is looked up live for every question.

pub(crate) mod anchored;
pub(crate) mod answer;
pub(crate) mod discover;
pub(crate) mod history;
pub(crate) mod intake;
pub(crate) mod judge;
pub(crate) mod policy;

pub use discover::DiscoveryConfig;
pub(crate) use judge::Judge;
pub use policy::{Policies, PolicyError};
