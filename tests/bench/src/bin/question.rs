//! The same leaf again, through the whole question walk in one process: a question as it comes from a door, an answer as
//! it goes to one. Against the floor: the certificate's hash and one look-up in the CRL of each issuer. `question [ENTRIES]`

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bench::{Contender, Counting, allocations, entry, medians};
use revocast_daemon::{Clock, Metrics};
use revocast_messages::{Outcome, Question};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::CertId;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, GeneralName, KeyKind, SigningKey, name};
use revocast_pki::name::Name;
use revocast_validator::{Local, PolicyConfig, ValidatorConfig};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Time = Time::from_unix(1_795_305_600);
const DAY: i64 = 86_400;
/// Questions of one measurement.
const QUESTIONS: u32 = 2_000;

struct Ca {
    name: Name,
    key: SigningKey,
    certificate: Certificate,
}

/// ```text
///   root -> issuing -> leaf        a CRL by each
/// ```
fn ca(subject: &str, issuer: Option<&Ca>) -> Ca {
    let (name, key) = (dn(subject), SigningKey::generate(KeyKind::EcdsaP256).expect("randomness"));
    let template = CertificateTemplate::ca(name.clone(), key.spki(), &[2], (NOW.plus(-DAY), NOW.plus(DAY)));
    let (by, with) = issuer.map_or((&name, &key), |issuer| (&issuer.name, &issuer.key));
    let der = template.sign(by, with).expect("randomness");
    let certificate = Certificate::decode(der).expect("a certificate");
    Ca { name, key, certificate }
}

impl Ca {
    fn leaf(&self) -> Bytes {
        let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let template = CertificateTemplate {
            subject_alt_names: vec![GeneralName::Dns("h.example.org".into())],
            ..CertificateTemplate::new(
                dn("CN=h.example.org"),
                key.spki(),
                &[7],
                (NOW.plus(-DAY), NOW.plus(DAY)),
            )
        };
        template.sign(&self.name, &self.key).expect("randomness").into()
    }

    fn crl(&self, entries: u64) -> Bytes {
        let template = CrlTemplate::new(self.name.clone(), 1, NOW.plus(-DAY), NOW.plus(DAY));
        template.sign((0..entries).map(entry), &self.key).expect("randomness").into()
    }
}

fn dn(text: &str) -> Name {
    name(text).expect("a name")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let root = ca("CN=Root,O=Example", None);
    let issuing = ca("CN=Issuing,O=Example", Some(&root));
    let (leaf, crls) = (issuing.leaf(), [root.crl(0), issuing.crl(entries)]);
    let folder = tempfile::tempdir()?;
    let anchor = folder.path().join("root.der");
    std::fs::write(&anchor, root.certificate.der())?;
    let policy = PolicyConfig { anchors: vec![anchor], ..PolicyConfig::default() };
    let config =
        ValidatorConfig { policies: [("default".into(), policy)].into(), ..ValidatorConfig::default() };
    let local = Local::open(&config, Clock::held_at(NOW.unix() * 1_000), &Metrics::default())?;
    local.learn(issuing.certificate.clone());
    for crl in &crls {
        local.enforce(crl.clone()).await?;
    }
    let question = || Question { certificates: vec![leaf.clone().into()], ..Question::default() };
    let answer = local.answer(question()).await;
    assert_eq!(answer.judgements[0].outcome, Outcome::Valid, "{answer:?}");

    let read: Vec<Crl> = crls.iter().map(|crl| Crl::decode(crl.clone()).expect("a CRL")).collect();
    let floor = || {
        black_box(CertId::of(&leaf));
        read.iter().for_each(|crl| assert!(crl.find(black_box(&[7])).is_none()));
    };
    let ask = || {
        let mut asked = std::pin::pin!(local.answer(question()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        // What is kept is answered without waiting for anything.
        assert!(asked.as_mut().poll(&mut context).is_ready());
    };
    let mut contenders: Vec<Contender<'_>> = vec![
        ("floor: hash and look-ups", Box::new(|| each(floor))),
        ("ours, question to answer", Box::new(|| each(ask))),
    ];
    for (name, time) in medians(101, &mut contenders) {
        println!("{name:30} {:>8.3} us", time.as_secs_f64() * 1e6);
    }
    drop(contenders);
    println!("allocations, the question's own included: {}", allocations(ask).1);
    println!("certificate of {} octets; CRLs of 0 and {entries} entries", leaf.len());
    Ok(())
}

/// The mean time of one.
fn each(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..QUESTIONS {
        work();
    }
    start.elapsed() / QUESTIONS
}
