//! A question arrives. The steps, each a file:
//!
//! 1. [`intake`]: certificates, candidates and options, within their limits; options narrow a policy, never widen it
//! 2. [`cache`]: a path that was found valid before, its certificates looked up in the live CRLs; else
//! 3. [`flight`]: equal questions of the same moment share one
//! 4. [`search`]: validate, ask the live CRLs: the path engine of `revocast-pki` over [`crate::state::Live`]; what has no
//!    path goes on to [`discover`], which asks a repository and the URLs that certificates name
//! 5. [`answer`]: the verdict in words, with the CRLs that decided and their age
//!
//! A question about the past goes the same way over what was enforced once ([`history`]).
//!
//! [`judge`] takes a question through them; the [`policy`] says who is believed and what is required. Nothing that is
//! remembered here says that a certificate is good: paths and right signatures are, revocation is looked up live for
//! every question. A path newly found is told to the fleet by [`crate::paths`].

pub(crate) mod anchored;
pub(crate) mod answer;
pub(crate) mod cache;
pub(crate) mod discover;
pub(crate) mod flight;
pub(crate) mod history;
pub(crate) mod ids;
pub(crate) mod intake;
pub(crate) mod judge;
pub(crate) mod policy;
pub(crate) mod search;
#[cfg(test)]
pub(crate) mod tests;

pub use discover::DiscoveryConfig;
pub(crate) use judge::Judge;
pub use policy::{Policies, PolicyError};
