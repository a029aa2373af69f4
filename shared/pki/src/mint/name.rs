//! Names from text.

use data_encoding::HEXLOWER_PERMISSIVE as HEX;

use super::MintError;
use crate::asn1::{Oid, Tag, Writer};
use crate::name::{Name, attribute_type};

/// A name from its RFC 4514 text, most specific attribute first: `CN=Example CA,O=Example,C=DE`.
///
/// Types are short names (`CN`, `O`, `OU`, `C`, `DC` ...) or dotted identifiers; `+` joins attributes of one
/// RDN, `\` escapes, `#` begins a value in hex. Country and serialNumber are written as PrintableString, DC and
/// emailAddress as IA5String, all else as UTF8String. The empty text is the empty name.
pub fn name(text: &str) -> Result<Name, MintError> {
    let mut rdns = Vec::new();
    let mut parser = Parser { text: text.as_bytes(), at: 0 };
    while !text.is_empty() {
        rdns.push(parser.rdn()?);
        if parser.at == text.len() {
            break;
        }
        parser.at += 1;
    }
    let mut writer = Writer::new();
    writer.sequence(|writer| rdns.iter().rev().for_each(|rdn| writer.raw(rdn)));
    Name::decode(writer.finish()).map_err(|_| parser.error("a value that names do not allow"))
}

/// Stands before an attribute, or at the `+` or `,` behind one.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn rdn(&mut self) -> Result<Vec<u8>, MintError> {
        let mut attributes = vec![self.attribute()?];
        while self.rest().starts_with(b"+") {
            self.at += 1;
            attributes.push(self.attribute()?);
        }
        // DER sorts the elements of a SET OF (X.690 11.6).
        attributes.sort_unstable();
        let mut writer = Writer::new();
        writer.value(Tag::SET, &attributes.concat());
        Ok(writer.finish())
    }

    fn attribute(&mut self) -> Result<Vec<u8>, MintError> {
        let oid = self.attribute_type()?;
        let (tag, value) = if self.rest().starts_with(b"#") {
            let end = self.rest().iter().position(|octet| b",+".contains(octet)).unwrap_or(self.rest().len());
            let der = HEX
                .decode(&self.rest()[1..end])
                .map_err(|_| self.error("a value that is not hex behind its #"))?;
            self.at += end;
            (None, der)
        } else {
            (Some(string_type(&oid)), self.value()?.into_bytes())
        };
        let mut writer = Writer::new();
        writer.sequence(|writer| {
            writer.value(Tag::OID, &oid);
            match tag {
                Some(tag) => writer.value(tag, &value),
                None => writer.raw(&value),
            }
        });
        Ok(writer.finish())
    }

    /// The content octets of the type; leaves the parser behind the `=`.
    fn attribute_type(&mut self) -> Result<Vec<u8>, MintError> {
        let end = self.rest().iter().position(|octet| *octet == b'=');
        let end = end.ok_or_else(|| self.error("no = behind a type"))?;
        let text = str::from_utf8(&self.rest()[..end]).unwrap_or_default().trim();
        let short = attribute_type::SHORT.iter().find(|(_, short)| short.eq_ignore_ascii_case(text));
        let oid = match short {
            Some((oid, _)) => oid.content().to_vec(),
            None => Oid::encode(text).ok_or_else(|| self.error("an unknown type"))?,
        };
        self.at += end + 1;
        Ok(oid)
    }

    /// An escaped string up to the next `,` or `+`; spaces around it are left out unless escaped.
    fn value(&mut self) -> Result<String, MintError> {
        let mut octets = Vec::new();
        let mut kept = 0;
        self.at += self.rest().iter().take_while(|octet| **octet == b' ').count();
        loop {
            match self.rest() {
                [] | [b',' | b'+', ..] => break,
                [b'\\', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    octets.extend(HEX.decode(&[*high, *low]).unwrap_or_default());
                    kept = octets.len();
                    self.at += 3;
                }
                [b'\\', escaped, ..] => {
                    octets.push(*escaped);
                    kept = octets.len();
                    self.at += 2;
                }
                [b'\\'] => return Err(self.error("nothing behind a \\")),
                [octet, ..] => {
                    octets.push(*octet);
                    kept = if *octet == b' ' { kept } else { octets.len() };
                    self.at += 1;
                }
            }
        }
        octets.truncate(kept);
        String::from_utf8(octets).map_err(|_| self.error("a value that is not UTF-8"))
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, what: &'static str) -> MintError {
        MintError::Name { what, at: self.at }
    }
}

fn string_type(oid: &[u8]) -> Tag {
    const COUNTRY: &[u8] = &[0x55, 4, 6];
    const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
    if oid == COUNTRY || oid == SERIAL_NUMBER {
        Tag::PRINTABLE_STRING
    } else if oid == attribute_type::DOMAIN_COMPONENT.content()
        || oid == attribute_type::EMAIL_ADDRESS.content()
    {
        Tag::IA5_STRING
    } else {
        Tag::UTF8_STRING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_name_lead_to_one_another() {
        for text in [
            "CN=Good CA,O=Test Certificates 2011,C=US",
            "CN=#a\\, b\\1b[31m\\ ,DC=example",
            "CN=Straße \\\\ x",
            "",
        ] {
            let text = text.replace("CN=#", "CN=\\#");
            assert_eq!(name(&text).unwrap().to_string(), text);
        }
        let padded = name("  CN = Good CA , O=Example").unwrap();
        assert_eq!(padded.to_string(), "CN=Good CA,O=Example");
        assert_eq!(name("2.5.4.3=#0c0141").unwrap(), name("cn=a").unwrap());
        assert_eq!(name("O=b+CN=a").unwrap(), name("CN=a+O=b").unwrap());
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_its_place() {
        for (text, at) in [("CN", 0), ("CN=a,", 5), ("CN=a,XX=b", 5), ("CN=#zz", 3), ("CN=a\\", 4)] {
            match name(text) {
                Err(MintError::Name { at: found, .. }) => assert_eq!(found, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
