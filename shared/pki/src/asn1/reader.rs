//! [`Reader`]: a cursor over DER. Every error names the offset at which it was met.

use std::fmt;

use super::{Oid, Time};

/// A DER identifier octet. Tag numbers above 30 are not used by X.509 and are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u8);

impl Tag {
    /// BOOLEAN.
    pub const BOOLEAN: Tag = Tag(0x01);
    /// INTEGER.
    pub const INTEGER: Tag = Tag(0x02);
    /// BIT STRING, primitive.
    pub const BIT_STRING: Tag = Tag(0x03);
    /// OCTET STRING, primitive.
    pub const OCTET_STRING: Tag = Tag(0x04);
    /// NULL.
    pub const NULL: Tag = Tag(0x05);
    /// OBJECT IDENTIFIER.
    pub const OID: Tag = Tag(0x06);
    /// ENUMERATED.
    pub const ENUMERATED: Tag = Tag(0x0a);
    /// UTF8String.
    pub const UTF8_STRING: Tag = Tag(0x0c);
    /// PrintableString.
    pub const PRINTABLE_STRING: Tag = Tag(0x13);
    /// TeletexString (T61String).
    pub const TELETEX_STRING: Tag = Tag(0x14);
    /// IA5String.
    pub const IA5_STRING: Tag = Tag(0x16);
    /// UTCTime.
    pub const UTC_TIME: Tag = Tag(0x17);
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: Tag = Tag(0x18);
    /// UniversalString.
    pub const UNIVERSAL_STRING: Tag = Tag(0x1c);
    /// BMPString.
    pub const BMP_STRING: Tag = Tag(0x1e);
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: Tag = Tag(0x30);
    /// SET and SET OF.
    pub const SET: Tag = Tag(0x31);

    /// `[n]` primitive (implicit tagging of a primitive type), n up to 30.
    pub const fn context(n: u8) -> Tag {
        Tag(0x80 | n)
    }

    /// `[n]` constructed (explicit tagging, or implicit tagging of a constructed type), n up to 30.
    pub const fn context_constructed(n: u8) -> Tag {
        Tag(0xa0 | n)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag 0x{:02x}", self.0)
    }
}

/// What DER does not allow, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Asn1Error {
    /// Offset from the start of the outermost input.
    pub at: usize,
    /// What is wrong there.
    pub kind: Asn1ErrorKind,
}

impl Asn1Error {
    /// The same error, told from the start of an input in which what was read stands at `at`.
    #[must_use]
    pub fn within(self, at: usize) -> Asn1Error {
        Asn1Error { at: self.at + at, ..self }
    }
}

/// The ways in which bytes fail to be DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Asn1ErrorKind {
    /// The input ends inside a value.
    #[error("the input ends inside a value")]
    Truncated,
    /// Bytes remain where the value should end.
    #[error("bytes remain after the value")]
    Trailing,
    /// Another tag stands where `expected` should.
    #[error("found {found:?} where {expected:?} should stand")]
    UnexpectedTag {
        /// The tag that the grammar asks for.
        expected: Tag,
        /// The tag that was found.
        found: Tag,
    },
    /// A tag number above 30.
    #[error("a tag number above 30")]
    HighTag,
    /// An indefinite, non-minimal or over-long length.
    #[error("a length that DER forbids")]
    Length,
    /// A value that its type forbids, named.
    #[error("{0}")]
    Value(&'static str),
}

/// One tag-length-value.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// Its identifier octet.
    pub tag: Tag,
    /// The content octets.
    pub content: &'a [u8],
    /// Identifier, length and content octets as they stand.
    pub raw: &'a [u8],
    /// Offset of `raw` in the outermost input.
    pub at: usize,
}

impl<'a> Tlv<'a> {
    /// Reads the content as a series of values.
    pub fn reader(&self) -> Reader<'a> {
        Reader { input: self.content, pos: 0, base: self.content_at() }
    }

    /// Offset of the content in the outermost input.
    pub fn content_at(&self) -> usize {
        self.at + (self.raw.len() - self.content.len())
    }

    fn bad(&self, what: &'static str) -> Asn1Error {
        Asn1Error { at: self.at, kind: Asn1ErrorKind::Value(what) }
    }
}

/// A cursor over DER values that stand one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    pos: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    pub fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, pos: 0, base: 0 }
    }

    /// A reader at the start of `input`, which stands at `at` in the input that errors are to speak of.
    pub fn part(input: &'a [u8], at: usize) -> Reader<'a> {
        Reader { input, pos: 0, base: at }
    }

    /// Reads all of `input` as one value tagged `tag`: nothing may follow it.
    pub fn single(input: &'a [u8], tag: Tag) -> Result<Tlv<'a>, Asn1Error> {
        let mut reader = Reader::new(input);
        let value = reader.expect(tag)?;
        reader.finish()?;
        Ok(value)
    }

    /// Offset of the next value in the outermost input.
    pub fn at(&self) -> usize {
        self.base + self.pos
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.pos == self.input.len()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.pos..]
    }

    /// Reads the next value, after which nothing may remain.
    pub fn only(mut self) -> Result<Tlv<'a>, Asn1Error> {
        let value = self.any()?;
        self.finish()?;
        Ok(value)
    }

    /// Ends the reading; fails if bytes remain.
    pub fn finish(self) -> Result<(), Asn1Error> {
        if self.is_empty() { Ok(()) } else { Err(self.error(Asn1ErrorKind::Trailing)) }
    }

    /// The next identifier octet, unread.
    pub fn peek(&self) -> Option<Tag> {
        self.input.get(self.pos).map(|tag| Tag(*tag))
    }

    fn error(&self, kind: Asn1ErrorKind) -> Asn1Error {
        Asn1Error { at: self.at(), kind }
    }

    /// Reads the next value, whatever its tag.
    pub fn any(&mut self) -> Result<Tlv<'a>, Asn1Error> {
        let rest = &self.input[self.pos..];
        let [tag, first, ..] = *rest else { return Err(self.error(Asn1ErrorKind::Truncated)) };
        if tag & 0x1f == 0x1f {
            return Err(self.error(Asn1ErrorKind::HighTag));
        }
        let (header, length) = match first {
            ..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let octets = usize::from(first & 0x7f);
                let digits = rest.get(2..2 + octets).ok_or_else(|| self.error(Asn1ErrorKind::Truncated))?;
                let length = digits.iter().fold(0u64, |n, d| n << 8 | u64::from(*d));
                if length < 0x80 || digits[0] == 0 {
                    return Err(self.error(Asn1ErrorKind::Length));
                }
                let length = usize::try_from(length).map_err(|_| self.error(Asn1ErrorKind::Length))?;
                (2 + octets, length)
            }
            _ => return Err(self.error(Asn1ErrorKind::Length)),
        };
        if length > rest.len() - header {
            return Err(self.error(Asn1ErrorKind::Truncated));
        }
        let raw = &rest[..header + length];
        let value = Tlv { tag: Tag(tag), content: &raw[header..], raw, at: self.at() };
        self.pos += raw.len();
        Ok(value)
    }

    /// Reads the next value, which must be tagged `tag`.
    pub fn expect(&mut self, tag: Tag) -> Result<Tlv<'a>, Asn1Error> {
        match self.peek() {
            Some(found) if found == tag => self.any(),
            Some(found) => Err(self.error(Asn1ErrorKind::UnexpectedTag { expected: tag, found })),
            None => Err(self.error(Asn1ErrorKind::Truncated)),
        }
    }

    /// Reads the next value if it is tagged `tag`.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<Tlv<'a>>, Asn1Error> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Reads a SEQUENCE and returns a reader of its content.
    pub fn sequence(&mut self) -> Result<Reader<'a>, Asn1Error> {
        Ok(self.expect(Tag::SEQUENCE)?.reader())
    }

    /// Reads an OBJECT IDENTIFIER.
    pub fn oid(&mut self) -> Result<Oid<'a>, Asn1Error> {
        let value = self.expect(Tag::OID)?;
        Oid::from_content(value.content).ok_or_else(|| value.bad("a malformed OBJECT IDENTIFIER"))
    }

    /// Reads a BOOLEAN; DER knows only 00 and FF.
    pub fn boolean(&mut self) -> Result<bool, Asn1Error> {
        let value = self.expect(Tag::BOOLEAN)?;
        match value.content {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(value.bad("a BOOLEAN that is neither 00 nor FF")),
        }
    }

    /// Reads a BOOLEAN DEFAULT FALSE. A spelled-out FALSE is not DER, yet common: it is accepted as FALSE.
    pub fn boolean_or_false(&mut self) -> Result<bool, Asn1Error> {
        if self.peek() == Some(Tag::BOOLEAN) { self.boolean() } else { Ok(false) }
    }

    /// Reads an INTEGER and returns its content octets, whatever their sign, length and leading octets:
    /// serial numbers of every kind are met in the wild. An empty INTEGER is refused.
    pub fn integer(&mut self) -> Result<&'a [u8], Asn1Error> {
        let value = self.expect(Tag::INTEGER)?;
        if value.content.is_empty() { Err(value.bad("an empty INTEGER")) } else { Ok(value.content) }
    }

    /// Reads a non-negative INTEGER in its minimal form that fits 32 bits.
    pub fn small_integer(&mut self) -> Result<u32, Asn1Error> {
        let value = self.expect(Tag::INTEGER)?;
        small(&value)
    }

    /// Reads a BIT STRING: its octets and the number of unused bits in the last one, which must be zero bits.
    pub fn bit_string(&mut self) -> Result<(&'a [u8], u8), Asn1Error> {
        let value = self.expect(Tag::BIT_STRING)?;
        bits(&value)
    }

    /// Reads a BIT STRING that holds whole octets (signatures, keys).
    pub fn octets_in_bit_string(&mut self) -> Result<&'a [u8], Asn1Error> {
        let value = self.expect(Tag::BIT_STRING)?;
        match bits(&value)? {
            (octets, 0) => Ok(octets),
            _ => Err(value.bad("a BIT STRING that does not hold whole octets")),
        }
    }

    /// Reads a UTCTime or GeneralizedTime as RFC 5280 4.1.2.5 writes them (Zulu, seconds, no fraction).
    pub fn time(&mut self) -> Result<Time, Asn1Error> {
        let value = self.any()?;
        match value.tag {
            Tag::UTC_TIME => Time::from_utc_time(value.content),
            Tag::GENERALIZED_TIME => Time::from_generalized_time(value.content),
            _ => None,
        }
        .ok_or_else(|| value.bad("a time that is not as RFC 5280 4.1.2.5 asks"))
    }
}

impl<'a> Tlv<'a> {
    /// The content as a non-negative INTEGER that fits 32 bits (for implicitly tagged ones too).
    pub fn as_small_integer(&self) -> Result<u32, Asn1Error> {
        small(self)
    }

    /// The content as a BIT STRING (for implicitly tagged ones too).
    pub fn as_bits(&self) -> Result<(&'a [u8], u8), Asn1Error> {
        bits(self)
    }
}

fn small(value: &Tlv<'_>) -> Result<u32, Asn1Error> {
    match value.content {
        [] => Err(value.bad("an empty INTEGER")),
        [first, ..] if *first >= 0x80 => Err(value.bad("a negative INTEGER")),
        [0, next, ..] if *next < 0x80 => Err(value.bad("an INTEGER with a superfluous leading octet")),
        octets if octets.len() > 5 || (octets.len() == 5 && octets[0] != 0) => {
            Err(value.bad("an INTEGER above 2^32 - 1"))
        }
        octets => Ok(octets.iter().fold(0u32, |n, d| n << 8 | u32::from(*d))),
    }
}

fn bits<'a>(value: &Tlv<'a>) -> Result<(&'a [u8], u8), Asn1Error> {
    let Some((unused, octets)) = value.content.split_first() else {
        return Err(value.bad("an empty BIT STRING"));
    };
    let last = octets.last().copied();
    match (*unused, last) {
        (0, _) => Ok((octets, 0)),
        (1..=7, Some(last)) if last.trailing_zeros() >= u32::from(*unused) => Ok((octets, *unused)),
        _ => Err(value.bad("a BIT STRING with wrong unused bits")),
    }
}

/// The one normal form of INTEGER content octets: two's complement without superfluous leading octets
/// (X.690 8.3.2). Serial numbers are compared in it on both sides, since some CAs pad them.
pub fn minimal_integer(mut octets: &[u8]) -> &[u8] {
    while let [first @ (0x00 | 0xff), second, ..] = octets {
        if (first ^ second) & 0x80 != 0 {
            break;
        }
        octets = &octets[1..];
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(der: &[u8], kind: Asn1ErrorKind) {
        assert_eq!(Reader::new(der).any().unwrap_err().kind, kind, "{der:02x?}");
    }

    #[test]
    fn lengths_that_der_forbids_are_refused() {
        refused(&[0x30, 0x80, 0, 0], Asn1ErrorKind::Length);
        refused(&[0x04, 0x81, 0x01, 0xaa], Asn1ErrorKind::Length);
        refused(&[0x04, 0x82, 0x00, 0x80], Asn1ErrorKind::Length);
        refused(&[0x04, 0x85, 1, 0, 0, 0, 0], Asn1ErrorKind::Length);
        refused(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], Asn1ErrorKind::Truncated);
        refused(&[0x1f, 0x81, 0x01], Asn1ErrorKind::HighTag);
        refused(&[0x04], Asn1ErrorKind::Truncated);
    }

    #[test]
    fn offsets_in_errors_count_from_the_outermost_input() {
        let der = [0x30, 0x05, 0x02, 0x01, 0x07, 0x01, 0x00];
        let mut inner = Reader::new(&der).sequence().unwrap();
        assert_eq!(inner.small_integer().unwrap(), 7);
        assert_eq!(inner.boolean().unwrap_err().at, 5);
    }

    #[test]
    fn serials_have_one_normal_form() {
        for (given, normal) in [
            (&[0x00u8, 0x00, 0x80][..], &[0x00u8, 0x80][..]),
            (&[0x00, 0x7f], &[0x7f]),
            (&[0xff, 0xff, 0x80], &[0x80]),
            (&[0xff, 0x7f], &[0xff, 0x7f]),
            (&[0x00], &[0x00]),
            (&[0x00, 0x00], &[0x00]),
        ] {
            assert_eq!(minimal_integer(given), normal);
        }
    }

    #[test]
    fn unused_bits_must_be_zero() {
        assert!(Reader::new(&[0x03, 0x02, 0x01, 0x81]).bit_string().is_err());
        assert_eq!(Reader::new(&[0x03, 0x02, 0x01, 0x80]).bit_string().unwrap(), (&[0x80u8][..], 1));
        assert!(Reader::new(&[0x03, 0x01, 0x03]).bit_string().is_err());
    }
}
