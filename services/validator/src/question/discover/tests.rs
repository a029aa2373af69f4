//! What needs no network: where what is known ends, whom to ask, and what of an answer counts.
//!
//! ```text
//!   root (anchor) > upper > issuing > leaf
//! ```

use std::collections::HashSet;
use std::slice::from_ref;

use revocast_messages::{Answer, Judgement, Outcome, Question};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::mint::{AccessMethod, CertificateTemplate, GeneralName, KeyKind, SigningKey, key_id, name};
use revocast_pki::path::{CertificateSource, Graph};
use revocast_pki::signature::{AlgorithmPolicy, Memory};

use super::config::DiscoveryConfig;
use super::expedition::{Expedition, Found, Surroundings};
use super::gaps::{Effort, Gap, Known, gaps, leading_on};
use super::plan::{Ask, Errand, Rules, errands};
use super::remembered::Brought;
use crate::elsewhere::NotHad;
use crate::question::policy::Policy;

const NOW: Time = Time::from_unix(1_795_305_600);
const DAY: i64 = 86_400;

/// A CA's name and key.
struct Ca {
    name: revocast_pki::name::Name,
    key: SigningKey,
}

impl Ca {
    fn new(subject: &str) -> Ca {
        Ca { name: name(subject).unwrap(), key: SigningKey::generate(KeyKind::Ed25519).unwrap() }
    }

    /// A CA certificate for `subject`.
    fn certify(&self, subject: &Ca) -> Certificate {
        let validity = (NOW.plus(-DAY), NOW.plus(DAY));
        let mut template = CertificateTemplate::ca(subject.name.clone(), subject.key.spki(), &[1], validity);
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        Certificate::decode(template.sign(&self.name, &self.key).unwrap()).unwrap()
    }

    /// A certificate that names `url` as the place of its issuer's.
    fn leaf(&self, url: &str, until: Time) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (NOW.plus(-DAY), until);
        let mut template = CertificateTemplate::new(name("CN=leaf").unwrap(), key.spki(), &[7], validity);
        template.authority_key_id = Some(key_id(self.key.spki()).to_vec());
        let access = |url: &str| (AccessMethod::CaIssuers, GeneralName::Uri(url.into()));
        template.authority_info_access = vec![access(url), access("http://second/"), access("http://third/")];
        Certificate::decode(template.sign(&self.name, &self.key).unwrap()).unwrap()
    }
}

struct World {
    root: Ca,
    upper: Ca,
    issuing: Ca,
    policy: Policy,
    memory: Memory,
    config: DiscoveryConfig,
}

impl World {
    fn new() -> World {
        let (root, upper, issuing) = (Ca::new("CN=Root"), Ca::new("CN=Upper"), Ca::new("CN=Issuing"));
        let policy = Policy::believing(root.certify(&root));
        World { root, upper, issuing, policy, memory: Memory::new(64), config: DiscoveryConfig::default() }
    }

    fn leaf(&self) -> Certificate {
        self.issuing.leaf("http://first/", NOW.plus(DAY))
    }

    fn chain(&self) -> [Certificate; 2] {
        [self.upper.certify(&self.issuing), self.root.certify(&self.upper)]
    }

    fn known<'a>(&'a self, certificates: &'a dyn CertificateSource) -> Known<'a> {
        Known {
            certificates,
            anchors: &self.policy.anchors,
            memory: &self.memory,
            algorithms: AlgorithmPolicy::default(),
            at: NOW,
        }
    }

    /// For whom the gaps above a target are, when this is known.
    fn gaps(&self, target: &Certificate, certificates: &[Certificate]) -> Vec<String> {
        let graph: Graph = certificates.iter().cloned().collect();
        let found = gaps(target, self.known(&graph), &mut effort());
        found.iter().map(|gap| gap.issuer().to_string()).collect()
    }

    fn advance(&self, expedition: &mut Expedition, brought: Vec<(Errand, Brought)>) -> Vec<Errand> {
        let live = Graph::new();
        let around = Surroundings {
            live: &live,
            memory: &self.memory,
            policy: &self.policy,
            config: &self.config,
            admits: &|url, _| url == "http://first/",
        };
        expedition.advance(brought, &around)
    }
}

fn effort() -> Effort {
    Effort { signatures: 100 }
}

fn invalid(certificate: &Certificate) -> Judgement {
    Judgement {
        certificate: certificate.id(),
        outcome: Outcome::Invalid,
        reason: "no issuer leads to an anchor".into(),
        path: Vec::new(),
        evidence: Vec::new(),
        explanation: None,
    }
}

fn answer(judgements: Vec<Judgement>) -> Answer {
    Answer {
        validator: "v-1".parse().unwrap(),
        policy: "default".into(),
        judged_at_ms: 0,
        freshness_s: None,
        judgements,
        refused: None,
        past: None,
    }
}

fn expedition(target: &Certificate) -> Expedition {
    let question = Question { certificates: vec![target.der().clone().into()], ..Question::default() };
    Expedition::of(&question, &answer(vec![invalid(target)]), NOW).unwrap()
}

fn sources(errands: &[Errand]) -> Vec<&'static str> {
    errands.iter().map(|errand| errand.ask.source()).collect()
}

#[test]
fn a_gap_is_where_no_known_key_signed_what_is_below() {
    let world = World::new();
    let (leaf, [issuing, upper]) = (world.leaf(), world.chain());
    assert_eq!(world.gaps(&leaf, &[]), ["CN=Issuing"]);
    assert_eq!(world.gaps(&leaf, from_ref(&issuing)), ["CN=Issuing", "CN=Upper"]);
    assert_eq!(world.gaps(&leaf, &[issuing.clone(), upper.clone()]), [""; 0]);
    // A namesake with another key closes no gap, nor does one that is out of its time.
    let namesake = world.upper.certify(&Ca::new("CN=Issuing"));
    assert_eq!(world.gaps(&leaf, &[namesake, upper]), ["CN=Issuing"]);
    let expired = world.issuing.leaf("http://first/", NOW.plus(-1));
    assert_eq!(world.gaps(&expired, &[]), [""; 0], "no issuer helps a certificate that has expired");
}

#[test]
fn only_what_leads_on_is_kept_of_what_is_brought() {
    let world = World::new();
    let (leaf, [issuing, upper]) = (world.leaf(), world.chain());
    let namesake = world.upper.certify(&Ca::new("CN=Issuing"));
    let stranger = Ca::new("CN=Stranger");
    let brought = [upper.clone(), stranger.certify(&stranger), namesake, issuing.clone()];
    let nothing = Graph::new();
    let leading = leading_on(from_ref(&leaf), &brought, world.known(&nothing), &mut effort());
    assert_eq!(leading, [issuing.clone(), upper.clone()]);
    let known: Graph = [issuing].into_iter().collect();
    assert_eq!(leading_on(from_ref(&leaf), &brought, world.known(&known), &mut effort()), [upper]);
    let mut spent = Effort { signatures: 0 };
    let memory = Memory::new(0);
    let known = Known { memory: &memory, ..world.known(&nothing) };
    assert!(leading_on(from_ref(&leaf), &brought, known, &mut spent).is_empty());
}

#[test]
fn the_repository_is_asked_first_and_then_only_urls_that_are_admitted() {
    let world = World::new();
    let leaf = world.leaf();
    let gap = Gap { below: leaf.clone() };
    let key = Some(key_id(world.issuing.key.spki()).to_vec());
    let repository = Ask::Repository(world.issuing.name.clone(), key);
    let asked = |asked: &[Ask], repository, admits: &dyn Fn(&str, &Certificate) -> bool| {
        let rules = Rules { repository, admits };
        let asked: HashSet<Ask> = asked.iter().cloned().collect();
        let errands = errands(from_ref(&gap), &asked, &rules);
        errands.into_iter().map(|errand| errand.ask).collect::<Vec<_>>()
    };
    let url = |url: &str| Ask::Url(url.into());
    assert_eq!(asked(&[], true, &|_, _| true), from_ref(&repository));
    assert_eq!(asked(from_ref(&repository), true, &|_, _| false), []);
    let admitted = [url("http://first/"), url("http://second/")];
    assert_eq!(asked(from_ref(&repository), true, &|_, _| true), admitted, "two at the most");
    assert_eq!(
        asked(&[], false, &|url, below| url == "http://second/" && *below == leaf),
        [admitted[1].clone()]
    );
    assert_eq!(asked(&[repository, admitted[0].clone(), admitted[1].clone()], true, &|_, _| true), []);
}

#[test]
fn what_is_asked_for_keeps_no_certificate_and_is_not_longer_than_real_names_and_urls() {
    let world = World::new();
    let rules = Rules { repository: true, admits: &|_, _| true };
    let leaf = world.leaf();
    let asks = errands(&[Gap { below: leaf.clone() }], &HashSet::new(), &rules);
    let Ask::Repository(name, _) = &asks[0].ask else { panic!("{asks:?}") };
    assert!(!leaf.der().as_ptr_range().contains(&name.der().as_ptr()), "a part of the certificate");
    let endless = format!("http://{}/", "x".repeat(8 << 10));
    let nobody = Ca::new(&format!("CN={}", "x".repeat(8 << 10)));
    let asks = errands(&[Gap { below: nobody.leaf(&endless, NOW.plus(DAY)) }], &HashSet::new(), &rules);
    let asks: Vec<Ask> = asks.into_iter().map(|errand| errand.ask).collect();
    assert_eq!(asks, [Ask::Url("http://second/".into())]);
}

#[test]
fn targets_of_one_issuer_are_one_errand_and_a_round_has_few() {
    let world = World::new();
    let gaps = |cas: &[Ca]| -> Vec<Gap> {
        let leaves = cas.iter().flat_map(|ca| (0..20).map(|_| ca.leaf("http://first/", NOW.plus(DAY))));
        leaves.map(|below| Gap { below }).collect()
    };
    let rules = Rules { repository: true, admits: &|_, _| false };
    let one = errands(&gaps(&[world.issuing]), &HashSet::new(), &rules);
    assert_eq!((one.len(), one[0].below.len()), (1, 8));
    let many: Vec<Ca> = (0..20).map(|n| Ca::new(&format!("CN={n}"))).collect();
    assert_eq!(errands(&gaps(&many), &HashSet::new(), &rules).len(), 8);
}

#[test]
fn an_expedition_goes_on_from_what_it_found_until_an_anchor_is_reached() {
    let world = World::new();
    let (leaf, [issuing, upper]) = (world.leaf(), world.chain());
    let mut expedition = expedition(&leaf);
    let brought = |mut errands: Vec<Errand>, brought: Brought| vec![(errands.remove(0), brought)];
    let first = world.advance(&mut expedition, Vec::new());
    assert_eq!(sources(&first), ["repository"]);
    let second = world.advance(&mut expedition, brought(first, Ok(vec![issuing.clone()])));
    assert_eq!(sources(&second), ["url", "repository"], "another one of the name, and the one above");
    let above = second.into_iter().filter(|errand| errand.below == [issuing.clone()]).collect();
    assert!(world.advance(&mut expedition, brought(above, Ok(vec![upper.clone()]))).is_empty());
    let found = expedition.end();
    assert_eq!(found.certificates, [issuing, upper]);
    assert!(found.in_doubt.is_none());
}

#[test]
fn a_liar_costs_a_bounded_number_of_signatures_and_brings_nothing_in() {
    let world = World::new();
    let leaf = world.leaf();
    let liars: Vec<Certificate> = (0..64).map(|_| world.upper.certify(&Ca::new("CN=Issuing"))).collect();
    let mut expedition = expedition(&leaf);
    let mut errands = world.advance(&mut expedition, Vec::new());
    let mut asked = 0;
    while let Some(errand) = errands.pop() {
        asked += 1;
        errands = world.advance(&mut expedition, vec![(errand, Ok(liars.clone()))]);
    }
    assert_eq!(asked, 2, "the repository, and the admitted URL");
    let found = expedition.end();
    assert!(found.certificates.is_empty() && found.in_doubt.is_none());
}

#[test]
fn more_than_a_question_may_take_in_is_told_as_a_doubt() {
    let world =
        World { config: DiscoveryConfig { max_certificates: 1, ..Default::default() }, ..World::new() };
    let (leaf, chain) = (world.leaf(), world.chain());
    let mut expedition = expedition(&leaf);
    let errand = world.advance(&mut expedition, Vec::new()).remove(0);
    world.advance(&mut expedition, vec![(errand, Ok(chain.to_vec()))]);
    let found = expedition.end();
    assert_eq!(found.certificates.len(), 1);
    assert!(found.in_doubt.is_some());
}

#[test]
fn what_could_not_be_asked_makes_an_invalid_verdict_indeterminate_and_no_other() {
    let world = World::new();
    let leaf = world.leaf();
    let end_with = |brought: Brought| {
        let mut expedition = expedition(&leaf);
        let errand = world.advance(&mut expedition, Vec::new()).remove(0);
        world.advance(&mut expedition, vec![(errand, brought)]);
        expedition.end()
    };
    let outcomes = |found: &Found| {
        let revoked = Judgement { outcome: Outcome::Revoked, ..invalid(&leaf) };
        let foreign = Judgement { certificate: world.root.certify(&world.root).id(), ..invalid(&leaf) };
        let judged = found.doubted(answer(vec![invalid(&leaf), revoked, foreign])).judgements;
        judged.iter().map(|judgement| judgement.outcome).collect::<Vec<_>>()
    };
    let (invalid, revoked) = (Outcome::Invalid, Outcome::Revoked);
    let silent = end_with(Err(NotHad::Unavailable("no answer".into())));
    assert_eq!(outcomes(&silent), [Outcome::Indeterminate, revoked, invalid]);
    let no = || "no".to_owned();
    let told = [NotHad::Absent(no()), NotHad::Nobody(no()), NotHad::Forbidden(no())].map(Err);
    for told in told.into_iter().chain([Ok(Vec::new())]) {
        assert_eq!(outcomes(&end_with(told)), [invalid, revoked, invalid]);
    }
}

#[test]
fn only_what_is_invalid_is_looked_further_for() {
    let world = World::new();
    let leaf = world.leaf();
    let question = Question { certificates: vec![leaf.der().clone().into()], ..Question::default() };
    for outcome in [Outcome::Valid, Outcome::Revoked, Outcome::Indeterminate] {
        let judged = answer(vec![Judgement { outcome, ..invalid(&leaf) }]);
        assert!(Expedition::of(&question, &judged, NOW).is_none(), "{outcome}");
    }
}
