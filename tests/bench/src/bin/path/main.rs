//! Asking about certificates: ours against the floor (bare ring verifications) and against rustls-webpki, OpenSSL and
//! certval, in one run; and what explosive inputs cost. `path [--ours] [ENTRIES...]`: sizes of the issuing CA's CRL;
//! `--ours` leaves the peers out.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bench::{Contender, Counting, allocations, entry, medians};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::CertId;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, GeneralName, KeyKind, SigningKey, key_id, name};
use revocast_pki::path::{Anchor, Anchors, Graph, ProvenPath, Question, Requirements, Sources, judge};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::{AlgorithmPolicy, Memory, Statement};
use revocast_pki::verdict::Outcome;

mod explosive;
mod peers;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Time = Time::from_unix(1_795_305_600);
const DAY: i64 = 86_400;
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// Leaves that are asked about once each.
const LEAVES: usize = 4_000;

/// ```text
///   root -> intermediate -> leaves        a CRL by each
/// ```
struct World {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    leaves: Vec<Vec<u8>>,
    crls: [Vec<u8>; 2],
}

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1_000_000] } else { sizes };
    for size in sizes {
        println!("\n## a question with two certificates; the issuing CA's CRL has {size} entries");
        questions(&World::new(size));
    }
    println!("\n## explosive inputs");
    explosive::all();
}

impl World {
    fn new(entries: u64) -> World {
        let key = || SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let (root_key, key_of_intermediate) = (key(), key());
        let (root_name, subject) = (dn("CN=Root,O=Example,C=XX"), dn("CN=Intermediate,O=Example,C=XX"));
        let validity = (NOW.plus(-DAY), NOW.plus(DAY));
        let root = CertificateTemplate::ca(root_name.clone(), root_key.spki(), &[1], validity);
        let intermediate = CertificateTemplate {
            authority_key_id: Some(key_id(root_key.spki()).to_vec()),
            ..CertificateTemplate::ca(subject.clone(), key_of_intermediate.spki(), &[2], validity)
        };
        let leaf = |n: usize| {
            let leaf_key = key();
            let serial = [&[1], &n.to_be_bytes()[..]].concat();
            let template = CertificateTemplate {
                authority_key_id: Some(key_id(key_of_intermediate.spki()).to_vec()),
                extended_key_usage: vec![SERVER_AUTH.to_vec()],
                subject_alt_names: vec![GeneralName::Dns(format!("h{n}.example.org"))],
                ..CertificateTemplate::new(
                    dn(&format!("CN=h{n}.example.org,O=Example,C=XX")),
                    leaf_key.spki(),
                    &serial,
                    validity,
                )
            };
            template.sign(&subject, &key_of_intermediate).expect("randomness")
        };
        let crl = |issuer: &_, key: &SigningKey, entries: u64| {
            let template = CrlTemplate {
                authority_key_id: Some(key_id(key.spki()).to_vec()),
                ..CrlTemplate::new(dn(issuer), 1, NOW.plus(-DAY), NOW.plus(DAY))
            };
            template.sign((0..entries).map(entry), key).expect("randomness")
        };
        World {
            root: root.sign(&root_name, &root_key).expect("randomness"),
            intermediate: intermediate.sign(&root_name, &root_key).expect("randomness"),
            leaves: (0..LEAVES).map(leaf).collect(),
            crls: [
                crl("CN=Root,O=Example,C=XX", &root_key, 0),
                crl("CN=Intermediate,O=Example,C=XX", &key_of_intermediate, entries),
            ],
        }
    }
}

fn dn(text: &str) -> revocast_pki::name::Name {
    name(text).expect("a name")
}

/// What ours holds between questions.
struct Held {
    anchors: Anchors,
    graph: Graph,
    crls: CrlSet,
    requirements: Requirements,
}

impl Held {
    fn new(world: &World) -> Held {
        let decode = |der: &[u8]| Certificate::decode(der.to_vec()).expect("a certificate");
        let (root, intermediate) = (decode(&world.root), decode(&world.intermediate));
        let crls: Vec<Crl> = world.crls.iter().map(|der| Crl::decode(der.clone()).expect("a CRL")).collect();
        let policy = AlgorithmPolicy::DEFAULT;
        for (crl, issuer) in crls.iter().zip([&root, &intermediate]) {
            crl.verify(issuer.spki(), &policy).expect("signed");
        }
        Held {
            anchors: [Anchor::from_certificate(root)].into_iter().collect(),
            graph: [intermediate].into_iter().collect(),
            crls: crls.into_iter().collect(),
            requirements: Requirements {
                purpose: revocast_pki::asn1::Oid::from_content(SERVER_AUTH).map(Into::into),
                ..Requirements::default()
            },
        }
    }

    fn sources<'a>(&'a self, memory: &'a Memory) -> Sources<'a> {
        Sources { certificates: &self.graph, crls: &self.crls, memory }
    }

    /// Decodes and judges.
    fn ask(&self, leaf: &Bytes, memory: &Memory) -> Outcome {
        let target = Certificate::decode(leaf.clone()).expect("a certificate");
        let question = Question::new(target, NOW, &self.anchors, &self.requirements);
        let verdict = judge(&question, self.sources(memory));
        assert_eq!(verdict.outcome, Outcome::Valid);
        verdict.outcome
    }

    fn prove(&self, leaf: &Bytes) -> ProvenPath {
        let target = Certificate::decode(leaf.clone()).expect("a certificate");
        let question = Question::new(target, NOW, &self.anchors, &self.requirements);
        let memory = Memory::new(0);
        ProvenPath::of(&judge(&question, self.sources(&memory)), &question).expect("valid")
    }
}

fn questions(world: &World) {
    let held = Held::new(world);
    let leaf = Bytes::from(world.leaves[0].clone());
    let leaves: Vec<Bytes> = world.leaves.iter().map(|leaf| Bytes::from(leaf.clone())).collect();
    let (nothing, warm) = (Memory::new(0), Memory::new(1 << 16));
    held.ask(&leaf, &warm);
    let proven: HashMap<CertId, ProvenPath> = [(CertId::of(&leaf), held.prove(&leaf))].into();
    let again = || {
        let path = &proven[&CertId::of(&leaf)];
        let rechecked = path.recheck(NOW, held.sources(&nothing));
        assert_eq!(rechecked.outcome, Outcome::Valid);
    };
    let certificates: Vec<Certificate> =
        leaves.iter().map(|leaf| Certificate::decode(leaf.clone()).expect("a certificate")).collect();
    let issuer = Certificate::decode(world.intermediate.clone()).expect("a certificate");
    let policy = AlgorithmPolicy::DEFAULT;
    // Each verification of the floor and each question is about another leaf: the same signature over and over would
    // teach the processor its branches.
    let (mut of_floor, mut of_ours) = (certificates.iter().cycle(), certificates.iter().cycle());
    let (mut cold_leaves, mut new_leaves) = (leaves.iter().cycle(), leaves.iter().cycle());
    let mut contenders: Vec<Contender<'_>> = vec![
        (
            "floor: one ring verification",
            Box::new(|| each(25, || peers::ring(&statement(of_floor.next().expect("endless"), &issuer)))),
        ),
        (
            "ours, one verification",
            Box::new(|| {
                each(25, || {
                    statement(of_ours.next().expect("endless"), &issuer).verify(&policy).expect("right")
                })
            }),
        ),
        ("ours, cold", Box::new(|| each(25, || held.ask(cold_leaves.next().expect("endless"), &nothing)))),
        (
            "ours, new leaf under a known issuer",
            Box::new(|| each(25, || held.ask(new_leaves.next().expect("endless"), &warm))),
        ),
        ("ours, same leaf again", Box::new(|| each(2_000, again))),
    ];
    if !std::env::args().any(|argument| argument == "--ours") {
        contenders.extend(peers::contenders(&world.root, &world.intermediate, &world.leaves[0], &world.crls));
    }
    let rounds = 101;
    let times = medians(rounds, &mut contenders);
    let floor = times[0].1.as_secs_f64();
    for (name, time) in times {
        println!(
            "{name:44} {:>12.2} us {:>9.2} x floor",
            time.as_secs_f64() * 1e6,
            time.as_secs_f64() / floor
        );
    }
    drop(contenders);
    let (_, cold) = allocations(|| held.ask(&leaf, &nothing));
    let (_, warm) = allocations(again);
    println!("allocations: cold {cold}, same leaf again {warm}");
}

/// What `issuer` is said to have signed.
fn statement<'a>(certificate: &'a Certificate, issuer: &'a Certificate) -> Statement<'a> {
    Statement {
        algorithm: certificate.signature_algorithm(),
        spki: issuer.spki(),
        message: certificate.tbs(),
        signature: certificate.signature(),
    }
}

/// The mean time of one of `count` runs, after some that warm up what the contender before has left cold.
fn each<T>(count: u32, mut work: impl FnMut() -> T) -> Duration {
    for _ in 0..count / 5 {
        black_box(work());
    }
    let start = Instant::now();
    for _ in 0..count {
        black_box(work());
    }
    start.elapsed() / count
}
