//! Serial numbers as values.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::asn1::minimal_integer;

/// A certificate's serial number: the content octets of its INTEGER in their minimal form, of any sign and length.
/// Prints as lower-case hex, and is read from it; human-readable formats write it so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// From content octets, padded or not. None at all means zero, which no INTEGER is encoded as.
    pub fn new(content: &[u8]) -> Serial {
        Serial(if content.is_empty() { [0].into() } else { minimal_integer(content).into() })
    }

    /// The content octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// A text that is not a serial number in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a serial number in hex, two digits per octet")]
pub struct NotASerial;

impl FromStr for Serial {
    type Err = NotASerial;

    /// Hex of either case; colons between octets are left out.
    fn from_str(text: &str) -> Result<Serial, NotASerial> {
        let digits = text.replace(':', "");
        match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
            Ok(octets) if !octets.is_empty() => Ok(Serial::new(&octets)),
            _ => Err(NotASerial),
        }
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Serial, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Vec::<u8>::deserialize(deserializer).map(|octets| Serial::new(&octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_octets_have_one_form() {
        for (text, shown) in [("00:80", "0080"), ("0001", "01"), ("FFFF", "ff"), ("00", "00"), ("7f", "7f")] {
            assert_eq!(text.parse::<Serial>().unwrap().to_string(), shown);
        }
        assert_eq!(Serial::new(&[]).octets(), [0]);
        for wrong in ["", "1", "xx", ":"] {
            assert_eq!(wrong.parse::<Serial>(), Err(NotASerial), "{wrong}");
        }
    }
}
