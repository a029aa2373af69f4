//! A notice arrives. The steps in their order, each a file:
//!
//! 1. [`intake`]: read it; subject, headers and body must agree
//! 2. [`dedup`]: is it news, against the CRLs that were applied and verified?
//! 3. [`plan`]: how to come by the bytes: difference, inline, object store, repository
//! 4. [`fetch`]: carry the plan out, step by step, until one brings bytes; from the fleet, or from a recording
//!    ([`sources`])
//! 5. [`verify`]: a key entitled to sign for that issuer, over the very bytes; scope, kind and order as announced. What
//!    [`failures`] there were says whether the notice is owed or put aside
//! 6. [`persist`]: the CRL and its high-water mark on the disk
//! 7. [`swap`]: readers see it from here on; with step 6 it is one [`turn`] at a time
//! 8. [`receipt`]: tell the fleet
//! 9. [`checkpoint`]: past notices that are done with
//!
//! What cannot be finished now is [`owed`]: durably recorded, taken up in the order of the [`schedule`], and in nobody's
//! way. A repository is asked only so, since it may be slow. What can never be finished is put [`aside`] with its reason.

pub(crate) mod aside;
pub(crate) mod certificates;
pub(crate) mod checkpoint;
pub(crate) mod dedup;
mod failures;
pub(crate) mod fetch;
pub(crate) mod intake;
pub(crate) mod owed;
pub(crate) mod persist;
pub(crate) mod plan;
pub(crate) mod receipt;
mod schedule;
pub(crate) mod sources;
pub(crate) mod swap;
mod turn;
pub(crate) mod verify;
mod walk;

pub(crate) use walk::{Outcome, Walk};
