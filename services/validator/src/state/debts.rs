//! Debts in the journal: notices that could not be finished yet.

use revocast_faults::fail_point;
use revocast_pki::identity::Digest;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

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
    /// two CRLs that conflict that of the other. Beyond [`MAX_DEBTS_OF_A_SUBJECT`] those that were tried most often go, and
    /// are returned: no checkpoint brings them again.
    pub(crate) fn owe(&self, owed: &Owed) -> Result<Vec<Owed>, JournalError> {
        fail_point!("owe");
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let digest = Digest::of(&owed.body).0;
        transaction.execute(
            "INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![owed.subject, digest, owed.body.as_ref(), owed.attempts, owed.next_at_ms, owed.why],
        )?;
        let evicted = removed(
            &transaction,
            "DELETE FROM owed WHERE subject = ?1 AND digest IN (
                 SELECT digest FROM owed WHERE subject = ?1 ORDER BY attempts, next_at_ms DESC LIMIT -1 OFFSET ?2)
             RETURNING subject, body, attempts, next_at_ms, why",
            params![owed.subject, MAX_DEBTS_OF_A_SUBJECT],
        )?;
        transaction.commit()?;
        fail_point!("owed");
        Ok(evicted)
    }

    /// A debt that was tried in vain is tried again at its next time; `false` if it is owed no longer.
    pub(crate) fn defer(&self, owed: &Owed) -> Result<bool, JournalError> {
        fail_point!("owe");
        let (subject, digest) = owed.id();
        let sql =
            "UPDATE owed SET attempts = ?3, next_at_ms = ?4, why = ?5 WHERE subject = ?1 AND digest = ?2";
        let values = params![subject, digest.0, owed.attempts, owed.next_at_ms, owed.why];
        let is_owed = self.lock().execute(sql, values)? > 0;
        fail_point!("owed");
        Ok(is_owed)
    }

    /// Takes out debts that give way to others; returns those that were there.
    pub(crate) fn take_out(&self, debts: &[DebtId]) -> Result<Vec<Owed>, JournalError> {
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let sql = "DELETE FROM owed WHERE subject = ?1 AND digest = ?2
                   RETURNING subject, body, attempts, next_at_ms, why";
        let mut taken = Vec::with_capacity(debts.len());
        for (subject, digest) in debts {
            taken.extend(removed(&transaction, sql, params![subject, digest.0])?);
        }
        transaction.commit()?;
        Ok(taken)
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

    /// Every debt: which, how often it was tried, and when it is tried again. Those that were tried most often are first:
    /// they are the oldest.
    pub(crate) fn all_debts(&self) -> Result<Vec<(DebtId, u32, i64)>, JournalError> {
        let database = self.lock();
        let mut statement = database
            .prepare("SELECT subject, digest, attempts, next_at_ms FROM owed ORDER BY attempts DESC")?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, Digest(row.get(1)?)), row.get(2)?, row.get(3)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many debts there are.
    pub(crate) fn debts(&self) -> Result<i64, JournalError> {
        Ok(self.lock().query_row("SELECT count(*) FROM owed", [], |row| row.get(0))?)
    }
}

fn removed(database: &Connection, sql: &str, which: impl Params) -> Result<Vec<Owed>, JournalError> {
    let mut statement = database.prepare_cached(sql)?;
    let rows = statement.query_map(which, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(n: u8, attempts: u32) -> Owed {
        let why = "its signer is not known".to_owned();
        Owed { subject: "s".into(), body: vec![n].into(), attempts, next_at_ms: i64::from(n), why }
    }

    /// I7: the checkpoint has passed it, so whoever lets go of it has to say so.
    #[test]
    fn a_debt_that_another_of_its_subject_ousts_is_told_and_is_not_revived_by_a_try_that_was_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        for n in 0..8 {
            assert_eq!(journal.owe(&owed(n, u32::from(n))).unwrap(), []);
        }
        assert_eq!(journal.owe(&owed(8, 0)).unwrap(), [owed(7, 7)]);
        assert!(!journal.defer(&owed(7, 8)).unwrap());
        assert!(journal.defer(&owed(6, 9)).unwrap());
        assert_eq!(
            (journal.debts().unwrap(), journal.debt(&owed(6, 0).id()).unwrap()),
            (8, Some(owed(6, 9)))
        );
    }

    #[test]
    fn debts_that_are_taken_out_are_told_as_far_as_they_were_there() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.owe(&owed(1, 0)).unwrap();
        journal.owe(&owed(2, 0)).unwrap();
        let taken = journal.take_out(&[owed(2, 0).id(), owed(3, 0).id()]).unwrap();
        assert_eq!((taken, journal.debts().unwrap()), (vec![owed(2, 0)], 1));
    }
}
