//! [`Schedule`]: which debts are worked on next. Pure: time is a parameter, and the journal is somebody else's.
//!
//! Debts wait by the host that they need, each host has few places, and no debt is worked on twice at once. The
//! debts of one class of publishers are bounded by themselves: a liar among the watchers fills the watchers' share.

use std::collections::HashMap;

use revocast_messages::Role;

use crate::places::{Place, Places};
use crate::state::DebtId;
use crate::state::journal::LONGEST_DEFERRAL_MS;

/// At most this many notices of one class are owed. Beyond, one that waits for its signer gives way to one that does not;
/// else the newest are put aside. Both are counted.
pub(crate) const MAX_DEBTS_OF_CLASS: usize = 2_500;

/// At most this many of them are recorded to wait for their signer: whoever may publish can announce CRLs of as many
/// issuers of their own making as they like, and none of them will ever be signed by anybody who is known.
const MAX_UNSIGNED_OF_CLASS: usize = MAX_DEBTS_OF_CLASS / 2;

/// Debts that are worked on at once. Each may hold a CRL while it is fetched and verified.
const CONCURRENCY: usize = 64;

/// Debts that are worked on at once at one host: as many as the fetcher connects to it.
const PER_HOST: usize = 2;

/// Debts that are worked on at once without a repository: what the broker has comes within milliseconds.
const AT_BROKER: usize = 16;

/// Where the next try of a debt goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// No farther than the broker.
    Broker,
    /// To a repository at this host.
    Host(String),
}

/// A debt that is to be worked on now. Whoever has it says what came of it, by [`Schedule::settled`] or
/// [`Schedule::postponed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// Which debt.
    pub id: DebtId,
    /// How far to go.
    pub goal: Goal,
    /// How often it was tried before.
    pub attempts: u32,
    /// How often a repository showed something else.
    pub unshown: u32,
    place: Place,
}

/// How a debt that is still owed goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Where the next try goes.
    pub goal: Goal,
    /// It waits for a certificate, as far as is known.
    pub unsigned: bool,
    /// How often it was tried by now.
    pub attempts: u32,
    /// How often a repository showed something else by now. Known until the validator ends.
    pub unshown: u32,
    /// When.
    pub at_ms: i64,
}

#[derive(Debug)]
struct Debt {
    class: Role,
    next: Next,
    busy: bool,
    /// The same notice, or a certificate, came while it was worked on.
    again: bool,
    /// Found in the journal and not tried since: what it waits for is not known.
    untried: bool,
    /// How many had come before it: the oldest gives way.
    rank: u64,
}

/// All debts, as they are in the journal.
#[derive(Debug)]
pub(crate) struct Schedule {
    debts: HashMap<DebtId, Debt>,
    /// How many ever came.
    came: u64,
    at_hosts: Places,
    at_broker: Places,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule {
            debts: HashMap::new(),
            came: 0,
            at_hosts: Places::new(CONCURRENCY, PER_HOST),
            at_broker: Places::new(AT_BROKER, AT_BROKER),
        }
    }
}

impl Schedule {
    /// How many debts there are.
    pub(crate) fn len(&self) -> usize {
        self.debts.len()
    }

    /// Whether a debt may be recorded: it is owed already, or there is room, or another gives way to it.
    pub(crate) fn has_room(&self, id: &DebtId, class: Role, unsigned: bool) -> bool {
        if self.debts.contains_key(id) {
            return true;
        }
        let of_class = || self.debts.values().filter(|debt| debt.class == class);
        let has_place = of_class().count() < MAX_DEBTS_OF_CLASS;
        if unsigned {
            has_place && of_class().filter(|debt| debt.is_unsigned()).count() < MAX_UNSIGNED_OF_CLASS
        } else {
            has_place || of_class().any(Debt::gives_way)
        }
    }

    /// Forgets as many of a class as there are too many, the oldest that wait for their signer; tells which. Those that a
    /// certificate has just made due may find theirs now, and are the last to go.
    pub(crate) fn displace(&mut self, class: Role) -> Vec<DebtId> {
        let of_class = || self.debts.iter().filter(|(_, debt)| debt.class == class);
        let excess = of_class().count().saturating_sub(MAX_DEBTS_OF_CLASS);
        if excess == 0 {
            return Vec::new();
        }
        let mut giving_way: Vec<(bool, u64, DebtId)> = of_class()
            .filter(|(_, debt)| debt.gives_way())
            .map(|(id, debt)| (debt.next.at_ms == i64::MIN, debt.rank, id.clone()))
            .collect();
        giving_way.sort_unstable();
        let displaced: Vec<DebtId> = giving_way.into_iter().take(excess).map(|(.., id)| id).collect();
        displaced.iter().for_each(|id| self.forget(id));
        displaced
    }

    /// A debt was recorded, to be tried at `next_at_ms`.
    pub(crate) fn recorded(&mut self, id: DebtId, class: Role, goal: Goal, unsigned: bool, next_at_ms: i64) {
        if let Some(debt) = self.debts.get_mut(&id).filter(|debt| debt.busy) {
            (debt.again, debt.next.unsigned, debt.untried) = (true, unsigned, false);
            return;
        }
        self.insert(id, class, Next { goal, unsigned, attempts: 0, unshown: 0, at_ms: next_at_ms }, false);
    }

    /// A debt was found in the journal at start. What it waits for is found out by trying.
    pub(crate) fn recalled(&mut self, id: DebtId, class: Role, attempts: u32, next_at_ms: i64) {
        let goal = Goal::Broker;
        self.insert(id, class, Next { goal, unsigned: true, attempts, unshown: 0, at_ms: next_at_ms }, true);
    }

    fn insert(&mut self, id: DebtId, class: Role, next: Next, untried: bool) {
        let rank = self.debts.get(&id).map_or(self.came, |debt| debt.rank);
        self.came += 1;
        self.debts.insert(id, Debt { class, next, busy: false, again: false, untried, rank });
    }

    /// A certificate came: whatever waits for one is due.
    pub(crate) fn certificate_came(&mut self) {
        for debt in self.debts.values_mut() {
            if debt.busy {
                // What it waits for is known when it was tried.
                debt.again = true;
            } else if debt.next.unsigned {
                debt.begin_anew();
            }
        }
    }

    /// Whether some debt is worked on, due, or waits for a source that does not have it yet.
    pub(crate) fn are_pressing(&self, now_ms: i64) -> bool {
        self.debts.values().any(|debt| debt.busy || !debt.next.unsigned || debt.is_due(now_ms))
    }

    /// What is to be begun at `now_ms`: what is due, the longest due first, as far as there are places.
    pub(crate) fn begin(&mut self, now_ms: i64) -> Vec<Try> {
        let mut due: Vec<(i64, DebtId)> = self
            .debts
            .iter()
            .filter(|(_, debt)| !debt.busy && debt.is_due(now_ms))
            .map(|(id, debt)| (debt.next.at_ms, id.clone()))
            .collect();
        due.sort_unstable();
        let mut begun = Vec::new();
        for (_, id) in due {
            if self.at_hosts.are_full() && self.at_broker.are_full() {
                break;
            }
            begun.extend(self.begin_one(id));
        }
        begun
    }

    fn begin_one(&mut self, id: DebtId) -> Option<Try> {
        let debt = self.debts.get_mut(&id)?;
        let Next { goal, attempts, unshown, .. } = debt.next.clone();
        let place = match &goal {
            Goal::Broker => self.at_broker.take("", false)?,
            Goal::Host(host) => self.at_hosts.take(host, attempts > 1)?,
        };
        debt.busy = true;
        Some(Try { id, goal, attempts, unshown, place })
    }

    /// A debt was settled, or can never be.
    pub(crate) fn settled(&mut self, done: &Try) {
        self.give(done);
        match self.debts.get_mut(&done.id) {
            Some(debt) if debt.again => debt.begin_anew(),
            _ => {
                self.debts.remove(&done.id);
            }
        }
    }

    /// A debt is owed no longer, for a reason of its own.
    pub(crate) fn forget(&mut self, id: &DebtId) {
        self.debts.remove(id);
    }

    /// The journal has let go of a debt. One that is worked on learns that when it was tried.
    pub(crate) fn evicted(&mut self, id: &DebtId) {
        if self.debts.get(id).is_some_and(|debt| !debt.busy) {
            self.forget(id);
        }
    }

    /// A debt is still owed.
    pub(crate) fn postponed(&mut self, done: &Try, next: Next) {
        self.give(done);
        let Some(debt) = self.debts.get_mut(&done.id) else { return };
        if debt.again {
            return debt.begin_anew();
        }
        (debt.next, debt.busy, debt.untried) = (next, false, false);
    }

    fn give(&mut self, done: &Try) {
        match done.goal {
            Goal::Broker => self.at_broker.give(&done.place),
            Goal::Host(_) => self.at_hosts.give(&done.place),
        }
    }
}

impl Debt {
    /// Its time has come, or lies so far ahead that the clock must have been set back.
    fn is_due(&self, now_ms: i64) -> bool {
        self.next.at_ms <= now_ms || self.next.at_ms > now_ms + LONGEST_DEFERRAL_MS
    }

    /// It was found to wait for a certificate.
    fn is_unsigned(&self) -> bool {
        self.next.unsigned && !self.untried
    }

    /// It can go for one that does not wait for its signer.
    fn gives_way(&self) -> bool {
        self.is_unsigned() && !self.busy
    }

    /// It is due, and whatever was found out about it may be otherwise now.
    fn begin_anew(&mut self) {
        (self.next.goal, self.next.at_ms) = (Goal::Broker, i64::MIN);
        (self.busy, self.again) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use revocast_pki::identity::Digest;

    use super::*;

    fn id(subject: &str) -> DebtId {
        (subject.to_owned(), Digest([0; 32]))
    }

    fn at(host: &str) -> Goal {
        Goal::Host(host.into())
    }

    fn owe(schedule: &mut Schedule, subject: &str, goal: Goal) {
        schedule.recorded(id(subject), Role::Authority, goal, false, 0);
    }

    fn subjects(begun: &[Try]) -> Vec<&str> {
        begun.iter().map(|one| one.id.0.as_str()).collect()
    }

    #[test]
    fn a_dead_repository_with_many_debts_delays_no_debt_of_another() {
        let mut schedule = Schedule::default();
        for n in 0..1_000 {
            owe(&mut schedule, &format!("dead-{n}"), at("dead"));
        }
        assert_eq!(schedule.begin(0).len(), PER_HOST);
        owe(&mut schedule, "sound", at("sound"));
        assert_eq!(subjects(&schedule.begin(0)), ["sound"]);
    }

    #[test]
    fn no_debt_is_worked_on_twice_at_once_and_one_that_came_again_is_tried_afterwards() {
        let mut schedule = Schedule::default();
        owe(&mut schedule, "s", at("h"));
        let first = schedule.begin(0).remove(0);
        owe(&mut schedule, "s", at("h"));
        assert_eq!(schedule.begin(0), []);
        schedule.settled(&first);
        let second = schedule.begin(0).remove(0);
        assert_eq!((second.goal.clone(), schedule.len()), (Goal::Broker, 1));
        schedule.settled(&second);
        assert_eq!((schedule.begin(0), schedule.len()), (vec![], 0));
    }

    #[test]
    fn a_certificate_makes_due_what_waits_for_one_and_nothing_else() {
        let mut schedule = Schedule::default();
        schedule.recorded(id("unsigned"), Role::Watcher, Goal::Broker, true, 60_000);
        schedule.recorded(id("absent"), Role::Watcher, Goal::Broker, false, 60_000);
        assert_eq!(schedule.begin(0), []);
        schedule.certificate_came();
        let begun = schedule.begin(0);
        assert_eq!(subjects(&begun), ["unsigned"]);
        // One more comes while it is tried.
        schedule.certificate_came();
        let next = Next { goal: Goal::Broker, unsigned: true, attempts: 1, unshown: 0, at_ms: 60_000 };
        schedule.postponed(&begun[0], next);
        assert_eq!(subjects(&schedule.begin(0)), ["unsigned"]);
    }

    #[test]
    fn what_waits_for_a_certificate_presses_only_while_it_is_due_or_tried() {
        let mut schedule = Schedule::default();
        schedule.recorded(id("unsigned"), Role::Authority, Goal::Broker, true, 500);
        assert!(!schedule.are_pressing(499));
        schedule.certificate_came();
        assert!(schedule.are_pressing(499));
        let begun = schedule.begin(499);
        assert!(schedule.are_pressing(499));
        let next = Next { goal: Goal::Broker, unsigned: true, attempts: 1, unshown: 0, at_ms: 60_000 };
        schedule.postponed(&begun[0], next);
        assert!(!schedule.are_pressing(499));
        schedule.recorded(id("absent"), Role::Authority, Goal::Broker, false, 60_000);
        assert!(schedule.are_pressing(499));
    }

    #[test]
    fn a_postponed_debt_is_tried_when_it_is_due_where_it_was_left() {
        let mut schedule = Schedule::default();
        owe(&mut schedule, "s", Goal::Broker);
        let first = schedule.begin(0).remove(0);
        let next = Next { goal: at("h"), unsigned: false, attempts: 3, unshown: 2, at_ms: 500 };
        schedule.postponed(&first, next);
        assert_eq!(schedule.begin(499), []);
        let second = schedule.begin(500).remove(0);
        assert_eq!((second.goal, second.attempts, second.unshown), (at("h"), 3, 2));
    }

    #[test]
    fn a_flood_of_one_class_leaves_room_for_the_debts_of_another() {
        let mut schedule = Schedule::default();
        for n in 0..MAX_DEBTS_OF_CLASS {
            schedule.recalled(id(&format!("lie-{n}")), Role::Watcher, 1, 0);
        }
        assert!(!schedule.has_room(&id("one more"), Role::Watcher, false));
        assert!(schedule.has_room(&id("lie-7"), Role::Watcher, true));
        assert!(schedule.has_room(&id("truth"), Role::Authority, true));
    }

    fn owe_unsigned(schedule: &mut Schedule, subject: &str) -> bool {
        let has_room = schedule.has_room(&id(subject), Role::Watcher, true);
        if has_room {
            schedule.recorded(id(subject), Role::Watcher, Goal::Broker, true, 60_000);
        }
        has_room
    }

    /// I10: CRLs of issuers that nobody knows cost their publisher nothing.
    #[test]
    fn notices_that_wait_for_a_signer_take_half_of_the_share_of_their_class_and_no_more() {
        let mut schedule = Schedule::default();
        let taken = (0..MAX_DEBTS_OF_CLASS).filter(|n| owe_unsigned(&mut schedule, &format!("lie-{n}")));
        assert_eq!(taken.count(), MAX_DEBTS_OF_CLASS / 2);
        assert!(schedule.has_room(&id("truth"), Role::Watcher, false));
        assert!(schedule.has_room(&id("lie-7"), Role::Watcher, true));
    }

    #[test]
    fn a_debt_that_waits_for_no_signer_takes_the_place_of_the_oldest_that_does() {
        let mut schedule = Schedule::default();
        for subject in ["due anew", "busy", "oldest", "second"] {
            assert!(owe_unsigned(&mut schedule, subject));
        }
        // One waits for its next try again, and is no younger for that.
        schedule.recorded(id("oldest"), Role::Watcher, Goal::Broker, true, 60_000);
        schedule.debts.get_mut(&id("due anew")).unwrap().begin_anew();
        schedule.debts.get_mut(&id("busy")).unwrap().busy = true;
        schedule.recalled(id("of before"), Role::Watcher, 9, 60_000);
        for n in 5..MAX_DEBTS_OF_CLASS {
            schedule.recorded(id(&format!("absent-{n}")), Role::Watcher, at("h"), false, 60_000);
        }
        assert_eq!(schedule.displace(Role::Watcher), []);
        for gone in ["oldest", "second", "due anew"] {
            let truth = id(&format!("instead of {gone}"));
            assert!(!owe_unsigned(&mut schedule, "one more"));
            assert!(schedule.has_room(&truth, Role::Watcher, false));
            schedule.recorded(truth, Role::Watcher, at("h"), false, 60_000);
            assert_eq!(schedule.displace(Role::Watcher), [id(gone)]);
        }
        assert!(!schedule.has_room(&id("one more"), Role::Watcher, false), "nobody else gives way");
    }
}
