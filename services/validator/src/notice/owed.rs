//! Debts: notices whose CRL cannot be had or verified yet, or has to be fetched from a repository. Recorded durably,
//! worked on beside the stream, retried with growing pauses and at once when a certificate arrives, in nobody's way.
//!
//! The journal holds the debts, [`Schedule`] says whose turn it is, and [`work`] takes the turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_daemon::{blocking, caught};
use revocast_messages::subjects::Subject;
use revocast_messages::{CrlNotice, Role, decode};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::schedule::{Goal, Next, Schedule, Try};
use super::walk::{Outcome, Reach, Walk};
use crate::disk::Work;
use crate::state::{JournalError, Owed};

/// Pause before the first retry; doubles.
const FIRST_PAUSE_MS: i64 = 500;
/// The longest pause.
const LONGEST_PAUSE_MS: i64 = 60_000;
/// Whoever waits for another's fetch looks again as after this many tries: within a second.
const TURN: u32 = 2;
/// After this many tries a debt is given up: about two days.
const MAX_ATTEMPTS: u32 = 3_000;
/// After so many tries at which a repository showed something else a debt is given up: about half an hour. A repository
/// shows what its CA announced within minutes; a notice of a CRL that nobody ever signed must not have it asked for days.
const MAX_UNSHOWN: u32 = 40;
/// How often it is looked whether debts are due.
const LOOK: Duration = Duration::from_millis(250);

/// What is missing of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// In words.
    pub why: String,
    /// What would end it.
    pub needs: Needs,
}

/// What a debt waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// That a source has the CRL which does not have it now.
    Source,
    /// That a repository shows the CRL which shows another, or something else, now.
    Showing,
    /// That another validator has fetched it, who is about to.
    Turn,
    /// That a certificate of the signer is known.
    Signer,
    /// That a repository at this host is asked, which may take long and was not done yet.
    Repository(String),
}

/// All debts of a validator.
#[derive(Default)]
pub(crate) struct Debts {
    schedule: Mutex<Schedule>,
    /// How many times certificates came. Counted under the lock of the schedule.
    certificates: AtomicU64,
    woken: Notify,
}

impl Debts {
    /// Records a message's notice as owed, durably; `false` when there are too many. Others may have to go for it, and are
    /// put aside. `certificates` had come when it was tried: if more did since, it is tried again at once.
    pub(crate) async fn record(
        &self,
        walk: &Walk,
        (subject, body): (&str, Bytes),
        missing: Missing,
        certificates: u64,
    ) -> Result<bool, JournalError> {
        let now_ms = walk.clock.now_ms();
        let (goal, next_at_ms) = match &missing.needs {
            Needs::Repository(host) => (Goal::Host(host.clone()), now_ms),
            Needs::Source | Needs::Showing | Needs::Turn | Needs::Signer => {
                (Goal::Broker, now_ms.saturating_add(FIRST_PAUSE_MS))
            }
        };
        let unsigned = missing.needs == Needs::Signer;
        let owed = Owed { subject: subject.to_owned(), body, attempts: 0, next_at_ms, why: missing.why };
        let id = owed.id();
        let has_room = |class: &Role| self.schedule().has_room(&id, *class, unsigned);
        let Some(class) = class_of(subject).filter(has_room) else { return Ok(false) };
        let journal = walk.journal.clone();
        let evicted = blocking(move || journal.owe(&owed)).await?;
        let displaced = {
            let mut schedule = self.schedule();
            schedule.recorded(id, class, goal, unsigned, next_at_ms);
            if self.certificates() != certificates {
                schedule.certificate_came();
            }
            evicted.iter().for_each(|gone| schedule.evicted(&gone.id()));
            let displaced = schedule.displace(class);
            walk.counts.owed.set(&[], schedule.len() as f64);
            displaced
        };
        self.woken.notify_one();
        let_go(walk, &evicted, "too many notices of its subject are owed");
        if !displaced.is_empty() {
            let journal = walk.journal.clone();
            let displaced = blocking(move || journal.take_out(&displaced)).await?;
            let_go(walk, &displaced, "too many notices are owed, and its signer is not known");
        }
        Ok(true)
    }

    /// A certificate came: whatever waits for one is tried again.
    pub(crate) fn certificate_came(&self) {
        let mut schedule = self.schedule();
        self.certificates.fetch_add(1, Ordering::Relaxed);
        schedule.certificate_came();
        drop(schedule);
        self.woken.notify_one();
    }

    /// Whether some are about to be finished: they are worked on, due, or wait for a source. Those that wait for a
    /// certificate may wait for ever.
    pub(crate) fn are_pressing(&self, now_ms: i64) -> bool {
        self.schedule().are_pressing(now_ms)
    }

    /// How many times certificates came.
    pub(crate) fn certificates(&self) -> u64 {
        self.certificates.load(Ordering::Relaxed)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on debts for as long as it is polled.
pub(crate) async fn work(walk: Arc<Walk>) {
    let debts = &walk.debts;
    if let Err(error) = recall(&walk).await {
        warn!(%error, "debts of before cannot be read; the streams' heads tell them again");
    }
    let mut under_way = JoinSet::new();
    loop {
        let begun = debts.schedule().begin(walk.clock.now_ms());
        for one in begun {
            under_way.spawn(take_turn(walk.clone(), one));
        }
        walk.counts.owed.set(&[], debts.schedule().len() as f64);
        tokio::select! {
            () = debts.woken.notified() => {}
            Some(_) = under_way.join_next() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Retries every debt once, one after another: for a walk without a fleet, where nobody works on them.
pub(crate) async fn look(walk: &Walk) -> Result<(), JournalError> {
    for owed in walk.journal.owed(None)? {
        let outcome = match decode::<CrlNotice>(&owed.body) {
            Ok(notice) => {
                let reach = Reach::Repositories { tries: owed.attempts };
                Box::pin(walk.take_crl(notice, &owed.subject, Instant::now(), reach)).await?
            }
            Err(_) => Outcome::Obsolete,
        };
        match outcome {
            Outcome::Owed(missing) => {
                let attempts = owed.attempts + 1;
                let next_at_ms = walk.clock.now_ms().saturating_add(pause_ms(attempts, 0.0));
                walk.journal.defer(&Owed { attempts, next_at_ms, why: missing.why, ..owed })?;
            }
            _ => {
                walk.journal.settle(&owed)?;
                walk.debts.schedule().forget(&owed.id());
            }
        }
    }
    Ok(())
}

async fn recall(walk: &Walk) -> Result<(), JournalError> {
    let journal = walk.journal.clone();
    let recorded = blocking(move || journal.all_debts()).await?;
    let mut schedule = walk.debts.schedule();
    for (id, attempts, next_at_ms) in recorded {
        // Only notices of CRLs are ever recorded.
        if let Some(class) = class_of(&id.0) {
            schedule.recalled(id, class, attempts, next_at_ms);
        }
    }
    Ok(())
}

/// The checkpoint has passed these: that they are owed no longer is told and counted.
fn let_go(walk: &Walk, debts: &[Owed], reason: &str) {
    for owed in debts {
        let why = format!("{reason}: {}", owed.why);
        walk.tell(&owed.subject, &owed.body, &Outcome::Aside { word: "limit", why });
    }
}

fn class_of(subject: &str) -> Option<Role> {
    match subject.parse() {
        Ok(Subject::CrlNotice { class, .. }) => Some(class),
        _ => None,
    }
}

/// One try of one debt, and what follows from it.
async fn take_turn(walk: Arc<Walk>, turn: Try) {
    let attempts = match caught(Box::pin(settle(&walk, &turn))).await {
        Ok(Ok(())) => return walk.disk.worked(Work::Debts),
        Ok(Err(error)) => {
            walk.disk.failed(Work::Debts, &error);
            turn.attempts
        }
        Err(why) => {
            warn!(%why, "a debt ended in a panic; it is tried again");
            turn.attempts + 1
        }
    };
    let later = walk.clock.now_ms() + LONGEST_PAUSE_MS;
    walk.debts.schedule().postponed(&turn, Next { at_ms: later, attempts, ..again(&turn) });
}

async fn settle(walk: &Walk, turn: &Try) -> Result<(), JournalError> {
    let (journal, id) = (walk.journal.clone(), turn.id.clone());
    let Some(owed) = blocking(move || journal.debt(&id)).await? else {
        walk.debts.schedule().settled(turn);
        return Ok(());
    };
    // What cannot be read was written by another release, or is damaged: the stream's head tells it again.
    let outcome = match decode::<CrlNotice>(&owed.body) {
        Ok(notice) => walk.take_crl(notice, &owed.subject, Instant::now(), reach(turn)).await?,
        Err(_) => Outcome::Obsolete,
    };
    if let Outcome::Owed(missing) = &outcome
        && let Some(aside) = given_up(turn, missing)
    {
        return finish(walk, turn, owed, aside).await;
    }
    match outcome {
        Outcome::Owed(Missing { needs: Needs::Repository(host), .. }) => {
            let now_ms = walk.clock.now_ms();
            walk.debts
                .schedule()
                .postponed(turn, Next { goal: Goal::Host(host), at_ms: now_ms, ..again(turn) });
            walk.debts.woken.notify_one();
            Ok(())
        }
        Outcome::Owed(missing) => postpone(walk, turn, owed, missing).await,
        finished => finish(walk, turn, owed, finished).await,
    }
}

/// What becomes of a debt that was tried often enough.
fn given_up(turn: &Try, missing: &Missing) -> Option<Outcome> {
    if turn.attempts >= MAX_ATTEMPTS {
        return Some(Outcome::Aside { word: "given_up", why: format!("owed after {MAX_ATTEMPTS} tries") });
    }
    let why = format!("not shown by its repository after {MAX_UNSHOWN} tries: {}", missing.why);
    let unshown = turn.unshown + u32::from(missing.needs == Needs::Showing);
    (unshown >= MAX_UNSHOWN).then_some(Outcome::Aside { word: "not_shown", why })
}

async fn finish(walk: &Walk, turn: &Try, owed: Owed, outcome: Outcome) -> Result<(), JournalError> {
    walk.tell(&owed.subject, &owed.body, &outcome);
    let journal = walk.journal.clone();
    blocking(move || journal.settle(&owed)).await?;
    walk.debts.schedule().settled(turn);
    Ok(())
}

fn reach(turn: &Try) -> Reach {
    match turn.goal {
        Goal::Broker => Reach::Broker,
        Goal::Host(_) => Reach::Repositories { tries: turn.attempts },
    }
}

/// As a debt was when its turn came, and due at once.
fn again(turn: &Try) -> Next {
    let Try { goal, attempts, unshown, .. } = turn.clone();
    Next { goal, unsigned: false, attempts, unshown, at_ms: i64::MIN }
}

async fn postpone(walk: &Walk, turn: &Try, owed: Owed, missing: Missing) -> Result<(), JournalError> {
    let next = next(turn, &missing, walk.clock.now_ms());
    debug!(subject = %owed.subject, why = %missing.why, "still owed");
    let journal = walk.journal.clone();
    let owed = Owed { attempts: next.attempts, next_at_ms: next.at_ms, why: missing.why, ..owed };
    match blocking(move || journal.defer(&owed)).await? {
        true => walk.debts.schedule().postponed(turn, next),
        // It was let go while it was tried.
        false => walk.debts.schedule().settled(turn),
    }
    Ok(())
}

/// How a debt goes on after a try in vain.
fn next(turn: &Try, missing: &Missing, now_ms: i64) -> Next {
    if missing.needs == Needs::Turn {
        // To wait for one's turn is no failure: what another has fetched is there soon after.
        let at_ms = now_ms + pause_ms(TURN, fastrand::f64());
        return Next { unsigned: false, at_ms, ..again(turn) };
    }
    let attempts = turn.attempts + 1;
    Next {
        unsigned: missing.needs == Needs::Signer,
        attempts,
        unshown: turn.unshown + u32::from(missing.needs == Needs::Showing),
        at_ms: now_ms + pause_ms(attempts, fastrand::f64()),
        ..again(turn)
    }
}

/// Half of a doubling pause, and up to as much by chance, so that validators do not come in step.
fn pause_ms(attempts: u32, chance: f64) -> i64 {
    let pause = FIRST_PAUSE_MS.saturating_mul(1 << (attempts - 1).min(20)).min(LONGEST_PAUSE_MS);
    pause / 2 + (chance * (pause / 2) as f64) as i64
}

/// For so long nobody of the fleet asks a repository again that showed something else to a debt which was tried so often
/// before: until its next try at the earliest.
pub(super) fn rest(tries: u32) -> Duration {
    Duration::from_millis(u64::try_from(pause_ms(tries + 1, 0.0)).unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests {
    use futures::FutureExt;
    use std::collections::BTreeMap;
    use std::path::Path;

    use revocast_daemon::{Clock, Metrics};
    use revocast_pki::identity::{CrlKind, Digest, IssuerId, ScopeId};
    use tokio::sync::Semaphore;

    use super::super::aside::Aside;
    use super::super::plan::Repositories;
    use super::super::receipt::Receipts;
    use super::super::schedule::MAX_DEBTS_OF_CLASS;
    use super::super::sources::{RecordedObjects, Sources};
    use super::super::verify::Verifier;
    use super::*;
    use crate::config::PolicyConfig;
    use crate::disk::Disk;
    use crate::events::feed::{Heard, Listener};
    use crate::events::{Event, Events};
    use crate::metrics::Counts;
    use crate::polling::{Board, PollingConfig};
    use crate::question::Policies;
    use crate::question::tests::{Holder, NOW, holder};
    use crate::state::{Journal, Live};

    /// A walk in `folder` that believes `root` and knows as much as `live`.
    pub(in crate::notice) fn walk(folder: &Path, root: &Holder, live: Live) -> Walk {
        let anchors = folder.join("root.crt");
        std::fs::write(&anchors, &root.der).unwrap();
        let policy = PolicyConfig { anchors: vec![anchors], ..PolicyConfig::default() };
        let policies = Policies::read(&BTreeMap::from([("p".to_owned(), policy)]), "p").unwrap();
        let (counts, events) = (Counts::new(&Metrics::default()), Events::default());
        Walk {
            live: Arc::new(live),
            journal: Arc::new(Journal::open(folder).unwrap()),
            verifier: Verifier::new(Arc::new(policies)),
            sources: Sources::Recording(RecordedObjects::new(&folder.join("objects"), 0).unwrap()),
            repositories: Repositories::default(),
            board: Arc::new(Board::new(&PollingConfig::default())),
            debts: Arc::default(),
            receipts: Receipts::new(None, events.clone()),
            telling: None,
            aside: Aside::new(counts.clone()).0,
            counts,
            events,
            clock: Clock::held_at(NOW.unix() * 1_000),
            disk: Disk::default(),
            gate: Semaphore::new(1),
            applying: Arc::default(),
        }
    }

    /// Where a watcher tells of CRLs of the n-th issuer.
    fn subject(n: u8) -> String {
        let (issuer, scope) = (IssuerId([n; 16]), ScopeId([n; 16]));
        let kind = CrlKind::Complete;
        Subject::CrlNotice { issuer, scope, kind, class: Role::Watcher }.to_string()
    }

    async fn record(walk: &Walk, subject: &str, body: u8, needs: Needs) -> bool {
        let missing = Missing { why: "in vain".into(), needs };
        walk.debts.record(walk, (subject, Bytes::from(vec![body])), missing, 0).await.unwrap()
    }

    /// Whose notices were put aside since it was asked last.
    fn put_aside(listening: &mut Listener) -> Vec<String> {
        let told = std::iter::from_fn(|| listening.next().now_or_never().flatten());
        let aside = told.filter_map(|heard| match heard {
            Heard::Told(told) => match &told.event {
                Event::Notice { subject, outcome: "aside" } => Some(subject.to_string()),
                _ => None,
            },
            Heard::Missed(_) => None,
        });
        aside.collect()
    }

    /// I10, I7.
    #[tokio::test]
    async fn a_flood_of_crls_that_nobody_signed_keeps_none_from_being_owed_that_a_repository_has() {
        let folder = tempfile::tempdir().unwrap();
        let root = holder("CN=Root", None, |_| {});
        let walk = walk(folder.path(), &root, Live::new());
        let mut listening = walk.events.feed.listen(None);
        assert!(record(&walk, &subject(1), 1, Needs::Signer).await);
        assert!(record(&walk, &subject(2), 1, Needs::Signer).await);
        for n in 2..MAX_DEBTS_OF_CLASS {
            let id = (format!("lie-{n}"), Digest([0; 32]));
            walk.debts.schedule().recorded(id, Role::Watcher, Goal::Broker, true, 0);
        }
        assert!(!record(&walk, &subject(3), 1, Needs::Signer).await);
        assert!(record(&walk, &subject(4), 1, Needs::Repository("h".into())).await);
        assert_eq!(put_aside(&mut listening), [subject(1)], "the oldest that waits for a signer");
        let mut owed: Vec<String> =
            walk.journal.owed(None).unwrap().into_iter().map(|owed| owed.subject).collect();
        owed.sort();
        assert_eq!((owed, walk.debts.schedule().len()), (vec![subject(2), subject(4)], MAX_DEBTS_OF_CLASS));
    }

    /// I7.
    #[tokio::test]
    async fn a_notice_that_others_of_its_subject_oust_is_put_aside_and_scheduled_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let root = holder("CN=Root", None, |_| {});
        let walk = walk(folder.path(), &root, Live::new());
        let mut listening = walk.events.feed.listen(None);
        for body in 0..8 {
            assert!(record(&walk, &subject(1), body, Needs::Source).await);
        }
        assert_eq!(put_aside(&mut listening), [""; 0]);
        assert!(record(&walk, &subject(1), 8, Needs::Source).await);
        assert_eq!(put_aside(&mut listening), [subject(1)]);
        assert_eq!((walk.debts.schedule().len(), walk.journal.debts().unwrap()), (8, 8));
    }

    /// How often a debt is tried that always misses the same, how long that takes in minutes, and the word at its end.
    fn tried_in_vain(needs: Needs) -> (u32, i64, &'static str) {
        let missing = Missing { why: String::new(), needs };
        let (mut schedule, mut now_ms) = (Schedule::default(), 0);
        let id = ("s".to_owned(), Digest([0; 32]));
        schedule.recorded(id, Role::Watcher, Goal::Host("h".into()), false, now_ms);
        for tries in 1.. {
            let turn = schedule.begin(now_ms).remove(0);
            if let Some(Outcome::Aside { word, .. }) = given_up(&turn, &missing) {
                return (tries, now_ms / 60_000, word);
            }
            let next = next(&turn, &missing, now_ms);
            now_ms = next.at_ms;
            schedule.postponed(&turn, next);
        }
        unreachable!("a debt is given up")
    }

    /// I9: a lie about a number, with the URL of a CA's true CRL.
    #[test]
    fn a_repository_that_shows_something_else_is_asked_for_half_an_hour_and_a_silent_one_for_two_days() {
        let (tries, minutes, word) = tried_in_vain(Needs::Showing);
        assert_eq!((tries, word), (40, "not_shown"));
        assert!((15..=40).contains(&minutes), "{minutes} minutes");
        let (tries, minutes, word) = tried_in_vain(Needs::Source);
        assert_eq!((tries, word), (3_001, "given_up"));
        assert!((24 * 60..=50 * 60).contains(&minutes), "{minutes} minutes");
    }

    #[test]
    fn the_fleet_asks_again_no_later_than_the_next_try_of_whoever_asked() {
        for tries in 0..20 {
            assert_eq!(rest(tries).as_millis(), u128::try_from(pause_ms(tries + 1, 0.0)).unwrap());
        }
    }

    #[test]
    fn pauses_double_up_to_their_ceiling_and_differ_by_chance() {
        let pauses: Vec<i64> = (1..=9).map(|attempts| pause_ms(attempts, 1.0)).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pause_ms(3_000, 0.0), LONGEST_PAUSE_MS / 2);
    }
}
