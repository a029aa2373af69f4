//! [`GeneralName`]: the choice of name forms of RFC 5280 4.2.1.6, borrowed from the object that holds it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::asn1::{Asn1Error, Asn1ErrorKind, Oid, Reader, SequenceOf, Tag};
use crate::name::Name;

/// A name in one of the forms of RFC 5280 4.2.1.6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum GeneralName<'a> {
    /// otherName: its type and the DER of its value.
    Other(Oid<'a>, &'a [u8]),
    /// rfc822Name: a mailbox; in a constraint also a host or a domain.
    Email(&'a str),
    /// dNSName.
    Dns(&'a str),
    /// x400Address: its content octets.
    X400(&'a [u8]),
    /// directoryName: the DER of a Name.
    Directory(&'a [u8]),
    /// ediPartyName: its content octets.
    EdiParty(&'a [u8]),
    /// uniformResourceIdentifier.
    Uri(&'a str),
    /// iPAddress: 4 or 16 octets; in a constraint 8 or 32 (address and mask).
    Ip(&'a [u8]),
    /// registeredID.
    RegisteredId(Oid<'a>),
}

/// A GeneralNames sequence (one name or more).
pub type GeneralNames<'a> = SequenceOf<'a, GeneralName<'a>>;

impl<'a> GeneralName<'a> {
    /// Reads the next value as a GeneralName.
    pub fn read(reader: &mut Reader<'a>) -> Result<GeneralName<'a>, Asn1Error> {
        let value = reader.any()?;
        let bad = |what| Asn1Error { at: value.at, kind: Asn1ErrorKind::Value(what) };
        let text = || match std::str::from_utf8(value.content) {
            Ok(text) if text.is_ascii() => Ok(text),
            _ => Err(bad("an IA5String with octets above 7f")),
        };
        Ok(match value.tag.0 {
            0xa0 => {
                let mut other = value.reader();
                let kind = other.oid()?;
                let inner = other.expect(Tag::context_constructed(0))?.reader().only()?;
                other.finish()?;
                GeneralName::Other(kind, inner.raw)
            }
            0x81 => GeneralName::Email(text()?),
            0x82 => GeneralName::Dns(text()?),
            0xa3 => GeneralName::X400(value.content),
            0xa4 => {
                let name = value.reader().only()?;
                Name::decode(bytes::Bytes::copy_from_slice(name.raw)).map_err(|e| e.within(name.at))?;
                GeneralName::Directory(name.raw)
            }
            0xa5 => GeneralName::EdiParty(value.content),
            0x86 => GeneralName::Uri(text()?),
            0x87 => GeneralName::Ip(value.content),
            0x88 => {
                let oid = Oid::from_content(value.content);
                GeneralName::RegisteredId(oid.ok_or_else(|| bad("a malformed OBJECT IDENTIFIER"))?)
            }
            _ => return Err(bad("no form of GeneralName has this tag")),
        })
    }

    /// The directory name, if it is one.
    pub fn directory(&self) -> Option<Name> {
        match self {
            GeneralName::Directory(der) => Name::decode(bytes::Bytes::copy_from_slice(der)).ok(),
            _ => None,
        }
    }

    /// Whether both are the same name: directory names by RFC 5280 7.1, all else octet by octet
    /// (as distribution point names are compared: they were copied from one another).
    pub fn same_as(&self, other: &GeneralName<'_>) -> bool {
        match (self, other) {
            (GeneralName::Directory(a), GeneralName::Directory(b)) => {
                a == b || (self.directory().is_some() && self.directory() == other.directory())
            }
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for GeneralName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |octets: &[u8]| data_encoding::HEXLOWER.encode(octets);
        match self {
            GeneralName::Other(kind, value) => write!(f, "other:{kind}:#{}", hex(value)),
            GeneralName::Email(text) => write!(f, "email:{}", text.escape_debug()),
            GeneralName::Dns(text) => write!(f, "dns:{}", text.escape_debug()),
            GeneralName::X400(octets) => write!(f, "x400:#{}", hex(octets)),
            GeneralName::Directory(_) => match self.directory() {
                Some(name) => write!(f, "dir:{name}"),
                None => f.write_str("dir:?"),
            },
            GeneralName::EdiParty(octets) => write!(f, "edi:#{}", hex(octets)),
            GeneralName::Uri(text) => write!(f, "uri:{}", text.escape_debug()),
            GeneralName::Ip(octets) => show_address(f, octets),
            GeneralName::RegisteredId(oid) => write!(f, "oid:{oid}"),
        }
    }
}

impl fmt::Debug for GeneralName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn show_address(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        write!(f, "ip:{}", Ipv4Addr::from(four))
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(octets) {
        write!(f, "ip:{}", Ipv6Addr::from(sixteen))
    } else {
        write!(f, "ip:#{}", data_encoding::HEXLOWER.encode(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(der: &[u8]) -> Result<GeneralName<'_>, Asn1Error> {
        GeneralName::read(&mut Reader::new(der))
    }

    #[test]
    fn each_form_is_read_and_shown() {
        for (der, shown) in [
            (&b"\x82\x03a.b"[..], "dns:a.b"),
            (b"\x81\x03a@b", "email:a@b"),
            (b"\x86\x0bhttp://a.b/", "uri:http://a.b/"),
            (b"\x87\x04\x7f\x00\x00\x01", "ip:127.0.0.1"),
            (b"\x88\x02\x2a\x03", "oid:1.2.3"),
            (b"\xa0\x07\x06\x02\x2a\x03\xa0\x01\x05", ""),
            (b"\xa0\x08\x06\x02\x2a\x03\xa0\x02\x05\x00", "other:1.2.3:#0500"),
            (b"\xa4\x02\x30\x00", "dir:"),
            (b"\xa3\x00", "x400:#"),
            (b"\xa5\x00", "edi:#"),
        ] {
            assert_eq!(read(der).map(|name| name.to_string()).unwrap_or_default(), shown, "{der:02x?}");
        }
    }

    #[test]
    fn text_beyond_ascii_and_unknown_tags_are_refused() {
        assert!(read("\u{82}".as_bytes()).is_err());
        assert!(read(b"\x82\x02\xc3\xa9").is_err());
        assert!(read(b"\x89\x00").is_err());
    }
}
