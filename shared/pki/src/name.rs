//! Distinguished names: kept as they arrived, compared by RFC 5280 7.1.
//!
//! The *normal form* decides equality and feeds [`IssuerId`](crate::identity::IssuerId), so its octets are part
//! of what validators say to one another: it begins with a version, and golden vectors hold it.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::asn1::{Asn1Error, Asn1ErrorKind, Oid, Reader, Tag, Tlv, Writer, push_tlv};

/// First octet of every normal form.
pub const NORMAL_FORM_VERSION: u8 = 1;

/// At most this many attributes in a name; real ones have about ten. A bound on the work of comparing.
pub const MAX_ATTRIBUTES: usize = 256;

/// A distinguished name. Equality, order and hash are those of the normal form.
#[derive(Clone)]
pub struct Name {
    der: Bytes,
    normal: Bytes,
}

impl Name {
    /// Decodes a Name (an RDNSequence, possibly empty).
    ///
    /// Fails on bytes that are not DER, an empty RDN, or more than [`MAX_ATTRIBUTES`] attributes.
    pub fn decode(der: impl Into<Bytes>) -> Result<Name, Asn1Error> {
        let der = der.into();
        let value = Reader::single(&der, Tag::SEQUENCE)?;
        let normal = normal_form(value.reader())?.into();
        Ok(Name { der, normal })
    }

    /// The name as it arrived.
    pub fn der(&self) -> &Bytes {
        &self.der
    }

    /// The same name with octets of its own. A name keeps what it was read from in memory, be it a CRL of 40 MB:
    /// whoever keeps the name for longer takes this one.
    pub fn detached(&self) -> Name {
        Name { der: Bytes::copy_from_slice(&self.der), normal: self.normal.clone() }
    }

    /// The form in which names are compared: the version, then each RDN as a SET of (type, folded value).
    pub fn normal(&self) -> &[u8] {
        &self.normal
    }

    /// Whether it has no attributes at all (a subject that lives in subjectAltName, RFC 5280 4.1.2.6).
    pub fn is_empty(&self) -> bool {
        self.normal.len() == 1
    }

    /// Whether `self` is `base` or stands below it in the tree of names (RFC 5280 4.2.1.10, directoryName).
    pub fn is_within(&self, base: &Name) -> bool {
        self.normal.starts_with(&base.normal)
    }

    /// This name with one more RDN, given as the content of a RelativeDistinguishedName
    /// (a CRL distribution point's nameRelativeToCRLIssuer, RFC 5280 4.2.1.13).
    pub fn join(&self, rdn_content: &[u8]) -> Result<Name, Asn1Error> {
        let rdns = Reader::single(&self.der, Tag::SEQUENCE)?.content;
        let mut content = rdns.to_vec();
        push_tlv(&mut content, Tag::SET, rdn_content);
        let mut der = Vec::with_capacity(content.len() + 4);
        push_tlv(&mut der, Tag::SEQUENCE, &content);
        Name::decode(der)
    }

    /// The attributes, RDN by RDN, as (type, value).
    pub fn attributes(&self) -> Vec<(Oid<'_>, Tlv<'_>)> {
        fn collect<'a>(der: &'a [u8], found: &mut Vec<(Oid<'a>, Tlv<'a>)>) -> Result<(), Asn1Error> {
            let mut rdns = Reader::new(der).sequence()?;
            while !rdns.is_empty() {
                let mut rdn = rdns.expect(Tag::SET)?.reader();
                while !rdn.is_empty() {
                    let mut attribute = rdn.sequence()?;
                    found.push((attribute.oid()?, attribute.any()?));
                }
            }
            Ok(())
        }
        let mut found = Vec::new();
        // `decode` has read the same bytes, so nothing is left out here.
        let _ = collect(&self.der, &mut found);
        found
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.normal.cmp(&other.normal)
    }
}

fn normal_form(mut rdns: Reader<'_>) -> Result<Vec<u8>, Asn1Error> {
    // Folding seldom lengthens a name, so one allocation nearly always suffices.
    let mut normal = Writer::with_capacity(rdns.rest().len() + 8);
    normal.raw(&[NORMAL_FORM_VERSION]);
    let mut count = 0;
    while !rdns.is_empty() {
        let set = rdns.expect(Tag::SET)?;
        let open = normal.open(Tag::SET);
        count += write_rdn(set.reader(), &mut normal)?;
        normal.close(open);
        let bad = |what| Asn1Error { at: set.at, kind: Asn1ErrorKind::Value(what) };
        if set.content.is_empty() {
            return Err(bad("an empty relative distinguished name"));
        }
        if count > MAX_ATTRIBUTES {
            return Err(bad("a name of more than 256 attributes"));
        }
    }
    Ok(normal.finish())
}

/// Writes the attributes of an RDN in the order of their normal forms; returns how many they are.
fn write_rdn(mut rdn: Reader<'_>, normal: &mut Writer) -> Result<usize, Asn1Error> {
    let mut rest = rdn;
    rest.optional(Tag::SEQUENCE)?;
    if rest.is_empty() {
        // The usual case: one attribute needs no order.
        return if rdn.is_empty() { Ok(0) } else { write_attribute(rdn.sequence()?, normal).map(|()| 1) };
    }
    let mut attributes = Vec::new();
    while !rdn.is_empty() {
        let mut attribute = Writer::new();
        write_attribute(rdn.sequence()?, &mut attribute)?;
        attributes.push(attribute.finish());
    }
    attributes.sort_unstable();
    attributes.iter().for_each(|attribute| normal.raw(attribute));
    Ok(attributes.len())
}

fn write_attribute(mut attribute: Reader<'_>, normal: &mut Writer) -> Result<(), Asn1Error> {
    let oid = attribute.oid()?;
    let value = attribute.any()?;
    attribute.finish()?;
    let open = normal.open(Tag::SEQUENCE);
    normal.oid(oid);
    if is_foldable(oid, &value) {
        write_folded(&value, normal)?;
    } else {
        normal.raw(value.raw);
    }
    normal.close(open);
    Ok(())
}

/// PrintableString and UTF8String are folded in case and space, and so is domainComponent (RFC 5280 7.3);
/// whatever else is compared octet by octet, tag included.
fn is_foldable(oid: Oid<'_>, value: &Tlv<'_>) -> bool {
    match value.tag {
        Tag::PRINTABLE_STRING | Tag::UTF8_STRING => true,
        Tag::IA5_STRING => oid == attribute_type::DOMAIN_COMPONENT,
        _ => false,
    }
}

/// Case and space folding by the string preparation of X.520 section 7 (that of RFC 4518). A string with characters
/// that it prohibits equals only itself.
fn write_folded(value: &Tlv<'_>, normal: &mut Writer) -> Result<(), Asn1Error> {
    let text = std::str::from_utf8(value.content)
        .map_err(|_| Asn1Error { at: value.at, kind: Asn1ErrorKind::Value("a string that is not UTF-8") })?;
    if text.is_ascii() && !text.bytes().any(|octet| octet.is_ascii_control()) {
        write_words(text.as_bytes(), u8::to_ascii_lowercase, normal);
    } else {
        match stringprep::x520prep(text, true) {
            Ok(prepared) => write_words(prepared.as_bytes(), |octet| *octet, normal),
            Err(_) => normal.raw(value.raw),
        }
    }
    Ok(())
}

/// Writes the words of `text` as a UTF8String, each octet through `fold`, with one space between words.
fn write_words(text: &[u8], fold: impl Fn(&u8) -> u8, normal: &mut Writer) {
    let open = normal.open(Tag::UTF8_STRING);
    let words = text.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    for (n, word) in words.enumerate() {
        if n > 0 {
            normal.raw(b" ");
        }
        word.iter().for_each(|octet| normal.raw(&[fold(octet)]));
    }
    normal.close(open);
}

/// Attribute types by their short names.
pub mod attribute_type {
    use crate::asn1::Oid;

    /// commonName.
    pub const COMMON_NAME: Oid<'static> = Oid::known(&[0x55, 4, 3]);
    /// domainComponent.
    pub const DOMAIN_COMPONENT: Oid<'static> =
        Oid::known(&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]);
    /// emailAddress (PKCS #9).
    pub const EMAIL_ADDRESS: Oid<'static> = Oid::known(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]);

    pub(crate) const SHORT: [(Oid<'static>, &str); 14] = [
        (COMMON_NAME, "CN"),
        (Oid::known(&[0x55, 4, 4]), "SN"),
        (Oid::known(&[0x55, 4, 5]), "serialNumber"),
        (Oid::known(&[0x55, 4, 6]), "C"),
        (Oid::known(&[0x55, 4, 7]), "L"),
        (Oid::known(&[0x55, 4, 8]), "ST"),
        (Oid::known(&[0x55, 4, 9]), "street"),
        (Oid::known(&[0x55, 4, 10]), "O"),
        (Oid::known(&[0x55, 4, 11]), "OU"),
        (Oid::known(&[0x55, 4, 12]), "title"),
        (Oid::known(&[0x55, 4, 42]), "GN"),
        (Oid::known(&[0x55, 4, 97]), "organizationIdentifier"),
        (DOMAIN_COMPONENT, "DC"),
        (EMAIL_ADDRESS, "emailAddress"),
    ];
}

/// Most specific attribute first, as RFC 4514 asks; control characters are escaped, so that a name can be
/// printed on a terminal and put into a header line.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (oid, value)) in self.attributes().iter().rev().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            match attribute_type::SHORT.iter().find(|(known, _)| known == oid) {
                Some((_, short)) => write!(f, "{separator}{short}=")?,
                None => write!(f, "{separator}{oid}=")?,
            }
            match text_of(value) {
                Some(text) => escape(f, &text)?,
                None => write!(f, "#{}", data_encoding::HEXLOWER.encode(value.raw))?,
            }
        }
        Ok(())
    }
}

/// Human-readable formats write the text, others the DER.
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.der.serialize(serializer)
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The text of a directory string of any kind; Teletex is read as Latin-1, as everyone does.
pub(crate) fn text_of(value: &Tlv<'_>) -> Option<String> {
    match value.tag {
        Tag::UTF8_STRING | Tag::PRINTABLE_STRING | Tag::IA5_STRING => {
            String::from_utf8(value.content.to_vec()).ok()
        }
        Tag::TELETEX_STRING => Some(value.content.iter().map(|octet| char::from(*octet)).collect()),
        Tag::BMP_STRING if value.content.len().is_multiple_of(2) => {
            let units = value.content.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UNIVERSAL_STRING if value.content.len().is_multiple_of(4) => value
            .content
            .chunks_exact(4)
            .map(|unit| char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]])))
            .collect(),
        _ => None,
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (i, letter) in text.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{letter}")?,
            '#' if i == 0 => f.write_str("\\#")?,
            ' ' if i == 0 || i == last => f.write_str("\\ ")?,
            letter if letter.is_control() => {
                let mut octets = [0; 4];
                for octet in letter.encode_utf8(&mut octets).bytes() {
                    write!(f, "\\{octet:02x}")?;
                }
            }
            letter => write!(f, "{letter}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(attributes: &[(Oid<'_>, Tag, &[u8])]) -> Name {
        let mut rdns = Vec::new();
        for (oid, tag, value) in attributes {
            let mut pair = Vec::new();
            push_tlv(&mut pair, Tag::OID, oid.content());
            push_tlv(&mut pair, *tag, value);
            let mut attribute = Vec::new();
            push_tlv(&mut attribute, Tag::SEQUENCE, &pair);
            push_tlv(&mut rdns, Tag::SET, &attribute);
        }
        let mut der = Vec::new();
        push_tlv(&mut der, Tag::SEQUENCE, &rdns);
        Name::decode(der).unwrap()
    }

    use attribute_type::{COMMON_NAME, DOMAIN_COMPONENT, EMAIL_ADDRESS};

    #[test]
    fn case_and_space_do_not_tell_names_apart_but_types_and_order_do() {
        let plain = name(&[(COMMON_NAME, Tag::PRINTABLE_STRING, b"Good CA")]);
        assert_eq!(plain, name(&[(COMMON_NAME, Tag::UTF8_STRING, b"  gOOD   ca ")]));
        assert_ne!(plain, name(&[(COMMON_NAME, Tag::TELETEX_STRING, b"Good CA")]));
        assert_ne!(plain, name(&[(EMAIL_ADDRESS, Tag::PRINTABLE_STRING, b"Good CA")]));
        assert_ne!(plain, name(&[(COMMON_NAME, Tag::PRINTABLE_STRING, b"GoodCA")]));
        assert_eq!(
            name(&[(COMMON_NAME, Tag::UTF8_STRING, "Straße".as_bytes())]),
            name(&[(COMMON_NAME, Tag::UTF8_STRING, "STRASSE".as_bytes())])
        );
        assert_eq!(
            name(&[(DOMAIN_COMPONENT, Tag::IA5_STRING, b"Example")]),
            name(&[(DOMAIN_COMPONENT, Tag::IA5_STRING, b"eXAMPLE")])
        );
        assert_ne!(
            name(&[(EMAIL_ADDRESS, Tag::IA5_STRING, b"A@b")]),
            name(&[(EMAIL_ADDRESS, Tag::IA5_STRING, b"a@b")])
        );
    }

    #[test]
    fn the_normal_form_is_golden() {
        let name = name(&[
            (DOMAIN_COMPONENT, Tag::IA5_STRING, b"Example"),
            (COMMON_NAME, Tag::PRINTABLE_STRING, b"Good  CA"),
        ]);
        assert_eq!(
            data_encoding::HEXLOWER.encode(name.normal()),
            concat!(
                "01", // version
                "3117",
                "3015",
                "060a0992268993f22c640119",
                "0c076578616d706c65", // DC=example
                "3110",
                "300e",
                "0603550403",
                "0c07676f6f64206361" // CN=good ca
            )
        );
    }

    #[test]
    fn names_are_shown_as_rfc_4514_asks_and_cannot_drive_a_terminal() {
        let shown = name(&[
            (DOMAIN_COMPONENT, Tag::IA5_STRING, b"example"),
            (COMMON_NAME, Tag::UTF8_STRING, b"#a, b\x1b[31m "),
        ]);
        assert_eq!(shown.to_string(), "CN=\\#a\\, b\\1b[31m\\ ,DC=example");
    }

    #[test]
    fn a_name_below_another_is_within_it() {
        let base = name(&[(DOMAIN_COMPONENT, Tag::IA5_STRING, b"example")]);
        let below =
            name(&[(DOMAIN_COMPONENT, Tag::IA5_STRING, b"EXAMPLE"), (COMMON_NAME, Tag::UTF8_STRING, b"x")]);
        assert!(below.is_within(&base) && base.is_within(&base) && !base.is_within(&below));
        let mut rdn = Vec::new();
        push_tlv(&mut rdn, Tag::OID, COMMON_NAME.content());
        push_tlv(&mut rdn, Tag::UTF8_STRING, b"X");
        let mut attribute = Vec::new();
        push_tlv(&mut attribute, Tag::SEQUENCE, &rdn);
        assert_eq!(base.join(&attribute).unwrap(), below);
    }
}
