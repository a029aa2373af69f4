//! A client (part 5 of the original): asks the fleet whether certificates are valid for it.
//!
//! Begin with [`ask`]: one question to whichever validator is free, or to a preselected one. [`acquire`] asks for a
//! certificate, and gets it if it is valid.

mod acquire;
mod ask;

pub use acquire::acquire;
pub use ask::{AskError, ask};
