//! CRLs that were enforced once: what was true then, and what this validator knew then.
//!
//! While history is kept, every CRL that comes to be enforced has a row with when it came and when another took its place;
//! its file stays as long as the row. What is older than configured goes, and the oldest goes when there is too much.
//! [`Journal::reach`] says since when nothing is missing. Who believes it: this validator, as far as its own clock was
//! right; lost, questions about the past are indeterminate.

use std::time::Duration;

use revocast_pki::asn1::Time;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CertId, CrlKind, Digest, IssuerId, ScopeId};
use revocast_pki::name::Name;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::journal::{Applied, Journal, JournalError};
use super::live::ScopeKey;

/// What is kept of the past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistoryConfig {
    /// For how long a CRL is kept after another took its place; zero: not at all.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// At most this many superseded CRLs are kept; the oldest go first.
    pub max_crls: u64,
    /// At most this many octets of superseded CRLs are kept; the oldest go first.
    pub max_bytes: u64,
}

impl Default for HistoryConfig {
    fn default() -> HistoryConfig {
        HistoryConfig { keep: Duration::ZERO, max_crls: 100_000, max_bytes: 10 << 30 }
    }
}

impl HistoryConfig {
    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        !self.keep.is_zero()
    }

    fn horizon_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The tables of the history. `superseded_at_ms` is null while a CRL is enforced; `name` is the normal form of the
/// issuer's name.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS history (
    issuer BLOB NOT NULL, scope BLOB NOT NULL, kind TEXT NOT NULL, digest BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, this_update INTEGER NOT NULL, applied_at_ms INTEGER NOT NULL, superseded_at_ms INTEGER,
    PRIMARY KEY (issuer, scope, kind, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS history_by_name ON history (name, this_update);
CREATE INDEX IF NOT EXISTS history_by_digest ON history (digest);
CREATE TABLE IF NOT EXISTS history_since (one INTEGER PRIMARY KEY CHECK (one = 1), since_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS learned (id BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
";

/// A CRL that was enforced once, or is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub scope: ScopeKey,
    pub digest: Digest,
    pub this_update: Time,
}

impl Journal {
    /// Keeps history from now on, or no longer: then all of it is forgotten at once, and its files with the next sweep.
    pub(crate) fn keep_history(&mut self, config: &HistoryConfig, now_ms: i64) -> Result<(), JournalError> {
        self.history = config.is_kept().then(|| config.clone());
        if self.history.is_none() {
            return Ok(self
                .lock()
                .execute_batch("DELETE FROM history; DELETE FROM history_since; DELETE FROM learned;")?);
        }
        let mut enforced = Vec::new();
        for mark in self.marks()? {
            if self.is_in_history(mark.digest)? {
                continue;
            }
            let crl = self.crl(mark.digest)?.and_then(|bytes| Crl::decode(bytes).ok());
            enforced.extend(crl.map(|crl| (mark, crl)));
        }
        let mut database = self.lock();
        let transaction = database.transaction()?;
        transaction.execute("INSERT OR IGNORE INTO history_since VALUES (1, ?1)", [now_ms])?;
        for (mark, crl) in &enforced {
            insert(&transaction, &mark.scope, crl, mark.applied_at_ms)?;
        }
        Ok(transaction.commit()?)
    }

    fn is_in_history(&self, digest: Digest) -> Result<bool, JournalError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM history WHERE digest = ?1)";
        Ok(self.lock().query_row(sql, [digest.0], |row| row.get(0))?)
    }

    /// Since when nothing is missing: milliseconds since the Unix epoch; `None` without history.
    pub(crate) fn reach(&self, now_ms: i64) -> Result<Option<i64>, JournalError> {
        let Some(config) = &self.history else { return Ok(None) };
        let sql = "SELECT since_ms FROM history_since";
        let since: Option<i64> = self.lock().query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(since.map(|since| since.max(config.horizon_ms(now_ms))))
    }

    /// The CRLs in an issuer's name that this validator had applied by `known_at_ms`, by thisUpdate.
    pub(crate) fn past(&self, issuer: &Name, known_at_ms: i64) -> Result<Vec<Past>, JournalError> {
        let database = self.lock();
        let mut statement = database.prepare(
            "SELECT issuer, scope, kind, digest, this_update FROM history
             WHERE name = ?1 AND applied_at_ms <= ?2 ORDER BY this_update, digest",
        )?;
        let rows = statement.query_map(params![issuer.normal(), known_at_ms], |row| {
            let kind: String = row.get(2)?;
            let kind = if kind == "delta" { CrlKind::Delta } else { CrlKind::Complete };
            Ok(Past {
                scope: (IssuerId(row.get(0)?), ScopeId(row.get(1)?), kind),
                digest: Digest(row.get(3)?),
                this_update: Time::from_unix(row.get(4)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When a certificate was learned: milliseconds since the Unix epoch; `None` if it was known before history began.
    pub(crate) fn learned_at(&self, certificate: CertId) -> Result<Option<i64>, JournalError> {
        let sql = "SELECT at_ms FROM learned WHERE id = ?1";
        Ok(self.lock().query_row(sql, [certificate.0], |row| row.get(0)).optional()?)
    }

    /// Takes note of when a certificate was learned.
    pub(crate) fn note_learned(&self, certificate: CertId, at_ms: i64) -> Result<(), JournalError> {
        if self.history.is_some() {
            let sql = "INSERT OR IGNORE INTO learned VALUES (?1, ?2)";
            self.lock().execute(sql, params![certificate.0, at_ms])?;
        }
        Ok(())
    }

    /// Forgets what is too old, or too much. Returns how many CRLs that were.
    pub(crate) fn sweep_history(&self, now_ms: i64) -> Result<usize, JournalError> {
        let Some(config) = &self.history else { return Ok(0) };
        let swept = self.forget_rows(config, now_ms)?;
        self.forget(&swept)?;
        Ok(swept.len())
    }

    fn forget_rows(&self, config: &HistoryConfig, now_ms: i64) -> Result<Vec<Digest>, JournalError> {
        let mut database = self.lock();
        let transaction = database.transaction()?;
        let (mut count, mut bytes, mut swept, mut latest) = (0, 0, Vec::new(), i64::MIN);
        for row in superseded(&transaction)? {
            (count, bytes) = (count + 1, bytes + row.size);
            if row.at_ms < config.horizon_ms(now_ms) || count > config.max_crls || bytes > config.max_bytes {
                latest = latest.max(row.at_ms);
                swept.push(row.digest);
            }
        }
        let sql = "DELETE FROM history WHERE digest = ?1 AND superseded_at_ms IS NOT NULL";
        for digest in &swept {
            transaction.execute(sql, [digest.0])?;
        }
        // From when the last of them was superseded on, nothing is missing.
        transaction.execute("UPDATE history_since SET since_ms = max(since_ms, ?1)", [latest])?;
        transaction.commit()?;
        Ok(swept)
    }
}

struct Superseded {
    digest: Digest,
    size: u64,
    at_ms: i64,
}

/// What another took the place of, the latest first.
fn superseded(connection: &Connection) -> Result<Vec<Superseded>, JournalError> {
    let mut statement = connection.prepare(
        "SELECT digest, size, superseded_at_ms FROM history
         WHERE superseded_at_ms IS NOT NULL ORDER BY superseded_at_ms DESC",
    )?;
    let rows = statement.query_map([], |row| {
        let size: i64 = row.get(1)?;
        Ok(Superseded { digest: Digest(row.get(0)?), size: size.unsigned_abs(), at_ms: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Within the transaction of an apply: what is enforced now, and what no longer is.
pub(super) fn record(connection: &Connection, applied: &Applied<'_>) -> Result<(), JournalError> {
    let (issuer, scope, kind) = &applied.scope;
    let mut superseding = connection.prepare_cached(
        "UPDATE history SET superseded_at_ms = ?4
         WHERE issuer = ?1 AND scope = ?2 AND kind = ?3 AND superseded_at_ms IS NULL",
    )?;
    superseding.execute(params![issuer.0, scope.0, kind.to_string(), applied.at_ms])?;
    for crl in std::iter::once(applied.crl).chain(applied.conflicting) {
        insert(connection, &applied.scope, crl, applied.at_ms)?;
    }
    Ok(())
}

/// One that is enforced already keeps the time at which it came.
fn insert(connection: &Connection, scope: &ScopeKey, crl: &Crl, at_ms: i64) -> Result<(), JournalError> {
    let (issuer, covered, kind) = (scope.0.0, scope.1.0, scope.2.to_string());
    let mut inserting = connection.prepare_cached(
        "INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)
         ON CONFLICT (issuer, scope, kind, digest) DO UPDATE SET superseded_at_ms = NULL",
    )?;
    inserting.execute(params![
        issuer,
        covered,
        kind,
        crl.digest().0,
        crl.issuer().normal(),
        i64::try_from(crl.der().len()).unwrap_or(i64::MAX),
        crl.this_update().unix(),
        at_ms,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use revocast_messages::Source;
    use revocast_pki::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

    use super::*;

    const KEEP: Duration = Duration::from_secs(100);

    struct Kept {
        journal: Journal,
        key: SigningKey,
        _folder: tempfile::TempDir,
    }

    impl Kept {
        fn new(config: &HistoryConfig) -> Kept {
            let folder = tempfile::tempdir().unwrap();
            let mut journal = Journal::open(folder.path()).unwrap();
            journal.keep_history(config, 0).unwrap();
            Kept { journal, key: SigningKey::generate(KeyKind::Ed25519).unwrap(), _folder: folder }
        }

        fn crl(&self, number: u64) -> Crl {
            let at = Time::from_unix(number as i64);
            let template = CrlTemplate::new(name("CN=CA").unwrap(), number, at, at.plus(3_600));
            Crl::decode(template.sign([RevokedEntry::new(&[1], at)], &self.key).unwrap()).unwrap()
        }

        /// Enforces the first, joined with the others.
        fn apply(&self, crls: &[Crl], at_ms: i64) {
            let issuer = IssuerId::of(crls[0].issuer(), self.key.spki());
            let applied = Applied {
                scope: (issuer, crls[0].scope(issuer), CrlKind::Complete),
                crl: &crls[0],
                conflicting: &crls[1..],
                signer: &[],
                at_ms,
                told_by: String::new(),
                source: Source::Inline,
                added: 0,
                removed: 0,
                took_us: 0,
            };
            let obsolete = self.journal.apply(&applied).unwrap();
            self.journal.forget(&obsolete).unwrap();
        }

        fn known_at(&self, at_ms: i64) -> Vec<i64> {
            let past = self.journal.past(&name("CN=CA").unwrap(), at_ms).unwrap();
            past.iter().map(|one| one.this_update.unix()).collect()
        }

        fn has_file(&self, crl: &Crl) -> bool {
            self.journal.crl(crl.digest()).unwrap().is_some()
        }
    }

    #[test]
    fn what_was_known_then_is_what_had_been_applied_by_then() {
        let kept = Kept::new(&HistoryConfig { keep: KEEP, ..HistoryConfig::default() });
        let crls = [kept.crl(1), kept.crl(2), kept.crl(3)];
        for (n, crl) in crls.iter().enumerate() {
            kept.apply(std::slice::from_ref(crl), 1_000 * (n as i64 + 1));
        }
        assert_eq!(
            (kept.known_at(999), kept.known_at(1_000), kept.known_at(2_999)),
            (vec![], vec![1], vec![1, 2])
        );
        assert!(crls.iter().all(|crl| kept.has_file(crl)));
        assert_eq!(kept.journal.reach(3_000).unwrap(), Some(0));
    }

    #[test]
    fn a_crl_that_is_joined_later_is_known_since_it_came() {
        let kept = Kept::new(&HistoryConfig { keep: KEEP, ..HistoryConfig::default() });
        let (first, conflicting) = (kept.crl(1), kept.crl(2));
        kept.apply(std::slice::from_ref(&first), 1_000);
        kept.apply(&[first, conflicting], 5_000);
        assert_eq!((kept.known_at(1_500), kept.known_at(5_000)), (vec![1], vec![1, 2]));
        assert_eq!(kept.journal.sweep_history(200_000).unwrap(), 0, "what is enforced is never swept");
    }

    #[test]
    fn what_is_too_old_goes_with_its_file_and_the_reach_says_so() {
        let kept = Kept::new(&HistoryConfig { keep: KEEP, ..HistoryConfig::default() });
        let crls = [kept.crl(1), kept.crl(2), kept.crl(3)];
        for (n, crl) in crls.iter().enumerate() {
            kept.apply(std::slice::from_ref(crl), 10_000 * (n as i64 + 1));
        }
        assert_eq!(kept.journal.sweep_history(119_999).unwrap(), 0);
        assert_eq!(kept.journal.sweep_history(120_001).unwrap(), 1);
        assert_eq!(crls.each_ref().map(|crl| kept.has_file(crl)), [false, true, true]);
        assert_eq!(kept.journal.reach(120_001).unwrap(), Some(20_001));
    }

    #[test]
    fn beyond_the_limits_the_oldest_goes_and_the_reach_says_so() {
        for limits in [
            HistoryConfig { keep: KEEP, max_crls: 1, ..HistoryConfig::default() },
            HistoryConfig { keep: KEEP, max_bytes: 300, ..HistoryConfig::default() },
        ] {
            let kept = Kept::new(&limits);
            for n in 1..=4 {
                kept.apply(&[kept.crl(n)], 1_000 * n as i64);
            }
            assert_eq!(kept.journal.sweep_history(5_000).unwrap(), 2, "{limits:?}");
            assert_eq!(kept.known_at(9_000), [3, 4]);
            assert_eq!(kept.journal.reach(5_000).unwrap(), Some(3_000));
        }
    }

    #[test]
    fn without_history_what_is_superseded_is_gone_and_what_was_kept_is_forgotten() {
        let mut kept = Kept::new(&HistoryConfig { keep: KEEP, ..HistoryConfig::default() });
        let crls = [kept.crl(1), kept.crl(2), kept.crl(3)];
        kept.apply(&crls[..1], 1_000);
        kept.apply(&crls[1..2], 2_000);
        kept.journal.keep_history(&HistoryConfig::default(), 3_000).unwrap();
        kept.journal.sweep().unwrap();
        kept.apply(&crls[2..], 4_000);
        assert_eq!(crls.each_ref().map(|crl| kept.has_file(crl)), [false, false, true]);
        assert_eq!((kept.journal.reach(5_000).unwrap(), kept.known_at(5_000)), (None, vec![]));
        // Begun anew, it knows what is enforced, and reaches back no further than to now.
        let again = HistoryConfig { keep: KEEP, ..HistoryConfig::default() };
        kept.journal.keep_history(&again, 6_000).unwrap();
        assert_eq!((kept.journal.reach(6_000).unwrap(), kept.known_at(6_000)), (Some(6_000), vec![3]));
    }
}
