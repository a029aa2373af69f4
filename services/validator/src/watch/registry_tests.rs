//! Who watches, until when, and what becomes due: events and times in, watches out.

use revocast_messages::{Blob, QuestionOptions};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};
use revocast_pki::path::Graph;
use revocast_pki::revocation::CrlSet;

use super::*;

const VALIDITY: (Time, Time) = (Time::from_unix(0), Time::from_unix(1_000));

fn certificate(subject: &str, issuer: &str) -> Certificate {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let template = CertificateTemplate::new(name(subject).unwrap(), key.spki(), &[1], VALIDITY);
    Certificate::decode(template.sign(&name(issuer).unwrap(), &key).unwrap()).unwrap()
}

fn asked(issuer: &str) -> Arc<Asked> {
    let target = certificate("CN=leaf", issuer);
    Arc::new(Asked { target, offered: Vec::new(), options: QuestionOptions::default() })
}

fn client(text: &str) -> Instance {
    text.parse().unwrap()
}

fn id(n: u8) -> WatchId {
    WatchId([n; 16])
}

/// Everything that is due, in ascending order.
fn due(registry: &mut Registry) -> Vec<WatchId> {
    let mut taken: Vec<WatchId> = std::iter::from_fn(|| registry.take()).map(|(id, _)| id).collect();
    taken.sort_unstable();
    taken
}

/// A registry of two watches, 1 under CN=A and 2 under CN=B, judged valid.
fn two() -> Registry {
    let mut registry = Registry::new(2);
    for (n, issuer) in [(1, "CN=A"), (2, "CN=B")] {
        let asked = asked(issuer);
        registry.register(id(n), &asked, &client("c"), 10_000).unwrap();
        let reach = Reach::of(&asked.target, &Graph::new(), &CrlSet::new());
        registry.judged(id(n), Outcome::Valid, &reach, Some(i64::from(n) * 1_000), || false);
    }
    assert_eq!(due(&mut registry), [id(1), id(2)], "what is watched newly is judged");
    registry
}

fn head(n: u8, outcome: Outcome) -> Head {
    let told = VerdictChanged {
        watch: id(n),
        certificate: CertId([n; 32]),
        policy: "default".into(),
        outcome,
        reason: String::new(),
        before: None,
        evidence: Vec::new(),
        until: None,
        judged_at_ms: 0,
        validator: "v-1".parse().unwrap(),
        seen: Vec::new(),
        known: Vec::new(),
    };
    Head { told: Arc::new(told), sequence: 1, stored_at_ms: 100 }
}

#[test]
fn an_event_makes_due_what_it_concerns_and_nothing_else() {
    let mut registry = two();
    registry.concerned(&name("CN=B").unwrap());
    registry.concerned(&name("CN=B").unwrap());
    registry.concerned(&name("CN=C").unwrap());
    assert_eq!(due(&mut registry), [id(2)]);
    registry.all_are_due();
    assert_eq!(due(&mut registry), [id(1), id(2)]);
}

#[test]
fn what_happens_while_a_watch_is_judged_for_the_first_time_is_looked_at_again() {
    let mut registry = Registry::new(1);
    let asked = asked("CN=A");
    registry.register(id(1), &asked, &client("c"), 10_000).unwrap();
    assert_eq!(due(&mut registry), [id(1)]);
    // A CRL is applied now: the watch is listed under no name yet.
    registry.concerned(&name("CN=A").unwrap());
    assert!(due(&mut registry).is_empty());
    let reach = Reach::of(&asked.target, &Graph::new(), &CrlSet::new());
    registry.judged(id(1), Outcome::Valid, &reach, None, || true);
    assert_eq!(due(&mut registry), [id(1)]);
    // Listed by now, it hears of what concerns it, and is not judged for what does not.
    registry.judged(id(1), Outcome::Valid, &reach, None, || true);
    assert!(due(&mut registry).is_empty());
    let graph: Graph = [certificate("CN=A", "CN=B")].into_iter().collect();
    let above = Reach::of(&asked.target, &graph, &CrlSet::new());
    registry.judged(id(1), Outcome::Valid, &above, None, || true);
    assert_eq!(due(&mut registry), [id(1)], "another name is within its reach");
}

#[test]
fn an_instant_makes_due_what_waited_for_it() {
    let mut registry = two();
    registry.tick(999);
    assert!(due(&mut registry).is_empty());
    registry.tick(1_000);
    assert_eq!(due(&mut registry), [id(1)]);
    registry.later(id(2), 1_500);
    registry.tick(1_500);
    assert_eq!(due(&mut registry), [id(2)]);
}

#[test]
fn a_watch_lives_until_the_last_lease_on_it_lapses_or_is_ended() {
    let mut registry = two();
    let asked = asked("CN=A");
    registry.register(id(1), &asked, &client("d"), 20_000).unwrap();
    assert!(due(&mut registry).is_empty(), "another client costs no judgement");
    registry.leave(id(1), &client("c"));
    registry.tick(10_000);
    assert_eq!(registry.len(), 1);
    registry.register(id(1), &asked, &client("d"), 30_000).unwrap();
    registry.tick(29_999);
    registry.leave(id(1), &client("d"));
    assert_eq!(registry.len(), 0);
    registry.concerned(&name("CN=A").unwrap());
    assert!(due(&mut registry).is_empty());
    assert!(registry.by_name.is_empty() && registry.timers.is_empty(), "nothing is left of it");
}

#[test]
fn beyond_the_limit_nothing_is_taken_and_what_is_there_is_renewed() {
    let mut registry = two();
    let full = registry.register(id(3), &asked("CN=A"), &client("c"), 10_000).unwrap_err();
    assert_eq!(full.to_string(), "2 certificates are watched, and no more are taken");
    registry.register(id(1), &asked("CN=A"), &client("c"), 20_000).unwrap();
    registry.tick(15_000);
    assert_eq!(registry.len(), 1);
}

#[test]
fn a_head_that_is_told_late_takes_no_newer_one_back() {
    let mut registry = two();
    registry.told(Head { sequence: 10, ..head(1, Outcome::Revoked) });
    registry.told(Head { sequence: 9, ..head(1, Outcome::Valid) });
    assert_eq!(registry.head(id(1)).unwrap().told.outcome, Outcome::Revoked);
    // Whoever lost contact with the stream believes what stands there now.
    registry.forget_heads();
    registry.told(Head { sequence: 3, ..head(1, Outcome::Valid) });
    assert_eq!(registry.head(id(1)).unwrap().sequence, 3);
}

#[test]
fn a_head_that_says_otherwise_and_one_that_grows_old_are_looked_at() {
    let mut registry = two();
    registry.told(head(1, Outcome::Valid));
    assert!(due(&mut registry).is_empty());
    registry.told(Head { sequence: 2, ..head(1, Outcome::Revoked) });
    assert_eq!(due(&mut registry), [id(1)]);
    registry.told_before(101, 500);
    assert_eq!(due(&mut registry), [id(1)]);
    registry.forget_heads();
    registry.told_before(101, i64::MAX);
    assert!(due(&mut registry).is_empty() && registry.head(id(1)).is_none());
}

#[test]
fn a_head_that_has_grown_old_and_cannot_be_told_again_is_looked_at_once_an_hour() {
    let mut registry = two();
    registry.told(head(1, Outcome::Valid));
    let mut looks = |now_ms| {
        registry.told_before(101, now_ms);
        due(&mut registry).len()
    };
    let ticks = [1_000, 1_250, 1_000 + OLD_PAUSE_MS - 1, 1_000 + OLD_PAUSE_MS, 1_250 + OLD_PAUSE_MS];
    assert_eq!(ticks.map(&mut looks), [1, 0, 0, 1, 0]);
    // A clock that is set back ends the wait.
    assert_eq!(looks(2_000), 1);
}

#[test]
fn a_head_that_comes_back_from_the_stream_is_as_old_as_its_teller_says() {
    let mut registry = two();
    registry.told(Head { sequence: 2, stored_at_ms: 900, ..head(1, Outcome::Valid) });
    // The broker's clock is behind.
    registry.told(Head { sequence: 2, stored_at_ms: 100, ..head(1, Outcome::Valid) });
    registry.told_before(101, 1_000);
    assert!(due(&mut registry).is_empty());
}

#[test]
fn who_is_behind_for_longer_than_a_fleet_converges_looks_again() {
    let mut registry = two();
    registry.judged(
        id(1),
        Outcome::Revoked,
        &Reach::of(&asked("CN=A").target, &Graph::new(), &CrlSet::new()),
        None,
        || false,
    );
    registry.is_behind(id(1), true, 1_000);
    assert!(!registry.has_waited(id(1), 1_000 + CONVERGED_MS - 1));
    registry.register(id(1), &asked("CN=A"), &client("c"), i64::MAX).unwrap();
    registry.tick(1_000 + CONVERGED_MS);
    assert_eq!(due(&mut registry), [id(1)]);
    assert!(registry.has_waited(id(1), 1_000 + CONVERGED_MS));
    registry.is_behind(id(1), false, 40_000);
    assert!(!registry.has_waited(id(1), i64::MAX));
}

#[test]
fn what_another_client_offers_is_taken_along() {
    let mut registry = two();
    let more = Arc::new(Asked { offered: vec![Blob::from(vec![1])], ..(*asked("CN=A")).clone() });
    registry.register(id(1), &more, &client("d"), 10_000).unwrap();
    let (taken, asked) = registry.take().unwrap();
    assert_eq!((taken, asked.offered.len()), (id(1), 1));
}
