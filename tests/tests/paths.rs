//! Paths in a fleet, with real processes: what one validator found the others know, what a liar tells nobody believes,
//! and a revoked CA takes its paths out everywhere.
//!
//! ```text
//!   root -> issuing -> leaf        told to v1 alone, by a question
//!   v1 --path--> nats-server --path--> v2
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use revocast_bus::Bus;
use revocast_messages::{
    Answer, CrlNotice, Judgement, Message, Origin, Outcome, PathElement, PathShare, Question,
    QuestionOptions, Role, decode, encode, headers, subjects,
};
use revocast_pki::asn1::{Oid, Time};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CertId, PolicyId};
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, KeyKind, SigningKey, name};
use revocast_pki::path::{Anchor, Anchors, Requirements};
use revocast_tests::{Fleet, eventually, free_address, http_get};

const DAY: i64 = 86_400;
/// Purposes (RFC 5280 4.2.1.12).
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// Validators read the system's clock.
fn now() -> Time {
    Time::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed())
}

struct Holder {
    key: SigningKey,
    certificate: Certificate,
}

impl Holder {
    fn root(subject: &str) -> Holder {
        Holder::new(subject, None, |_| {})
    }

    fn ca(&self, subject: &str, bend: impl FnOnce(&mut CertificateTemplate)) -> Holder {
        Holder::new(subject, Some(self), bend)
    }

    fn leaf(&self, subject: &str) -> Certificate {
        self.leaf_with(subject, |_| {})
    }

    fn leaf_with(&self, subject: &str, bend: impl FnOnce(&mut CertificateTemplate)) -> Certificate {
        let leaf = Holder::new(subject, Some(self), |template| {
            template.basic_constraints = None;
            template.key_usage = None;
            bend(template);
        });
        leaf.certificate
    }

    fn new(subject: &str, issuer: Option<&Holder>, bend: impl FnOnce(&mut CertificateTemplate)) -> Holder {
        let (subject, key) = (name(subject).unwrap(), SigningKey::generate(KeyKind::Ed25519).unwrap());
        let validity = (now().plus(-DAY), now().plus(30 * DAY));
        let mut template = CertificateTemplate::ca(subject.clone(), key.spki(), &[7], validity);
        bend(&mut template);
        let der = match issuer {
            Some(issuer) => template.sign(issuer.certificate.subject(), &issuer.key),
            None => template.sign(&subject, &key),
        };
        Holder { key, certificate: Certificate::decode(der.unwrap()).unwrap() }
    }

    /// Tells the fleet of its first CRL, which lists nothing; not of its certificate.
    async fn tell_crl(&self, bus: &Bus) {
        let subject = self.certificate.subject().clone();
        let template = CrlTemplate::new(subject, 1, now().plus(-60), now().plus(DAY));
        let crl = Crl::decode(template.sign([], &self.key).unwrap()).unwrap();
        let origin = Origin { role: Role::Authority, instance: "ca-1".parse().unwrap(), seen_at_ms: 0 };
        let notice = CrlNotice::of(&crl, self.certificate.as_issuer(), origin);
        let body = encode(&notice).unwrap();
        bus.publish(subjects::NOTICES, &notice.subject().to_string(), &notice.headers(), body.into())
            .await
            .unwrap();
    }
}

/// A validator that believes `root.crt`; where it is asked over HTTP.
fn start_validator(fleet: &mut Fleet, name: &str, more: &str) -> SocketAddr {
    let address = free_address();
    let config = format!(
        "instance = '{name}'\nstate = {:?}\nlisten = '{address}'\nlease = '6s'\n{more}\n[policies.default]\nanchors = [{:?}]\n",
        fleet.path(name),
        fleet.path("root.crt"),
    );
    fleet.start_service("validator", name, &config);
    address
}

async fn ask(bus: &Bus, validator: &str, question: &Question) -> Option<Judgement> {
    let subject = subjects::validate_at(&validator.parse().unwrap());
    let body = encode(question).unwrap();
    let answer = bus.ask(&subject, &Vec::new(), body.into(), Duration::from_secs(5)).await.ok()?;
    Some(decode::<Answer>(&answer).unwrap().judgements.remove(0))
}

fn about(certificate: &Certificate) -> Question {
    Question { certificates: vec![certificate.der().clone().into()], ..Question::default() }
}

/// A series of a validator; 0 as long as it was never counted.
async fn counted(address: SocketAddr, series: &str) -> Option<u64> {
    let text = String::from_utf8(http_get(address, "/metrics").await?.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Some(value.map_or(0, |value| value.parse().unwrap()))
}

async fn at_least(address: SocketAddr, series: &str, count: u64) {
    let what = format!("{series} reaches {count}");
    eventually(&what, async || (counted(address, series).await? >= count).then_some(())).await;
}

const KEPT: &str = "revocast_path_questions_total{way=\"kept\"}";
const SEARCHED: &str = "revocast_path_questions_total{way=\"searched\"}";

fn share(outcome: &str) -> String {
    format!("revocast_path_shares_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn a_validator_that_never_saw_a_certificate_answers_from_a_shared_path() {
    let mut fleet = Fleet::start().await;
    let root = Holder::root("CN=Root");
    let issuing = root.ca("CN=Issuing", |_| {});
    let leaf = issuing.leaf("CN=leaf");
    std::fs::write(fleet.path("root.crt"), root.certificate.der()).unwrap();
    start_validator(&mut fleet, "v1", "");
    let v2 = start_validator(&mut fleet, "v2", "");
    let bus = fleet.nats.bus("test").await;
    // The issuing CA's CRL is owed until somebody knows who signed it: only its certificate was never told.
    root.tell_crl(&bus).await;
    issuing.tell_crl(&bus).await;

    let question = Question { intermediates: vec![issuing.certificate.der().clone().into()], ..about(&leaf) };
    eventually("v1, which is given the issuer, says valid", async || {
        (ask(&bus, "v1", &question).await?.outcome == Outcome::Valid).then_some(())
    })
    .await;
    at_least(v2, &share("kept"), 1).await;
    let judgement = eventually("v2 answers", async || ask(&bus, "v2", &about(&leaf)).await).await;
    assert_eq!(judgement.outcome, Outcome::Valid, "{}", judgement.reason);
    let path = [&leaf, &issuing.certificate, &root.certificate].map(Certificate::id);
    assert_eq!((&judgement.path[..], judgement.evidence.len()), (&path[..], 2));
    assert_eq!((counted(v2, KEPT).await, counted(v2, SEARCHED).await), (Some(1), Some(0)));

    // It was told once, for as long as it holds at the most, and v2 passed it on to nobody.
    let told = bus.stream_state(subjects::PATHS).await.unwrap();
    assert_eq!(told.messages, 1);
    let message = bus.message_at(subjects::PATHS, told.last_sequence).await.unwrap().unwrap();
    let life_s: i64 = message.header(headers::TTL).unwrap().strip_suffix('s').unwrap().parse().unwrap();
    assert_eq!(life_s, 7 * DAY, "the stream's own limit is below the certificates'");
    let told: PathShare = decode(&message.payload).unwrap();
    assert_eq!(told.subject().to_string(), message.subject);
    assert_eq!(told.certificates.iter().map(PathElement::id).collect::<Vec<_>>(), path[..2]);
}

/// What somebody with valid credentials may try.
struct Liar<'a> {
    bus: &'a Bus,
    policy: PolicyId,
}

impl Liar<'_> {
    fn share(&self, path: &[&Certificate]) -> PathShare {
        PathShare {
            validator: "mallory".parse().unwrap(),
            policy: self.policy,
            target: path[0].id(),
            certificates: path.iter().map(|one| PathElement::Der(one.der().clone().into())).collect(),
            valid_until: now().plus(DAY),
        }
    }

    async fn tell(&self, share: &PathShare) {
        self.say(&share.subject().to_string(), encode(share).unwrap()).await;
    }

    async fn say(&self, subject: &str, body: Vec<u8>) {
        self.bus.publish(subjects::PATHS, subject, &Vec::new(), body.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lying_sharer_changes_no_verdict_and_is_counted() {
    let mut fleet = Fleet::start().await;
    let (root, another) = (Holder::root("CN=Root"), Holder::root("CN=Another"));
    // By a key of its own under the issuing CA's name, and in the root's name by nobody's key.
    let (issuing, forged) = (root.ca("CN=Issuing", |_| {}), another.ca("CN=Issuing", |_| {}));
    let impostor = Holder::root("CN=Root").ca("CN=Impostor", |_| {});
    let expired = root.ca("CN=Expired", |template| template.not_after = now().plus(-60));
    std::fs::write(fleet.path("root.crt"), root.certificate.der()).unwrap();
    std::fs::write(fleet.path("issuing.crt"), issuing.certificate.der()).unwrap();
    let more = "certificates = ['issuing.crt']\n[paths]\njudged_per_second = 1";
    let v1 = start_validator(&mut fleet, "v1", more);
    let bus = fleet.nats.bus("mallory").await;
    for holder in [&root, &issuing, &another, &forged, &impostor, &expired] {
        holder.tell_crl(&bus).await;
    }

    let anchors: Anchors = [Anchor::from_certificate(root.certificate.clone())].into_iter().collect();
    let liar = Liar { bus: &bus, policy: Requirements::default().policy_id(&anchors.digest()) };
    let leaves = [&forged, &impostor, &expired, &another].map(|issuer| issuer.leaf("CN=victim"));
    liar.tell(&liar.share(&[&leaves[0], &forged.certificate])).await;
    liar.tell(&liar.share(&[&leaves[1], &impostor.certificate])).await;
    liar.tell(&liar.share(&[&leaves[2], &expired.certificate])).await;
    liar.tell(&liar.share(&[&leaves[3], &another.certificate])).await;
    // An honest leaf, its issuer's certificate bent.
    let honest = issuing.leaf("CN=honest");
    let mut bent = issuing.certificate.der().to_vec();
    *bent.last_mut().unwrap() ^= 1;
    let bent = Certificate::decode(bent).unwrap();
    liar.tell(&liar.share(&[&honest, &bent])).await;
    at_least(v1, &share("refused"), 5).await;

    let sound = liar.share(&[&honest, &issuing.certificate]);
    liar.tell(&PathShare { policy: PolicyId([6; 16]), ..sound.clone() }).await;
    // Each under another target, so that none replaces another.
    let under = |n: u8| PathShare { target: CertId([n; 32]), ..sound.clone() }.subject().to_string();
    liar.say(&under(201), b"\x02garbage".to_vec()).await;
    liar.say(&under(202), vec![PathShare::VERSION; PathShare::MAX_BYTES + 1]).await;
    liar.say(&under(203), vec![99; 40]).await;
    // In another's name, about another target, and with an issuer that nobody was told of.
    liar.say(&under(204), encode(&sound).unwrap()).await;
    let issuer = PathElement::Id(CertId([9; 32]));
    let unknown = PathShare { certificates: vec![sound.certificates[0].clone(), issuer], ..sound.clone() };
    liar.tell(&unknown).await;
    liar.say("pki.path.mallory.x.y", Vec::new()).await;
    for word in ["other_policy", "undecodable", "size", "version", "disagreement", "unknown", "foreign"] {
        at_least(v1, &share(word), 1).await;
    }
    // Each under another target, so that none replaces another.
    for n in 0..100u8 {
        liar.say(&under(n), vec![n]).await;
    }
    at_least(v1, &share("flood"), 50).await;

    assert_eq!(counted(v1, &share("kept")).await, Some(0));
    for leaf in &leaves {
        // It answers once it has looked at what it owes: CRLs of issuers that nobody vouches for.
        let judged = eventually("v1 answers", async || ask(&bus, "v1", &about(leaf)).await).await;
        assert_ne!(judged.outcome, Outcome::Valid);
    }
    eventually("the honest leaf is valid", async || {
        (ask(&bus, "v1", &about(&honest)).await?.outcome == Outcome::Valid).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_shared_path_that_fails_a_policy_of_the_validators_own_is_refused_and_changes_no_verdict() {
    let mut fleet = Fleet::start().await;
    let root = Holder::root("CN=Root");
    let issuing = root.ca("CN=Issuing", |_| {});
    // A sound path, whose certificates are for clients and assert no policy.
    let leaf = issuing.leaf_with("CN=client", |template| {
        template.extended_key_usage = vec![Oid::encode(CLIENT_AUTH).unwrap()];
    });
    std::fs::write(fleet.path("root.crt"), root.certificate.der()).unwrap();
    std::fs::write(fleet.path("issuing.crt"), issuing.certificate.der()).unwrap();
    let strict = |name: &str, key: &str| {
        let anchor = fleet.path("root.crt");
        format!("[policies.{name}]\nanchors = [{anchor:?}]\n{key}\n")
    };
    let more = strict("servers", "eku = 'serverAuth'") + &strict("explicit", "explicit_policy = true");
    let v1 = start_validator(&mut fleet, "v1", &format!("certificates = ['issuing.crt']\n{more}"));
    let bus = fleet.nats.bus("mallory").await;
    for holder in [&root, &issuing] {
        holder.tell_crl(&bus).await;
    }
    let under = |policy: Option<&str>, eku: Option<&str>| {
        let options = QuestionOptions {
            policy: policy.map(str::to_owned),
            eku: eku.map(str::to_owned),
            ..QuestionOptions::default()
        };
        Question { options, ..about(&leaf) }
    };
    let judged = async || {
        let mut outcomes = Vec::new();
        for (policy, eku) in [
            (None, None),
            (None, Some("clientAuth")),
            (None, Some("serverAuth")),
            (Some("servers"), None),
            (Some("explicit"), None),
        ] {
            outcomes.push(ask(&bus, "v1", &under(policy, eku)).await?.outcome);
        }
        Some(outcomes)
    };
    let (good, bad) = (Outcome::Valid, Outcome::Invalid);
    let expected = vec![good, good, bad, bad, bad];
    // Its CRLs are here before the path is told: nothing is put off.
    eventually("v1 judges by its own policies", async || (judged().await? == expected).then_some(())).await;

    let anchors: Anchors = [Anchor::from_certificate(root.certificate.clone())].into_iter().collect();
    let plain = Requirements::default;
    for (n, requirements) in [
        Requirements { purpose: Some(SERVER_AUTH.parse().unwrap()), ..plain() },
        Requirements { explicit_policy: true, ..plain() },
    ]
    .into_iter()
    .enumerate()
    {
        let liar = Liar { bus: &bus, policy: requirements.policy_id(&anchors.digest()) };
        liar.tell(&liar.share(&[&leaf, &issuing.certificate])).await;
        at_least(v1, &share("refused"), n as u64 + 1).await;
    }
    assert_eq!(judged().await, Some(expected));
    assert_eq!(counted(v1, &share("kept")).await, Some(0));
    // Under a policy that it satisfies the same path is taken.
    let another = issuing.leaf("CN=another");
    let honest = Liar { bus: &bus, policy: plain().policy_id(&anchors.digest()) };
    honest.tell(&honest.share(&[&another, &issuing.certificate])).await;
    at_least(v1, &share("kept"), 1).await;
    assert_eq!(counted(v1, &share("refused")).await, Some(2));
}

/// An authority with a root and an issuing CA, validators v1 to vn that know both, and where these are asked.
async fn fleet_of(validators: usize) -> (Fleet, Vec<SocketAddr>) {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    let addresses = (1..=validators).map(|n| start_validator(&mut fleet, &format!("v{n}"), "")).collect();
    fleet.settled(validators).await;
    (fleet, addresses)
}

#[tokio::test]
async fn revoking_a_ca_takes_the_paths_through_it_out_in_the_whole_fleet() {
    let (fleet, validators) = fleet_of(3).await;
    fleet.expect("v1", "leaf.crt", "valid").await;
    for other in &validators[1..] {
        at_least(*other, &share("kept"), 1).await;
    }
    let (code, report) = fleet.json_with_code(&[
        "ca",
        "revoke",
        "root",
        "--cert",
        "issuing.crt",
        "--reason",
        "cACompromise",
        "--wait",
    ]);
    assert_eq!(code, 0, "{report}");
    for (n, validator) in validators.iter().enumerate() {
        at_least(*validator, "revocast_paths_evicted_total{why=\"revoked\"}", 1).await;
        assert_eq!(fleet.verdict(&format!("v{}", n + 1), "leaf.crt").as_deref(), Some("revoked"));
    }
}

#[tokio::test]
async fn a_certificate_that_is_told_has_paths_built_before_anybody_asks() {
    let (fleet, validators) = fleet_of(1).await;
    let foreign =
        ["ca", "init", "foreign", "--subject", "CN=Foreign Root,O=Elsewhere", "--out", "foreign.crt"];
    fleet.json(&foreign);
    fleet.json(&["ca", "issue", "foreign", "--subject", "CN=stranger", "--out", "stranger.crt"]);
    fleet.expect("v1", "stranger.crt", "invalid").await;
    let before = counted(validators[0], "revocast_paths_built_total{outcome=\"valid\"}").await.unwrap();
    fleet.json(&["ca", "cross", "root", "--cert", "foreign.crt", "--out", "cross.crt"]);
    // The cross-certificate's own path, and the stranger's.
    at_least(validators[0], "revocast_paths_built_total{outcome=\"valid\"}", before + 2).await;
    let searched = counted(validators[0], SEARCHED).await;
    assert_eq!(fleet.verdict("v1", "stranger.crt").as_deref(), Some("valid"));
    assert_eq!(counted(validators[0], SEARCHED).await, searched, "its path was there already");
}
