//! [`Outbox`]: what is to be told in the other domain, and when. Pure: what happens goes in, scopes to be carried come
//! out.
//!
//! The other domain's registry is the list of destinations (function 408 of the original): an issuer is *wanted* there
//! while a living subscription names it, or all issuers; with it are CRLs by another key of its name, which list its
//! certificates, too (a key rollover, a key for CRLs alone). The outbox holds scopes, not notices: whatever was missed, the
//! newest CRL of each is carried, and it is never larger than what is enforced.

use std::collections::{BTreeSet, HashMap};

use revocast_messages::{Instance, Payload, Registration};
use revocast_pki::identity::IssuerId;

use super::config::SpeaksFor;
use crate::state::ScopeKey;

/// Subscriptions of the other domain that are known at once; further ones do not count. About 100 octets each.
const MAX_SUBSCRIPTIONS: usize = 100_000;
/// Scopes that are carried at once. Each may hold a CRL and its difference.
const CONCURRENCY: usize = 8;

/// What a subscription of the other domain asks for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    payload: Payload,
    lapses_at_ms: i64,
}

/// What became of carrying a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// What should stand there stands there, or can never.
    Settled,
    /// It is worth another try.
    Failed,
}

/// Who subscribed in the other domain, and which scopes are to be carried there.
#[derive(Debug)]
pub(crate) struct Outbox {
    speaks_for: SpeaksFor,
    wishes: HashMap<Option<IssuerId>, HashMap<Instance, Wish>>,
    subscriptions: usize,
    open: bool,
    due: BTreeSet<ScopeKey>,
    under_way: BTreeSet<ScopeKey>,
    failed: BTreeSet<ScopeKey>,
}

impl Outbox {
    /// Nobody subscribed, and the other domain is not reached yet.
    pub(crate) fn new(speaks_for: SpeaksFor) -> Outbox {
        Outbox {
            speaks_for,
            wishes: HashMap::new(),
            subscriptions: 0,
            open: false,
            due: BTreeSet::new(),
            under_way: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Somebody subscribed there, or renewed. `true` if what the subscription names was not wanted until now: then
    /// every scope is to be [asserted](Outbox::assert).
    pub(crate) fn subscribed(&mut self, registration: &Registration, now_ms: i64) -> bool {
        let Registration { issuer, validator, payload, lapses_at_ms, .. } = registration;
        let was_wanted = self.living(*issuer, now_ms).next().is_some();
        let known = self.wishes.get(issuer).is_some_and(|wishes| wishes.contains_key(validator));
        if !known && self.subscriptions >= MAX_SUBSCRIPTIONS {
            return false;
        }
        self.subscriptions += usize::from(!known);
        let wish = Wish { payload: *payload, lapses_at_ms: *lapses_at_ms };
        self.wishes.entry(*issuer).or_default().insert(validator.clone(), wish);
        !was_wanted && *lapses_at_ms > now_ms
    }

    /// Somebody stopped.
    pub(crate) fn unsubscribed(&mut self, issuer: Option<IssuerId>, validator: &Instance) {
        if let Some(wishes) = self.wishes.get_mut(&issuer) {
            self.subscriptions -= usize::from(wishes.remove(validator).is_some());
            if wishes.is_empty() {
                self.wishes.remove(&issuer);
            }
        }
    }

    /// Forgets subscriptions that have lapsed.
    pub(crate) fn forget_lapsed(&mut self, now_ms: i64) {
        self.wishes.retain(|_, wishes| {
            wishes.retain(|_, wish| wish.lapses_at_ms > now_ms);
            !wishes.is_empty()
        });
        self.subscriptions = self.wishes.values().map(HashMap::len).sum();
    }

    /// How many subscriptions are known.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Whether somebody there is to be told of the CRLs of one of these by this bridge.
    pub(crate) fn is_wanted(&self, issuers: &[IssuerId], now_ms: i64) -> bool {
        self.wanted(issuers, now_ms).next().is_some()
    }

    /// The richest payload that somebody there wishes of one of these issuers, at most `limit`.
    pub(crate) fn payload(&self, issuers: &[IssuerId], limit: Payload, now_ms: i64) -> Payload {
        let wished = self.wanted(issuers, now_ms).map(|wish| wish.payload);
        let richest = wished.max_by_key(|payload| richness(*payload)).unwrap_or(Payload::Announce);
        std::cmp::min_by_key(limit, richest, |payload| richness(*payload))
    }

    fn wanted(&self, issuers: &[IssuerId], now_ms: i64) -> impl Iterator<Item = Wish> {
        let ours = issuers.iter().filter(|issuer| self.speaks_for.covers(**issuer));
        ours.flat_map(move |issuer| self.wishes_for(*issuer, now_ms))
    }

    fn wishes_for(&self, issuer: IssuerId, now_ms: i64) -> impl Iterator<Item = Wish> {
        self.living(None, now_ms).chain(self.living(Some(issuer), now_ms))
    }

    fn living(&self, issuer: Option<IssuerId>, now_ms: i64) -> impl Iterator<Item = Wish> {
        let wishes = self.wishes.get(&issuer).into_iter().flat_map(HashMap::values);
        wishes.filter(move |wish| wish.lapses_at_ms > now_ms).copied()
    }

    /// The other domain is reached: what is enforced is to stand there.
    pub(crate) fn opened(&mut self, scopes: impl IntoIterator<Item = ScopeKey>) {
        self.open = true;
        self.assert(scopes);
    }

    /// The other domain is out of reach, and what was under way is cut off.
    pub(crate) fn closed(&mut self) {
        self.open = false;
        self.due.append(&mut self.under_way);
        self.due.append(&mut self.failed);
    }

    /// Makes scopes due, for instance one whose CRL was just applied.
    pub(crate) fn assert(&mut self, scopes: impl IntoIterator<Item = ScopeKey>) {
        self.due.extend(scopes);
    }

    /// Makes due what failed before.
    pub(crate) fn retry(&mut self) {
        self.due.append(&mut self.failed);
    }

    /// The next scope to be carried; [`Outbox::done`] must follow. What nobody there wants is dropped: when somebody
    /// does, everything is asserted. `whose` says who is wished for with a scope: its signer, and other keys of that name.
    pub(crate) fn next(
        &mut self,
        now_ms: i64,
        whose: impl Fn(&ScopeKey) -> Vec<IssuerId>,
    ) -> Option<ScopeKey> {
        if !self.open || self.under_way.len() >= CONCURRENCY {
            return None;
        }
        // What is under way waits for its end: it may be carrying the CRL before.
        while let Some(scope) = self.due.iter().find(|scope| !self.under_way.contains(scope)).copied() {
            self.due.remove(&scope);
            if self.is_wanted(&whose(&scope), now_ms) {
                self.under_way.insert(scope);
                return Some(scope);
            }
        }
        None
    }

    /// A scope was carried.
    pub(crate) fn done(&mut self, scope: ScopeKey, carried: Carried) {
        if self.under_way.remove(&scope) && carried == Carried::Failed {
            self.failed.insert(scope);
        }
    }

    /// How many scopes wait or are under way.
    pub(crate) fn waiting(&self) -> usize {
        self.due.len() + self.under_way.len() + self.failed.len()
    }
}

fn richness(payload: Payload) -> u8 {
    match payload {
        Payload::Announce => 0,
        Payload::Difference => 1,
        Payload::Full => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use revocast_pki::identity::{CrlKind, ScopeId};

    use super::*;

    fn issuer(n: u8) -> IssuerId {
        IssuerId([n; 16])
    }

    fn scope(n: u8) -> ScopeKey {
        (issuer(n), ScopeId([n; 16]), CrlKind::Complete)
    }

    /// Nobody else has the name of a scope's signer.
    fn signer(scope: &ScopeKey) -> Vec<IssuerId> {
        vec![scope.0]
    }

    fn registration(validator: &str, issuer: Option<IssuerId>, lapses_at_ms: i64) -> Registration {
        Registration {
            validator: validator.parse().unwrap(),
            issuer,
            payload: Payload::Full,
            lapses_at_ms,
            locations: Vec::new(),
            responsible: "bridge".parse().unwrap(),
        }
    }

    /// An open outbox in which one validator subscribed to everything until 1,000.
    fn outbox(speaks_for: SpeaksFor) -> Outbox {
        let mut outbox = Outbox::new(speaks_for);
        assert!(outbox.subscribed(&registration("v", None, 1_000), 0));
        outbox.opened([]);
        outbox
    }

    #[test]
    fn nothing_is_carried_that_nobody_there_wants() {
        let mut outbox = Outbox::new(SpeaksFor::All);
        outbox.opened([scope(1), scope(2)]);
        assert_eq!(outbox.next(0, signer), None);
        assert!(outbox.subscribed(&registration("v", Some(issuer(2)), 1_000), 0));
        outbox.assert([scope(1), scope(2)]);
        assert_eq!((outbox.next(0, signer), outbox.next(0, signer)), (Some(scope(2)), None));
    }

    #[test]
    fn who_wants_an_issuer_gets_what_another_key_of_its_name_signed() {
        let mut outbox = Outbox::new(SpeaksFor::Only(vec![issuer(2)]));
        outbox.subscribed(&registration("v", Some(issuer(2)), 1_000), 0);
        outbox.opened([scope(1), scope(3)]);
        // The first has the name of the second.
        let named =
            |scope: &ScopeKey| if scope.0 == issuer(1) { vec![issuer(1), issuer(2)] } else { vec![scope.0] };
        assert_eq!((outbox.next(0, named), outbox.next(0, named)), (Some(scope(1)), None));
        assert_eq!(outbox.payload(&[issuer(1), issuer(2)], Payload::Full, 0), Payload::Full);
        assert_eq!(outbox.payload(&[issuer(1)], Payload::Full, 0), Payload::Announce);
    }

    #[test]
    fn a_lapsed_or_stopped_subscription_ends_the_carrying_unless_another_one_wants_it() {
        let mut outbox = outbox(SpeaksFor::All);
        outbox.subscribed(&registration("w", Some(issuer(1)), 9_000), 0);
        assert!(outbox.is_wanted(&[issuer(2)], 999) && !outbox.is_wanted(&[issuer(2)], 1_000));
        assert!(outbox.is_wanted(&[issuer(1)], 1_000));
        outbox.unsubscribed(Some(issuer(1)), &"w".parse().unwrap());
        assert!(!outbox.is_wanted(&[issuer(1)], 1_000));
        outbox.forget_lapsed(1_000);
        assert_eq!(outbox.subscriptions(), 0);
        // Who comes back is told everything anew; who renews in time is not.
        assert!(outbox.subscribed(&registration("v", None, 2_000), 1_000));
        assert!(!outbox.subscribed(&registration("v", None, 3_000), 1_500));
    }

    #[test]
    fn a_bridge_carries_only_what_it_speaks_for() {
        let mut outbox = outbox(SpeaksFor::Only(vec![issuer(2)]));
        outbox.assert([scope(1), scope(2)]);
        assert_eq!((outbox.next(0, signer), outbox.next(0, signer)), (Some(scope(2)), None));
    }

    #[test]
    fn a_scope_that_changes_while_it_is_carried_is_carried_again_and_never_twice_at_once() {
        let mut outbox = outbox(SpeaksFor::All);
        outbox.assert([scope(1)]);
        assert_eq!(outbox.next(0, signer), Some(scope(1)));
        outbox.assert([scope(1), scope(1)]);
        assert_eq!(outbox.next(0, signer), None);
        outbox.done(scope(1), Carried::Settled);
        assert_eq!(outbox.next(0, signer), Some(scope(1)));
        outbox.done(scope(1), Carried::Settled);
        assert_eq!((outbox.next(0, signer), outbox.waiting()), (None, 0));
    }

    #[test]
    fn what_fails_or_is_cut_off_is_tried_again() {
        let mut outbox = outbox(SpeaksFor::All);
        outbox.assert([scope(1), scope(2)]);
        assert_eq!((outbox.next(0, signer), outbox.next(0, signer)), (Some(scope(1)), Some(scope(2))));
        outbox.done(scope(1), Carried::Failed);
        assert_eq!(outbox.next(0, signer), None);
        outbox.retry();
        assert_eq!(outbox.next(0, signer), Some(scope(1)));
        outbox.closed();
        assert_eq!((outbox.next(0, signer), outbox.waiting()), (None, 2));
        // The end of what was cut off says nothing.
        outbox.done(scope(1), Carried::Settled);
        outbox.opened([scope(3)]);
        let next: Vec<_> = std::iter::from_fn(|| outbox.next(0, signer)).collect();
        assert_eq!(next, [scope(1), scope(2), scope(3)]);
    }

    #[test]
    fn the_richest_wish_counts_below_the_limit_of_the_configuration() {
        let mut outbox = Outbox::new(SpeaksFor::All);
        let wish = |validator: &str, payload| Registration { payload, ..registration(validator, None, 9) };
        outbox.subscribed(&wish("a", Payload::Announce), 0);
        assert_eq!(outbox.payload(&[issuer(1)], Payload::Full, 0), Payload::Announce);
        outbox.subscribed(&wish("b", Payload::Full), 0);
        assert_eq!(outbox.payload(&[issuer(1)], Payload::Full, 0), Payload::Full);
        assert_eq!(outbox.payload(&[issuer(1)], Payload::Difference, 0), Payload::Difference);
    }

    /// Something that happens to an outbox.
    #[derive(Clone, Debug)]
    enum Step {
        Apply(u8),
        Take,
        Finish(Carried),
        Close,
        Open,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let finished = prop_oneof![Just(Carried::Settled), Just(Carried::Failed)];
        let step = prop_oneof![
            (0u8..4).prop_map(Step::Apply),
            Just(Step::Take),
            finished.prop_map(Step::Finish),
            Just(Step::Close),
            Just(Step::Open),
        ];
        proptest::collection::vec(step, 0..60)
    }

    /// An outbox beside what is enforced and what stands in the other domain, as versions of scopes.
    struct World {
        outbox: Outbox,
        enforced: BTreeMap<ScopeKey, u32>,
        standing: BTreeMap<ScopeKey, u32>,
        under_way: Vec<(ScopeKey, u32)>,
    }

    impl World {
        fn happen(&mut self, step: &Step) {
            match step {
                Step::Apply(n) => {
                    *self.enforced.entry(scope(*n)).or_default() += 1;
                    self.outbox.assert([scope(*n)]);
                }
                Step::Take => {
                    let Some(next) = self.outbox.next(0, signer) else { return };
                    assert!(self.under_way.iter().all(|(scope, _)| *scope != next), "twice at once");
                    self.under_way.push((next, self.enforced[&next]));
                }
                Step::Finish(carried) => {
                    let Some((scope, version)) = self.under_way.pop() else { return };
                    if *carried == Carried::Settled {
                        self.standing.insert(scope, version);
                    }
                    self.outbox.done(scope, *carried);
                }
                Step::Close => {
                    self.under_way.clear();
                    self.outbox.closed();
                }
                Step::Open => self.outbox.opened([]),
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_newest_of_every_scope_stands_there_in_the_end(steps in steps()) {
            let mut world = World {
                outbox: outbox(SpeaksFor::All),
                enforced: BTreeMap::new(),
                standing: BTreeMap::new(),
                under_way: Vec::new(),
            };
            for step in &steps {
                world.happen(step);
            }
            world.outbox.opened([]);
            world.outbox.retry();
            while world.outbox.waiting() > 0 {
                world.happen(&Step::Take);
                world.happen(&Step::Finish(Carried::Settled));
            }
            prop_assert_eq!(world.standing, world.enforced);
        }
    }
}
