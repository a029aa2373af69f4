//! Broker domains and validators between them, with real brokers and real processes; mostly two:
//!
//! ```text
//!   domain a: authority --> nats-server --> a1 a2 a3        domain b: nats-server --> b1 b2 b3
//!                                           a1 --- bridge ------------^
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use revocast_bus::{Bus, Headers};
use revocast_fleet::Publisher;
use revocast_messages::subjects::Subject;
use revocast_messages::{
    CertificateNotice, CrlNotice, Instance, Interest, Origin, Payload, Registration, Role,
    SubscriptionAnswer, SubscriptionRequest, decode, encode, headers, subjects,
};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlNumber, IssuerId};
use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey};
use revocast_pki::name::Name;
use revocast_tests::{Fleet, NatsServer, PASSWORD, TestCa, eventually, free_address, http_get};

/// A domain with an authority, and one whose validators believe the same root.
async fn domains() -> (Fleet, Fleet) {
    let (mut a, b) = (Fleet::start().await, Fleet::start().await);
    a.init_cas();
    a.start_authority();
    hand_over(&a, &b, &["root.crt", "leaf.crt"]);
    (a, b)
}

fn hand_over(from: &Fleet, to: &Fleet, files: &[&str]) {
    for file in files {
        std::fs::copy(from.path(file), to.path(file)).unwrap();
    }
}

/// Starts (again) a validator with a bridge; `login` is its `bus.credentials` and `bus.inbox_prefix` over there.
fn start_bridge(fleet: &mut Fleet, name: &str, to: (&str, &NatsServer), listen: SocketAddr, login: &str) {
    let config = format!(
        "instance = '{name}'\nstate = {:?}\nlisten = '{listen}'\nlease = '6s'\n\
         [[bridges]]\ndomain = '{}'\nhome = 'home-of-{name}'\nreassert = '1s'\nbus.servers = ['{}']\n{login}\n\
         [policies.default]\nanchors = [{:?}]\n",
        fleet.path(name),
        to.0,
        to.1.url(),
        fleet.path("root.crt"),
    );
    fleet.start_service("validator", name, &config);
}

fn revoke(fleet: &Fleet, name: &str) {
    let file = format!("{name}.crt");
    let words = ["ca", "revoke", "issuing", "--cert", &file, "--reason", "keyCompromise", "--wait"];
    let (code, report) = fleet.json_with_code(&words);
    assert_eq!(code, 0, "{report}");
}

fn issuing(fleet: &Fleet) -> IssuerId {
    issuer(fleet, "issuing")
}

fn issuer(fleet: &Fleet, label: &str) -> IssuerId {
    let cas = fleet.json(&["ca", "list"]);
    let found = cas.as_array().unwrap().iter().find(|ca| ca["label"] == label).unwrap();
    found["issuer"].as_str().unwrap().parse().unwrap()
}

/// Every notice that a stream holds, in order: its subject, and what it announces.
async fn notices(bus: &Bus, stream: &str) -> Vec<(String, Option<CrlNotice>)> {
    let last = bus.stream_state(stream).await.unwrap().last_sequence;
    let mut found = Vec::new();
    for sequence in 1..=last {
        let Some(message) = bus.message_at(stream, sequence).await.unwrap() else { continue };
        if message.subject.starts_with("pki.notice.") {
            found.push((message.subject.clone(), decode(&message.payload).ok()));
        }
    }
    found
}

/// The numbers of an issuer's CRLs in the order in which sightings tell them.
async fn numbers(bus: &Bus, issuer: IssuerId) -> Vec<String> {
    let told = notices(bus, subjects::SIGHTINGS).await;
    let of_issuer = told.into_iter().filter_map(|(_, notice)| notice.filter(|it| it.issuer == issuer));
    of_issuer.map(|notice| notice.number.unwrap().to_string()).collect()
}

async fn assert_nothing_was_told_twice(bus: &Bus) {
    let told = notices(bus, subjects::SIGHTINGS).await;
    for (n, (subject, notice)) in told.iter().enumerate() {
        let id = |notice: &Option<CrlNotice>| notice.as_ref().map(|notice| notice.crl_id);
        let again = told.iter().skip(n + 1).any(|(other, it)| other == subject && id(it) == id(notice));
        assert!(!again, "{subject} was told twice");
    }
}

/// A series of a validator's metrics, summed over its labels.
async fn counted(listen: SocketAddr, series: &str, label: &str) -> Option<f64> {
    let text = String::from_utf8(http_get(listen, "/metrics").await?.body).ok()?;
    let lines = text.lines().filter(|line| line.starts_with(series) && line.contains(label));
    Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Waits until a bridge has looked this much more often at what stands already.
async fn more_rounds(listen: SocketAddr, rounds: f64) {
    let looked = async || {
        let known = counted(listen, "revocast_bridge_carried_total", "outcome=\"known\"").await?;
        Some(known + counted(listen, "revocast_bridge_carried_total", "outcome=\"already_there\"").await?)
    };
    let before = eventually("the bridge counts", looked).await;
    eventually("the bridge asserts its heads", async || (looked().await? >= before + rounds).then_some(()))
        .await;
}

async fn ask(bus: &Bus, issuer: Option<IssuerId>, interest: Interest) -> Option<SubscriptionAnswer> {
    let request = SubscriptionRequest {
        validator: "stranger".parse().unwrap(),
        issuer,
        interest,
        locations: Vec::new(),
    };
    let (subject, body) = (request.subject().to_string(), encode(&request).unwrap());
    decode(&bus.ask(&subject, &Headers::new(), body.into(), Duration::from_secs(3)).await.ok()?).ok()
}

/// Subscribes as `stranger`, for longer than the test takes; who accepted it.
async fn subscribe(bus: &Bus, issuer: Option<IssuerId>) -> (Role, Instance) {
    eventually("the subscription is accepted", async || {
        match ask(bus, issuer, Interest::Start { payload: Payload::Full, lease_s: 600 }).await? {
            SubscriptionAnswer::Accepted { role, instance, .. } => Some((role, instance)),
            _ => None,
        }
    })
    .await
}

async fn registrations(bus: &Bus) -> Vec<Registration> {
    let entries = bus.bucket(subjects::SUBSCRIPTIONS).await.unwrap().entries(">").await.unwrap();
    entries.into_iter().map(|entry| decode(&entry.value.unwrap()).unwrap()).collect()
}

/// Waits until the newest CRL of an issuer that sightings tell has this number.
async fn told(bus: &Bus, issuer: IssuerId, number: &str) {
    let what = format!("CRL {number} is told");
    eventually(&what, async || (numbers(bus, issuer).await.last()? == number).then_some(())).await;
}

#[tokio::test]
async fn a_revocation_in_one_domain_is_enforced_by_every_validator_of_both() {
    let (mut a, mut b) = (Fleet::with_accounts().await, Fleet::with_accounts().await);
    a.init_cas();
    a.start_authority();
    hand_over(&a, &b, &["root.crt", "leaf.crt"]);
    let login = format!(
        "bus.credentials = {{ user = {{ name = 'bridge', password = '{PASSWORD}' }} }}\n\
         bus.inbox_prefix = '_INBOX_bridge'"
    );
    start_bridge(&mut a, "a1", ("b", &b.nats), free_address(), &login);
    for name in ["a2", "a3"] {
        a.start_validator(name, "");
    }
    for name in ["b1", "b2", "b3"] {
        b.start_validator(name, "");
    }
    a.settled(3).await;
    b.settled(3).await;
    for name in ["b1", "b2", "b3"] {
        b.expect(name, "leaf.crt", "valid").await;
    }
    revoke(&a, "leaf");
    for name in ["a1", "a2", "a3"] {
        assert_eq!(a.verdict(name, "leaf.crt").as_deref(), Some("revoked"), "{name}");
    }
    for name in ["b1", "b2", "b3"] {
        b.expect(name, "leaf.crt", "revoked").await;
    }
    // Receipts over there, too: everybody who subscribed enforces what is newest.
    b.settled(3).await;
    let monitor = b.nats.as_role("monitor").await;
    let registered = registrations(&monitor).await;
    assert_eq!(registered.len(), 3);
    assert!(registered.iter().all(|one| one.responsible.as_str() == "a1"), "{registered:?}");
    let head = monitor.message_at(subjects::SIGHTINGS, 1).await.unwrap().unwrap();
    assert_eq!(head.header(headers::DOMAIN), Some("home-of-a1"));
    for fleet in [&a, &b] {
        let log = fleet.nats.log();
        let denied: Vec<&str> = log.lines().filter(|line| line.contains("Violation")).collect();
        assert!(denied.is_empty(), "{denied:?}");
    }
}

#[tokio::test]
async fn who_stops_is_told_nothing_and_who_comes_back_is_told_the_newest() {
    let (mut a, b) = domains().await;
    a.issue("second");
    let listen = free_address();
    start_bridge(&mut a, "a1", ("b", &b.nats), listen, "");
    a.settled(1).await;
    let (bus, issuer) = (b.nats.bus("stranger").await, issuing(&a));
    eventually("a lease without end is refused", async || {
        let interest = Interest::Start { payload: Payload::Full, lease_s: u32::MAX };
        let answer = ask(&bus, Some(issuer), interest).await?;
        matches!(answer, SubscriptionAnswer::Refused { .. }).then_some(())
    })
    .await;
    assert_eq!(notices(&bus, subjects::SIGHTINGS).await, [], "nobody subscribed yet");
    let (role, instance) = subscribe(&bus, Some(issuer)).await;
    assert_eq!((role, instance.as_str()), (Role::Validator, "a1"));
    eventually("the CRL that is enforced is told", async || {
        (!numbers(&bus, issuer).await.is_empty()).then_some(())
    })
    .await;
    let first = numbers(&bus, issuer).await;
    eventually("it is stopped", async || {
        (ask(&bus, Some(issuer), Interest::Stop).await? == SubscriptionAnswer::Stopped).then_some(())
    })
    .await;
    eventually("the bridge knows that it stopped", async || {
        (counted(listen, "revocast_bridge_subscriptions", "").await? == 0.0).then_some(())
    })
    .await;
    revoke(&a, "leaf");
    revoke(&a, "second");
    subscribe(&bus, Some(issuer)).await;
    eventually("the newest CRL is told", async || {
        (numbers(&bus, issuer).await.len() > first.len()).then_some(())
    })
    .await;
    let newest = first.last().unwrap().parse::<u64>().unwrap() + 2;
    let expected: Vec<String> = first.into_iter().chain([newest.to_string()]).collect();
    assert_eq!(numbers(&bus, issuer).await, expected, "nothing was told while nobody subscribed");
    // The other issuer is nobody's wish.
    let told = notices(&bus, subjects::SIGHTINGS).await;
    assert!(told.iter().filter_map(|(_, notice)| notice.as_ref()).all(|notice| notice.issuer == issuer));
}

#[tokio::test]
async fn who_subscribes_to_one_issuer_gets_the_crls_of_its_other_key_too() {
    let (mut a, b) = domains().await;
    start_bridge(&mut a, "a1", ("b", &b.nats), free_address(), "");
    a.settled(1).await;
    let (bus, issuer) = (b.nats.bus("stranger").await, issuing(&a));
    subscribe(&bus, Some(issuer)).await;
    told(&bus, issuer, "1").await;
    // A rollover: the same name, certified with another key.
    let words =
        ["ca", "init", "rolled", "--parent", "root", "--subject", "CN=Issuing,O=Test", "--out", "rolled.crt"];
    a.json(&words);
    let (rolled, root) = (self::issuer(&a, "rolled"), self::issuer(&a, "root"));
    assert_ne!(rolled, issuer);
    told(&bus, rolled, "1").await;
    let last = bus.stream_state(subjects::SIGHTINGS).await.unwrap().last_sequence;
    let mut vouched = Vec::new();
    for sequence in 1..=last {
        let Some(message) = bus.message_at(subjects::SIGHTINGS, sequence).await.unwrap() else { continue };
        let Ok(notice) = decode::<CertificateNotice>(&message.payload) else { continue };
        vouched.extend(Certificate::decode(notice.certificate.0).map(|certificate| certificate.as_issuer()));
    }
    assert!(vouched.contains(&rolled), "the other key is vouched for");
    // The root's CRL is nobody's wish.
    let told = notices(&bus, subjects::SIGHTINGS).await;
    assert!(told.iter().filter_map(|(_, notice)| notice.as_ref()).all(|notice| notice.issuer != root));
}

#[tokio::test]
async fn a_bridge_that_was_killed_catches_up_and_tells_nothing_twice() {
    let (mut a, b) = domains().await;
    let listen = free_address();
    start_bridge(&mut a, "a1", ("b", &b.nats), listen, "");
    a.start_validator("a2", "");
    a.settled(2).await;
    let (bus, issuer) = (b.nats.bus("stranger").await, issuing(&a));
    subscribe(&bus, None).await;
    told(&bus, issuer, "1").await;
    a.kill("a1");
    let words = ["ca", "revoke", "issuing", "--cert", "leaf.crt", "--reason", "keyCompromise"];
    let (code, report) = a.json_with_code(&words);
    assert_eq!(code, 0, "{report}");
    start_bridge(&mut a, "a1", ("b", &b.nats), listen, "");
    told(&bus, issuer, "2").await;
    more_rounds(listen, 6.0).await;
    assert_eq!(numbers(&bus, issuer).await, ["1", "2"]);
    assert_nothing_was_told_twice(&bus).await;
}

#[tokio::test]
async fn two_bridges_into_one_domain_tell_each_crl_once_and_stand_in_for_each_other() {
    let (mut a, b) = domains().await;
    let (of_a1, of_a2) = (free_address(), free_address());
    start_bridge(&mut a, "a1", ("b", &b.nats), of_a1, "");
    start_bridge(&mut a, "a2", ("b", &b.nats), of_a2, "");
    a.settled(2).await;
    let (bus, issuer) = (b.nats.bus("stranger").await, issuing(&a));
    subscribe(&bus, None).await;
    told(&bus, issuer, "1").await;
    revoke(&a, "leaf");
    told(&bus, issuer, "2").await;
    a.kill("a1");
    a.issue("second");
    let words = ["ca", "revoke", "issuing", "--cert", "second.crt", "--reason", "keyCompromise"];
    assert_eq!(a.json_with_code(&words).0, 0);
    told(&bus, issuer, "3").await;
    more_rounds(of_a2, 6.0).await;
    assert_eq!(numbers(&bus, issuer).await, ["1", "2", "3"]);
    assert_nothing_was_told_twice(&bus).await;
}

#[tokio::test]
async fn in_a_ring_of_domains_nothing_circulates() {
    let (mut a, mut b) = domains().await;
    let (of_a1, of_b1) = (free_address(), free_address());
    start_bridge(&mut a, "a1", ("b", &b.nats), of_a1, "");
    start_bridge(&mut b, "b1", ("a", &a.nats), of_b1, "");
    a.settled(1).await;
    b.settled(1).await;
    revoke(&a, "leaf");
    b.expect("b1", "leaf.crt", "revoked").await;
    // Each has looked several times at each head, also after the revocation had gone around.
    more_rounds(of_a1, 8.0).await;
    more_rounds(of_b1, 8.0).await;
    let (in_a, in_b) = (a.nats.bus("test").await, b.nats.bus("test").await);
    assert_eq!(notices(&in_a, subjects::SIGHTINGS).await, [], "the authority tells it there");
    assert_eq!(notices(&in_b, subjects::NOTICES).await, []);
    assert_nothing_was_told_twice(&in_b).await;
}

/// ```text
///   authority --> a --> b --> c --> a
/// ```
#[tokio::test]
async fn a_revocation_goes_through_a_ring_of_three_domains_and_stops_where_it_began() {
    let (mut a, mut b) = domains().await;
    let mut c = Fleet::start().await;
    hand_over(&a, &c, &["root.crt", "leaf.crt"]);
    let (of_a1, of_b1, of_c1) = (free_address(), free_address(), free_address());
    start_bridge(&mut a, "a1", ("b", &b.nats), of_a1, "");
    start_bridge(&mut b, "b1", ("c", &c.nats), of_b1, "");
    start_bridge(&mut c, "c1", ("a", &a.nats), of_c1, "");
    c.start_validator("c2", "");
    a.settled(1).await;
    b.settled(1).await;
    c.settled(2).await;
    for name in ["c1", "c2"] {
        c.expect(name, "leaf.crt", "valid").await;
    }
    let issuer = issuing(&a);
    revoke(&a, "leaf");
    for name in ["c1", "c2"] {
        c.expect(name, "leaf.crt", "revoked").await;
    }
    for listen in [of_a1, of_b1, of_c1] {
        more_rounds(listen, 8.0).await;
    }
    let (in_a, in_b, in_c) = (a.nats.bus("test").await, b.nats.bus("test").await, c.nats.bus("test").await);
    assert_eq!(notices(&in_a, subjects::SIGHTINGS).await, [], "the authority tells it there");
    for bus in [&in_b, &in_c] {
        assert_eq!(numbers(bus, issuer).await, ["1", "2"]);
        assert_nothing_was_told_twice(bus).await;
        assert_eq!(notices(bus, subjects::NOTICES).await, []);
    }
}

/// A CRL in the issuer's name that nobody's key signed, told in the name of this class.
fn forgery(real: &CrlNotice, role: Role) -> CrlNotice {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let name = Name::decode(real.issuer_name.0.clone()).unwrap();
    let at = real.this_update.plus(1);
    let template = CrlTemplate::new(name, CrlNumber::from(99), at, at.plus(86_400));
    let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
    let origin = Origin { role, ..real.origin.clone() };
    CrlNotice { scope: real.scope, ..CrlNotice::of(&crl, real.issuer, origin) }
}

async fn say(bus: &Bus, lie: &CrlNotice) {
    let (stream, subject) = (lie.origin.role.stream(), lie.subject().to_string());
    bus.publish(stream, &subject, &Headers::new(), encode(lie).unwrap().into()).await.unwrap();
}

#[tokio::test]
async fn a_lie_in_one_domain_is_not_forwarded_and_a_lie_in_the_other_keeps_no_crl_out() {
    let (mut a, mut b) = domains().await;
    start_bridge(&mut a, "a1", ("b", &b.nats), free_address(), "");
    a.settled(1).await;
    let (in_a, in_b, issuer) = (a.nats.bus("liar").await, b.nats.bus("liar").await, issuing(&a));
    let told_in_a = notices(&in_a, subjects::NOTICES).await;
    let real = told_in_a.into_iter().find_map(|(_, notice)| notice.filter(|it| it.issuer == issuer)).unwrap();
    for role in Role::ALL {
        say(&in_a, &forgery(&real, role)).await;
        say(&in_b, &forgery(&real, role)).await;
    }
    eventually("a1 puts the lies aside", async || {
        (in_a.stream_state(subjects::ASIDE).await.ok()?.messages >= 4).then_some(())
    })
    .await;
    b.start_validator("b1", "");
    b.expect("b1", "leaf.crt", "valid").await;
    revoke(&a, "leaf");
    b.expect("b1", "leaf.crt", "revoked").await;
    let carried = notices(&in_b, subjects::SIGHTINGS).await;
    let lies = carried.iter().filter_map(|(_, notice)| notice.as_ref());
    let lies = lies.filter(|notice| notice.number == Some(CrlNumber::from(99)));
    assert_eq!(lies.count(), 2, "only the liar's own, of the classes that sightings take");
}

#[tokio::test]
async fn while_the_other_broker_is_down_nobody_here_is_affected_and_then_it_catches_up() {
    let (mut a, mut b) = domains().await;
    let listen = free_address();
    start_bridge(&mut a, "a1", ("b", &b.nats), listen, "");
    a.start_validator("a2", "");
    b.start_validator("b1", "");
    a.settled(2).await;
    b.expect("b1", "leaf.crt", "valid").await;
    b.nats.kill();
    revoke(&a, "leaf");
    let answer = eventually("a1 says that the bridge is down", async || {
        let answer = http_get(listen, "/readyz").await?;
        answer.json().to_string().contains("bridge b").then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 200, "degraded, and ready");
    b.nats.start_again().await;
    b.expect("b1", "leaf.crt", "revoked").await;
    eventually("a1 is well again", async || {
        (!http_get(listen, "/readyz").await?.json().to_string().contains("bridge b")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bridge_leaves_the_answer_to_an_authority_that_is_there() {
    let (mut a, mut b) = domains().await;
    start_bridge(&mut a, "a1", ("b", &b.nats), free_address(), "");
    a.settled(1).await;
    b.json(&["ca", "init", "own", "--subject", "CN=Own,O=B", "--out", "own.crt"]);
    b.start_authority();
    let (bus, foreign) = (b.nats.bus("stranger").await, issuing(&a));
    eventually("the authority answers", async || bus.head(subjects::NOTICES, &heartbeat()).await.ok()?).await;
    // Each writes into the registry before it answers; what the bridge makes of the first request is done when it has
    // answered the second one, which only it can answer.
    eventually("the registry names the authority", async || {
        let (first, second) = (subscribe(&bus, None).await, subscribe(&bus, Some(foreign)).await);
        assert_eq!((second.0, second.1.as_str()), (Role::Validator, "a1"));
        let registered = registrations(&bus).await;
        let all = registered.iter().find(|registration| registration.issuer.is_none())?;
        (first.0 == Role::Authority && all.responsible.as_str() == "authority-1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_a_head_that_leads_to_the_crl_or_a_better_one_counts_as_told() {
    let (server, ca) = (NatsServer::start().await, TestCa::new("CN=CA"));
    let bus = server.bus("test").await;
    let publisher = Publisher::new(&bus, "test").await;
    let (notice, spki) = (ca.notice(&ca.crl(2, 3)), ca.certificate.spki());
    for (what, head, counts) in [
        ("an older one", ca.notice(&ca.crl(1, 3)), false),
        ("the CRL itself", notice.clone(), true),
        ("a better one", ca.notice(&ca.crl(3, 3)), true),
        ("the CRL with another size", CrlNotice { size_bytes: u64::MAX, ..notice.clone() }, false),
        ("the CRL with another number", CrlNotice { number: Some(9_u64.into()), ..notice.clone() }, false),
        ("the CRL, which is nowhere to be had", CrlNotice { crl: None, ..notice.clone() }, false),
        ("a forgery", forgery(&notice, Role::Authority), false),
    ] {
        say(&bus, &head).await;
        let told = publisher.is_told(Role::Authority, &notice, spki).await.unwrap();
        assert_eq!(told, counts, "{what}");
        assert!(!publisher.is_told(Role::Repository, &notice, spki).await.unwrap(), "{what}");
    }
}

fn heartbeat() -> String {
    let instance = "authority-1".parse().unwrap();
    Subject::Heartbeat { class: Role::Authority, instance }.to_string()
}
