//! [`Writer`]: DER put together front to back in one buffer.

use super::{Oid, Tag, Time, minimal_integer};

/// Years up to 2049 are written as UTCTime, later ones as GeneralizedTime (RFC 5280 4.1.2.5).
const LAST_UTC_TIME_YEAR: i64 = 2049;

/// Appends one value: identifier, length and content octets.
pub(crate) fn push_tlv(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    out.push(tag.0);
    let (octets, used) = length_octets(content.len());
    out.extend_from_slice(&octets[..used]);
    out.extend_from_slice(content);
}

/// The length octets of DER and how many of them are used.
fn length_octets(length: usize) -> ([u8; 9], usize) {
    let mut octets = [0; 9];
    if length <= 0x7f {
        octets[0] = length as u8;
        return (octets, 1);
    }
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(8) as usize;
    octets[0] = 0x80 | digits as u8;
    octets[1..=digits].copy_from_slice(&length.to_be_bytes()[size_of::<usize>() - digits..]);
    (octets, digits + 1)
}

/// Writes DER. Values stand one after the other in the order of the calls; constructed ones are
/// [opened](Writer::open) and [closed](Writer::close), and their length is put in when they are closed, so that
/// content of any size is written once and in place.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

/// A constructed value that was opened: where its content begins.
#[derive(Debug)]
#[must_use = "an opened value has no length until it is closed"]
pub struct Open(usize);

impl Writer {
    /// An empty writer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// An empty writer with room for `octets`.
    pub fn with_capacity(octets: usize) -> Writer {
        Writer { out: Vec::with_capacity(octets) }
    }

    /// What was written so far. The lengths of values that are still open are missing.
    pub fn written(&self) -> &[u8] {
        &self.out
    }

    /// Everything that was written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Begins a constructed value.
    pub fn open(&mut self, tag: Tag) -> Open {
        self.out.push(tag.0);
        self.out.push(0);
        Open(self.out.len())
    }

    /// Ends a constructed value and puts its length in. Values are closed in the reverse order of opening.
    pub fn close(&mut self, Open(start): Open) {
        let end = self.out.len();
        let (octets, used) = length_octets(end - start);
        self.out.resize(end + used - 1, 0);
        self.out.copy_within(start..end, start + used - 1);
        self.out[start - 1..start - 1 + used].copy_from_slice(&octets[..used]);
    }

    /// Writes a constructed value whose content is written by `content`.
    pub fn nested(&mut self, tag: Tag, content: impl FnOnce(&mut Writer)) {
        let open = self.open(tag);
        content(self);
        self.close(open);
    }

    /// Writes a SEQUENCE.
    pub fn sequence(&mut self, content: impl FnOnce(&mut Writer)) {
        self.nested(Tag::SEQUENCE, content);
    }

    /// Writes a value from its content octets.
    pub fn value(&mut self, tag: Tag, content: &[u8]) {
        push_tlv(&mut self.out, tag, content);
    }

    /// Appends DER as it stands.
    pub fn raw(&mut self, der: &[u8]) {
        self.out.extend_from_slice(der);
    }

    /// Writes a BOOLEAN DEFAULT FALSE: TRUE, or nothing.
    pub fn true_or_nothing(&mut self, value: bool) {
        if value {
            self.value(Tag::BOOLEAN, &[0xff]);
        }
    }

    /// Writes an INTEGER from its content octets, as they stand.
    pub fn integer(&mut self, content: &[u8]) {
        self.value(Tag::INTEGER, content);
    }

    /// Writes a non-negative INTEGER under a tag (INTEGER, ENUMERATED, or one that replaces them).
    pub fn small_integer(&mut self, tag: Tag, value: u32) {
        let [a, b, c, d] = value.to_be_bytes();
        self.value(tag, minimal_integer(&[0, a, b, c, d]));
    }

    /// Writes an OBJECT IDENTIFIER.
    pub fn oid(&mut self, oid: Oid<'_>) {
        self.value(Tag::OID, oid.content());
    }

    /// Writes a BIT STRING of whole octets under a tag.
    pub fn octets_in_bit_string(&mut self, octets: &[u8]) {
        let open = self.open(Tag::BIT_STRING);
        self.out.push(0);
        self.raw(octets);
        self.close(open);
    }

    /// Writes a named-bit list (X.690 11.2.2: trailing zero bits are left out) under a tag;
    /// bit 0 of the list is the lowest bit of `bits`.
    pub fn named_bits(&mut self, tag: Tag, bits: u16) {
        let [high, low] = bits.reverse_bits().to_be_bytes();
        let octets: &[u8] = match (high, low) {
            (0, 0) => &[],
            (_, 0) => &[high],
            _ => &[high, low],
        };
        let open = self.open(tag);
        self.out.push(octets.last().map_or(0, |last| last.trailing_zeros() as u8));
        self.raw(octets);
        self.close(open);
    }

    /// Writes a time as RFC 5280 4.1.2.5 asks. Years outside 1950 to 9999 do not occur in it and are written
    /// as GeneralizedTime, clamped.
    pub fn time(&mut self, time: Time) {
        let utc = (1950..=LAST_UTC_TIME_YEAR).contains(&time.civil().0);
        self.time_as(if utc { Tag::UTC_TIME } else { Tag::GENERALIZED_TIME }, time);
    }

    /// Writes a GeneralizedTime.
    pub fn generalized_time(&mut self, time: Time) {
        self.time_as(Tag::GENERALIZED_TIME, time);
    }

    fn time_as(&mut self, tag: Tag, time: Time) {
        let (year, month, day, hour, minute, second) = time.civil();
        let year = year.clamp(0, 9999) as u16;
        let (century, yy) = ((year / 100) as u8, (year % 100) as u8);
        let mut digits = [0; 15];
        for (pair, number) in digits.chunks_exact_mut(2).zip([century, yy, month, day, hour, minute, second])
        {
            pair.copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        }
        digits[14] = b'Z';
        self.value(tag, if tag == Tag::UTC_TIME { &digits[2..] } else { &digits });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::Reader;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::new();
        for length in [0, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            writer.sequence(|writer| writer.value(Tag::OCTET_STRING, &vec![7; length]));
        }
        let der = writer.finish();
        let mut reader = Reader::new(&der);
        for length in [0, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let mut sequence = reader.sequence().unwrap();
            assert_eq!(sequence.expect(Tag::OCTET_STRING).unwrap().content.len(), length);
            sequence.finish().unwrap();
        }
        reader.finish().unwrap();
    }

    #[test]
    fn times_are_written_as_rfc_5280_asks() {
        for (text, tag) in [
            ("1950-01-01T00:00:00Z", Tag::UTC_TIME),
            ("2049-12-31T23:59:59Z", Tag::UTC_TIME),
            ("2050-01-01T00:00:00Z", Tag::GENERALIZED_TIME),
            ("1949-12-31T23:59:59Z", Tag::GENERALIZED_TIME),
        ] {
            let time: Time = text.parse().unwrap();
            let mut writer = Writer::new();
            writer.time(time);
            assert_eq!(Reader::new(writer.written()).peek(), Some(tag), "{text}");
            assert_eq!(Reader::new(writer.written()).time(), Ok(time));
        }
    }

    #[test]
    fn numbers_and_bit_lists_are_minimal() {
        let mut writer = Writer::new();
        writer.small_integer(Tag::INTEGER, 0);
        writer.small_integer(Tag::INTEGER, 0x80);
        writer.small_integer(Tag::INTEGER, u32::MAX);
        writer.named_bits(Tag::BIT_STRING, 0);
        writer.named_bits(Tag::BIT_STRING, 0b110_0000);
        writer.named_bits(Tag::BIT_STRING, 1 << 8);
        assert_eq!(
            writer.finish(),
            [
                &[0x02, 1, 0][..],
                &[0x02, 2, 0, 0x80],
                &[0x02, 5, 0, 0xff, 0xff, 0xff, 0xff],
                &[0x03, 1, 0],
                &[0x03, 2, 1, 0x06],
                &[0x03, 3, 7, 0, 0x80],
            ]
            .concat()
        );
    }
}
