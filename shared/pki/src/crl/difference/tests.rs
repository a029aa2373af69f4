use proptest::prelude::*;

use super::*;
use crate::asn1::Time;
use crate::crl::Reason;
use crate::mint::{CrlTemplate, KeyKind, RevokedEntry, SigningKey, name};

thread_local! {
    static KEY: SigningKey = SigningKey::generate(KeyKind::Ed25519).unwrap();
}

fn template(number: u64) -> CrlTemplate {
    let at = Time::from_unix(1_790_000_000).plus(number as i64 * 3_600);
    CrlTemplate::new(name("CN=Example CA").unwrap(), number, at, at.plus(86_400))
}

fn entry(n: u16) -> RevokedEntry {
    let entry =
        RevokedEntry::new(&[&[0x40; 14][..], &n.to_be_bytes()].concat(), Time::from_unix(1_700_000_000));
    if n.is_multiple_of(2) { entry.because(Reason::Superseded) } else { entry }
}

fn list(number: u64, entries: &[u16]) -> Crl {
    let der = KEY.with(|key| template(number).sign(entries.iter().copied().map(entry), key));
    Crl::decode(der.unwrap()).unwrap()
}

fn verified(difference: &Difference, old: &Crl) -> Result<Crl, ApplyError> {
    KEY.with(|key| difference.apply_and_verify(old, key.spki(), &AlgorithmPolicy::default()))
}

#[test]
fn a_few_new_entries_travel_as_themselves_and_little_more() {
    let before: Vec<u16> = (0..10_000).collect();
    let mut after = before.clone();
    let new: Vec<u16> = (0..100).map(|n| 20_000 + n).collect();
    for (i, n) in new.iter().enumerate() {
        after.insert(i * 97, *n);
    }
    let (old, new_list) = (list(1, &before), list(2, &after));
    let difference = Difference::construct(&old, &new_list);
    let sent: usize = new.iter().map(|n| new_list.find(&entry(*n).serial).unwrap().der().len()).sum();
    let octets = difference.encoded().len();
    assert!(octets <= sent * 3 / 2 + 1_024, "{octets} for {sent}");
    assert_eq!(verified(&difference, &old).unwrap(), new_list);
    assert!(difference.is_worthwhile());
}

#[test]
fn whatever_became_of_the_list_it_is_rebuilt() {
    let all: Vec<u16> = (0..400).collect();
    let old = list(1, &all);
    for (what, entries) in [
        ("the same", all.clone()),
        ("expired ones dropped", all.iter().copied().filter(|n| n % 7 != 0).collect()),
        ("reversed", all.iter().rev().copied().collect()),
        ("emptied", vec![]),
        ("repeated", all.iter().chain(&all).copied().collect()),
        ("grown by a length octet", (0..4_000).collect()),
        ("other entries", (1_000..1_400).collect()),
    ] {
        let new = list(2, &entries);
        for (old, new) in [(&old, &new), (&new, &old)] {
            let difference = Difference::construct(old, new);
            let travelled = Difference::decode(difference.encoded().clone()).unwrap();
            assert_eq!(travelled, difference);
            assert_eq!(verified(&travelled, old).unwrap(), *new, "{what}");
        }
    }
    assert!(!Difference::construct(&old, &list(2, &(1_000..1_400).collect::<Vec<_>>())).is_worthwhile());
}

#[test]
fn a_large_list_is_made_on_two_threads_to_the_same_end() {
    let large = |number: u64, serials: std::ops::Range<u32>| {
        let entries = serials
            .map(|n| RevokedEntry::new(&[&[0x40; 16][..], &n.to_be_bytes()].concat(), Time::from_unix(0)));
        Crl::decode(KEY.with(|key| template(number).sign(entries, key)).unwrap()).unwrap()
    };
    let (old, new) = (large(1, 0..250_000), large(2, 7..250_100));
    assert!(new.der().len() > 1 << 23);
    for (old, new) in [(&old, &new), (&new, &old)] {
        assert_eq!(Difference::construct(old, new).apply(old).as_ref(), Ok(new.der()));
    }
}

#[test]
fn another_base_is_refused_by_its_name() {
    let (a, b, c) = (list(1, &[1]), list(2, &[1, 2]), list(3, &[1, 2, 3]));
    let difference = Difference::construct(&a, &b);
    let other = DifferenceError::OtherBase { wanted: a.id(), found: c.id() };
    assert_eq!(difference.apply(&c), Err(other));
    let backwards = DifferenceError::OtherBase { wanted: a.id(), found: b.id() };
    assert_eq!(difference.merge(&difference), Err(backwards));
}

#[test]
fn no_flipped_bit_of_a_difference_is_accepted() {
    let (old, new) = (list(1, &[1, 2, 3, 4]), list(2, &[1, 5, 3, 4]));
    let encoded = Difference::construct(&old, &new).encoded().to_vec();
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Difference::decode(flipped).is_err(), "bit {bit}");
    }
    for end in 0..encoded.len() {
        assert!(Difference::decode(encoded[..end].to_vec()).is_err());
    }
}

/// Runs that nobody constructs, under a checksum that is right.
fn forged(old: &Crl, made: usize, runs: &[Run<'_>]) -> Result<Difference, DifferenceError> {
    let mut encoder = encoding::Encoder::new(old.id(), old.id(), made);
    for run in runs {
        match run {
            Run::Insert(octets) => encoder.insert(octets),
            Run::Copy { start, length } => encoder.copy(*start, *length),
        }
    }
    Difference::decode(encoder.finish().encoded().clone())
}

#[test]
fn a_forged_difference_takes_hold_of_nothing_that_the_base_does_not_have() {
    let old = list(1, &[1, 2, 3]);
    let size = old.tbs().len();
    let copy = |start, length| Run::Copy { start, length };
    let over = forged(&old, size + 1, &[copy(0, size + 1)]).unwrap();
    assert_eq!(over.apply(&old), Err(DifferenceError::OutOfBase));
    let beyond = forged(&old, 1, &[copy(usize::MAX >> 2, 1)]).unwrap();
    assert_eq!(beyond.apply(&old), Err(DifferenceError::OutOfBase));
    assert_eq!(beyond.merge(&beyond), Err(DifferenceError::OutOfBase));
    let bomb: Vec<_> = (0..2 * FREE_OCTETS / size).map(|_| copy(0, size)).collect();
    assert_eq!(forged(&old, bomb.len() * size, &bomb).unwrap().apply(&old), Err(DifferenceError::TooLarge));
    assert_eq!(forged(&old, crate::crl::MAX_OCTETS + 1, &[]), Err(DifferenceError::TooLarge));
    assert_eq!(forged(&old, size, &[copy(0, size - 1)]), Err(DifferenceError::Malformed));
    assert_eq!(forged(&old, 1, &[copy(0, 2)]), Err(DifferenceError::Malformed));
    // What can be applied and is not signed ends there.
    let plain = forged(&old, size, &[copy(0, size)]).unwrap();
    assert!(matches!(verified(&plain, &old), Err(ApplyError::Result(_))));
}

#[test]
fn the_encoding_is_golden() {
    let id = CrlId([0xaa; 32]);
    let mut encoder = encoding::Encoder::new(id, CrlId([0xbb; 32]), 0x98);
    encoder.insert(&[1, 2]);
    encoder.copy(0x10, 0x90);
    encoder.copy(0x08, 4);
    encoder.insert(&[3, 4]);
    assert_eq!(
        data_encoding::HEXLOWER.encode(encoder.finish().encoded()),
        [
            "01",             // version
            &"aa".repeat(32), // base
            &"bb".repeat(32), // target
            "9801",           // octets made
            "020102",         // insert two
            "9001",
            "20", // copy 0x90, 0x10 further on
            "00", // insert nothing
            "04",
            "af02",                             // copy 4, 0x98 back
            "020304",                           // insert two
            "861125edfdbbc5c3fb5719d6fa9643e0", // first half of SHA-256
        ]
        .concat()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_laws_hold_for_any_three_lists(
        a in proptest::collection::vec(0u16..60, 0..40),
        b in proptest::collection::vec(0u16..60, 0..40),
        c in proptest::collection::vec(0u16..60, 0..40),
    ) {
        let (a, b, c) = (list(1, &a), list(2, &b), list(3, &c));
        let (ab, bc) = (Difference::construct(&a, &b), Difference::construct(&b, &c));
        prop_assert_eq!(&ab.apply(&a).unwrap(), b.der());
        prop_assert_eq!(&bc.apply(&b).unwrap(), c.der());
        let ac = ab.merge(&bc).unwrap();
        prop_assert_eq!((ac.base(), ac.target()), (a.id(), c.id()));
        prop_assert_eq!(&ac.apply(&a).unwrap(), c.der());
        prop_assert_eq!(Difference::decode(ac.encoded().clone()).unwrap(), ac);
    }

    #[test]
    fn octets_that_are_not_a_difference_are_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Difference::decode([&[DIFFERENCE_VERSION][..], &octets].concat()).is_err());
    }
}
