//! Questions in one process: what is kept, what is shared, and that neither makes an answer stale.
//!
//! ```text
//!   root -> issuing -> leaf        a CRL by each
//! ```

use std::time::Duration;

use revocast_daemon::{Clock, Metrics};
use revocast_messages::{Answer, Judgement, Outcome, Question, QuestionOptions, Refusal};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::mint::{
    CertificateTemplate, CrlTemplate, GeneralName, KeyKind, RevokedEntry, SigningKey, name,
};
use revocast_pki::name::Name;
use tempfile::TempDir;

use crate::{Local, PathsConfig, PolicyConfig, ValidatorConfig, Ways};

pub(crate) const NOW: Time = Time::from_unix(1_795_305_600);
const DAY: i64 = 86_400;
/// The serial numbers of all issuing CAs, and of all leaves.
pub(crate) const ISSUING: u8 = 2;
const LEAF: u8 = 7;

pub(crate) struct Holder {
    pub(crate) name: Name,
    pub(crate) key: SigningKey,
    pub(crate) der: Vec<u8>,
}

/// A CA, unless it is bent into something else; by its own key without an issuer.
pub(crate) fn holder(
    subject: &str,
    issuer: Option<&Holder>,
    bend: impl FnOnce(&mut CertificateTemplate),
) -> Holder {
    let (subject, key) = (name(subject).unwrap(), SigningKey::generate(KeyKind::Ed25519).unwrap());
    let validity = (NOW.plus(-DAY), NOW.plus(30 * DAY));
    let mut template = CertificateTemplate::ca(subject.clone(), key.spki(), &[ISSUING], validity);
    bend(&mut template);
    let (issuer_name, issuer_key) = issuer.map_or((&subject, &key), |issuer| (&issuer.name, &issuer.key));
    let der = template.sign(issuer_name, issuer_key).unwrap();
    Holder { name: subject, key, der }
}

impl Holder {
    pub(crate) fn leaf(&self, host: &str) -> Holder {
        holder(&format!("CN={host}"), Some(self), |template| {
            template.basic_constraints = None;
            template.key_usage = None;
            template.serial = vec![LEAF];
            template.subject_alt_names = vec![GeneralName::Dns(host.to_owned())];
        })
    }

    fn crl(&self, number: u64, serials: &[u8]) -> Vec<u8> {
        let template = CrlTemplate::new(self.name.clone(), number, NOW.plus(-DAY), NOW.plus(DAY));
        let entries = serials.iter().map(|serial| RevokedEntry::new(&[*serial], NOW.plus(-DAY)));
        template.sign(entries, &self.key).unwrap()
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::decode(self.der.clone()).unwrap()
    }
}

pub(crate) struct World {
    pub(crate) root: Holder,
    pub(crate) issuing: Holder,
    pub(crate) leaf: Holder,
    pub(crate) local: Local,
    clock: Clock,
    _folder: TempDir,
}

impl World {
    /// The issuing CA is known, and both CRLs are enforced.
    pub(crate) async fn new() -> World {
        World::with(|_| {}, |_| {}).await
    }

    async fn with(
        policy: impl FnOnce(&mut PolicyConfig),
        config: impl FnOnce(&mut ValidatorConfig),
    ) -> World {
        let folder = tempfile::tempdir().unwrap();
        let root = holder("CN=Root", None, |_| {});
        let issuing = holder("CN=Issuing", Some(&root), |_| {});
        let anchors = folder.path().join("root.crt");
        std::fs::write(&anchors, &root.der).unwrap();
        let mut believed = PolicyConfig { anchors: vec![anchors], ..PolicyConfig::default() };
        policy(&mut believed);
        let mut configured = ValidatorConfig {
            policies: [("default".to_owned(), believed)].into(),
            ..ValidatorConfig::default()
        };
        config(&mut configured);
        let clock = Clock::held_at(NOW.unix() * 1_000);
        let local = Local::open(&configured, clock.clone(), &Metrics::default()).unwrap();
        local.learn(issuing.certificate());
        let leaf = issuing.leaf("a.example");
        let world = World { root, issuing, leaf, local, clock, _folder: folder };
        world.enforce(world.root.crl(1, &[])).await;
        world.enforce(world.issuing.crl(1, &[])).await;
        world
    }

    async fn enforce(&self, crl: Vec<u8>) {
        self.local.enforce(crl.into()).await.unwrap();
    }

    async fn ask(&self, question: Question) -> Answer {
        self.local.answer(question).await
    }

    pub(crate) async fn judgement(&self, question: Question) -> Judgement {
        self.ask(question).await.judgements.remove(0)
    }

    /// What is said of the leaf.
    async fn outcome(&self) -> Outcome {
        self.judgement(about(&self.leaf)).await.outcome
    }
}

pub(crate) fn about(leaf: &Holder) -> Question {
    Question { certificates: vec![leaf.der.clone().into()], ..Question::default() }
}

fn narrowed(leaf: &Holder, options: QuestionOptions) -> Question {
    Question { options, ..about(leaf) }
}

fn ways(kept: u64, searched: u64) -> Ways {
    Ways { kept, searched, joined: 0 }
}

#[tokio::test]
async fn a_path_found_once_is_kept_and_says_the_same() {
    let world = World::new().await;
    let found = world.judgement(about(&world.leaf)).await;
    assert_eq!((found.outcome, found.path.len(), found.evidence.len()), (Outcome::Valid, 3, 2));
    assert_eq!(world.judgement(about(&world.leaf)).await, found);
    assert_eq!(world.local.ways(), ways(1, 1));
}

#[tokio::test]
async fn a_newer_crl_is_obeyed_by_the_very_next_question() {
    for revokes_leaf in [true, false] {
        let world = World::new().await;
        assert_eq!([world.outcome().await, world.outcome().await], [Outcome::Valid; 2]);
        let newer = match revokes_leaf {
            true => world.issuing.crl(2, &[LEAF]),
            false => world.root.crl(2, &[ISSUING]),
        };
        world.enforce(newer).await;
        assert_eq!([world.outcome().await, world.outcome().await], [Outcome::Revoked; 2]);
    }
}

#[tokio::test]
async fn a_newer_crl_that_revokes_others_takes_no_new_search() {
    let world = World::new().await;
    world.outcome().await;
    world.enforce(world.issuing.crl(2, &[LEAF + 1])).await;
    let judgement = world.judgement(about(&world.leaf)).await;
    let number = judgement.evidence[1].number.map(|number| number.to_string());
    assert_eq!((judgement.outcome, number.as_deref()), (Outcome::Valid, Some("2")));
    assert_eq!(world.local.ways(), ways(1, 1));
}

/// I2, I4.
#[tokio::test]
async fn what_either_of_two_crls_of_one_number_revokes_is_revoked_in_a_process_without_broker_too() {
    for both in [[vec![LEAF], vec![LEAF + 1]], [vec![LEAF + 1], vec![LEAF]]] {
        let world = World::new().await;
        for serials in both {
            world.enforce(world.issuing.crl(2, &serials)).await;
        }
        assert_eq!(world.outcome().await, Outcome::Revoked);
    }
}

#[tokio::test]
async fn a_kept_path_that_is_revoked_gives_way_to_another() {
    let world = World::new().await;
    world.outcome().await;
    let spki = world.issuing.key.spki().to_vec();
    let again = holder("CN=Issuing", Some(&world.root), |template| {
        template.serial = vec![ISSUING + 1];
        template.spki = spki;
    });
    world.local.learn(again.certificate());
    world.enforce(world.root.crl(2, &[ISSUING])).await;
    let judgement = world.judgement(about(&world.leaf)).await;
    assert_eq!((judgement.outcome, judgement.path[1]), (Outcome::Valid, again.certificate().id()));
}

#[tokio::test]
async fn what_ends_ends_for_kept_paths_too() {
    let world = World::new().await;
    assert_eq!(world.outcome().await, Outcome::Valid);
    world.clock.set(NOW.plus(2 * DAY).unix() * 1_000);
    assert_eq!(world.outcome().await, Outcome::Indeterminate, "past nextUpdate");
    world.clock.set(NOW.plus(31 * DAY).unix() * 1_000);
    assert_eq!(world.outcome().await, Outcome::Invalid, "past notAfter");
}

#[tokio::test]
async fn the_name_asked_for_is_checked_apart() {
    let world = World::new().await;
    let asking = |host: &str| {
        narrowed(&world.leaf, QuestionOptions { dns: Some(host.into()), ..QuestionOptions::default() })
    };
    assert_eq!(world.judgement(asking("a.example")).await.outcome, Outcome::Valid);
    assert_eq!(world.judgement(asking("b.example")).await.outcome, Outcome::Invalid);
    assert_eq!(world.judgement(asking("a.example")).await.outcome, Outcome::Valid);
    assert_eq!(world.local.ways(), ways(1, 2));
}

#[tokio::test]
async fn a_policy_that_a_question_narrows_is_another_policy() {
    let world = World::new().await;
    let server = world.issuing.leaf("server.example");
    let client_only = holder("CN=client", Some(&world.issuing), |template| {
        template.basic_constraints = None;
        template.extended_key_usage = vec![vec![0x2b, 6, 1, 5, 5, 7, 3, 2]];
    });
    let asking = |leaf, eku: Option<&str>| {
        narrowed(leaf, QuestionOptions { eku: eku.map(Into::into), ..QuestionOptions::default() })
    };
    assert_eq!(world.judgement(asking(&client_only, None)).await.outcome, Outcome::Valid);
    assert_eq!(world.judgement(asking(&client_only, Some("serverAuth"))).await.outcome, Outcome::Invalid);
    // The same purpose is the same policy, by name or dotted.
    assert_eq!(world.judgement(asking(&server, Some("serverAuth"))).await.outcome, Outcome::Valid);
    assert_eq!(world.judgement(asking(&server, Some("1.3.6.1.5.5.7.3.1"))).await.outcome, Outcome::Valid);
    assert_eq!(world.local.ways(), ways(1, 3));
}

#[tokio::test]
async fn an_explanation_goes_the_whole_way() {
    let world = World::new().await;
    world.outcome().await;
    let options = QuestionOptions { explain: true, ..QuestionOptions::default() };
    let judgement = world.judgement(narrowed(&world.leaf, options)).await;
    assert!(judgement.explanation.is_some_and(|text| text.contains("signature")));
    assert_eq!(world.local.ways(), ways(0, 2));
}

#[tokio::test]
async fn the_age_that_a_policy_allows_holds_for_kept_paths() {
    let world =
        World::with(|policy| policy.max_crl_age = Some(Duration::from_secs(DAY as u64 + 60)), |_| {}).await;
    assert_eq!([world.outcome().await, world.outcome().await], [Outcome::Valid; 2]);
    world.clock.set(NOW.plus(61).unix() * 1_000);
    assert_eq!(world.outcome().await, Outcome::Indeterminate);
    let silent = World::with(|policy| policy.fresh_within = Some(Duration::from_secs(60)), |_| {}).await;
    assert_eq!([silent.outcome().await, silent.outcome().await], [Outcome::Indeterminate; 2]);
}

#[tokio::test]
async fn known_and_unknown_certificates_are_answered_in_the_order_of_the_question() {
    let world = World::new().await;
    world.outcome().await;
    let (other, stranger) = (world.issuing.leaf("b.example"), holder("CN=Stranger", None, |_| {}));
    let certificates: Vec<&[u8]> =
        vec![&stranger.der, &world.leaf.der, b"noise", &other.der, &world.leaf.der];
    let question =
        Question { certificates: certificates.into_iter().map(Into::into).collect(), ..Question::default() };
    let outcomes: Vec<Outcome> =
        world.ask(question).await.judgements.iter().map(|judgement| judgement.outcome).collect();
    use Outcome::{Invalid, Valid};
    assert_eq!(outcomes, [Invalid, Valid, Invalid, Valid, Valid]);
    assert_eq!(world.local.ways(), ways(2, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_questions_at_once_share_one_search() {
    let world = World::new().await;
    let asking = (0..200).map(|_| {
        let (local, question) = (world.local.clone(), about(&world.leaf));
        tokio::spawn(async move { local.answer(question).await })
    });
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer.unwrap().judgements[0].outcome, Outcome::Valid);
    }
    let Ways { kept, searched, joined } = world.local.ways();
    assert_eq!((searched, kept + joined), (1, 199));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_questions_whose_path_is_invalid_are_all_answered() {
    let world = World::new().await;
    let stranger = holder("CN=Stranger", None, |_| {});
    let asking = (0..50).map(|_| {
        let (local, question) = (world.local.clone(), about(&stranger));
        tokio::spawn(async move { local.answer(question).await })
    });
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer.unwrap().judgements[0].outcome, Outcome::Invalid);
    }
    let Ways { kept, searched, joined } = world.local.ways();
    assert_eq!((kept, searched + joined), (0, 50));
}

#[tokio::test]
async fn who_waits_for_the_search_of_another_is_answered_when_that_one_goes_away() {
    let world = World::new().await;
    // No search begins as long as somebody has all places.
    let gate = world.local.judge.gate.clone();
    let places = u32::try_from(gate.available_permits()).unwrap();
    let taken = gate.clone().acquire_many_owned(places).await.unwrap();
    let ask = || {
        let (local, question) = (world.local.clone(), about(&world.leaf));
        tokio::spawn(async move { local.answer(question).await })
    };
    let leading = ask();
    tokio::task::yield_now().await;
    let waiting = ask();
    while world.local.ways().joined == 0 {
        tokio::task::yield_now().await;
    }
    leading.abort();
    assert!(leading.await.unwrap_err().is_cancelled());
    drop(taken);
    assert_eq!(waiting.await.unwrap().judgements[0].outcome, Outcome::Valid);
    assert_eq!(world.local.ways(), Ways { kept: 0, searched: 1, joined: 1 });
}

#[tokio::test]
async fn the_issuer_of_a_path_that_a_question_brought_is_known_from_then_on() {
    let world = World::new().await;
    let below = holder("CN=Below", Some(&world.issuing), |template| template.serial = vec![9]);
    let leaf = below.leaf("c.example");
    assert!(world.local.enforce(below.crl(1, &[]).into()).await.is_err(), "nobody knows who signed it");
    let question = Question { intermediates: vec![below.der.clone().into()], ..about(&leaf) };
    assert_eq!(world.judgement(question).await.outcome, Outcome::Indeterminate);
    world.enforce(below.crl(1, &[])).await;
    assert_eq!(world.judgement(about(&leaf)).await.outcome, Outcome::Valid);
    // One whose path leads to no anchor is not.
    let stranger = holder("CN=Stranger", None, |_| {});
    let question =
        Question { intermediates: vec![stranger.der.clone().into()], ..about(&stranger.leaf("d.example")) };
    assert_eq!(world.judgement(question).await.outcome, Outcome::Invalid);
    assert!(world.local.enforce(stranger.crl(1, &[]).into()).await.is_err());
}

#[tokio::test]
async fn a_cache_of_nothing_keeps_nothing() {
    let none = |config: &mut ValidatorConfig| {
        config.paths = PathsConfig { cache_bytes: 0, ..PathsConfig::default() };
    };
    let world = World::with(|_| {}, none).await;
    assert_eq!([world.outcome().await, world.outcome().await], [Outcome::Valid; 2]);
    assert_eq!(world.local.ways(), ways(0, 2));
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
    // Room for about a hundred paths.
    let few = |config: &mut ValidatorConfig| {
        config.paths = PathsConfig { cache_bytes: 400 << 10, ..PathsConfig::default() };
    };
    let world = World::with(|_| {}, few).await;
    world.outcome().await;
    for n in 0..300 {
        let other = world.issuing.leaf(&format!("h{n}.example"));
        assert_eq!(world.judgement(about(&other)).await.outcome, Outcome::Valid);
        assert_eq!(world.outcome().await, Outcome::Valid);
    }
    let Ways { kept, searched, .. } = world.local.ways();
    assert_eq!(
        (kept, searched),
        (300, 301),
        "the leaf that is asked for again and again was never forgotten"
    );
    assert!(world.local.kept() < 150, "{} paths are kept", world.local.kept());
}

#[tokio::test]
async fn a_question_above_its_limits_is_refused() {
    let world = World::new().await;
    let many = Question { certificates: vec![b"x".as_slice().into(); 257], ..Question::default() };
    for wrong in [
        Question::default(),
        many,
        narrowed(&world.leaf, QuestionOptions { policy: Some("none".into()), ..QuestionOptions::default() }),
        narrowed(&world.leaf, QuestionOptions { eku: Some("x".into()), ..QuestionOptions::default() }),
    ] {
        let answer = world.ask(wrong).await;
        assert!(matches!(answer.refused, Some(Refusal::Malformed { .. })) && answer.judgements.is_empty());
    }
}
