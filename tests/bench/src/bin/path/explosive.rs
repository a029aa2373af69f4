//! Inputs that make others work without end: what they cost here, counted and timed. Each is one question, asked once
//! with nothing remembered; making the input is not timed.

use std::time::Instant;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, BigNumContext};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::RsaPrivateKeyBuilder;
use openssl::x509::{X509Builder, X509Name};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::{Certificate, PolicyConstraints};
use revocast_pki::mint::{CertificateTemplate, GeneralName, GeneralSubtrees, KeyKind, SigningKey};
use revocast_pki::path::{Anchor, Anchors, Graph, Question, Requirements, RevocationMode, Sources, judge};
use revocast_pki::revocation::CrlSet;
use revocast_pki::signature::Memory;

use super::{DAY, NOW, dn};

const VALIDITY: (Time, Time) = (NOW.plus(-DAY), NOW.plus(DAY));

/// The usual exponent, and the prime below 2^32 with the most ones: no admitted exponent costs much more.
const EXPONENTS: [(&str, u32); 2] = [("65537", 65_537), ("2^32 - 5", u32::MAX - 4)];

pub fn all() {
    mesh();
    mutual_mappings();
    names_against_constraints();
    for (name, exponent) in EXPONENTS {
        long_key(&format!("RSA key of 8,192 bits, exponent {name}"), "valid", 8_192, exponent);
    }
    long_key("RSA key of 16,384 bits", "algorithm_refused", 16_384, 65_537);
}

/// Twelve CAs with twelve keys each, every key certified by every other, and no anchor.
fn mesh() {
    let members: Vec<_> = (0..144).map(|n| (dn(&format!("CN=CA {}", n % 12)), key())).collect();
    let mut graph = Graph::new();
    for (issuer, issuer_key) in &members {
        for (subject, subject_key) in &members {
            let template = CertificateTemplate::ca(subject.clone(), subject_key.spki(), &[1], VALIDITY);
            let der = template.sign(issuer, issuer_key).expect("randomness");
            graph.insert(Certificate::decode(der).expect("a certificate"));
        }
    }
    let leaf = CertificateTemplate::new(dn("CN=leaf"), key().spki(), &[1], VALIDITY);
    let leaf = leaf.sign(&members[0].0, &members[0].1).expect("randomness");
    let what = "144 keys, fully cross-certified, no anchor";
    report(what, "budget_candidates", leaf, &Anchors::default(), &graph);
}

/// Twenty CAs below each other, each mapping each of eight policies to each other: a tree would have 8^20 nodes.
fn mutual_mappings() {
    let policy = |n: u8| vec![0x2a, 3, n];
    let explicit = PolicyConstraints { require_explicit_policy: Some(0), inhibit_policy_mapping: None };
    let root_key = key();
    let root = CertificateTemplate::ca(dn("CN=root"), root_key.spki(), &[1], VALIDITY);
    let anchors: Anchors =
        [Anchor::from_certificate(signed(&root, "CN=root", &root_key))].into_iter().collect();
    let mut graph = Graph::new();
    let (mut issuer, mut issuer_key) = ("CN=root".to_owned(), root_key);
    for depth in 0..20 {
        let (subject, subject_key) = (format!("CN=CA {depth}"), key());
        let template = CertificateTemplate {
            policies: (0..8).map(|n| policy(n).into()).collect(),
            policy_mappings: (0..64).map(|n| (policy(n / 8), policy(n % 8))).collect(),
            policy_constraints: Some(explicit),
            ..CertificateTemplate::ca(dn(&subject), subject_key.spki(), &[1], VALIDITY)
        };
        graph.insert(signed(&template, &issuer, &issuer_key));
        (issuer, issuer_key) = (subject, subject_key);
    }
    let leaf = CertificateTemplate {
        policies: vec![policy(3).into()],
        ..CertificateTemplate::new(dn("CN=leaf"), key().spki(), &[1], VALIDITY)
    };
    let leaf = leaf.sign(&dn(&issuer), &issuer_key).expect("randomness");
    report("8 policies, mutual mappings, depth 20", "valid", leaf, &anchors, &graph);
}

/// Ten thousand names against ten thousand constraints.
fn names_against_constraints() {
    let hosts =
        |below: &str| (0..10_000).map(|n| GeneralName::Dns(format!("h{n}.{below}"))).collect::<Vec<_>>();
    let key = key();
    let constraints = GeneralSubtrees { permitted: Vec::new(), excluded: hosts("excluded") };
    let root = CertificateTemplate {
        name_constraints: Some(constraints),
        ..CertificateTemplate::ca(dn("CN=root"), key.spki(), &[1], VALIDITY)
    };
    let root =
        Certificate::decode(root.sign(&dn("CN=root"), &key).expect("randomness")).expect("a certificate");
    let leaf = CertificateTemplate {
        subject_alt_names: hosts("example"),
        ..CertificateTemplate::new(dn("CN=leaf"), key.spki(), &[2], VALIDITY)
    };
    let leaf = leaf.sign(&dn("CN=root"), &key).expect("randomness");
    let anchors: Anchors = [Anchor::from_certificate(root)].into_iter().collect();
    let what = "10,000 names against 10,000 constraints";
    report(what, "budget_comparisons", leaf, &anchors, &Graph::new());
}

/// A leaf signed with a long RSA key, under an intermediate that holds it.
fn long_key(what: &str, expected: &str, bits: i32, exponent: u32) {
    let rsa = rsa_of_many_primes(bits, exponent);
    let spki = rsa.public_key_to_der().expect("a key");
    let root_key = key();
    let root = CertificateTemplate::ca(dn("CN=root"), root_key.spki(), &[1], VALIDITY);
    let long = CertificateTemplate::ca(dn("CN=long"), &spki, &[2], VALIDITY);
    let graph: Graph = [signed(&long, "CN=root", &root_key)].into_iter().collect();
    let anchors: Anchors =
        [Anchor::from_certificate(signed(&root, "CN=root", &root_key))].into_iter().collect();
    report(what, expected, signed_by_openssl("long", "leaf", &rsa), &anchors, &graph);
}

/// A key as long as wanted within a second: its primes have 1,024 bits, which only its owner would notice.
fn rsa_of_many_primes(bits: i32, exponent: u32) -> PKey<Private> {
    let mut context = BigNumContext::new().expect("memory");
    let mut product = |a: &BigNum, b: &BigNum| {
        let mut product = BigNum::new().expect("memory");
        product.checked_mul(a, b, &mut context).expect("memory");
        product
    };
    let (mut modulus, mut order) = (number(1), number(1));
    while modulus.num_bits() < bits {
        let missing = bits - modulus.num_bits();
        let mut prime = BigNum::new().expect("memory");
        // The last one fills up what is missing, up to a few bits more than the others have.
        let size = if missing < 1_280 { missing } else { 1_024 };
        prime.generate_prime(size, false, None, None).expect("randomness");
        let longer = product(&modulus, &prime);
        if size < missing || longer.num_bits() == bits {
            modulus = longer;
            prime.sub_word(1).expect("memory");
            order = product(&order, &prime);
        }
    }
    let mut secret = BigNum::new().expect("memory");
    let exponent = number(exponent);
    secret.mod_inverse(&exponent, &order, &mut context).expect("no prime less one is its multiple");
    let rsa = RsaPrivateKeyBuilder::new(modulus, exponent, secret).expect("a key").build();
    PKey::from_rsa(rsa).expect("a key")
}

fn number(value: u32) -> BigNum {
    BigNum::from_u32(value).expect("memory")
}

/// `mint` signs with usual keys only.
fn signed_by_openssl(issuer: &str, subject: &str, key: &PKey<Private>) -> Vec<u8> {
    let name = |common_name: &str| {
        let mut name = X509Name::builder().expect("memory");
        name.append_entry_by_text("CN", common_name).expect("a name");
        name.build()
    };
    let time = |time: Time| Asn1Time::from_unix(time.unix()).expect("a time");
    let mut builder = X509Builder::new().expect("memory");
    let parts = [
        builder.set_version(2),
        builder.set_serial_number(&number(3).to_asn1_integer().expect("a serial")),
        builder.set_issuer_name(&name(issuer)),
        builder.set_subject_name(&name(subject)),
        builder.set_not_before(&time(VALIDITY.0)),
        builder.set_not_after(&time(VALIDITY.1)),
        builder.set_pubkey(key),
        builder.sign(key, MessageDigest::sha256()),
    ];
    parts.into_iter().collect::<Result<(), _>>().expect("a certificate");
    builder.build().to_der().expect("a certificate")
}

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).expect("randomness")
}

fn signed(template: &CertificateTemplate, issuer: &str, key: &SigningKey) -> Certificate {
    Certificate::decode(template.sign(&dn(issuer), key).expect("randomness")).expect("a certificate")
}

fn report(what: &str, expected: &str, leaf: Vec<u8>, anchors: &Anchors, graph: &Graph) {
    let requirements = Requirements { revocation: RevocationMode::None, ..Requirements::default() };
    let start = Instant::now();
    let target = Certificate::decode(leaf).expect("a certificate");
    let (crls, memory) = (CrlSet::new(), Memory::new(0));
    let question = Question::new(target, NOW, anchors, &requirements);
    let verdict = judge(&question, Sources { certificates: graph, crls: &crls, memory: &memory });
    let time = start.elapsed();
    let reason = verdict.reason.map_or("valid", |reason| reason.code());
    println!("{what:44} {:>9.2} ms {reason}, {:?}", time.as_secs_f64() * 1e3, verdict.work);
    assert_eq!(reason, expected, "{what}");
}
