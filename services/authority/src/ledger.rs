//! The ledger: what was issued, what was revoked, and what is still to be told. The only truth about a CA.
//!
//! SQLite in WAL mode with full synchronisation: what a transaction committed survives SIGKILL and power cuts. A
//! decision, the signed object and its notice are written in one transaction, so there is never one without the
//! others. Who is believed: everything here. Whoever steals it is the CA; the file is made readable for its owner only.

use std::path::Path;
use std::time::Duration;

use revocast_pki::crl::Reason;
use revocast_pki::identity::CrlNumber;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// Version of the schema, kept in `user_version`.
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE ca (
    id           INTEGER PRIMARY KEY,
    label        TEXT NOT NULL UNIQUE,
    subject      BLOB NOT NULL,
    pkcs8        BLOB NOT NULL,
    certificate  BLOB NOT NULL,
    base_url     TEXT NOT NULL,
    crl_life_s   INTEGER NOT NULL,
    crl_number   TEXT NOT NULL
);
CREATE TABLE certificate (
    ca           INTEGER NOT NULL REFERENCES ca(id),
    serial       BLOB NOT NULL,
    der          BLOB NOT NULL,
    not_after_s  INTEGER NOT NULL,
    issued_at_s  INTEGER NOT NULL,
    PRIMARY KEY (ca, serial)
) WITHOUT ROWID;
CREATE TABLE revocation (
    ca           INTEGER NOT NULL REFERENCES ca(id),
    serial       BLOB NOT NULL,
    revoked_at_s INTEGER NOT NULL,
    reason       INTEGER NOT NULL,
    PRIMARY KEY (ca, serial)
) WITHOUT ROWID;
CREATE TABLE crl (
    ca            INTEGER PRIMARY KEY REFERENCES ca(id),
    der           BLOB NOT NULL,
    next_update_s INTEGER NOT NULL
);
-- An id is never used again: whoever told a row takes out that row and no later one.
CREATE TABLE outbox (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind  TEXT NOT NULL CHECK (kind IN ('crl', 'certificate')),
    ca    INTEGER NOT NULL REFERENCES ca(id),
    body  BLOB NOT NULL,
    crl   BLOB
);
";

/// The ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite says no.
    #[error("the ledger: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file cannot be made.
    #[error("the ledger {path}: {error}")]
    File {
        /// Which file.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// Written by a later release.
    #[error("the ledger has schema version {found}; this release knows {SCHEMA_VERSION}")]
    Version {
        /// What was found.
        found: i32,
    },
}

/// An open ledger.
pub struct Ledger {
    connection: Connection,
}

/// A CA as the ledger knows it.
#[derive(Clone, Debug)]
pub struct CaRow {
    /// Its row.
    pub id: i64,
    /// What the operator calls it.
    pub label: String,
    /// PKCS #8 of its key.
    pub pkcs8: Vec<u8>,
    /// Its own certificate, DER: self-signed, or by the CA above it.
    pub certificate: Vec<u8>,
    /// Where its repository serves: the URLs in what it issues begin with it.
    pub base_url: String,
    /// Seconds from thisUpdate to nextUpdate.
    pub crl_life_s: i64,
    /// Number of the last CRL that it issued; 0 before the first.
    pub crl_number: CrlNumber,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// Content octets of its serial number.
    pub serial: Vec<u8>,
    /// When it was revoked: seconds since the Unix epoch.
    pub revoked_at_s: i64,
    /// Why.
    pub reason: Reason,
}

/// Something still to be told.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// Its row; rows are told in their order.
    pub id: i64,
    /// The certificate of the CA in whose name it is told.
    pub ca_certificate: Vec<u8>,
    /// The encoded notice.
    pub body: Vec<u8>,
    /// The CRL, when the notice is of one.
    pub crl: Option<Vec<u8>>,
}

impl Ledger {
    /// Opens the ledger at `path`, making it if it is not there.
    pub fn open(path: &Path) -> Result<Ledger, LedgerError> {
        let failed = |error| LedgerError::File { path: path.display().to_string(), error };
        if !path.exists() {
            use std::os::unix::fs::OpenOptionsExt;
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(failed)?;
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))? {
            0 => {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            SCHEMA_VERSION => {}
            found => return Err(LedgerError::Version { found }),
        }
        transaction.commit()?;
        Ok(Ledger { connection })
    }

    /// Begins a transaction that no other writer can come between.
    pub fn begin(&mut self) -> Result<Entry<'_>, LedgerError> {
        let behavior = rusqlite::TransactionBehavior::Immediate;
        Ok(Entry(self.connection.transaction_with_behavior(behavior)?))
    }

    /// Every CA, in the order in which they were made.
    pub fn cas(&self) -> Result<Vec<CaRow>, LedgerError> {
        let mut statement = self.connection.prepare("SELECT * FROM ca ORDER BY id")?;
        Ok(statement.query_map([], ca_row)?.collect::<Result<_, _>>()?)
    }

    /// The CA with this label.
    pub fn ca(&self, label: &str) -> Result<Option<CaRow>, LedgerError> {
        let sql = "SELECT * FROM ca WHERE label = ?1";
        Ok(self.connection.query_row(sql, [label], ca_row).optional()?)
    }

    /// The newest CRL of a CA, and when the next one is due (seconds since the Unix epoch).
    pub fn newest_crl(&self, ca: i64) -> Result<Option<(Vec<u8>, i64)>, LedgerError> {
        let sql = "SELECT der, next_update_s FROM crl WHERE ca = ?1";
        Ok(self.connection.query_row(sql, [ca], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// A certificate that a CA issued.
    pub fn certificate(&self, ca: i64, serial: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let sql = "SELECT der FROM certificate WHERE ca = ?1 AND serial = ?2";
        Ok(self.connection.query_row(sql, params![ca, serial], |row| row.get(0)).optional()?)
    }

    /// How many certificates a CA issued, and how many it revoked.
    pub fn counts(&self, ca: i64) -> Result<(i64, i64), LedgerError> {
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} WHERE ca = ?1");
            self.connection.query_row(&sql, [ca], |row| row.get::<_, i64>(0))
        };
        Ok((count("certificate")?, count("revocation")?))
    }

    /// What is still to be told, oldest first, at most `limit`.
    pub fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, LedgerError> {
        let mut statement = self.connection.prepare(
            "SELECT outbox.id, ca.certificate, outbox.body, outbox.crl
                 FROM outbox JOIN ca ON ca.id = outbox.ca ORDER BY outbox.id LIMIT ?1",
        )?;
        let rows = statement.query_map([limit as i64], |row| {
            Ok(OutboxRow {
                id: row.get(0)?,
                ca_certificate: row.get(1)?,
                body: row.get(2)?,
                crl: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes out what was told.
    pub fn told(&self, id: i64) -> Result<(), LedgerError> {
        self.connection.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
        Ok(())
    }
}

/// One transaction: all of it is written by [`Entry::commit`], or nothing.
pub struct Entry<'l>(Transaction<'l>);

impl Entry<'_> {
    /// Adds a CA.
    pub fn add_ca(&self, ca: &CaRow, subject: &[u8]) -> Result<i64, LedgerError> {
        self.0.execute(
            "INSERT INTO ca (label, subject, pkcs8, certificate, base_url, crl_life_s, crl_number)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                ca.label,
                subject,
                ca.pkcs8,
                ca.certificate,
                ca.base_url,
                ca.crl_life_s,
                ca.crl_number.to_string()
            ],
        )?;
        Ok(self.0.last_insert_rowid())
    }

    /// The CA with this label, as it stands within the transaction.
    pub fn ca(&self, label: &str) -> Result<Option<CaRow>, LedgerError> {
        Ok(self.0.query_row("SELECT * FROM ca WHERE label = ?1", [label], ca_row).optional()?)
    }

    /// Adds a certificate that a CA issued.
    pub fn add_certificate(
        &self,
        ca: i64,
        serial: &[u8],
        der: &[u8],
        not_after_s: i64,
        issued_at_s: i64,
    ) -> Result<(), LedgerError> {
        self.0.execute(
            "INSERT INTO certificate (ca, serial, der, not_after_s, issued_at_s) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![ca, serial, der, not_after_s, issued_at_s],
        )?;
        Ok(())
    }

    /// Adds a revocation; `false` if the serial number was revoked before, which then stands as it was.
    pub fn add_revocation(&self, ca: i64, row: &RevocationRow) -> Result<bool, LedgerError> {
        let added = self.0.execute(
            "INSERT OR IGNORE INTO revocation (ca, serial, revoked_at_s, reason) VALUES (?1, ?2, ?3, ?4)",
            params![ca, row.serial, row.revoked_at_s, row.reason.code()],
        )?;
        Ok(added == 1)
    }

    /// Whether a CA issued this serial number.
    pub fn has_issued(&self, ca: i64, serial: &[u8]) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM certificate WHERE ca = ?1 AND serial = ?2)";
        Ok(self.0.query_row(sql, params![ca, serial], |row| row.get(0))?)
    }

    /// Hands every revocation of a CA to `read`, by serial number, without holding them all.
    pub fn revocations<T>(
        &self,
        ca: i64,
        read: impl FnOnce(&mut dyn Iterator<Item = RevocationRow>) -> T,
    ) -> Result<T, LedgerError> {
        let mut statement = self
            .0
            .prepare("SELECT serial, revoked_at_s, reason FROM revocation WHERE ca = ?1 ORDER BY serial")?;
        let mut failed = None;
        let mut rows = statement
            .query_map([ca], revocation_row)?
            .map_while(|row| row.map_err(|error| failed = Some(error)).ok());
        let result = read(&mut rows);
        drop(rows);
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(result),
        }
    }

    /// Keeps the newest CRL of a CA.
    pub fn keep_crl(
        &self,
        ca: i64,
        number: CrlNumber,
        der: &[u8],
        next_update_s: i64,
    ) -> Result<(), LedgerError> {
        self.0.execute("UPDATE ca SET crl_number = ?2 WHERE id = ?1", params![ca, number.to_string()])?;
        self.0.execute(
            "INSERT INTO crl (ca, der, next_update_s) VALUES (?1, ?2, ?3)
             ON CONFLICT (ca) DO UPDATE SET der = ?2, next_update_s = ?3",
            params![ca, der, next_update_s],
        )?;
        Ok(())
    }

    /// The newest CRL of a CA within the transaction.
    pub fn newest_crl(&self, ca: i64) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.0.query_row("SELECT der FROM crl WHERE ca = ?1", [ca], |row| row.get(0)).optional()?)
    }

    /// Adds a notice of a CRL to what is to be told; it takes the place of an earlier one that is not told yet.
    pub fn tell_crl(&self, ca: i64, body: &[u8], crl: &[u8]) -> Result<(), LedgerError> {
        self.0.execute("DELETE FROM outbox WHERE ca = ?1 AND kind = 'crl'", [ca])?;
        self.0.execute(
            "INSERT INTO outbox (kind, ca, body, crl) VALUES ('crl', ?1, ?2, ?3)",
            params![ca, body, crl],
        )?;
        Ok(())
    }

    /// Adds a notice of a certificate to what is to be told.
    pub fn tell_certificate(&self, ca: i64, body: &[u8]) -> Result<(), LedgerError> {
        self.0.execute(
            "INSERT INTO outbox (kind, ca, body) VALUES ('certificate', ?1, ?2)",
            params![ca, body],
        )?;
        Ok(())
    }

    /// Writes all of it.
    pub fn commit(self) -> Result<(), LedgerError> {
        Ok(self.0.commit()?)
    }
}

fn ca_row(row: &Row<'_>) -> rusqlite::Result<CaRow> {
    let number: String = row.get("crl_number")?;
    Ok(CaRow {
        id: row.get("id")?,
        label: row.get("label")?,
        pkcs8: row.get("pkcs8")?,
        certificate: row.get("certificate")?,
        base_url: row.get("base_url")?,
        crl_life_s: row.get("crl_life_s")?,
        crl_number: number.parse().map_err(damaged)?,
    })
}

fn revocation_row(row: &Row<'_>) -> rusqlite::Result<RevocationRow> {
    let code: u32 = row.get(2)?;
    let reason = Reason::from_code(code).unwrap_or(Reason::Unspecified);
    Ok(RevocationRow { serial: row.get(0)?, revoked_at_s: row.get(1)?, reason })
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
