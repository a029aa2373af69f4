//! Debts in the journal: notices that could not be finished yet.

use revocast_faults::fail_point;
use revocast_pki::identity::Digest;
use rusqlite::{OptionalExtension, Row, params};

use super::journal::{Journal, JournalError, LONGEST_DEFERRAL_MS, Owed};

/// Of one subject so many notices are owed: as many as there may be CRLs that are joined, and some lies.
const MAX_DEBTS_OF_A_SUBJECT: i64 = 8;

/// Which debt: its subject, and the hash of the notice.
pub(crate) type DebtId = (String, Digest);

impl Owed {
    /// Which debt it is.
    pub(crate) fn id(&self) -> DebtId {
        (self.subject.clone(), Digest::of(&self.body))
    }
}

impl Journal {
    /// Records a debt, durably. Of one subject there are several: a lie must not take the place of the truth, nor one of
    /// two CRLs that conflict that of the other. Beyond [`MAX_DEBTS_OF_A_SUBJECT`] those that were tried most often go.
    pub(crate) fn owe(&self, owed: &Owed) -> Result<(), JournalError> {
        fail_point!("owe");
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let digest = Digest::of(&owed.body).0;
        transaction.execute(
            "INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![owed.subject, digest, owed.body.as_ref(), owed.attempts, owed.next_at_ms, owed.why],
        )?;
        transaction.execute(
            "DELETE FROM owed WHERE subject = ?1 AND digest IN (
                 SELECT digest FROM owed WHERE subject = ?1 ORDER BY attempts, next_at_ms DESC LIMIT -1 OFFSET ?2)",
            params![owed.subject, MAX_DEBTS_OF_A_SUBJECT],
        )?;
        transaction.commit()?;
        fail_point!("owed");
        Ok(())
    }

    /// A debt is settled.
    pub(crate) fn settle(&self, owed: &Owed) -> Result<(), JournalError> {
        fail_point!("settle");
        let (subject, digest) = owed.id();
        self.lock()
            .execute("DELETE FROM owed WHERE subject = ?1 AND digest = ?2", params![subject, digest.0])?;
        fail_point!("settled");
        Ok(())
    }

    /// The debts that are due at `now_ms`, or all of them. One that would be due after [`LONGEST_DEFERRAL_MS`] is due,
    /// too.
    pub(crate) fn owed(&self, now_ms: Option<i64>) -> Result<Vec<Owed>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare(
            "SELECT subject, body, attempts, next_at_ms, why FROM owed
             WHERE next_at_ms NOT BETWEEN ?1 AND ?2 ORDER BY next_at_ms LIMIT 256",
        )?;
        // An empty range: all of them.
        let (after, until) = now_ms.map_or((1, 0), |now_ms| (now_ms + 1, now_ms + LONGEST_DEFERRAL_MS));
        let rows = statement.query_map([after, until], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One debt, if it is still owed.
    pub(crate) fn debt(&self, (subject, digest): &DebtId) -> Result<Option<Owed>, JournalError> {
        let sql =
            "SELECT subject, body, attempts, next_at_ms, why FROM owed WHERE subject = ?1 AND digest = ?2";
        Ok(self.lock().query_row(sql, params![subject, digest.0], read).optional()?)
    }

    /// Every debt: which, how often it was tried, and when it is tried again.
    pub(crate) fn all_debts(&self) -> Result<Vec<(DebtId, u32, i64)>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare("SELECT subject, digest, attempts, next_at_ms FROM owed")?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, Digest(row.get(1)?)), row.get(2)?, row.get(3)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many debts there are.
    pub(crate) fn debts(&self) -> Result<i64, JournalError> {
        Ok(self.lock().query_row("SELECT count(*) FROM owed", [], |row| row.get(0))?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Owed> {
    Ok(Owed {
        subject: row.get(0)?,
        body: row.get::<_, Vec<u8>>(1)?.into(),
        attempts: row.get(2)?,
        next_at_ms: row.get(3)?,
        why: row.get(4)?,
    })
}
