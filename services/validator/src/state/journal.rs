//! [`Journal`]: marks, certificates, debts, checkpoints and the audit record, in SQLite. The octets of CRLs lie beside them
//! or in files by hash: see [`octets`](super::octets).
//!
//! The high-water mark of a scope is on the disk before readers see its CRL, so a kill at any instruction never takes
//! a validator back. Who believes it: this validator, at start, after verifying each CRL's signature again; lost, it
//! costs a download; its thief can withhold newer CRLs until the broker or a poll brings them, and cannot forge one.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::Checkpoint;
use revocast_faults::fail_point;
use revocast_messages::Source;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlKind, Digest, IssuerId};
use revocast_store::Store;
use rusqlite::{Connection, OptionalExtension, params};

use super::height;
use super::history::{self, HistoryConfig};
use super::live::{ScopeKey, Withheld};
use super::octets::SMALL;

const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE mark (
    issuer BLOB NOT NULL, scope BLOB NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL, conflicting INTEGER NOT NULL,
    signer BLOB NOT NULL, applied_at_ms INTEGER NOT NULL,
    PRIMARY KEY (issuer, scope, kind, digest)
) WITHOUT ROWID;
CREATE TABLE certificate (id BLOB PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE owed (
    subject TEXT NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL, attempts INTEGER NOT NULL, next_at_ms INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (subject, digest)
) WITHOUT ROWID;
CREATE TABLE checkpoint (stream TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, issuer TEXT NOT NULL, scope TEXT NOT NULL, kind TEXT NOT NULL,
    number TEXT, digest TEXT NOT NULL, told_by TEXT NOT NULL, source TEXT NOT NULL,
    added INTEGER NOT NULL, removed INTEGER NOT NULL, took_us INTEGER NOT NULL
);
";

/// Tables and indexes that later releases added. They are made where they are missing, and an earlier release ignores them: the
/// schema's version need not change for them.
const ADDED: &[&str] = &[
    "CREATE INDEX IF NOT EXISTS mark_by_digest ON mark (digest)",
    height::TABLES,
    history::TABLES,
    super::octets::TABLE,
    super::polls::TABLE,
];

/// Audit records are kept up to this many; the oldest go first. About 200 octets each.
const MAX_AUDIT: i64 = 1_000_000;
/// They are counted whenever so many have come.
const AUDIT_SWEPT: i64 = 1_000;

/// Statements that are kept prepared: all of an apply, and of debts and polls.
const PREPARED: usize = 32;

/// No debt is put off for so long: one that seems to be was recorded by a clock that has been set back since.
pub(crate) const LONGEST_DEFERRAL_MS: i64 = 3_600_000;

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite says no.
    #[error("the journal: {0}")]
    Database(#[from] rusqlite::Error),
    /// The folder says no.
    #[error("the CRL files: {0}")]
    Files(#[from] std::io::Error),
    /// Written by a later release.
    #[error("the journal has schema version {0}; this release knows {SCHEMA_VERSION}")]
    Version(i32),
}

/// What is written about an apply: the evidence that it leaves (who told, whence it came, what changed).
#[derive(Clone, Debug)]
pub(crate) struct Applied<'a> {
    pub scope: ScopeKey,
    pub crl: &'a Crl,
    pub conflicting: &'a [Crl],
    pub signer: &'a [u8],
    pub at_ms: i64,
    pub told_by: String,
    pub source: Source,
    pub added: u64,
    pub removed: u64,
    pub took_us: u64,
}

/// A mark, read back.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub scope: ScopeKey,
    pub digest: Digest,
    pub signer: Vec<u8>,
    pub applied_at_ms: i64,
}

/// A notice that could not be finished yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The subject it came on.
    pub subject: String,
    /// The notice, encoded.
    pub body: Bytes,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again: milliseconds since the Unix epoch.
    pub next_at_ms: i64,
    /// Why it could not be finished.
    pub why: String,
}

/// The journal. All calls block on the disk.
pub(crate) struct Journal {
    database: Mutex<Connection>,
    pub(super) files: Store,
    /// CRLs of so many octets at the most lie in the database.
    pub(super) small: usize,
    /// Digests of CRLs that no mark names any more, until they are taken to be removed.
    pub(super) superseded: Mutex<Vec<Digest>>,
    /// Set while superseded CRLs are kept.
    pub(super) history: Option<HistoryConfig>,
}

impl Journal {
    /// Opens the journal in `folder`, making it if it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Journal, JournalError> {
        let files = Store::open(&folder.join("crls"))?;
        let mut database = Connection::open(folder.join("journal.db"))?;
        database.busy_timeout(Duration::from_secs(10))?;
        database.set_prepared_statement_cache_capacity(PREPARED);
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        let transaction = database.transaction()?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))? {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(JournalError::Version(found)),
        }
        for table in ADDED {
            transaction.execute_batch(table)?;
        }
        transaction.commit()?;
        Ok(Journal {
            database: Mutex::new(database),
            files,
            small: SMALL,
            superseded: Mutex::default(),
            history: None,
        })
    }

    /// Writes what is about to be enforced: first the files, then the marks and the audit record in one transaction.
    /// Returns the digests of CRLs that no mark names any more.
    pub(crate) fn apply(&self, applied: &Applied<'_>) -> Result<Vec<Digest>, JournalError> {
        let crls = || std::iter::once(applied.crl).chain(applied.conflicting);
        for crl in crls() {
            self.keep_crl(crl)?;
        }
        let mut database = self.lock();
        let transaction = database.transaction()?;
        self.keep_small(&transaction, crls())?;
        let before = write_marks(&transaction, &applied.scope, crls(), applied.signer, applied.at_ms)?;
        height::write(&transaction, &applied.scope, crls().map(Crl::order))?;
        audit(&transaction, applied)?;
        if self.history.is_some() {
            history::record(&transaction, applied)?;
        }
        fail_point!("mark");
        transaction.commit()?;
        fail_point!("marked");
        Ok(before.into_iter().filter(|digest| !crls().any(|crl| crl.digest() == *digest)).collect())
    }

    /// Writes what is at hand of a scope of which a CRL is lost, and where all of them stand. Nothing is enforced by it.
    pub(crate) fn withhold(
        &self,
        scope: &ScopeKey,
        withheld: &Withheld,
        signer: &[u8],
        at_ms: i64,
    ) -> Result<(), JournalError> {
        for crl in &withheld.crls {
            self.keep_crl(crl)?;
        }
        let mut database = self.lock();
        let transaction = database.transaction()?;
        self.keep_small(&transaction, withheld.crls.iter())?;
        write_marks(&transaction, scope, withheld.crls.iter(), signer, at_ms)?;
        height::write(&transaction, scope, withheld.orders())?;
        Ok(transaction.commit()?)
    }

    /// Every mark, complete CRLs before deltas, the highest of a scope before the conflicting ones.
    pub(crate) fn marks(&self) -> Result<Vec<Mark>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare(
            "SELECT issuer, scope, kind, digest, signer, applied_at_ms FROM mark
             ORDER BY kind, issuer, scope, conflicting",
        )?;
        let rows = statement.query_map([], |row| {
            let kind: String = row.get(2)?;
            let kind = if kind == "delta" { CrlKind::Delta } else { CrlKind::Complete };
            Ok(Mark {
                scope: (IssuerId(row.get(0)?), revocast_pki::identity::ScopeId(row.get(1)?), kind),
                digest: Digest(row.get(3)?),
                signer: row.get(4)?,
                applied_at_ms: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a certificate.
    pub(crate) fn keep_certificate(&self, id: &[u8; 32], der: &[u8]) -> Result<(), JournalError> {
        fail_point!("learn");
        self.lock().execute("INSERT OR IGNORE INTO certificate VALUES (?1, ?2)", params![id, der])?;
        fail_point!("learned");
        Ok(())
    }

    /// Every certificate that was kept.
    pub(crate) fn certificates(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare("SELECT der FROM certificate")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Moves a stream's checkpoint.
    pub(crate) fn move_checkpoint(&self, stream: &str, position: &Checkpoint) -> Result<(), JournalError> {
        let text = serde_json::to_string(position).unwrap_or_default();
        fail_point!("checkpoint");
        let sql = "INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2)";
        self.lock().prepare_cached(sql)?.execute(params![stream, text])?;
        fail_point!("checkpointed");
        Ok(())
    }

    /// A stream's checkpoint; one that cannot be read counts as none, which leads to reading from the heads.
    pub(crate) fn checkpoint(&self, stream: &str) -> Result<Option<Checkpoint>, JournalError> {
        let sql = "SELECT position FROM checkpoint WHERE stream = ?1";
        let text: Option<String> = self.lock().query_row(sql, [stream], |row| row.get(0)).optional()?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while it was held rolled the transaction back.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type KeyParts<'a> = (&'a [u8], &'a [u8], String);

fn key_parts(scope: &ScopeKey) -> KeyParts<'_> {
    (&scope.0.0, &scope.1.0, scope.2.to_string())
}

/// Names a scope's CRLs, the highest first, in the place of those that were named before. Returns these.
fn write_marks<'a>(
    transaction: &Connection,
    scope: &ScopeKey,
    crls: impl Iterator<Item = &'a Crl>,
    signer: &[u8],
    at_ms: i64,
) -> Result<Vec<Digest>, JournalError> {
    let key = key_parts(scope);
    let sql = "SELECT digest FROM mark WHERE issuer = ?1 AND scope = ?2 AND kind = ?3";
    let mut selecting = transaction.prepare_cached(sql)?;
    let before = selecting.query_map(params![key.0, key.1, key.2], |row| row.get(0).map(Digest))?;
    let before = before.collect::<Result<_, _>>()?;
    let sql = "DELETE FROM mark WHERE issuer = ?1 AND scope = ?2 AND kind = ?3";
    transaction.prepare_cached(sql)?.execute(params![key.0, key.1, key.2])?;
    let sql = "INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut inserting = transaction.prepare_cached(sql)?;
    for (n, crl) in crls.enumerate() {
        inserting.execute(params![key.0, key.1, key.2, crl.digest().0, n > 0, signer, at_ms])?;
    }
    Ok(before)
}

fn audit(connection: &Connection, applied: &Applied<'_>) -> Result<(), JournalError> {
    let (issuer, scope, kind) = &applied.scope;
    let mut inserting = connection.prepare_cached(
        "INSERT INTO audit (at_ms, issuer, scope, kind, number, digest, told_by, source, added, removed, took_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    inserting.execute(params![
        applied.at_ms,
        issuer.to_string(),
        scope.to_string(),
        kind.to_string(),
        applied.crl.number().map(|number| number.to_string()),
        applied.crl.digest().to_string(),
        applied.told_by,
        applied.source.word(),
        applied.added as i64,
        applied.removed as i64,
        applied.took_us as i64,
    ])?;
    let newest = connection.last_insert_rowid();
    if newest % AUDIT_SWEPT == 0 {
        connection.execute("DELETE FROM audit WHERE id <= ?1", [newest - MAX_AUDIT])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_due_at_its_time_and_when_the_clock_that_put_it_off_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let owed = |subject: &str, next_at_ms| Owed {
            subject: subject.into(),
            body: Bytes::new(),
            attempts: 1,
            next_at_ms,
            why: String::new(),
        };
        let now = 1_795_305_600_000;
        let ten_years = 10 * 365 * 24 * LONGEST_DEFERRAL_MS;
        for (subject, next_at_ms) in [("past", now - 1), ("soon", now + 1), ("in ten years", now + ten_years)]
        {
            journal.owe(&owed(subject, next_at_ms)).unwrap();
        }
        let due =
            |at| -> Vec<String> { journal.owed(at).unwrap().into_iter().map(|owed| owed.subject).collect() };
        assert_eq!(due(Some(now)), ["past", "in ten years"]);
        assert_eq!(due(Some(now + 1)), ["past", "soon", "in ten years"]);
        assert_eq!(due(None), ["past", "soon", "in ten years"]);
    }
}
