//! The seeds of the fuzz targets, and inputs that once broke something, replayed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
#![allow(unreachable_pub, reason = "the properties are public for the fuzz targets")]

#[path = "../fuzz/src/certificate.rs"]
mod certificate;
#[path = "../fuzz/src/crl.rs"]
mod crl;
#[path = "../fuzz/src/difference.rs"]
mod difference;
#[path = "../fuzz/src/message.rs"]
mod message;
#[path = "../fuzz/src/name.rs"]
mod name;
#[path = "../fuzz/src/question.rs"]
mod question;

fn replay(target: &str, holds: impl Fn(&[u8])) {
    let folder = revocast_tests::root().join("tests/fuzz/seeds").join(target);
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        println!("{}", seed.display());
        holds(&std::fs::read(seed).unwrap());
    }
}

#[test]
fn certificates_hold() {
    replay("certificate", certificate::holds);
}

#[test]
fn messages_hold() {
    replay("message", message::holds);
}

#[test]
fn names_hold() {
    replay("name", name::holds);
}

#[test]
fn questions_hold() {
    replay("question", question::holds);
}

#[test]
fn crls_hold() {
    replay("crl", crl::holds);
}

#[test]
fn differences_hold() {
    replay("difference", difference::holds);
}
