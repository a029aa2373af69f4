//! Object identifiers as they stand in DER, compared by their content octets.

use std::fmt;
use std::str::FromStr;

/// An OBJECT IDENTIFIER: its content octets, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid<'a>(&'a [u8]);

impl<'a> Oid<'a> {
    /// From content octets; `None` unless each arc is complete and minimal (X.690 8.19).
    pub fn from_content(content: &'a [u8]) -> Option<Oid<'a>> {
        let complete = content.last().is_some_and(|last| last & 0x80 == 0);
        let minimal = content
            .iter()
            .enumerate()
            .all(|(i, octet)| *octet != 0x80 || (i > 0 && content[i - 1] & 0x80 != 0));
        (complete && minimal).then_some(Oid(content))
    }

    /// A constant whose octets are known to be right.
    pub const fn known(content: &'static [u8]) -> Oid<'static> {
        Oid(content)
    }

    /// The content octets.
    pub fn content(&self) -> &'a [u8] {
        self.0
    }

    /// Content octets of the dotted form `1.3.6.1...`; `None` if it is not one or an arc exceeds 64 bits.
    pub fn encode(dotted: &str) -> Option<Vec<u8>> {
        let mut arcs = dotted.split('.').map(|arc| arc.parse::<u64>().ok());
        let (first, second) = (arcs.next()??, arcs.next()??);
        if first > 2 || (first < 2 && second > 39) {
            return None;
        }
        let mut content = Vec::new();
        push_arc(&mut content, (first * 40).checked_add(second)?);
        for arc in arcs {
            push_arc(&mut content, arc?);
        }
        Some(content)
    }
}

fn push_arc(content: &mut Vec<u8>, arc: u64) {
    let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        content.push((arc >> (group * 7)) as u8 & 0x7f | more);
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut arc, mut first) = (0u128, true);
        for octet in self.0 {
            if arc >> 120 != 0 {
                // An arc that no assigned identifier has: shown as octets rather than wrongly.
                return write!(f, "#{}", data_encoding::HEXLOWER.encode(self.0));
            }
            arc = arc << 7 | u128::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                if first {
                    let top = (arc / 40).min(2);
                    write!(f, "{top}.{}", arc - top * 40)?;
                } else {
                    write!(f, ".{arc}")?;
                }
                (arc, first) = (0, false);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An OBJECT IDENTIFIER that owns its content octets; written and read in dotted form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OidBuf(Vec<u8>);

impl OidBuf {
    /// The same, borrowed.
    pub fn as_oid(&self) -> Oid<'_> {
        Oid(&self.0)
    }
}

impl From<Oid<'_>> for OidBuf {
    fn from(oid: Oid<'_>) -> OidBuf {
        OidBuf(oid.0.to_vec())
    }
}

/// A text that is not an object identifier in dotted form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object identifier such as 2.5.29.32.0")]
pub struct NotAnOid;

impl FromStr for OidBuf {
    type Err = NotAnOid;

    fn from_str(dotted: &str) -> Result<OidBuf, NotAnOid> {
        Oid::encode(dotted).map(OidBuf).ok_or(NotAnOid)
    }
}

impl fmt::Display for OidBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_oid(), f)
    }
}

impl fmt::Debug for OidBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_and_octets_are_the_same_thing() {
        for dotted in ["2.5.29.32.0", "1.2.840.113549.1.1.11", "2.999.3", "0.9.2342.19200300.100.1.25"] {
            let content = Oid::encode(dotted).unwrap();
            assert_eq!(Oid::from_content(&content).unwrap().to_string(), dotted);
        }
        for wrong in ["", "1", "3.1", "1.40", "1.2.x", "1.2."] {
            assert_eq!(Oid::encode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn padded_and_cut_arcs_are_refused() {
        assert!(Oid::from_content(&[0x2a, 0x80, 0x01]).is_none());
        assert!(Oid::from_content(&[0x80, 0x01]).is_none());
        assert!(Oid::from_content(&[0x2a, 0x86]).is_none());
        assert!(Oid::from_content(&[]).is_none());
    }
}
