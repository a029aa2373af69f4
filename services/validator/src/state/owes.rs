//! Whose notices the journal owes.

use revocast_pki::identity::IssuerId;
use rusqlite::params;

use super::journal::{Journal, JournalError};

impl Journal {
    /// Whether a CRL notice of this issuer is owed.
    pub(crate) fn owes(&self, issuer: IssuerId) -> Result<bool, JournalError> {
        // The issuer is a token of its own in the subject: see `Subject::CrlNotice`.
        let pattern = format!("pki.notice.crl.*.{issuer}.*");
        let sql = "SELECT EXISTS (SELECT 1 FROM owed WHERE subject GLOB ?1)";
        Ok(self.lock().query_row(sql, params![pattern], |row| row.get(0))?)
    }
}
