//! Strict DER: the only way by which signed objects are read and written.
//!
//! Begin with [`Reader`]; [`Writer`] is its counterpart. The reader copies nothing and accepts nothing that DER
//! forbids: indefinite or non-minimal lengths, high tag numbers, trailing bytes, BOOLEANs other than 00 and FF.
//! Where real objects break DER in ways that a validator must survive (negative serial numbers, UTCTime of 1950),
//! the typed readers say so.

mod list;
mod oid;
mod reader;
mod time;
mod writer;

pub use list::SequenceOf;
pub use oid::{NotAnOid, Oid, OidBuf};
pub use reader::{Asn1Error, Asn1ErrorKind, Reader, Tag, Tlv, minimal_integer};
pub use time::{NotATime, Time};
pub(crate) use writer::push_tlv;
pub use writer::{Open, Writer};
