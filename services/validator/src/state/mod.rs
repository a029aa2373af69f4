//! What a validator holds: [`live`] is what readers see, [`journal`] what survives a kill, [`history`] what was.

mod height;
pub(crate) mod history;
pub(crate) mod journal;
pub(crate) mod live;
mod owes;

pub use history::HistoryConfig;
pub(crate) use journal::{Applied, Journal, JournalError, Mark, Owed};
pub(crate) use live::{Enforced, Live, ScopeKey};
