//! [`Owed`]: notices that cannot be finished yet: the issuer is not known, or the CRL is not to be had.
//!
//! In memory only: whoever published a notice says it again every few minutes, and each attachment to the stream reads
//! the heads, so that a debt that is forgotten here comes back by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use revocast_messages::CrlNotice;
use revocast_pki::identity::IssuerId;

/// Debts that are kept.
pub(crate) const MAX_DEBTS: usize = 4_096;
/// Octets of all debts together.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// Attempts before a debt is left to the next assertion of heads: about a quarter of an hour.
pub(crate) const MAX_ATTEMPTS: u32 = 20;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A notice that is still to be finished.
#[derive(Clone, Debug)]
pub(crate) struct Debt {
    pub notice: Box<CrlNotice>,
    pub attempts: u32,
    due: Instant,
}

/// The debts, one per subject: a later notice takes the place of an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    debts: BTreeMap<String, Debt>,
    bytes: usize,
}

impl Owed {
    /// Keeps a notice that was tried `attempts` times; `false` if there is no room, or it was tried too often.
    pub(crate) fn add(&mut self, notice: Box<CrlNotice>, attempts: u32, now: Instant) -> bool {
        let subject = notice.subject().to_string();
        if let Some(other) = self.debts.get(&subject)
            && other.notice.order() > notice.order()
        {
            return true;
        }
        self.remove(&subject);
        let size = size(&notice);
        if attempts >= MAX_ATTEMPTS || self.debts.len() >= MAX_DEBTS || self.bytes + size > MAX_BYTES {
            return false;
        }
        self.bytes += size;
        self.debts.insert(subject, Debt { notice, attempts, due: now + pause(attempts) });
        true
    }

    /// Something became known of this issuer: its debts are due.
    pub(crate) fn wake(&mut self, issuer: IssuerId, now: Instant) {
        for debt in self.debts.values_mut().filter(|debt| debt.notice.issuer == issuer) {
            debt.due = now;
        }
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Debt> {
        let due = self.debts.iter().filter(|(_, debt)| debt.due <= now);
        let subjects: Vec<String> = due.map(|(subject, _)| subject.clone()).collect();
        subjects.iter().filter_map(|subject| self.remove(subject)).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.debts.len()
    }

    fn remove(&mut self, subject: &str) -> Option<Debt> {
        let debt = self.debts.remove(subject)?;
        self.bytes = self.bytes.saturating_sub(size(&debt.notice));
        Some(debt)
    }
}

/// Roughly the octets that a notice takes.
fn size(notice: &CrlNotice) -> usize {
    const FRAME: usize = 1_024;
    let inline = notice.crl.as_ref().map_or(0, |crl| crl.len());
    let difference = notice.difference.as_ref().map_or(0, |difference| difference.bytes.len());
    FRAME + inline + difference + notice.newly_revoked.len() * 64
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.min(6)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Ca;

    fn notice(ca: &Ca, number: u64) -> Box<CrlNotice> {
        Box::new(ca.notice(&ca.crl(number)))
    }

    #[test]
    fn a_debt_is_due_later_each_time_and_at_once_when_its_issuer_becomes_known() {
        let (mut owed, now, ca) = (Owed::default(), Instant::now(), Ca::new("CN=1"));
        assert!(owed.add(notice(&ca, 1), 0, now));
        assert!(owed.due(now).is_empty());
        assert_eq!(owed.due(now + FIRST_PAUSE).len(), 1);
        assert!(owed.add(notice(&ca, 1), 3, now));
        assert!(owed.due(now + 7 * FIRST_PAUSE).is_empty());
        owed.wake(Ca::new("CN=2").issuer(), now);
        assert!(owed.due(now).is_empty());
        owed.wake(ca.issuer(), now);
        assert_eq!(owed.due(now).len(), 1);
        assert_eq!((owed.len(), owed.bytes), (0, 0));
    }

    #[test]
    fn a_later_notice_takes_the_place_of_an_earlier_one_and_not_the_other_way_round() {
        let (mut owed, now, ca) = (Owed::default(), Instant::now(), Ca::new("CN=1"));
        for number in [2, 3, 1] {
            assert!(owed.add(notice(&ca, number), 0, now));
        }
        let due = owed.due(now + LONGEST_PAUSE);
        assert_eq!(due.iter().map(|debt| debt.notice.number).collect::<Vec<_>>(), [Some(3.into())]);
    }

    #[test]
    fn debts_are_bounded_in_number_of_attempts_and_in_octets() {
        let (mut owed, now, ca) = (Owed::default(), Instant::now(), Ca::new("CN=1"));
        assert!(!owed.add(notice(&ca, 1), MAX_ATTEMPTS, now));
        owed.bytes = MAX_BYTES;
        assert!(!owed.add(notice(&ca, 1), 0, now));
        assert_eq!(owed.len(), 0);
    }
}
