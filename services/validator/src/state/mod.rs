//! What a validator holds: [`live`] is what readers see, [`journal`] what survives a kill, [`history`] what was.

mod debts;
mod height;
pub(crate) mod history;
pub(crate) mod journal;
pub(crate) mod live;
mod octets;
mod owes;
mod polls;

pub(crate) use debts::DebtId;
pub use history::HistoryConfig;
pub(crate) use journal::{Applied, Journal, JournalError, Mark, Owed};
pub(crate) use live::{Enforced, Live, ScopeKey, Withheld};
pub(crate) use octets::SMALL;
