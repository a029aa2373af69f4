//! A day in the life of a CA, and questions about it afterwards. Times are seconds after the beginning.
//!
//! ```text
//!   CRL 1 (10): nothing   CRL 2 (100): serial 5 since 100   CRL 3 (200): serial 5 since 100, serial 6 since 50
//! ```

use revocast_pki::mint::{CrlTemplate, DistributionPointName, DistributionScope, RevokedEntry};

use super::*;
use crate::config::{PolicyConfig, Revocation};
use crate::question::Policies;
use crate::replay::tests::{Ca, NOW, certificate, remembering, runtime, told};
use crate::state::HistoryConfig;

const HOUR: Duration = Duration::from_secs(3_600);

fn kept() -> HistoryConfig {
    HistoryConfig { keep: HOUR, ..HistoryConfig::default() }
}

fn at(seconds: i64) -> Option<Time> {
    Some(NOW.plus(seconds))
}

fn asked(judge: &Judge, leaf: &Certificate, as_of: Option<Time>, as_known_at: Option<Time>) -> Answer {
    let options = QuestionOptions { as_of, as_known_at, ..QuestionOptions::default() };
    let question =
        Question { certificates: vec![leaf.der().clone().into()], intermediates: Vec::new(), options };
    runtime().block_on(judge.answer(question))
}

fn outcome(answer: &Answer) -> (Outcome, &str) {
    assert_eq!(answer.refused, None);
    (answer.judgements[0].outcome, &answer.judgements[0].reason)
}

/// The CA's day, each CRL a second after it was issued.
fn day(root: &Ca) -> [revocast_recording::Recorded; 3] {
    [
        told(11, &root.notice(&root.crl_at(1, 10, []))),
        told(101, &root.notice(&root.crl_at(2, 100, [(5, 100)]))),
        told(201, &root.notice(&root.crl_at(3, 200, [(5, 100), (6, 50)]))),
    ]
}

#[test]
fn what_was_true_then_is_told_apart_from_what_was_known_then() {
    let root = Ca::root("CN=Root");
    let (revoked, dated_back, good) = (root.leaf(5), root.leaf(6), root.leaf(7));
    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    clock.set((NOW.unix() + 300) * 1_000);
    for (leaf, as_of, as_known_at, expected) in [
        (&revoked, None, None, Outcome::Revoked),
        (&revoked, at(60), None, Outcome::Valid),
        (&revoked, at(100), None, Outcome::Revoked),
        (&revoked, at(150), None, Outcome::Revoked),
        (&revoked, None, at(60), Outcome::Valid),
        (&revoked, None, at(150), Outcome::Revoked),
        (&dated_back, at(60), None, Outcome::Revoked),
        (&dated_back, at(40), None, Outcome::Valid),
        (&dated_back, at(60), at(150), Outcome::Valid),
        (&dated_back, None, at(150), Outcome::Valid),
        (&dated_back, at(60), at(250), Outcome::Revoked),
        (&good, at(60), None, Outcome::Valid),
        (&good, at(250), at(260), Outcome::Valid),
        // Nothing was known yet, or nothing was issued yet.
        (&good, None, at(10), Outcome::Indeterminate),
        (&good, at(5), None, Outcome::Indeterminate),
    ] {
        let answer = asked(&judge, leaf, as_of, as_known_at);
        assert_eq!(outcome(&answer).0, expected, "as of {as_of:?}, known at {as_known_at:?}: {answer:?}");
        assert_eq!(answer.past.is_some(), as_of.is_some() || as_known_at.is_some());
    }
}

#[test]
fn an_answer_about_the_past_says_of_which_and_names_the_crl_that_decided() {
    let root = Ca::root("CN=Root");
    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    clock.set((NOW.unix() + 300) * 1_000);
    let answer = asked(&judge, &root.leaf(6), at(60), None);
    assert_eq!(answer.past, Some(Past { as_of: NOW.plus(60), as_known_at: NOW.plus(300) }));
    assert_eq!(
        outcome(&answer).1,
        format!("revoked since {}, as a CRL of {} says", NOW.plus(50), NOW.plus(200))
    );
    let numbers: Vec<_> =
        answer.judgements[0].evidence.iter().map(|found| (found.number, found.age_s)).collect();
    assert_eq!(numbers, [(Some(1.into()), 50), (Some(3.into()), -140)]);
}

#[test]
fn where_the_history_does_not_reach_the_answer_is_indeterminate_and_says_so() {
    let root = Ca::root("CN=Root");
    let leaf = root.leaf(7);
    let (_folder, judge, clock) = remembering(&root, &HistoryConfig::default(), &day(&root));
    clock.set((NOW.unix() + 300) * 1_000);
    let answer = asked(&judge, &leaf, at(60), None);
    assert_eq!(outcome(&answer), (Outcome::Indeterminate, "this validator keeps no history (history.keep)"));
    assert_eq!(outcome(&asked(&judge, &leaf, None, None)).0, Outcome::Valid);

    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    clock.set((NOW.unix() + 3_700) * 1_000);
    let answer = asked(&judge, &leaf, at(99), None);
    let why = format!("the history of this validator reaches back to {} only", NOW.plus(100));
    assert_eq!(outcome(&answer), (Outcome::Indeterminate, &why[..]));
    assert_eq!(outcome(&asked(&judge, &leaf, at(150), None)).0, Outcome::Valid);
}

#[test]
fn the_future_and_what_nobody_could_know_is_refused() {
    let root = Ca::root("CN=Root");
    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    clock.set((NOW.unix() + 300) * 1_000);
    for (as_of, as_known_at) in [(at(301), None), (None, at(301)), (at(200), at(150))] {
        let answer = asked(&judge, &root.leaf(7), as_of, as_known_at);
        assert!(matches!(answer.refused, Some(Refusal::Malformed { .. })), "{answer:?}");
    }
}

#[test]
fn a_certificate_that_was_learned_later_was_not_known_then() {
    let root = Ca::root("CN=Root");
    let ca = Ca::below(&root, "CN=CA");
    let messages = [
        told(11, &root.notice(&root.crl_at(1, 10, []))),
        certificate(50, &ca, &root),
        told(51, &ca.notice(&ca.crl_at(1, 20, []))),
    ];
    let (_folder, judge, clock) = remembering(&root, &kept(), &messages);
    clock.set((NOW.unix() + 300) * 1_000);
    let leaf = ca.leaf(7);
    assert_eq!(outcome(&asked(&judge, &leaf, at(30), None)).0, Outcome::Valid);
    assert_eq!(outcome(&asked(&judge, &leaf, at(30), at(40))).0, Outcome::Invalid);
}

/// A CRL that covers a part of what the CA issued, and lists serial 7 since 50.
fn shard(ca: &Ca, at: i64, part: DistributionScope) -> Crl {
    let subject = ca.certificate.subject().clone();
    let template = CrlTemplate {
        distribution_point: Some(part),
        ..CrlTemplate::new(subject, 9, NOW.plus(at), NOW.plus(at + 3_600))
    };
    Crl::decode(template.sign([RevokedEntry::new(&[7], NOW.plus(50))], &ca.key).unwrap()).unwrap()
}

#[test]
fn what_another_key_or_another_scope_of_the_issuer_says_later_is_not_passed_over() {
    let root = Ca::root("CN=Root");
    let (ca, rolled) = (Ca::below(&root, "CN=CA"), Ca::below(&root, "CN=CA"));
    let users = DistributionScope { only_user_certs: true, ..DistributionScope::default() };
    let elsewhere = DistributionPointName::uri("http://shard-2/");
    let elsewhere = DistributionScope { name: Some(elsewhere), ..DistributionScope::default() };
    let attributes = DistributionScope { only_attribute_certs: true, ..DistributionScope::default() };
    for (later, expected) in [
        (rolled.notice(&rolled.crl_at(1, 200, [(7, 50)])), Outcome::Indeterminate),
        (rolled.notice(&rolled.crl_at(1, 200, [(7, 61)])), Outcome::Valid),
        (ca.notice(&shard(&ca, 200, users.clone())), Outcome::Revoked),
        (rolled.notice(&shard(&rolled, 200, users)), Outcome::Indeterminate),
        (ca.notice(&shard(&ca, 200, elsewhere)), Outcome::Indeterminate),
        (ca.notice(&shard(&ca, 200, attributes)), Outcome::Valid),
    ] {
        let messages = [
            told(11, &root.notice(&root.crl_at(1, 10, []))),
            certificate(12, &ca, &root),
            certificate(13, &rolled, &root),
            told(21, &ca.notice(&ca.crl_at(1, 20, []))),
            told(201, &later),
        ];
        let (_folder, judge, clock) = remembering(&root, &kept(), &messages);
        clock.set((NOW.unix() + 300) * 1_000);
        let leaf = ca.leaf(7);
        let answer = asked(&judge, &leaf, at(60), None);
        assert_eq!(outcome(&answer).0, expected, "{:?}: {answer:?}", later.scope);
        assert_eq!(outcome(&asked(&judge, &leaf, at(60), at(190))).0, Outcome::Valid, "nobody knew yet");
    }
}

#[test]
fn where_nothing_need_be_known_what_is_said_later_counts_all_the_same_unless_nobody_asks() {
    let root = Ca::root("CN=Root");
    let messages = [told(101, &root.notice(&root.crl_at(1, 100, [(7, 50)])))];
    let (folder, mut judge, clock) = remembering(&root, &kept(), &messages);
    clock.set((NOW.unix() + 300) * 1_000);
    for (revocation, expected) in [
        (Revocation::Hard, Outcome::Indeterminate),
        (Revocation::Soft, Outcome::Revoked),
        (Revocation::None, Outcome::Valid),
    ] {
        let anchors = vec![folder.path().join("root.crt")];
        let config = PolicyConfig { anchors, revocation, ..PolicyConfig::default() };
        let configs = [("default".to_owned(), config)].into();
        judge.policies = Arc::new(Policies::read(&configs, "default").unwrap());
        let answer = asked(&judge, &root.leaf(7), at(60), None);
        assert_eq!(outcome(&answer).0, expected, "{revocation:?}: {answer:?}");
        assert_eq!(outcome(&asked(&judge, &root.leaf(8), at(150), None)).0, Outcome::Valid);
    }
}

#[test]
fn what_one_question_reads_is_bounded_in_octets_and_in_time() {
    let root = Ca::root("CN=Root");
    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    let now_ms = (NOW.unix() + 300) * 1_000;
    clock.set(now_ms);
    let instants = Instants::of(&QuestionOptions::default(), now_ms).unwrap();
    let journal = judge.journal.as_ref().unwrap();
    let read = |left: usize, time: Duration| {
        let budget = Budget { until: Instant::now() + time, octets: Cell::new(left) };
        let crls = PastCrls::new(journal, &instants, &budget);
        (crls.by_issuer(root.certificate.subject()).len(), crls.failed.into_inner())
    };
    assert_eq!(read(MAX_OCTETS, HOUR), (3, None));
    let too_much = "more than 512 MiB of CRLs would have to be read";
    assert_eq!(read(1, HOUR), (1, Some(too_much.into())));
    let too_late = "the question's deadline passed before the CRLs of then were read";
    assert_eq!(read(MAX_OCTETS, Duration::ZERO), (0, Some(too_late.into())));
}

#[test]
fn where_not_all_can_be_read_the_answer_is_indeterminate_and_says_so() {
    let root = Ca::root("CN=Root");
    let (_folder, judge, clock) = remembering(&root, &kept(), &day(&root));
    let now_ms = (NOW.unix() + 300) * 1_000;
    clock.set(now_ms);
    let options = QuestionOptions { as_of: at(60), ..QuestionOptions::default() };
    let instants = Instants::of(&options, now_ms).unwrap();
    let (leaf, until) = (root.leaf(7), Instant::now() + HOUR);
    let certificates = vec![leaf.der().clone().into()];
    let question = Question { certificates, intermediates: Vec::new(), options };
    let asked = intake::read(Arc::new(question), &judge.policies, until).unwrap();
    for (octets, expected) in [
        (MAX_OCTETS, (Outcome::Valid, "")),
        // Room for the CRL of then, and none for those that were issued later.
        (1, (Outcome::Indeterminate, "more than 512 MiB of CRLs would have to be read")),
    ] {
        let budget = Budget { until, octets: Cell::new(octets) };
        let crls = PastCrls::new(judge.journal.as_ref().unwrap(), &instants, &budget);
        let judged = judge.judge_one_past(leaf.clone(), &asked, &asked.candidates(), crls, now_ms);
        assert_eq!((judged.outcome, &judged.reason[..]), expected);
    }
}

#[test]
fn questions_about_the_past_and_about_the_present_do_not_wait_for_each_other() {
    let root = Ca::root("CN=Root");
    let (_folder, mut judge, clock) = remembering(&root, &kept(), &day(&root));
    clock.set((NOW.unix() + 300) * 1_000);
    let leaf = root.leaf(7);
    let searching = judge.gate.clone().try_acquire_owned().unwrap();
    assert_eq!(outcome(&asked(&judge, &leaf, at(60), None)).0, Outcome::Valid);
    drop(searching);
    judge.deadline = Duration::from_millis(50);
    let places = u32::try_from(WORKED_ON_AT_ONCE).unwrap();
    let reading = judge.past_gate.clone().try_acquire_many_owned(places).unwrap();
    let refused = asked(&judge, &leaf, at(60), None).refused;
    assert!(matches!(refused, Some(Refusal::Busy { .. })), "{refused:?}");
    drop(reading);
}
