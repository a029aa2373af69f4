//! Laws of the algebra: whatever the order of tellers and laggards, the head ends the same, and never goes back.

use proptest::prelude::*;
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, IssuerId, ScopeId, WatchId};

use super::*;

fn crl(scope: u8, number: u64) -> Seen {
    let mut id = [scope; 32];
    id[1] = number as u8;
    Seen {
        issuer: IssuerId([scope; 16]),
        scope: ScopeId([scope; 16]),
        kind: CrlKind::Complete,
        number: Some(CrlNumber::from(number)),
        this_update: Time::from_unix(number as i64),
        crl_id: CrlId(id),
    }
}

fn head(outcome: Outcome, seen: Vec<Seen>) -> VerdictChanged {
    VerdictChanged {
        watch: WatchId([1; 16]),
        certificate: CertId([2; 32]),
        policy: "default".into(),
        outcome,
        reason: String::new(),
        before: None,
        evidence: Vec::new(),
        until: None,
        judged_at_ms: 0,
        validator: "v-1".parse().unwrap(),
        seen,
        known: Vec::new(),
    }
}

fn ours(outcome: Outcome, seen: Vec<Seen>) -> Ours {
    Ours { outcome, seen, known: BTreeSet::new(), waited: false }
}

const NOW: Time = Time::from_unix(1_000);

#[test]
fn a_laggard_takes_back_nothing() {
    let told = head(Outcome::Revoked, vec![crl(1, 2)]);
    assert_eq!(decide(Some(&told), &ours(Outcome::Valid, vec![crl(1, 1)]), NOW), Err(Silence::Behind));
    // Not even if it waits.
    let patient = Ours { waited: true, ..ours(Outcome::Valid, vec![crl(1, 1)]) };
    assert_eq!(decide(Some(&told), &patient, NOW), Err(Silence::Behind));
    // Newer in one scope and older in another is behind, too.
    let mixed = ours(Outcome::Valid, vec![crl(1, 1), crl(2, 9)]);
    assert_eq!(decide(Some(&told), &mixed, NOW), Err(Silence::Behind));
}

#[test]
fn a_newer_crl_changes_what_was_told_in_either_direction() {
    let held = head(Outcome::Revoked, vec![crl(1, 2)]);
    assert_eq!(decide(Some(&held), &ours(Outcome::Valid, vec![crl(1, 3)]), NOW), Ok(Why::NewerCrl));
    let good = head(Outcome::Valid, vec![crl(1, 2)]);
    assert_eq!(decide(Some(&good), &ours(Outcome::Revoked, vec![crl(1, 3)]), NOW), Ok(Why::NewerCrl));
    assert_eq!(decide(Some(&good), &ours(Outcome::Valid, vec![crl(1, 3)]), NOW), Err(Silence::Same));
}

#[test]
fn at_equal_evidence_revoked_beats_good_and_only_time_changes_the_rest() {
    let seen = vec![crl(1, 2)];
    let good = VerdictChanged { until: Some(NOW), ..head(Outcome::Valid, seen.clone()) };
    assert_eq!(decide(Some(&good), &ours(Outcome::Revoked, seen.clone()), NOW), Ok(Why::Revoked));
    let stale = ours(Outcome::Indeterminate, seen.clone());
    assert_eq!(decide(Some(&good), &stale, NOW), Err(Silence::Equal));
    assert_eq!(decide(Some(&good), &stale, NOW.plus(1)), Ok(Why::TimePassed));
    // A validator whose clock is slow does not take the expiry back.
    let expired = head(Outcome::Invalid, seen.clone());
    assert_eq!(decide(Some(&expired), &ours(Outcome::Valid, seen), NOW), Err(Silence::Equal));
}

#[test]
fn a_newer_certificate_is_newer_evidence_and_not_knowing_one_is_being_behind() {
    let (one, two) = (CertId([1; 32]), CertId([2; 32]));
    let seen = vec![crl(1, 2)];
    let of_one = VerdictChanged { known: vec![one], ..head(Outcome::Revoked, seen.clone()) };
    let of_both = VerdictChanged { known: vec![one, two], ..head(Outcome::Valid, seen.clone()) };
    let knows = |outcome, known: &[CertId]| Ours {
        known: known.iter().copied().collect(),
        ..ours(outcome, seen.clone())
    };
    assert_eq!(decide(Some(&of_one), &knows(Outcome::Valid, &[one, two]), NOW), Ok(Why::NewerCertificate));
    assert_eq!(decide(Some(&of_both), &knows(Outcome::Revoked, &[one]), NOW), Err(Silence::Behind));
}

#[test]
fn a_crl_that_nobody_can_have_hides_a_revocation_only_for_a_while() {
    let lie = head(Outcome::Valid, vec![crl(1, 200)]);
    let revoked = ours(Outcome::Revoked, vec![crl(1, 2)]);
    assert_eq!(decide(Some(&lie), &revoked, NOW), Err(Silence::Behind));
    let waited = Ours { waited: true, ..revoked };
    assert_eq!(decide(Some(&lie), &waited, NOW), Ok(Why::Unconfirmed));
    assert_eq!(carried(Some(&lie), &waited.seen, Why::Unconfirmed), [crl(1, 2)]);
}

#[test]
fn two_crls_of_one_number_are_both_carried() {
    let other = Seen { crl_id: CrlId([9; 32]), ..crl(1, 2) };
    assert_eq!(join(&[crl(1, 2)], &[other, crl(1, 1)]).len(), 2);
    // Who has only one of them is behind who has both.
    let both = head(Outcome::Revoked, vec![crl(1, 2), other]);
    assert_eq!(decide(Some(&both), &ours(Outcome::Valid, vec![crl(1, 2)]), NOW), Err(Silence::Behind));
}

/// Scopes, and CRLs in each, of a small world.
const SCOPES: usize = 3;
const NEWEST: usize = 5;

/// What the CAs said: for each scope and number, whether the certificate is on that CRL.
type World = [[bool; NEWEST + 1]; SCOPES];

/// One validator: the number that it enforces in each scope; 0 is none.
#[derive(Clone, Debug, Default)]
struct Validator([usize; SCOPES]);

impl Validator {
    fn judge(&self, world: &World) -> Ours {
        let held = || (0..SCOPES).filter(|scope| self.0[*scope] > 0);
        let outcome = if held().any(|scope| world[scope][self.0[scope]]) {
            Outcome::Revoked
        } else if held().count() == SCOPES {
            Outcome::Valid
        } else {
            Outcome::Indeterminate
        };
        ours(outcome, held().map(|scope| crl(scope as u8, self.0[scope] as u64)).collect())
    }
}

/// A stream's head under compare-and-set.
#[derive(Default)]
struct Stream {
    head: Option<VerdictChanged>,
    sequence: u64,
    told: u64,
}

impl Stream {
    /// A validator tells, on the ground of the head that it read at `read`; `false` if that is not the head any more.
    fn tell(&mut self, ours: &Ours, read: &(u64, Option<VerdictChanged>)) -> bool {
        let Ok(why) = decide(read.1.as_ref(), ours, NOW) else { return true };
        if read.0 != self.sequence {
            return false;
        }
        let seen = carried(self.head.as_ref(), &ours.seen, why);
        for before in self.head.iter().flat_map(|head| &head.seen) {
            assert!(seen.iter().any(|after| covers(after, before)), "the evidence went back");
        }
        self.head = Some(head(ours.outcome, seen));
        self.sequence += 1;
        self.told += 1;
        true
    }

    fn read(&self) -> (u64, Option<VerdictChanged>) {
        (self.sequence, self.head.clone())
    }

    /// Until it is told or need not be.
    fn tell_until_done(&mut self, validator: &Validator, world: &World) {
        let ours = validator.judge(world);
        assert!(self.tell(&ours, &self.read()));
    }
}

/// What happens: a validator applies the next CRL of a scope, reads the head, or tells on the ground of what it read last.
#[derive(Clone, Copy, Debug)]
enum Step {
    Apply(usize, usize),
    Read(usize),
    Tell(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0usize..3, 0..SCOPES).prop_map(|(who, scope)| Step::Apply(who, scope)),
        1 => (0usize..3).prop_map(Step::Read),
        2 => (0usize..3).prop_map(Step::Tell),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn whatever_the_order_of_tellers_and_laggards_the_head_ends_the_same_and_never_goes_back(
        world in proptest::array::uniform3(proptest::array::uniform6(any::<bool>())),
        steps in steps(),
        last in 0usize..3,
    ) {
        let mut validators = [Validator::default(), Validator::default(), Validator::default()];
        let mut read: [(u64, Option<VerdictChanged>); 3] = Default::default();
        let mut stream = Stream::default();
        for step in steps {
            match step {
                Step::Apply(who, scope) => {
                    validators[who].0[scope] = (validators[who].0[scope] + 1).min(NEWEST);
                }
                Step::Read(who) => read[who] = stream.read(),
                Step::Tell(who) => {
                    let ours = validators[who].judge(&world);
                    if !stream.tell(&ours, &read[who]) {
                        read[who] = stream.read();
                    }
                }
            }
        }
        // One of them comes to enforce the newest of everything; the laggards stay where they are, and shout.
        validators[last] = Validator([NEWEST; SCOPES]);
        let truth = validators[last].judge(&world).outcome;
        for who in [last, 0, 1, 2, last] {
            stream.tell_until_done(&validators[who], &world);
        }
        prop_assert_eq!(stream.head.as_ref().map(|head| head.outcome), Some(truth));
        let told = stream.told;
        for who in [0, 1, 2] {
            stream.tell_until_done(&validators[who], &world);
        }
        prop_assert_eq!(stream.told, told, "nothing is told without news");
    }

    #[test]
    fn what_was_seen_is_joined_in_any_order(
        a in proptest::collection::vec((0u8..3, 0u64..6), 0..8),
        b in proptest::collection::vec((0u8..3, 0u64..6), 0..8),
        c in proptest::collection::vec((0u8..3, 0u64..6), 0..8),
    ) {
        let of = |pairs: &[(u8, u64)]| pairs.iter().map(|(scope, number)| crl(*scope, *number)).collect::<Vec<_>>();
        let (a, b, c) = (of(&a), of(&b), of(&c));
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        let both = join(&a, &b);
        prop_assert_eq!(join(&both, &both), both);
    }
}
