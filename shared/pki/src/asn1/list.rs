//! [`SequenceOf`]: a SEQUENCE OF that was read whole once and is walked again without copying.

use super::{Asn1Error, Asn1ErrorKind, Reader};

/// How one element is read.
pub(super) type ReadItem<'a, T> = fn(&mut Reader<'a>) -> Result<T, Asn1Error>;

/// The elements of a SEQUENCE OF (or SET OF), each read when it is asked for.
#[derive(Clone, Copy)]
pub struct SequenceOf<'a, T> {
    rest: Reader<'a>,
    read: ReadItem<'a, T>,
}

impl<'a, T> SequenceOf<'a, T> {
    /// Over `content`, which must hold one element or more (SIZE (1..MAX), as everywhere in RFC 5280):
    /// every element is read once here, so that walking them later cannot fail.
    pub fn decode(content: Reader<'a>, read: ReadItem<'a, T>) -> Result<SequenceOf<'a, T>, Asn1Error> {
        let mut rest = content;
        if rest.is_empty() {
            return Err(Asn1Error { at: rest.at(), kind: Asn1ErrorKind::Value("an empty SEQUENCE OF") });
        }
        while !rest.is_empty() {
            read(&mut rest)?;
        }
        Ok(SequenceOf { rest: content, read })
    }

    /// The elements' encoding, without the outer tag and length.
    pub fn content(&self) -> &'a [u8] {
        self.rest.rest()
    }
}

impl<T> Iterator for SequenceOf<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.rest.is_empty() {
            return None;
        }
        (self.read)(&mut self.rest).ok()
    }
}

impl<T> std::fmt::Debug for SequenceOf<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SequenceOf({})", data_encoding::HEXLOWER.encode(self.content()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_whole_before_they_are_walked() {
        let good = [0x02, 1, 5, 0x02, 1, 7];
        let list = SequenceOf::decode(Reader::new(&good), Reader::small_integer).unwrap();
        assert_eq!(list.collect::<Vec<_>>(), [5, 7]);
        assert!(SequenceOf::decode(Reader::new(&good[..5]), Reader::small_integer).is_err());
        assert!(SequenceOf::decode(Reader::new(&[]), Reader::small_integer).is_err());
    }
}
