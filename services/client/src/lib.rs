//! A client (part 5 of the original): asks the fleet whether certificates are valid for it.
//!
//! Begin with [`ask`]: one question to whichever validator is free, or to a preselected one.

mod ask;

pub use ask::{AskError, ask};
