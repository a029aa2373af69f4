//! Taking in a CRL and asking it: ours against the floor (one SHA-256 over the list and one verification) and
//! against rustls-webpki, OpenSSL and x509-cert. `crl [--alone] [ENTRIES...]`; `--alone` leaves the peers out.

use std::time::Duration;

use bytes::Bytes;
use der::Decode;
use revocast_bench::{Ca, Contender, Counting, entry, medians, memory, timed};
use revocast_pki::crl::{Changes, Crl, Difference, Header};
use revocast_pki::signature::AlgorithmPolicy;
use webpki::{CertRevocationList, OwnedCertRevocationList};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Entries sampled for look-ups.
const SAMPLE: u64 = 100_000;

fn main() {
    let peers = !std::env::args().any(|word| word == "--alone");
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000, 1_000_000, 5_000_000] } else { sizes };
    for size in sizes {
        let ca = Ca::new();
        let der = Bytes::from(ca.list(1, (0..size).map(entry)));
        println!("\n## {size} entries, {} bytes", der.len());
        intake(&der, ca.key.spki(), size, peers);
        index_memory(&der, size, peers);
        look_ups(&der, size, peers);
        differences(&ca, &der, size);
    }
}

fn intake(der: &Bytes, spki: &[u8], size: u64, peers: bool) {
    let policy = AlgorithmPolicy::default();
    let header = Header::decode(der.clone()).expect("a CRL");
    let key = openssl::pkey::PKey::public_key_from_der(spki).expect("a key");
    let serial = entry(size / 2).serial;
    let mut contenders: Vec<Contender<'_>> = vec![
        ("floor: SHA-256 and one verification", Box::new(|| timed(|| header.verify(spki, &policy)))),
        ("ours, two threads", Box::new(|| timed(|| Crl::decode_and_verify(der.clone(), spki, &policy)))),
        (
            "ours, one thread",
            Box::new(|| {
                timed(|| {
                    let crl = Crl::decode(der.clone()).expect("a CRL");
                    crl.verify(spki, &policy).expect("signed");
                    crl
                })
            }),
        ),
        ("ours, read and index alone", Box::new(|| timed(|| Crl::decode(der.clone())))),
    ];
    let foreign: Vec<Contender<'_>> = vec![
        (
            "rustls-webpki, read, without verification",
            Box::new(|| timed(|| OwnedCertRevocationList::from_der(der).expect("a CRL"))),
        ),
        (
            "openssl, read, verify, first answer",
            Box::new(|| {
                timed(|| {
                    let crl = openssl::x509::X509Crl::from_der(der).expect("a CRL");
                    assert!(crl.verify(&key).expect("signed"));
                    assert!(openssl_has(&crl, &serial));
                    crl
                })
            }),
        ),
        (
            "x509-cert, read, without index or verification",
            Box::new(|| {
                timed(|| x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der))
            }),
        ),
    ];
    contenders.extend(foreign.into_iter().filter(|_| peers));
    print_ratios(if size >= 1_000_000 { 7 } else { 101 }, &mut contenders);
}

/// The first contender is the floor.
fn print_ratios(rounds: usize, contenders: &mut [Contender<'_>]) {
    let times = medians(rounds, contenders);
    let floor = times[0].1;
    for (name, time) in times {
        println!("{name:48} {:>12.3} ms {:>8.2} x floor", ms(time), time.as_secs_f64() / floor.as_secs_f64());
    }
}

fn index_memory(der: &Bytes, size: u64, peers: bool) {
    let per_entry = |octets: usize| octets as f64 / size as f64;
    let (crl, kept, peak) = memory(|| Crl::decode(der.clone()).expect("a CRL"));
    drop(crl);
    println!("ours: {:.2} octets per entry kept, {:.2} at the peak", per_entry(kept), per_entry(peak));
    if !peers {
        return;
    }
    let (crl, kept, peak) = memory(|| OwnedCertRevocationList::from_der(der).expect("a CRL"));
    drop(crl);
    println!(
        "rustls-webpki: {:.2} octets per entry kept, {:.2} at the peak",
        per_entry(kept),
        per_entry(peak)
    );
}

fn look_ups(der: &Bytes, size: u64, peers: bool) {
    let hits: Vec<Vec<u8>> = (0..SAMPLE).map(|n| entry(n * 7_919 % size).serial).collect();
    let misses: Vec<Vec<u8>> = (0..SAMPLE).map(|n| entry(size + n).serial).collect();
    let crl = Crl::decode(der.clone()).expect("a CRL");
    per_look_up("ours", &hits, &misses, |serial| crl.find(serial).is_some());
    if !peers {
        return;
    }
    let webpki = CertRevocationList::from(OwnedCertRevocationList::from_der(der).expect("a CRL"));
    let openssl = openssl::x509::X509Crl::from_der(der).expect("a CRL");
    per_look_up("rustls-webpki", &hits, &misses, |serial| {
        webpki.find_serial(serial).is_ok_and(|found| found.is_some())
    });
    per_look_up("openssl", &hits, &misses, |serial| openssl_has(&openssl, serial));
}

fn per_look_up(name: &str, hits: &[Vec<u8>], misses: &[Vec<u8>], mut has: impl FnMut(&[u8]) -> bool) {
    let mut round = |serials: &[Vec<u8>], expected| {
        timed(|| assert!(serials.iter().all(|serial| has(serial) == expected))).as_secs_f64() * 1e6
            / serials.len() as f64
    };
    let mut median = |serials: &[Vec<u8>], expected| {
        let mut times: Vec<f64> = (0..9).map(|_| round(serials, expected)).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (hit, miss) = (median(hits, true), median(misses, false));
    println!("{name:16} look-up {hit:>8.3} us found, {miss:>8.3} us not found");
}

/// 100 new entries, spread over the list, and nothing else changed but number and times.
fn differences(ca: &Ca, der: &Bytes, size: u64) {
    let policy = AlgorithmPolicy::default();
    let old = Crl::decode(der.clone()).expect("a CRL");
    let step = (size / 100).max(1);
    let entries =
        (0..size).flat_map(|n| (n % step == 0).then(|| entry(size + n)).into_iter().chain([entry(n)]));
    let new = Crl::decode(ca.list(2, entries)).expect("a CRL");
    let difference = Difference::construct(&old, &new);
    let sent: usize = Changes::between(&old, &new)
        .revoked
        .iter()
        .filter_map(|certificate| new.find(certificate.serial.octets()))
        .map(|entry| entry.der().len())
        .sum();
    println!("difference: {} octets for new entries of {sent} octets", difference.encoded().len());
    let header = new.header().clone();
    let mut contenders: Vec<Contender<'_>> = vec![
        ("floor: SHA-256 and one verification", Box::new(|| timed(|| header.verify(ca.key.spki(), &policy)))),
        (
            "difference: construct, both known by their ids",
            Box::new(|| timed(|| Difference::construct(&old, &new))),
        ),
        ("difference: apply", Box::new(|| timed(|| difference.apply(&old)))),
        (
            "difference: apply, read, index, verify",
            Box::new(|| timed(|| difference.apply_and_verify(&old, ca.key.spki(), &policy).expect("signed"))),
        ),
        ("what changed between both", Box::new(|| timed(|| Changes::between(&old, &new)))),
    ];
    print_ratios(if size >= 1_000_000 { 7 } else { 101 }, &mut contenders);
}

fn openssl_has(crl: &openssl::x509::X509Crl, serial: &[u8]) -> bool {
    let number = openssl::bn::BigNum::from_slice(serial)
        .and_then(|number| number.to_asn1_integer())
        .expect("a number");
    matches!(crl.get_by_serial(&number), openssl::x509::CrlStatus::Revoked(_))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
