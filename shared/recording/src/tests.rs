//! The format: golden octets, what must be read back, and every kind of damage.

use bytes::Bytes;
use proptest::prelude::*;
use revocast_messages::{Blob, encode};

use super::*;

fn beginning() -> Beginning {
    let stream = |name: &str| RecordedStream { name: name.into(), created: "2026".into() };
    Beginning { began_at_ms: 7, streams: vec![stream("NOTICES"), stream("SIGHTINGS")] }
}

fn message(stream: &str, sequence: u64) -> Recorded {
    Recorded {
        stream: stream.into(),
        sequence,
        stored_at_ns: 1_000_000 * sequence as i64,
        subject: "pki.a".into(),
        headers: vec![("Nats-Msg-Id".into(), "x y".into())],
        payload: Blob::from(vec![sequence as u8; 3]),
    }
}

/// A whole recording of these records.
fn written(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &beginning()).unwrap();
    for record in records {
        match record {
            Record::Object(bytes) => writer.object(bytes).unwrap(),
            Record::Message(message) => writer.message(message).unwrap(),
            Record::Beginning(_) | Record::Ending(_) => {}
        }
    }
    let length = writer.bytes();
    let (ending, bytes) = writer.end().unwrap();
    assert_eq!(bytes.len() as u64 - length, 13 + encode(&ending).unwrap().len() as u64);
    bytes
}

/// The records up to the end or the first fault.
fn read(bytes: &[u8]) -> (Vec<Record>, Option<RecordingError>) {
    let mut records = Vec::new();
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error)),
    };
    assert_eq!(*reader.beginning(), beginning());
    loop {
        match reader.read_next() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

fn sample() -> Vec<Record> {
    vec![
        Record::Message(message("NOTICES", 3)),
        Record::Object(Bytes::from_static(b"a CRL")),
        Record::Message(message("NOTICES", 9)),
        Record::Message(message("SIGHTINGS", 1)),
    ]
}

#[test]
fn the_format_is_golden() {
    let mut writer = Writer::begin(Vec::new(), &Beginning { began_at_ms: 7, streams: Vec::new() }).unwrap();
    writer.object(b"a CRL").unwrap();
    let (_, bytes) = writer.end().unwrap();
    let fields = [
        "5245564f43524543", // REVOCREC
        "01",               // version of the format
        "01",               // kind: beginning
        "00000003",         // length
        "010e00",           // version, began_at_ms, no streams
        "5235d1658c9d7a1e", // check
        "02",               // kind: object
        "00000005",         // length
        "612043524c",       // the object
        "0f061b4548271688", // check
        "ff",               // kind: ending
        "00000004",         // length
        "01000100",         // version, messages, objects, missing
        "982b324e232c4f74", // check
    ];
    let hex: String = bytes.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(hex, fields.concat());
}

#[test]
fn what_was_written_is_read_back_with_its_ending() {
    let (records, fault) = read(&written(&sample()));
    assert!(fault.is_none(), "{fault:?}");
    let ending = Ending { messages: 3, objects: 1, missing: 0 };
    assert_eq!(records, [sample(), vec![Record::Ending(ending)]].concat());
}

#[test]
fn an_object_is_written_once_and_a_missing_one_is_counted_once() {
    let mut writer = Writer::begin(Vec::new(), &beginning()).unwrap();
    let digest = revocast_pki::identity::Digest::of(b"a CRL");
    for _ in 0..2 {
        writer.misses(digest);
    }
    assert!(writer.knows(digest));
    assert_eq!(writer.so_far(), Ending { messages: 0, objects: 0, missing: 1 });
    for _ in 0..2 {
        writer.object(b"a CRL").unwrap();
    }
    assert_eq!(writer.so_far(), Ending { messages: 0, objects: 1, missing: 0 });
}

#[test]
fn wherever_a_recording_is_cut_the_records_before_are_whole_and_the_cut_is_told() {
    let whole = written(&sample());
    let (all, _) = read(&whole);
    let mut most = 0;
    for length in 9..whole.len() {
        let (records, fault) = read(&whole[..length]);
        let fault = fault.unwrap();
        assert!(fault.is_cut_short(), "{length}: {fault}");
        assert_eq!(records, all[..records.len()]);
        most = most.max(records.len());
    }
    assert_eq!(most, sample().len());
    for length in 0..9 {
        assert!(matches!(read(&whole[..length]).1, Some(RecordingError::NotARecording)), "{length}");
    }
}

#[test]
fn every_flipped_bit_is_noticed_at_its_record() {
    let whole = written(&sample());
    let (all, _) = read(&whole);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        let mut records = Vec::new();
        let Ok(mut reader) = Reader::open(&damaged[..]) else { continue };
        let fault = loop {
            match reader.read_next() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(fault.is_some(), "the bit at {at} was not noticed");
        assert_eq!(records, all[..records.len()], "{at}");
    }
}

#[test]
fn records_that_are_left_out_moved_or_added_are_noticed() {
    let whole = written(&sample());
    let other = written(&sample()[1..]);
    // The same beginning, then the rest of another recording without its first record.
    let first_ends = whole.len() - other.len();
    let start = 9 + 13 + encode(&beginning()).unwrap().len();
    let left_out = [&whole[..start], &whole[start + first_ends..]].concat();
    assert!(matches!(read(&left_out).1, Some(RecordingError::Damaged { record: 2, .. })));
    let added = [&whole[..], b"x"].concat();
    assert!(matches!(read(&added).1, Some(RecordingError::Damaged { .. })));
}

#[test]
fn what_no_broker_would_take_and_what_was_never_recorded_is_refused_by_its_record() {
    let sayable = message("NOTICES", 3);
    for (wrong, why) in [
        (Recorded { subject: "a b".into(), ..sayable.clone() }, "subject"),
        (Recorded { subject: String::new(), ..sayable.clone() }, "subject"),
        (Recorded { headers: vec![("a:b".into(), String::new())], ..sayable.clone() }, "header line"),
        (
            Recorded { headers: vec![("a".into(), "x\r\nNats-Rollup: all".into())], ..sayable.clone() },
            "header line",
        ),
        (Recorded { headers: vec![("a".into(), String::new()); 200], ..sayable.clone() }, "header lines"),
        (Recorded { stream: "OTHER".into(), ..sayable.clone() }, "not recorded"),
        (Recorded { sequence: 0, ..sayable }, "ascend"),
    ] {
        let (_, fault) = read(&written(&[Record::Message(wrong)]));
        let fault = fault.unwrap().to_string();
        assert!(fault.starts_with("record 2") && fault.contains(why), "{fault}");
    }
}

#[test]
fn another_version_and_another_file_are_told_apart() {
    let mut bytes = written(&[]);
    bytes[8] = 2;
    assert!(matches!(read(&bytes).1, Some(RecordingError::Version(2))));
    bytes[0] = b'X';
    assert!(matches!(read(&bytes).1, Some(RecordingError::NotARecording)));
}

#[test]
fn a_length_that_is_a_lie_costs_no_memory() {
    let mut bytes = written(&[]);
    let start = 9 + 13 + encode(&beginning()).unwrap().len();
    bytes.truncate(start);
    bytes.extend_from_slice(&[Record::MESSAGE, 0xff, 0xff, 0xff, 0xff]);
    let fault = read(&bytes).1.unwrap().to_string();
    assert!(fault.contains("claims 4294967295 bytes"), "{fault}");
    bytes.truncate(start);
    bytes.extend_from_slice(&[Record::OBJECT, 0x0f, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert!(read(&bytes).1.unwrap().is_cut_short());
}

proptest! {
    #[test]
    fn no_octets_make_the_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..200) {
        let mut bytes = written(&sample());
        let at = at.min(bytes.len());
        bytes.truncate(at);
        bytes.extend(noise);
        if let Ok(mut reader) = Reader::open(&bytes[..]) {
            while let Ok(Some(_)) = reader.read_next() {}
        }
    }
}
