//! The guarded fetcher: reads CRLs and certificates from URLs that strangers chose.
//!
//! A URL comes from configuration or out of a certificate, the host behind it may be hostile, broken or slow,
//! and so may the name service between. [`Fetcher::get`] (begin in `fetcher.rs`) therefore goes these steps,
//! again for each redirect, and every step is a file:
//! *setbacks* (is this place to be left alone for now?) -> *target* (is it a URL of an admitted scheme?)
//! -> *places* (at most two connections a host) -> *resolve* (once; the *address* rules judge every answer)
//! -> *connect* (to a judged address and to no other, every byte counted by the *meter*)
//! -> *http*, *ldap* or *file* (one exchange, under *deadlines* and caps).
//!
//! There is one connection per exchange, made here: no pool, no proxy and no resolver of a library stands
//! between the judgement of an address and its use. What comes back is believed by nobody before a signature
//! over it verifies; the fetcher's promise is only that asking costs a bounded amount and reaches no place
//! that it should not.

mod address;
pub mod config;
mod connect;
mod counters;
mod deadline;
mod error;
mod fetcher;
mod file;
mod http;
mod ldap;
mod meter;
mod places;
mod prefix;
mod resolve;
mod setbacks;
mod target;
#[cfg(test)]
mod tests;

pub use address::AddressRules;
pub use config::FetchConfig;
pub use counters::Counters;
pub use deadline::Stage;
pub use error::{FetchError, Reason, SetupError};
pub use fetcher::{Fetched, Fetcher, Validators};
pub use prefix::{NotAPrefix, Prefixes};
pub use target::Scheme;
