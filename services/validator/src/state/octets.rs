//! Where the octets of CRLs lie: small ones in the journal's database, where one write of the disk makes them durable
//! together with their mark; all others in files by hash, written before the mark that names them.
//!
//! A name is the SHA-256 of what it stands for, and what is read is checked against it: what was damaged is not there.

use bytes::Bytes;
use revocast_faults::fail_point;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use rusqlite::{Connection, OptionalExtension, params};

use super::journal::{Journal, JournalError};

/// CRLs of so many octets at the most are small, unless a configuration says otherwise.
pub(crate) const SMALL: usize = 16 << 10;

/// The table of the small ones.
pub(super) const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS small_crl (digest BLOB PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID";

impl Journal {
    /// CRLs of so many octets at the most lie in the database from now on; wherever they lie now, they are found.
    pub(crate) fn keep_in_database(&mut self, octets: usize) {
        self.small = octets;
    }

    /// Writes a CRL's file, unless it is there, or the CRL is small.
    pub(crate) fn keep_crl(&self, crl: &Crl) -> Result<(), JournalError> {
        if crl.der().len() > self.small {
            fail_point!("file");
            self.files.put(crl.digest(), crl.der())?;
            fail_point!("filed");
        }
        Ok(())
    }

    /// Writes the small ones of some CRLs, in the transaction that writes their marks.
    pub(super) fn keep_small<'a>(
        &self,
        transaction: &Connection,
        crls: impl Iterator<Item = &'a Crl>,
    ) -> Result<(), JournalError> {
        for crl in crls.filter(|crl| crl.der().len() <= self.small) {
            let sql = "INSERT OR REPLACE INTO small_crl VALUES (?1, ?2)";
            transaction.prepare_cached(sql)?.execute(params![crl.digest().0, &crl.der()[..]])?;
        }
        Ok(())
    }

    /// The octets of a CRL; `None` if they are not there or were damaged.
    pub(crate) fn crl(&self, digest: Digest) -> Result<Option<Bytes>, JournalError> {
        let sql = "SELECT der FROM small_crl WHERE digest = ?1";
        let small: Option<Vec<u8>> =
            self.lock().prepare_cached(sql)?.query_row([digest.0], |row| row.get(0)).optional()?;
        match small {
            Some(der) if Digest::of(&der) == digest => Ok(Some(der.into())),
            _ => Ok(self.files.get(digest)?),
        }
    }

    /// Notes CRLs that no mark names any more: they are removed when there is time, or at the next start.
    pub(crate) fn forget_later(&self, digests: &[Digest]) {
        self.superseded().extend(digests);
    }

    /// What was noted since the last call, for [`Journal::forget`].
    pub(crate) fn due_to_forget(&self) -> Vec<Digest> {
        std::mem::take(&mut self.superseded())
    }

    /// Removes CRLs that neither a mark nor the history names any more.
    pub(crate) fn forget(&self, digests: &[Digest]) -> Result<(), JournalError> {
        let mut unnamed = digests.to_vec();
        let mut database = self.lock();
        let transaction = database.transaction()?;
        for (n, digest) in digests.iter().enumerate().rev() {
            let sql = "SELECT EXISTS (SELECT 1 FROM mark WHERE digest = ?1 UNION SELECT 1 FROM history WHERE digest = ?1)";
            if transaction.prepare_cached(sql)?.query_row([digest.0], |row| row.get(0))? {
                unnamed.swap_remove(n);
            } else {
                fail_point!("forget");
                transaction.prepare_cached("DELETE FROM small_crl WHERE digest = ?1")?.execute([digest.0])?;
            }
        }
        transaction.commit()?;
        drop(database);
        for digest in unnamed {
            self.files.remove(digest)?;
            fail_point!("forgotten");
        }
        Ok(())
    }

    /// Removes every CRL that nothing names: what a kill between file and mark left.
    pub(crate) fn sweep(&self) -> Result<(), JournalError> {
        fail_point!("sweep");
        let mut all = self.files.digests()?;
        all.extend(self.small_ones()?);
        self.forget(&all)
    }

    fn small_ones(&self) -> Result<Vec<Digest>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare("SELECT digest FROM small_crl")?;
        Ok(statement.query_map([], |row| row.get(0).map(Digest))?.collect::<Result<_, _>>()?)
    }

    fn superseded(&self) -> std::sync::MutexGuard<'_, Vec<Digest>> {
        // Each change leaves it whole.
        self.superseded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use revocast_messages::Source;
    use revocast_pki::asn1::Time;
    use revocast_pki::identity::{CrlKind, IssuerId};
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;
    use crate::state::Applied;

    /// A CRL at the mark of its scope.
    fn enforced(journal: &Journal, number: u64) -> Crl {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let (from, until) = (Time::from_unix(0), Time::from_unix(1));
        let template = CrlTemplate::new(name("CN=CA").unwrap(), number, from, until);
        let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
        let issuer = IssuerId::of(crl.issuer(), b"the key of all of them");
        let applied = Applied {
            scope: (issuer, crl.scope(issuer), CrlKind::Complete),
            crl: &crl,
            conflicting: &[],
            signer: &[],
            at_ms: 0,
            told_by: String::new(),
            source: Source::Inline,
            added: 0,
            removed: 0,
            took_us: 0,
        };
        journal.keep_crl(&crl).unwrap();
        journal.forget_later(&journal.apply(&applied).unwrap());
        crl
    }

    #[test]
    fn a_crl_lies_in_the_database_or_in_a_file_and_is_read_back_and_removed_from_either() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let mut before: Option<Crl> = None;
        for (number, small) in [SMALL, 0, SMALL].into_iter().enumerate() {
            journal.keep_in_database(small);
            let crl = enforced(&journal, number as u64);
            assert_eq!(journal.crl(crl.digest()).unwrap().as_ref(), Some(crl.der()));
            let due = journal.due_to_forget();
            assert_eq!(due, before.iter().map(Crl::digest).collect::<Vec<_>>());
            journal.forget(&due).unwrap();
            assert_eq!(journal.files.digests().unwrap().len(), usize::from(small == 0));
            if let Some(before) = &before {
                assert_eq!(journal.crl(before.digest()).unwrap(), None);
            }
            journal.forget(&[crl.digest()]).unwrap();
            journal.sweep().unwrap();
            assert!(journal.crl(crl.digest()).unwrap().is_some(), "a mark names it");
            before = Some(crl);
        }
    }

    #[test]
    fn what_no_mark_names_is_swept_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let first = enforced(&journal, 1);
        journal.keep_in_database(0);
        let second = enforced(&journal, 2);
        let third = enforced(&journal, 3);
        journal.sweep().unwrap();
        let there = [first, second, third].map(|crl| journal.crl(crl.digest()).unwrap().is_some());
        assert_eq!(there, [false, false, true]);
    }
}
