//! Heights: where the mark of each scope stands in the order of CRLs.
//!
//! A mark names a file. When that file was damaged the mark still stands: until the same CRL or a newer one comes,
//! nothing below it is taken in (PROMISES, I2), and the scope is without a CRL, which makes verdicts indeterminate.
//! Of CRLs that are joined, each has its height: what a lost one revokes is revoked (PROMISES, I5), and not known.

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlId, CrlKind, CrlOrder, IssuerId, ScopeId};
use rusqlite::{Connection, params};

use super::journal::{Journal, JournalError};
use super::live::ScopeKey;

/// The tables; made where an earlier release left none. The highest of a scope stands in the first, the others that it
/// is joined with in the second.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS height (
    issuer BLOB NOT NULL, scope BLOB NOT NULL, kind TEXT NOT NULL,
    number TEXT, this_update INTEGER NOT NULL, crl_id BLOB NOT NULL,
    PRIMARY KEY (issuer, scope, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS height_beside (
    issuer BLOB NOT NULL, scope BLOB NOT NULL, kind TEXT NOT NULL,
    number TEXT, this_update INTEGER NOT NULL, crl_id BLOB NOT NULL,
    PRIMARY KEY (issuer, scope, kind, crl_id)
) WITHOUT ROWID;
";

/// Writes the heights of a scope's marks, in the transaction that writes the marks.
pub(super) fn write(
    transaction: &Connection,
    scope: &ScopeKey,
    orders: impl Iterator<Item = CrlOrder>,
) -> rusqlite::Result<()> {
    let (issuer, covered, kind) = (scope.0.0, scope.1.0, scope.2.to_string());
    let sql = "DELETE FROM height_beside WHERE issuer = ?1 AND scope = ?2 AND kind = ?3";
    transaction.prepare_cached(sql)?.execute(params![issuer, covered, kind])?;
    let mut orders: Vec<CrlOrder> = orders.collect();
    orders.sort_unstable_by_key(|order| std::cmp::Reverse(*order));
    for (n, order) in orders.iter().enumerate() {
        let sql = match n {
            0 => "INSERT OR REPLACE INTO height VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            _ => "INSERT OR REPLACE INTO height_beside VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        };
        let number = order.number.map(|number| number.to_string());
        transaction.prepare_cached(sql)?.execute(params![
            issuer,
            covered,
            kind,
            number,
            order.this_update.unix(),
            order.id.0
        ])?;
    }
    Ok(())
}

impl Journal {
    /// Where the marks of each scope stand.
    pub(crate) fn heights(&self) -> Result<Vec<(ScopeKey, CrlOrder)>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare(
            "SELECT issuer, scope, kind, number, this_update, crl_id FROM height
             UNION ALL SELECT issuer, scope, kind, number, this_update, crl_id FROM height_beside",
        )?;
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
