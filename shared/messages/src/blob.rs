//! Octets inside a message.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Octets: length-prefixed on the wire, base64 in JSON.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob(pub Bytes);

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Blob {
    fn from(octets: Vec<u8>) -> Blob {
        Blob(octets.into())
    }
}

impl From<Bytes> for Blob {
    fn from(octets: Bytes) -> Blob {
        Blob(octets)
    }
}

impl From<&[u8]> for Blob {
    fn from(octets: &[u8]) -> Blob {
        Blob(Bytes::copy_from_slice(octets))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::BASE64.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets, or their base64 form")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                data_encoding::BASE64.decode(text.as_bytes()).map(Blob::from).map_err(E::custom)
            }

            fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<Blob, E> {
                Ok(octets.into())
            }

            fn visit_byte_buf<E: de::Error>(self, octets: Vec<u8>) -> Result<Blob, E> {
                Ok(octets.into())
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}
