//! The URLs that are asked without a notice, in the journal: a validator that starts without a broker asks them again.
//! Each stood in a certificate that led to an anchor. Its thief can have them asked, within the fetcher's guards.

use revocast_fetch::Validators;
use revocast_pki::identity::CrlKind;
use revocast_pki::name::Name;
use rusqlite::params;

use super::journal::{Journal, JournalError};
use super::live::ScopeKey;
use crate::polling::Kept;

/// The tables; in [`super::journal`]'s list of those that later releases added. Which URLs serve deltas is apart, since a
/// release that does not know of it writes whole rows of the first.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS polled (
    url TEXT PRIMARY KEY, issuer BLOB NOT NULL, used_at_ms INTEGER NOT NULL, scope TEXT, validators TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS polled_for_deltas (url TEXT PRIMARY KEY) WITHOUT ROWID;
";

impl Journal {
    /// Keeps what is known of a URL.
    pub(crate) fn keep_polled(&self, kept: &Kept) -> Result<(), JournalError> {
        let scope = kept.gave.as_ref().map(|((issuer, scope, kind), _)| format!("{issuer}.{scope}.{kind}"));
        let validators =
            kept.gave.as_ref().and_then(|(_, validators)| serde_json::to_string(validators).ok());
        let mut database = self.lock();
        let transaction = database.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO polled VALUES (?1, ?2, ?3, ?4, ?5)",
            params![kept.url, &kept.issuer.der()[..], kept.used_ms, scope, validators],
        )?;
        let sql = match kept.kind {
            CrlKind::Complete => "DELETE FROM polled_for_deltas WHERE url = ?1",
            CrlKind::Delta => "INSERT OR IGNORE INTO polled_for_deltas VALUES (?1)",
        };
        transaction.execute(sql, [&kept.url])?;
        Ok(transaction.commit()?)
    }

    /// What is known of at most `limit` URLs, the ones used last first; the others are forgotten.
    pub(crate) fn polled(&self, limit: usize) -> Result<Vec<Kept>, JournalError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let database = self.lock();
        database.execute(
            "DELETE FROM polled WHERE url NOT IN (SELECT url FROM polled ORDER BY used_at_ms DESC LIMIT ?1)",
            [limit],
        )?;
        database.execute("DELETE FROM polled_for_deltas WHERE url NOT IN (SELECT url FROM polled)", [])?;
        let mut statement = database.prepare(
            "SELECT url, issuer, used_at_ms, scope, validators, url IN polled_for_deltas FROM polled",
        )?;
        let rows = statement.query_map([], |row| {
            let (issuer, scope, validators): (Vec<u8>, Option<String>, Option<String>) =
                (row.get(1)?, row.get(3)?, row.get(4)?);
            let kind = if row.get(5)? { CrlKind::Delta } else { CrlKind::Complete };
            Ok((row.get(0)?, issuer, kind, row.get(2)?, scope, validators))
        })?;
        let mut found = Vec::new();
        for row in rows {
            let (url, issuer, kind, used_ms, scope, validators) = row?;
            // What cannot be read any more is learned again from the next certificate.
            let Ok(issuer) = Name::decode(issuer) else { continue };
            found.push(Kept { url, issuer, kind, used_ms, gave: gave(scope, validators) });
        }
        Ok(found)
    }
}

fn gave(scope: Option<String>, validators: Option<String>) -> Option<(ScopeKey, Validators)> {
    let scope = scope?;
    let mut parts = scope.split('.');
    let key = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((key, serde_json::from_str(&validators?).ok()?))
}

#[cfg(test)]
mod tests {
    use revocast_pki::identity::{IssuerId, ScopeId};
    use revocast_pki::mint::name;

    use super::*;

    #[test]
    fn what_is_kept_of_a_url_is_read_back_and_bounded_by_use() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let scope = (IssuerId([1; 16]), ScopeId([2; 16]), CrlKind::Delta);
        let validators =
            Validators { url: "http://h/2".into(), etag: Some("\"x\"".into()), last_modified: None };
        let kept = |n: i64, gave| Kept {
            url: format!("http://h/{n}"),
            issuer: name("CN=CA").unwrap(),
            kind: CrlKind::Complete,
            used_ms: n,
            gave,
        };
        let old = Kept { kind: CrlKind::Delta, ..kept(1, None) };
        let new = kept(2, Some((scope, validators)));
        journal.keep_polled(&old).unwrap();
        journal.keep_polled(&new).unwrap();
        assert_eq!(journal.polled(10).unwrap(), [old, new.clone()]);
        assert_eq!(journal.polled(1).unwrap(), [new]);
    }
}
