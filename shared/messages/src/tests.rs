//! The wire: golden octets field by field, and what must be refused.

use std::fmt::Debug;

use proptest::prelude::*;
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::identity::{
    CertId, CrlId, CrlKind, CrlNumber, Digest, IssuerId, PolicyId, ScopeId, WatchId,
};
use revocast_pki::mint::{
    CertificateTemplate, CrlTemplate, KeyKind, RevokedEntry as MintedEntry, SigningKey, key_id, name,
};

use super::*;
use crate::subjects::Subject;

fn origin(role: Role) -> Origin {
    Origin { role, instance: "ca-1".parse().unwrap(), seen_at_ms: 1_000 }
}

fn notice() -> CrlNotice {
    CrlNotice {
        issuer: IssuerId([0x11; 16]),
        issuer_name: vec![0x30, 0x00].into(),
        scope: ScopeId([0x22; 16]),
        kind: CrlKind::Complete,
        number: Some(CrlNumber::from(7)),
        base_number: None,
        this_update: Time::from_unix(1_795_305_600),
        next_update: Some(Time::from_unix(1_795_309_200)),
        crl_id: CrlId([0x33; 32]),
        digest: Digest([0x44; 32]),
        size_bytes: 500,
        entries: 3,
        origin: origin(Role::Authority),
        locations: vec!["http://a/".into()],
        crl: None,
        difference: Some(NoticeDifference { base: CrlId([0x55; 32]), bytes: vec![0xaa].into() }),
        newly_revoked: vec![RevokedEntry { serial: vec![0x05].into(), reason: 1, date: Time::from_unix(1) }],
    }
}

fn golden<M: Message + PartialEq + Debug>(message: &M, fields: &[&str]) {
    let encoded = encode(message).unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&encoded), fields.concat(), "{}", M::NAME);
    assert_eq!(&decode::<M>(&encoded).unwrap(), message);
    let json = codec::to_json(message).unwrap();
    assert_eq!(&codec::from_json::<M>(&json).unwrap(), message);
}

#[test]
fn a_crl_notice_is_golden() {
    golden(
        &notice(),
        &[
            "01",                                                                 // version
            "11111111111111111111111111111111",                                   // issuer
            "023000",                                                             // issuer_name
            "22222222222222222222222222222222",                                   // scope
            "00",                                                                 // kind: complete
            "01",                                                                 // number: some
            "0000000000000000000000000000000000000007",                           // number
            "00",                                                                 // base_number: none
            "fc006104d6",                                                         // this_update
            "01fc207d04d6",                                                       // next_update
            "3333333333333333333333333333333333333333333333333333333333333333",   // crl_id
            "4444444444444444444444444444444444444444444444444444444444444444",   // digest
            "fbf401",                                                             // size_bytes
            "03",                                                                 // entries
            "00",                                                                 // origin: authority
            "0463612d31",                                                         // origin: ca-1
            "fbd007",                                                             // origin: seen_at_ms
            "0109687474703a2f2f612f",                                             // locations
            "00",                                                                 // crl: none
            "015555555555555555555555555555555555555555555555555555555555555555", // difference: base
            "01aa",                                                               // difference: bytes
            "01",                                                                 // newly_revoked: one
            "0105",                                                               // serial
            "01",                                                                 // reason
            "02",                                                                 // date
        ],
    );
}

#[test]
fn a_certificate_notice_and_a_heartbeat_are_golden() {
    let certificate = CertificateNotice {
        issuer: IssuerId([0x11; 16]),
        certificate: vec![0x30, 0x00].into(),
        origin: origin(Role::Repository),
        locations: Vec::new(),
    };
    golden(
        &certificate,
        &[
            "01",                               // version
            "11111111111111111111111111111111", // issuer
            "023000",                           // certificate
            "01",                               // origin: repository
            "0463612d31",                       // origin: ca-1
            "fbd007",                           // origin: seen_at_ms
            "00",                               // locations
        ],
    );
    let heartbeat = Heartbeat { origin: origin(Role::Watcher), interval_s: 10 };
    golden(&heartbeat, &["01", "02", "0463612d31", "fbd007", "0a"]);
}

#[test]
fn subscriptions_and_their_answers_are_golden() {
    let request = SubscriptionRequest {
        validator: "v-1".parse().unwrap(),
        issuer: Some(IssuerId([0x11; 16])),
        interest: Interest::Start { payload: Payload::Full, lease_s: 60 },
        locations: Vec::new(),
    };
    golden(
        &request,
        &[
            "01",                                 // version
            "03762d31",                           // validator
            "0111111111111111111111111111111111", // issuer
            "00",                                 // start
            "02",                                 // full
            "3c",                                 // lease_s
            "00",                                 // locations
        ],
    );
    let stop = SubscriptionRequest { issuer: None, interest: Interest::Stop, ..request };
    golden(&stop, &["01", "03762d31", "00", "01", "00"]);
    let accepted = SubscriptionAnswer::Accepted {
        role: Role::Authority,
        instance: "ca-1".parse().unwrap(),
        scopes: vec![ScopeState {
            issuer: IssuerId([0x11; 16]),
            scope: ScopeId([0x22; 16]),
            kind: CrlKind::Delta,
            number: None,
        }],
    };
    golden(
        &accepted,
        &[
            "01",                               // version
            "00",                               // accepted
            "00",                               // authority
            "0463612d31",                       // ca-1
            "01",                               // one scope
            "11111111111111111111111111111111", // issuer
            "22222222222222222222222222222222", // scope
            "01",                               // delta
            "00",                               // no number
        ],
    );
    golden(&SubscriptionAnswer::Refused { why: "no".into() }, &["01", "02", "026e6f"]);
}

#[test]
fn a_registration_is_golden() {
    let registration = Registration {
        validator: "v-1".parse().unwrap(),
        issuer: None,
        payload: Payload::Announce,
        lapses_at_ms: 1_000,
        locations: vec!["x".into()],
        responsible: "ca-1".parse().unwrap(),
    };
    golden(&registration, &["01", "03762d31", "00", "00", "fbd007", "010178", "0463612d31"]);
    assert_eq!(registration.key(), "all.v-1");
}

#[test]
fn a_receipt_and_a_path_share_are_golden() {
    let receipt = Receipt {
        validator: "v-1".parse().unwrap(),
        issuer: IssuerId([0x11; 16]),
        scope: ScopeId([0x22; 16]),
        kind: CrlKind::Complete,
        number: None,
        crl_id: CrlId([0x33; 32]),
        applied_at_ms: 1_000,
        source: Source::Difference,
        took_us: 250,
    };
    golden(
        &receipt,
        &[
            "01",                                                               // version
            "03762d31",                                                         // validator
            "11111111111111111111111111111111",                                 // issuer
            "22222222222222222222222222222222",                                 // scope
            "00",                                                               // complete
            "00",                                                               // no number
            "3333333333333333333333333333333333333333333333333333333333333333", // crl_id
            "fbd007",                                                           // applied_at_ms
            "01",                                                               // difference
            "fa",                                                               // took_us
        ],
    );
    let share = PathShare {
        validator: "v-1".parse().unwrap(),
        policy: PolicyId([0x66; 16]),
        target: CertId([0x77; 32]),
        certificates: vec![PathElement::Der(vec![0x30, 0x00].into()), PathElement::Id(CertId([0x88; 32]))],
        valid_until: Time::from_unix(0),
    };
    golden(
        &share,
        &[
            "02",                                                               // version
            "03762d31",                                                         // validator
            "66666666666666666666666666666666",                                 // policy
            "7777777777777777777777777777777777777777777777777777777777777777", // target
            "02",                                                               // two certificates
            "00023000",                                                         // the first: DER
            "01",                                                               // the second: an identity
            "8888888888888888888888888888888888888888888888888888888888888888", // identity
            "00",                                                               // valid_until
        ],
    );
}

#[test]
fn a_path_share_agrees_with_its_subject_and_begins_with_its_target() {
    let target = PathElement::Der(vec![0x30, 0x00].into());
    let share = |certificates: Vec<PathElement>| PathShare {
        validator: "v-1".parse().unwrap(),
        policy: PolicyId([0x66; 16]),
        target: target.id(),
        certificates,
        valid_until: Time::from_unix(0),
    };
    let (issuer, sound) = (PathElement::Id(CertId([0x88; 32])), share(vec![target.clone()]));
    let subject = sound.subject();
    assert_eq!(sound.agrees_with(&subject), Ok(()));
    assert_eq!(share(vec![target.clone(), issuer.clone()]).agrees_with(&subject), Ok(()));
    let many = |n: u8| (0..n).map(|n| PathElement::Id(CertId([n; 32])));
    let long = |n| share(std::iter::once(target.clone()).chain(many(n)).collect());
    assert_eq!(long(31).agrees_with(&subject), Ok(()));
    for wrong in [
        PathShare { validator: "v-2".parse().unwrap(), ..sound.clone() },
        PathShare { policy: PolicyId([0x67; 16]), ..sound.clone() },
        PathShare { target: CertId([0x77; 32]), ..sound.clone() },
        share(Vec::new()),
        share(vec![issuer.clone(), target.clone()]),
        share(vec![target.clone(), issuer.clone(), issuer]),
        long(32),
    ] {
        assert!(wrong.agrees_with(&subject).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_question_and_an_answer_are_golden() {
    let question = Question {
        certificates: vec![vec![0x30, 0x00].into()],
        intermediates: Vec::new(),
        options: QuestionOptions {
            dns: Some("a".into()),
            explain: true,
            as_of: Some(Time::from_unix(1)),
            ..QuestionOptions::default()
        },
    };
    golden(
        &question,
        &[
            "01",       // version
            "01023000", // certificates
            "00",       // intermediates
            "00",       // policy
            "010161",   // dns
            "00",       // eku
            "01",       // explain
            "0102",     // as_of
            "00",       // as_known_at
        ],
    );
    let answer = Answer {
        validator: "v-1".parse().unwrap(),
        policy: "default".into(),
        judged_at_ms: 0,
        freshness_s: Some(1),
        judgements: vec![Judgement {
            certificate: CertId([0x77; 32]),
            outcome: Outcome::Revoked,
            reason: "r".into(),
            path: Vec::new(),
            evidence: Vec::new(),
            explanation: None,
        }],
        refused: Some(Refusal::Busy { why: "b".into() }),
        past: Some(Past { as_of: Time::from_unix(1), as_known_at: Time::from_unix(2) }),
    };
    golden(
        &answer,
        &[
            "01",                                                               // version
            "03762d31",                                                         // validator
            "0764656661756c74",                                                 // policy
            "00",                                                               // judged_at_ms
            "0101",                                                             // freshness_s
            "01",                                                               // one judgement
            "7777777777777777777777777777777777777777777777777777777777777777", // certificate
            "01",                                                               // revoked
            "0172",                                                             // reason
            "00",                                                               // path
            "00",                                                               // evidence
            "00",                                                               // explanation
            "01",                                                               // refused: some
            "01",                                                               // busy
            "0162",                                                             // why
            "010204",                                                           // past: as_of, as_known_at
        ],
    );
}

fn change() -> VerdictChanged {
    VerdictChanged {
        watch: WatchId([0x11; 16]),
        certificate: CertId([0x77; 32]),
        policy: "default".into(),
        outcome: Outcome::Revoked,
        reason: "r".into(),
        before: Some(Outcome::Valid),
        evidence: Vec::new(),
        until: Some(Time::from_unix(1)),
        judged_at_ms: 1_000,
        validator: "v-1".parse().unwrap(),
        seen: vec![Seen {
            issuer: IssuerId([0x22; 16]),
            scope: ScopeId([0x33; 16]),
            kind: CrlKind::Complete,
            number: None,
            this_update: Time::from_unix(1),
            crl_id: CrlId([0x44; 32]),
        }],
        known: vec![CertId([0x55; 32])],
    }
}

/// [`change`], without the version.
const CHANGE: [&str; 15] = [
    "11111111111111111111111111111111",                                 // watch
    "7777777777777777777777777777777777777777777777777777777777777777", // certificate
    "0764656661756c74",                                                 // policy
    "01",                                                               // revoked
    "0172",                                                             // reason
    "0100",                                                             // before: valid
    "00",                                                               // evidence
    "0102",                                                             // until
    "fbd007",                                                           // judged_at_ms
    "03762d31",                                                         // validator
    "0122222222222222222222222222222222",                               // seen: one, issuer
    "33333333333333333333333333333333",                                 // scope
    "000002",                                                           // complete, no number, this_update
    "4444444444444444444444444444444444444444444444444444444444444444", // crl_id
    "015555555555555555555555555555555555555555555555555555555555555555", // known
];

#[test]
fn a_watch_and_what_is_told_of_it_are_golden() {
    let request = WatchRequest {
        client: "c-1".parse().unwrap(),
        certificate: vec![0x30, 0x00].into(),
        intermediates: Vec::new(),
        options: QuestionOptions::default(),
        interest: WatchInterest::Start { lease_s: 60 },
    };
    golden(
        &request,
        &[
            "01",           // version
            "03632d31",     // client
            "023000",       // certificate
            "00",           // intermediates
            "000000000000", // options
            "00",           // start
            "3c",           // lease_s
        ],
    );
    let stop = WatchRequest { interest: WatchInterest::Stop, ..request.clone() };
    golden(&stop, &["01", "03632d31", "023000", "00", "000000000000", "01"]);
    let registration = WatchRegistration {
        client: request.client,
        certificate: request.certificate,
        intermediates: request.intermediates,
        options: request.options,
        lapses_at_ms: 1_000,
        validator: "v-1".parse().unwrap(),
    };
    golden(&registration, &["01", "03632d31", "023000", "00", "000000000000", "fbd007", "03762d31"]);
    golden(&change(), &[&["01"], &CHANGE[..]].concat());
    let accepted = WatchAnswer::Accepted {
        watch: WatchId([0x66; 16]),
        lease_s: 60,
        verdict: Box::new(change()),
        sequence: 5,
    };
    let before = ["01", "00", "66666666666666666666666666666666", "3c"];
    golden(&accepted, &[&before[..], &CHANGE, &["05"]].concat());
    golden(&WatchAnswer::Stopped, &["01", "01"]);
    golden(&WatchAnswer::Refused(Refusal::Busy { why: "b".into() }), &["01", "02", "01", "0162"]);
}

#[test]
fn the_largest_telling_fits_into_its_bound() {
    let seen = change().seen[0];
    let seen = Seen { number: Some(CrlNumber::from(u64::MAX)), this_update: Time::MAX, ..seen };
    let largest = VerdictChanged {
        seen: vec![seen; VerdictChanged::MAX_SEEN],
        known: vec![CertId([0x55; 32]); VerdictChanged::MAX_KNOWN],
        reason: "r".repeat(1_024),
        ..change()
    };
    // Room is left for the evidence of the deepest path, four CRLs for each certificate.
    let evidence = 32 * 4 * 180;
    assert!(encode(&largest).unwrap().len() + evidence < VerdictChanged::MAX_BYTES);
}

#[test]
fn a_search_and_its_answer_are_golden() {
    let (name, octets) = (Blob::from(vec![0x30, 0x00]), Blob::from(vec![0x01, 0x02]));
    let search = |by| SearchRequest { by };
    let id = "7777777777777777777777777777777777777777777777777777777777777777";
    golden(&search(SearchBy::Certificate(CertId([0x77; 32]))), &["01", "00", id]);
    golden(
        &search(SearchBy::Subject { name: name.clone(), key_id: Some(octets.clone()) }),
        &[
            "01",       // version
            "01",       // by subject
            "023000",   // name
            "01020102", // key identifier: some
        ],
    );
    let by = SearchBy::IssuerAndSerial { issuer: name.clone(), serial: octets.clone() };
    golden(&search(by), &["01", "02", "023000", "020102"]);
    golden(&search(SearchBy::KeyId(octets)), &["01", "03", "020102"]);
    let answer = SearchAnswer { repository: "r-1".parse().unwrap(), certificates: vec![name], more: true };
    golden(
        &answer,
        &[
            "01",       // version
            "03722d31", // repository
            "01023000", // certificates
            "01",       // more
        ],
    );
}

#[test]
fn an_acquisition_and_its_answer_are_golden() {
    let request =
        |from| AcquireRequest { from, intermediates: Vec::new(), options: QuestionOptions::default() };
    golden(
        &request(AcquireFrom::Url("u".into())),
        &[
            "01",           // version
            "00",           // from a URL
            "0175",         // the URL
            "00",           // intermediates
            "000000000000", // options
        ],
    );
    let search = SearchBy::KeyId(vec![0x01].into());
    golden(&request(AcquireFrom::Search(search)), &["01", "01", "03", "0101", "00", "000000000000"]);
    let answer = AcquireAnswer {
        validator: "v-1".parse().unwrap(),
        source: Some("known".into()),
        certificate: Some(vec![0x30, 0x00].into()),
        answer: None,
        refused: Some(AcquireRefusal::Absent { why: "a".into() }),
    };
    golden(
        &answer,
        &[
            "01",             // version
            "03762d31",       // validator
            "01056b6e6f776e", // source: some
            "01023000",       // certificate: some
            "00",             // no answer
            "01",             // refused: some
            "02",             // absent
            "0161",           // why
        ],
    );
}

#[test]
fn a_search_in_json_names_what_is_looked_for_and_its_fields_are_bounded() {
    let read = |json: &str| codec::from_json::<SearchRequest>(json.as_bytes());
    let by_subject = read(r#"{"by": {"subject": {"name": "MAA="}}}"#).unwrap().by;
    assert_eq!(by_subject.read(), Ok(Wanted::Subject(name("").unwrap(), None)));
    assert!(read(r#"{"by": {"subject": {"name": "MAA=", "key": "AA=="}}}"#).is_err());
    assert!(read(r#"{"by": {"colour": "AA=="}}"#).is_err());
    let not_a_name = SearchBy::Subject { name: vec![0x31, 0x00].into(), key_id: None };
    assert!(matches!(not_a_name.read(), Err(NotASearch::Name(_))));
    let endless = SearchBy::KeyId(vec![0; 257].into());
    assert!(matches!(endless.read(), Err(NotASearch::TooLong { limit: 256, .. })));
}

#[test]
fn what_is_found_is_held_against_what_was_looked_for() {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let (subject, issuer) = (name("CN=Leaf,O=Example").unwrap(), name("CN=CA,O=Example").unwrap());
    let validity = (Time::from_unix(0), Time::from_unix(9));
    let template = CertificateTemplate::new(subject, key.spki(), &[0x00, 0x81], validity);
    let certificate = Certificate::decode(template.sign(&issuer, &key).unwrap()).unwrap();
    let der = |text: &str| Blob(name(text).unwrap().der().clone());
    let key_id = Blob::from(key_id(key.spki()).as_slice());
    let serial = |octets: &[u8]| Blob::from(octets);
    for (by, fits) in [
        (SearchBy::Certificate(certificate.id()), true),
        (SearchBy::Certificate(CertId([0; 32])), false),
        // Case and spaces do not tell names apart.
        (SearchBy::Subject { name: der("CN=leaf,O=EXAMPLE"), key_id: None }, true),
        (SearchBy::Subject { name: der("CN=CA,O=Example"), key_id: Some(key_id.clone()) }, false),
        (SearchBy::IssuerAndSerial { issuer: der("CN=CA,O=Example"), serial: serial(&[0x00, 0x81]) }, true),
        (
            SearchBy::IssuerAndSerial { issuer: der("CN=CA,O=Example"), serial: serial(&[0x00, 0x00, 0x81]) },
            true,
        ),
        (SearchBy::IssuerAndSerial { issuer: der("CN=CA,O=Example"), serial: serial(&[0x81]) }, false),
        (
            SearchBy::IssuerAndSerial { issuer: der("CN=Leaf,O=Example"), serial: serial(&[0x00, 0x81]) },
            false,
        ),
        (SearchBy::KeyId(key_id), true),
        (SearchBy::KeyId(vec![1].into()), false),
    ] {
        assert_eq!(by.read().unwrap().fits(&certificate), fits, "{by:?}");
    }
}

#[test]
fn versions_lengths_and_leftovers_are_judged() {
    let mut encoded = encode(&notice()).unwrap();
    assert!(matches!(decode::<CrlNotice>(&[]), Err(DecodeError::Empty { .. })));
    let larger = vec![1; CrlNotice::MAX_BYTES + 1];
    assert!(matches!(decode::<CrlNotice>(&larger), Err(DecodeError::TooLarge { .. })));
    encoded.push(0);
    assert!(matches!(decode::<CrlNotice>(&encoded), Err(DecodeError::Malformed { .. })));
    encoded.pop();
    encoded[0] = 2;
    let refused = decode::<CrlNotice>(&encoded).unwrap_err();
    assert_eq!(refused.to_string(), "CRL notice has version 2; this release reads version 1");
}

#[test]
fn a_length_that_promises_more_than_there_is_allocates_nothing_and_fails() {
    let mut bomb = vec![1];
    bomb.extend([0x11; 16]);
    bomb.extend([0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(decode::<CrlNotice>(&bomb), Err(DecodeError::Malformed { .. })));
}

fn minted(entries: u8) -> Crl {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    let at = Time::from_unix(1_795_305_600);
    let template = CrlTemplate::new(name("CN=Sub CA,O=Example").unwrap(), 9, at, at.plus(3_600));
    let entries = (1..=entries).map(|n| MintedEntry::new(&[n], at).because(Reason::KeyCompromise));
    Crl::decode(template.sign(entries, &key).unwrap()).unwrap()
}

#[test]
fn a_notice_of_a_crl_says_what_the_crl_says_and_agrees_with_its_subject_and_headers() {
    let crl = minted(2);
    let issuer = IssuerId([1; 16]);
    let notice = CrlNotice::of(&crl, issuer, origin(Role::Authority));
    assert_eq!(notice.order(), crl.order());
    assert_eq!((notice.entries, notice.crl.as_deref()), (2, Some(&crl.der()[..])));
    let headers = notice.headers();
    let line =
        |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    assert_eq!(line(headers::ISSUER), Some("CN=Sub CA,O=Example"));
    assert_eq!(line(headers::NUMBER), Some("9"));
    let subject = notice.subject();
    assert_eq!(notice.agrees_with(&subject, line), Ok(()));
    let other = Subject::CrlNotice { class: Role::Watcher, issuer, scope: notice.scope, kind: notice.kind };
    assert_eq!(notice.agrees_with(&other, line).unwrap_err().place, "subject");
    for lying in [headers::NUMBER, headers::SCOPE, headers::ISSUER, headers::KIND, headers::THIS_UPDATE] {
        let lie = |name: &str| if name == lying { Some("lie") } else { line(name) };
        assert_eq!(notice.agrees_with(&subject, lie).unwrap_err().place, "header", "{lying}");
    }
}

#[test]
fn a_question_in_json_may_leave_out_what_it_does_not_narrow_but_not_misspell_it() {
    let question: Question = codec::from_json(br#"{"certificates": ["MAA="]}"#).unwrap();
    assert_eq!(question.certificates[0][..], [0x30, 0x00]);
    assert!(codec::from_json::<Question>(br#"{"certificates": [], "option": {}}"#).is_err());
    let at = |text: &str| {
        let json = format!(r#"{{"certificates": [], "options": {{"as_of": {text}}}}}"#);
        codec::from_json::<Question>(json.as_bytes()).map(|question| question.options.as_of)
    };
    for same in ["1795305600", r#""1795305600""#, r#""2026-11-22T00:00:00Z""#] {
        assert_eq!(at(same).unwrap(), Some(Time::from_unix(1_795_305_600)), "{same}");
    }
    assert!(at(r#""yesterday""#).is_err());
    assert!(codec::from_json::<Question>(br#"{"certificates": [], "options": {"dsn": "x"}}"#).is_err());
}

fn answers() -> impl Strategy<Value = Answer> {
    let judgements = proptest::collection::vec(judgements(), 0..3);
    let refused = proptest::option::of(any::<String>().prop_map(|why| Refusal::Busy { why }));
    let past = proptest::option::of(times().prop_map(|at| Past { as_of: at, as_known_at: at }));
    let told = ("[A-Za-z0-9_-]{1,32}", any::<String>(), any::<i64>(), any::<Option<u32>>());
    (told, judgements, refused, past).prop_map(|(told, judgements, refused, past)| {
        let (validator, policy, judged_at_ms, freshness_s) = told;
        let validator = validator.parse().unwrap();
        Answer { validator, policy, judged_at_ms, freshness_s, judgements, refused, past }
    })
}

/// Plain ones, and such as are not for one reason or another.
fn questions() -> impl Strategy<Value = Question> {
    let blobs = |count| {
        let octets = prop_oneof![9 => 0usize..300, 1 => 65_500usize..65_600];
        let blob = (octets, any::<u8>()).prop_map(|(count, octet)| Blob::from(vec![octet; count]));
        proptest::collection::vec(blob, count)
    };
    let text = || proptest::option::of(any::<String>());
    let at = || proptest::option::weighted(0.1, times());
    let options = (text(), text(), text(), proptest::bool::weighted(0.1), at(), at()).prop_map(
        |(policy, dns, eku, explain, as_of, as_known_at)| QuestionOptions {
            policy,
            dns,
            eku,
            explain,
            as_of,
            as_known_at,
        },
    );
    (blobs(0..10), blobs(0..3), options).prop_map(|(certificates, intermediates, options)| Question {
        certificates,
        intermediates,
        options,
    })
}

fn judgements() -> impl Strategy<Value = Judgement> {
    let outcome = proptest::sample::select(vec![
        Outcome::Valid,
        Outcome::Revoked,
        Outcome::Invalid,
        Outcome::Indeterminate,
    ]);
    let path = proptest::collection::vec(any::<[u8; 32]>().prop_map(CertId), 0..3);
    let evidence = proptest::collection::vec(evidence(), 0..3);
    (any::<[u8; 32]>(), outcome, any::<String>(), path, evidence, any::<Option<String>>()).prop_map(
        |(certificate, outcome, reason, path, evidence, explanation)| Judgement {
            certificate: CertId(certificate),
            outcome,
            reason,
            path,
            evidence,
            explanation,
        },
    )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let ids = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>());
    let kind = proptest::sample::select(vec![CrlKind::Complete, CrlKind::Delta]);
    let number = proptest::option::of(any::<u64>().prop_map(CrlNumber::from));
    (ids, kind, number, times(), proptest::option::of(times()), any::<i64>()).prop_map(
        |((certificate, issuer, scope, crl_id), kind, number, this_update, next_update, age_s)| Evidence {
            certificate: CertId(certificate),
            issuer: IssuerId(issuer),
            scope: ScopeId(scope),
            kind,
            crl_id: CrlId(crl_id),
            number,
            this_update,
            next_update,
            age_s,
        },
    )
}

/// Before the year 0 and after 9999, too.
fn times() -> impl Strategy<Value = Time> {
    (-100_000_000_000i64..300_000_000_000).prop_map(Time::from_unix)
}

proptest! {
    #[test]
    fn no_octets_make_a_reader_panic(octets in proptest::collection::vec(any::<u8>(), 0..300), version in 0u8..3) {
        let mut message = vec![version];
        message.extend(octets);
        let _ = decode::<CrlNotice>(&message);
        let _ = decode::<CertificateNotice>(&message);
        let _ = decode::<SubscriptionRequest>(&message);
        let _ = decode::<SubscriptionAnswer>(&message);
        let _ = decode::<Receipt>(&message);
        let _ = decode::<PathShare>(&message);
        let _ = decode::<Question>(&message);
        let _ = decode::<Answer>(&message);
        let _ = decode::<Registration>(&message);
        let _ = decode::<SearchRequest>(&message);
        let _ = decode::<SearchAnswer>(&message);
        let _ = decode::<AcquireRequest>(&message);
        let _ = decode::<AcquireAnswer>(&message);
        let _ = decode::<WatchRequest>(&message);
        let _ = decode::<WatchAnswer>(&message);
        let _ = decode::<WatchRegistration>(&message);
        let _ = decode::<VerdictChanged>(&message);
        let _ = codec::from_json::<WatchRequest>(&message);
        let _ = codec::from_json::<Question>(&message);
    }

    #[test]
    fn an_answer_is_written_as_is_derived(answer in answers()) {
        let mut derived = codec::Binary::default();
        derived.octets(&[Answer::VERSION]);
        derived.value(&answer).unwrap();
        prop_assert_eq!(encode(&answer).unwrap(), derived.into_octets());
        let json = String::from_utf8(codec::to_json(&answer).unwrap()).unwrap();
        prop_assert_eq!(json, serde_json::to_string(&answer).unwrap());
    }

    #[test]
    fn a_plain_question_reads_as_any_other(question in questions(), at in any::<prop::sample::Index>(), octet: u8) {
        let mut octets = encode(&question).unwrap();
        prop_assert_eq!(PlainQuestion::read(&octets), PlainQuestion::of(&question));
        let at = at.index(octets.len());
        octets[at] = octet;
        for octets in [&octets[..], &octets[..at]] {
            let decoded = decode::<Question>(octets);
            let asked = decoded.as_ref().ok().and_then(PlainQuestion::of);
            if let Some(read) = PlainQuestion::read(octets) {
                prop_assert_eq!(Some(read), asked);
            }
        }
    }

    #[test]
    fn a_damaged_notice_never_reads_as_the_one_that_was_sent(at in 0usize..200, bit in 0u8..8) {
        let sent = encode(&notice()).unwrap();
        let mut damaged = sent.clone();
        let at = at % damaged.len();
        damaged[at] ^= 1 << bit;
        if let Ok(read) = decode::<CrlNotice>(&damaged) {
            prop_assert_ne!(read, notice());
        }
    }
}
