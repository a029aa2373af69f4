//! A certification authority (part 1 of the original): issues certificates and cross-certificates, revokes, issues
//! CRLs, and tells the world.
//!
//! Begin with [`Authority`]: its operations write what was decided, the signed result and the notices about it into
//! the [`ledger`] in one transaction. The [`outbox`] carries the notices to the broker, again and again until each
//! is confirmed, whoever carries them: the command line right after a revocation, or the service that [`run`]
//! starts. The service also issues CRLs before the last ones lapse, answers subscriptions and says that it is alive.

mod authority;
mod config;
pub mod ledger;
mod outbox;
mod run;

pub use authority::{
    Authority, AuthorityError, CaSummary, CertificateRequest, Issued, NewCa, Profile, Revocation, Revoked,
};
pub use config::AuthorityConfig;
pub use outbox::Outbox;
pub use run::{RunError, run};
