//! Where the CRLs of a certificate stand: distribution points (RFC 5280 4.2.1.13) and the reasons they cover.
//!
//! The same name form stands in a certificate's distribution point and in a CRL's issuing distribution point
//! (5.2.5); whether the two meet is decided by [`DistributionPointName::meets`].

use serde::{Deserialize, Serialize};

use crate::asn1::{Asn1Error, Asn1ErrorKind, Reader, SequenceOf, Tag, Tlv};
use crate::general_name::{GeneralName, GeneralNames};
use crate::name::Name;

/// One distribution point of a certificate (cRLDistributionPoints, freshestCRL).
#[derive(Clone, Copy, Debug)]
pub struct DistributionPoint<'a> {
    /// Where its CRLs are found; also the name that the CRL must bear.
    pub name: Option<DistributionPointName<'a>>,
    /// The reasons that its CRLs cover; absent: all.
    pub reasons: Option<Reasons>,
    /// Who signs its CRLs, if that is not the certificate's issuer.
    pub crl_issuer: Option<GeneralNames<'a>>,
}

/// A series of distribution points.
pub type DistributionPoints<'a> = SequenceOf<'a, DistributionPoint<'a>>;

impl<'a> DistributionPoint<'a> {
    /// Reads the next value as a DistributionPoint. One without a name and without a CRL issuer is refused.
    pub fn read(reader: &mut Reader<'a>) -> Result<DistributionPoint<'a>, Asn1Error> {
        let at = reader.at();
        let mut fields = reader.sequence()?;
        let name = match fields.optional(Tag::context_constructed(0))? {
            Some(value) => Some(DistributionPointName::decode(&value)?),
            None => None,
        };
        let reasons = match fields.optional(Tag::context(1))? {
            Some(value) => Some(Reasons::decode(&value)?),
            None => None,
        };
        let crl_issuer = match fields.optional(Tag::context_constructed(2))? {
            Some(value) => Some(GeneralNames::decode(value.reader(), GeneralName::read)?),
            None => None,
        };
        fields.finish()?;
        if name.is_none() && crl_issuer.is_none() {
            let kind = Asn1ErrorKind::Value("a distribution point without name and CRL issuer");
            return Err(Asn1Error { at, kind });
        }
        Ok(DistributionPoint { name, reasons, crl_issuer })
    }
}

/// A DistributionPointName (RFC 5280 4.2.1.13).
#[derive(Clone, Copy, Debug)]
pub enum DistributionPointName<'a> {
    /// fullName: several names of one and the same place.
    Full(GeneralNames<'a>),
    /// nameRelativeToCRLIssuer: the content of one RelativeDistinguishedName.
    Relative(&'a [u8]),
}

impl<'a> DistributionPointName<'a> {
    /// Decodes the content of `value`, which is the explicitly tagged choice.
    pub fn decode(value: &Tlv<'a>) -> Result<DistributionPointName<'a>, Asn1Error> {
        let choice = value.reader().only()?;
        match choice.tag.0 {
            0xa0 => {
                Ok(DistributionPointName::Full(GeneralNames::decode(choice.reader(), GeneralName::read)?))
            }
            0xa1 => {
                let empty = Name::decode(&b"\x30\x00"[..])?;
                empty.join(choice.content).map_err(|e| e.within(choice.at))?;
                Ok(DistributionPointName::Relative(choice.content))
            }
            _ => {
                let kind = Asn1ErrorKind::Value("neither a full nor a relative distribution point name");
                Err(Asn1Error { at: choice.at, kind })
            }
        }
    }

    /// Whether a name of `self` is a name of `other` (RFC 5280 6.3.3 (b)(2)(i)). A relative name counts from the
    /// CRL issuer that goes with it: `issuer` for `self`, `other_issuer` for `other`.
    pub fn meets(&self, issuer: &Name, other: &DistributionPointName<'_>, other_issuer: &Name) -> bool {
        use DistributionPointName::{Full, Relative};
        match (self, other) {
            (Full(a), Full(b)) => a.into_iter().any(|x| b.into_iter().any(|y| x.same_as(&y))),
            (Full(a), Relative(b)) => other_issuer.join(b).is_ok_and(|name| holds(*a, &name)),
            (Relative(a), Full(b)) => issuer.join(a).is_ok_and(|name| holds(*b, &name)),
            (Relative(a), Relative(b)) => match (issuer.join(a), other_issuer.join(b)) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            },
        }
    }

    /// Whether `name`, as a directory name, is among the names (a relative one counts from `issuer`).
    pub fn is_at(&self, issuer: &Name, name: &Name) -> bool {
        match self {
            DistributionPointName::Full(names) => holds(*names, name),
            DistributionPointName::Relative(rdn) => issuer.join(rdn).is_ok_and(|joined| joined == *name),
        }
    }
}

fn holds(mut names: GeneralNames<'_>, name: &Name) -> bool {
    names.any(|candidate| candidate.directory().is_some_and(|candidate| candidate == *name))
}

/// A set of revocation reasons (ReasonFlags, RFC 5280 4.2.1.13), bit n of the BIT STRING as bit n here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Reasons(u16);

impl Reasons {
    /// No reason at all.
    pub const NONE: Reasons = Reasons(0);
    /// Every reason that ReasonFlags names, from keyCompromise (1) to aACompromise (8); bit 0 is unused.
    pub const ALL: Reasons = Reasons(0b1_1111_1110);

    /// Decodes the content of a BIT STRING, whatever its tag. Bits beyond those that are named are left out.
    pub fn decode(value: &Tlv<'_>) -> Result<Reasons, Asn1Error> {
        let (octets, _) = value.as_bits()?;
        let bit = |n: usize| octets.get(n / 8).is_some_and(|octet| octet & (0x80 >> (n % 8)) != 0);
        Ok(Reasons((1..=8).filter(|n| bit(*n)).fold(0, |set, n| set | 1 << n)))
    }

    /// From bits as [`Reasons::bits`] gives them; those that have no name are left out.
    pub fn from_bits(bits: u16) -> Reasons {
        Reasons(bits & Reasons::ALL.0)
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Reasons) -> Reasons {
        Reasons(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub fn or(self, other: Reasons) -> Reasons {
        Reasons(self.0 | other.0)
    }

    /// Whether each of `other` is in `self`.
    pub fn contains(self, other: Reasons) -> bool {
        other.0 & !self.0 == 0
    }

    /// Bit n set: reason n of ReasonFlags.
    pub fn bits(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(der: &[u8]) -> Result<DistributionPoint<'_>, Asn1Error> {
        DistributionPoint::read(&mut Reader::new(der))
    }

    #[test]
    fn a_point_needs_a_name_or_a_crl_issuer() {
        assert!(point(b"\x30\x04\x81\x02\x06\x40").is_err());
        let both = point(b"\x30\x0d\xa0\x07\xa0\x05\x82\x03a.b\x81\x02\x05\x60").unwrap();
        assert_eq!(both.reasons.unwrap().bits(), 0b110);
        assert!(both.name.is_some() && both.crl_issuer.is_none());
    }

    #[test]
    fn a_relative_name_is_the_full_name_below_its_issuer() {
        let issuer = Name::decode(&b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x0a\x0c\x02CA"[..]).unwrap();
        let rdn = b"\x30\x09\x06\x03\x55\x04\x03\x0c\x02P1";
        let full = issuer.join(rdn).unwrap();
        assert!(DistributionPointName::Relative(rdn).is_at(&issuer, &full));
        assert!(!DistributionPointName::Relative(rdn).is_at(&full, &full));
    }
}
