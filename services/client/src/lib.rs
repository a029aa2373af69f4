//! A client (part 5 of the original): asks the fleet whether certificates are valid for it.
//!
//! Begin with [`ask`]: one question to whichever validator is free, or to a preselected one. [`acquire`] asks for a
//! certificate, and gets it if it is valid. [`watch`] asks once and is told whenever the verdict changes.

mod acquire;
mod ask;
mod watch;

pub use acquire::acquire;
pub use ask::{AskError, ask};
pub use watch::{WatchError, Watching, client_name, watch};
