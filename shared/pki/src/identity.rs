//! What things are called: identifiers made by hashing, and the order of CRLs.
//!
//! Issuers, scopes, CRLs and certificates are named by what they *are*, so that two validators that never met
//! call the same thing by the same name. All print as lower-case hex and are read back from it.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::asn1::{Time, minimal_integer};
use crate::name::Name;

/// A text that is not the hex form of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {octets} octets in lower-case hex")]
pub struct NotAnIdentifier {
    /// How many octets the identifier has.
    pub octets: usize,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $octets:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $octets]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(data_encoding::HEXLOWER.encode_mut_str(&self.0, &mut [0; 2 * $octets]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotAnIdentifier;

            fn from_str(text: &str) -> Result<$name, NotAnIdentifier> {
                let mut octets = [0; $octets];
                if text.len() == 2 * $octets
                    && data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut octets).is_ok()
                {
                    return Ok($name(octets));
                }
                Err(NotAnIdentifier { octets: $octets })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    let mut hex = [0; 2 * $octets];
                    serializer.serialize_str(data_encoding::HEXLOWER.encode_mut_str(&self.0, &mut hex))
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    Deserialize::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

identifier! {
    /// Who signs: the first 16 octets of SHA-256(normal form of the name, SubjectPublicKeyInfo DER).
    /// Two keys under one name are two issuers.
    IssuerId, 16
}

identifier! {
    /// What a series of CRLs covers: the first 16 octets of SHA-256([`IssuerId`], the values of the issuing
    /// distribution point, RFC 5280 5.2.5, with defaults normalised and criticality left out).
    ScopeId, 16
}

identifier! {
    /// A CRL: SHA-256 of its TBSCertList. The signature is left out, as it can be re-made over the same words.
    CrlId, 32
}

identifier! {
    /// A certificate: SHA-256 of its whole DER.
    CertId, 32
}

identifier! {
    /// A watched verdict: the first 16 octets of SHA-256([`CertId`], a hash of the policy that is in effect), so that
    /// whoever asks the same of validators that are configured alike watches the same.
    WatchId, 16
}

identifier! {
    /// Stored bytes: SHA-256 of the whole object. Files and objects are named by it.
    Digest, 32
}

identifier! {
    /// Who is believed and what is required of a path: the first 16 octets of a SHA-256 over both
    /// ([`Requirements::policy_id`](crate::path::Requirements::policy_id)). A path found valid under one is valid
    /// under no other before it was judged anew.
    PolicyId, 16
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(sha256(&[bytes]))
    }
}

impl CertId {
    /// Of a certificate's DER.
    pub fn of(der: &[u8]) -> CertId {
        CertId(sha256(&[der]))
    }
}

impl WatchId {
    /// Of a certificate and the octets that stand for the policy in effect and for what was asked beyond it.
    pub fn of(certificate: CertId, policy: &[u8]) -> WatchId {
        WatchId(first_half(sha256(&[&certificate.0, policy])))
    }
}

impl CrlId {
    /// Of a TBSCertList's DER.
    pub fn of(tbs: &[u8]) -> CrlId {
        CrlId(sha256(&[tbs]))
    }
}

impl IssuerId {
    /// Of the name and the SubjectPublicKeyInfo DER of who signs.
    pub fn of(name: &Name, spki: &[u8]) -> IssuerId {
        IssuerId(first_half(sha256(&[name.normal(), spki])))
    }
}

impl ScopeId {
    /// Of the issuer and the normalised values of the issuing distribution point (empty when there is none).
    pub fn of(issuer: IssuerId, distribution_point: &[u8]) -> ScopeId {
        ScopeId(first_half(sha256(&[&issuer.0, distribution_point])))
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut octets = [0; 32];
    octets.copy_from_slice(context.finish().as_ref());
    octets
}

pub(crate) fn first_half(octets: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&octets[..16]);
    half
}

/// A CRL number, base CRL number (RFC 5280 5.2.3, 5.2.4): an integer of up to 20 octets, compared as such.
/// Prints in decimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber([u8; 20]);

impl CrlNumber {
    /// From INTEGER content octets; `None` if it is negative or needs more than 20 octets.
    pub fn from_integer(content: &[u8]) -> Option<CrlNumber> {
        let minimal = minimal_integer(content);
        if minimal.first().is_none_or(|first| *first >= 0x80) {
            return None;
        }
        let magnitude = minimal.strip_prefix(&[0]).unwrap_or(minimal);
        let mut octets = [0; 20];
        octets.get_mut(20usize.checked_sub(magnitude.len())?..)?.copy_from_slice(magnitude);
        Some(CrlNumber(octets))
    }

    /// Its 20 octets, most significant first.
    pub fn as_octets(&self) -> &[u8; 20] {
        &self.0
    }

    /// INTEGER content octets in their minimal form.
    pub fn to_integer(self) -> Vec<u8> {
        let mut content = vec![0];
        content.extend_from_slice(&self.0);
        minimal_integer(&content).to_vec()
    }

    /// The next number; stays at 2^160 - 1, the largest there is.
    #[must_use]
    pub fn next(self) -> CrlNumber {
        let mut octets = self.0;
        for octet in octets.iter_mut().rev() {
            *octet = octet.wrapping_add(1);
            if *octet != 0 {
                return CrlNumber(octets);
            }
        }
        self
    }
}

impl From<u64> for CrlNumber {
    fn from(number: u64) -> CrlNumber {
        let mut octets = [0; 20];
        octets[12..].copy_from_slice(&number.to_be_bytes());
        CrlNumber(octets)
    }
}

/// Digits of the largest number, rounded up to whole groups of nine.
const DIGITS: usize = 54;

impl CrlNumber {
    /// In decimal, written into `digits` from behind: long division by a billion, most significant part first.
    fn decimal(self, digits: &mut [u8; DIGITS]) -> &str {
        const BILLION: u64 = 1_000_000_000;
        let mut parts = [0u32; 5];
        for (part, octets) in parts.iter_mut().zip(self.0.chunks_exact(4)) {
            *part = octets.iter().fold(0, |part, octet| part << 8 | u32::from(*octet));
        }
        let mut begin = DIGITS;
        for group in digits.rchunks_exact_mut(9) {
            let mut remainder = 0u64;
            for part in &mut parts {
                let value = remainder << 32 | u64::from(*part);
                (*part, remainder) = ((value / BILLION) as u32, value % BILLION);
            }
            for digit in group.iter_mut().rev() {
                (*digit, remainder) = (b'0' + (remainder % 10) as u8, remainder / 10);
            }
            begin -= 9;
            if parts == [0; 5] {
                break;
            }
        }
        let written = &digits[begin..];
        let zeros = written.iter().take_while(|digit| **digit == b'0').count();
        str::from_utf8(&written[zeros.min(written.len() - 1)..]).unwrap_or_default()
    }
}

impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(true, "", self.decimal(&mut [0; DIGITS]))
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a decimal number below 2^160.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal CRL number of at most 20 octets")]
pub struct NotACrlNumber;

impl FromStr for CrlNumber {
    type Err = NotACrlNumber;

    fn from_str(text: &str) -> Result<CrlNumber, NotACrlNumber> {
        if text.is_empty() || text.len() > 49 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotACrlNumber);
        }
        let mut octets = [0u8; 20];
        for digit in text.bytes() {
            let mut carry = u16::from(digit - b'0');
            for octet in octets.iter_mut().rev() {
                let value = u16::from(*octet) * 10 + carry;
                (*octet, carry) = (value as u8, value >> 8);
            }
            if carry != 0 {
                return Err(NotACrlNumber);
            }
        }
        Ok(CrlNumber(octets))
    }
}

impl Serialize for CrlNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.decimal(&mut [0; DIGITS]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for CrlNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CrlNumber, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(CrlNumber)
        }
    }
}

/// Complete and delta CRLs of one scope bear the same numbers (RFC 5280 5.2.3) and are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrlKind {
    /// Lists every revoked certificate of its scope.
    Complete,
    /// Lists what changed since a base CRL (RFC 5280 5.2.4).
    Delta,
}

impl fmt::Display for CrlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CrlKind::Complete => "complete",
            CrlKind::Delta => "delta",
        })
    }
}

impl FromStr for CrlKind {
    type Err = NotACrlKind;

    fn from_str(text: &str) -> Result<CrlKind, NotACrlKind> {
        match text {
            "complete" => Ok(CrlKind::Complete),
            "delta" => Ok(CrlKind::Delta),
            _ => Err(NotACrlKind),
        }
    }
}

/// A text that is neither `complete` nor `delta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither complete nor delta")]
pub struct NotACrlKind;

/// Where a CRL stands among those of its scope and kind; the greater one is enforced.
/// A CRL without a number is below any with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CrlOrder {
    /// CRLNumber, absent in v1 CRLs and from CAs that omit it.
    pub number: Option<CrlNumber>,
    /// thisUpdate.
    pub this_update: Time,
    /// Breaks ties, so that every validator decides alike.
    pub id: CrlId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> CrlNumber {
        text.parse().unwrap()
    }

    #[test]
    fn crl_numbers_reach_twenty_octets_and_no_further() {
        let largest = number("1461501637330902918203684832716283019655932542975");
        assert_eq!(largest.to_string(), "1461501637330902918203684832716283019655932542975");
        assert_eq!(largest.next(), largest);
        assert!("1461501637330902918203684832716283019655932542976".parse::<CrlNumber>().is_err());
        assert_eq!(CrlNumber::from_integer(&[0xff; 20]), None);
        assert_eq!(CrlNumber::from_integer(&[1; 21]), None);
        let mut content = vec![0];
        content.extend([0xff; 20]);
        assert_eq!(CrlNumber::from_integer(&content), Some(largest));
        assert_eq!(largest.to_integer(), content);
    }

    proptest::proptest! {
        #[test]
        fn crl_numbers_print_as_integers_do(wide in proptest::prelude::any::<u128>(), bits in 0u32..128) {
            let wide = wide >> bits;
            let number = CrlNumber::from_integer(&[&[0], &wide.to_be_bytes()[..]].concat()).unwrap();
            proptest::prop_assert_eq!(number.to_string(), wide.to_string());
            proptest::prop_assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    #[test]
    fn crl_numbers_are_compared_as_integers() {
        assert!(number("9") < number("10"));
        assert!(CrlNumber::from(u64::MAX) < CrlNumber::from(u64::MAX).next());
        assert_eq!(CrlNumber::from(u64::MAX).next().to_string(), "18446744073709551616");
        assert_eq!(CrlNumber::from(0).to_integer(), [0]);
        assert_eq!(CrlNumber::from(128).to_integer(), [0, 0x80]);
    }

    #[test]
    fn a_crl_without_number_is_below_any_with_one() {
        let order = |number: Option<u64>, at| CrlOrder {
            number: number.map(CrlNumber::from),
            this_update: Time::from_unix(at),
            id: CrlId([0; 32]),
        };
        assert!(order(None, 99) < order(Some(0), 1));
        assert!(order(Some(1), 99) < order(Some(2), 1));
        assert!(order(Some(2), 1) < order(Some(2), 2));
    }
}
