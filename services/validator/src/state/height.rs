//! Heights: where the mark of each scope stands in the order of CRLs.
//!
//! A mark names a file. When that file was damaged the mark still stands: until the same CRL or a newer one comes,
//! nothing below it is taken in (PROMISES, I2), and the scope is without a CRL, which makes verdicts indeterminate.

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlId, CrlKind, CrlOrder, IssuerId, ScopeId};
use rusqlite::{Connection, params};

use super::journal::{Journal, JournalError};
use super::live::ScopeKey;

/// The table; made where an earlier release left none.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS height (
    issuer BLOB NOT NULL, scope BLOB NOT NULL, kind TEXT NOT NULL,
    number TEXT, this_update INTEGER NOT NULL, crl_id BLOB NOT NULL,
    PRIMARY KEY (issuer, scope, kind)
) WITHOUT ROWID;
";

/// Writes the height of a mark, in the transaction that writes the mark.
pub(super) fn raise(transaction: &Connection, scope: &ScopeKey, order: &CrlOrder) -> rusqlite::Result<()> {
    let (issuer, covered, kind) = scope;
    transaction.execute(
        "INSERT OR REPLACE INTO height VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            issuer.0,
            covered.0,
            kind.to_string(),
            order.number.map(|number| number.to_string()),
            order.this_update.unix(),
            order.id.0
        ],
    )?;
    Ok(())
}

impl Journal {
    /// Where each mark stands.
    pub(crate) fn heights(&self) -> Result<Vec<(ScopeKey, CrlOrder)>, JournalError> {
        let database = self.lock();
        let mut statement =
            database.prepare("SELECT issuer, scope, kind, number, this_update, crl_id FROM height")?;
        let rows = statement.query_map([], |row| {
            let kind: String = row.get(2)?;
            let kind = if kind == "delta" { CrlKind::Delta } else { CrlKind::Complete };
            let number: Option<String> = row.get(3)?;
            let order = CrlOrder {
                number: number.and_then(|number| number.parse().ok()),
                this_update: Time::from_unix(row.get(4)?),
                id: CrlId(row.get(5)?),
            };
            Ok(((IssuerId(row.get(0)?), ScopeId(row.get(1)?), kind), order))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
