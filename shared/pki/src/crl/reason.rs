//! Why a certificate was revoked, and which reasons a CRL speaks of.

use std::fmt;
use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// A CRLReason (RFC 5280 5.3.1). An entry without the extension means [`Reason::Unspecified`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum Reason {
    /// No reason is given.
    #[default]
    Unspecified = 0,
    /// The subject's private key was or may have been disclosed.
    KeyCompromise = 1,
    /// The private key of the authority that is the subject was or may have been disclosed.
    #[serde(rename = "cACompromise")]
    CaCompromise = 2,
    /// The subject's name or other data changed.
    AffiliationChanged = 3,
    /// The certificate was replaced.
    Superseded = 4,
    /// The certificate is no longer needed.
    CessationOfOperation = 5,
    /// Put on hold; may be released or revoked later.
    CertificateHold = 6,
    /// In delta CRLs only: no longer on the list (released, or expired).
    #[serde(rename = "removeFromCRL")]
    RemoveFromCrl = 8,
    /// A privilege that the certificate conveys was withdrawn.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key was or may have been disclosed.
    #[serde(rename = "aACompromise")]
    AaCompromise = 10,
}

impl Reason {
    const ALL: [Reason; 10] = [
        Reason::Unspecified,
        Reason::KeyCompromise,
        Reason::CaCompromise,
        Reason::AffiliationChanged,
        Reason::Superseded,
        Reason::CessationOfOperation,
        Reason::CertificateHold,
        Reason::RemoveFromCrl,
        Reason::PrivilegeWithdrawn,
        Reason::AaCompromise,
    ];

    /// From the ENUMERATED value; `None` for 7 and what is not assigned.
    pub fn from_code(code: u32) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| u32::from(reason.code()) == code)
    }

    /// The ENUMERATED value.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name as RFC 5280 5.3.1 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "keyCompromise",
            Reason::CaCompromise => "cACompromise",
            Reason::AffiliationChanged => "affiliationChanged",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessationOfOperation",
            Reason::CertificateHold => "certificateHold",
            Reason::RemoveFromCrl => "removeFromCRL",
            Reason::PrivilegeWithdrawn => "privilegeWithdrawn",
            Reason::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Reason {
    type Err = NotAReason;

    /// From the name as RFC 5280 writes it.
    fn from_str(text: &str) -> Result<Reason, NotAReason> {
        Reason::ALL.into_iter().find(|reason| reason.name().eq_ignore_ascii_case(text)).ok_or(NotAReason)
    }
}

/// A text that names no CRLReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason of RFC 5280 5.3.1, such as keyCompromise or superseded")]
pub struct NotAReason;

/// A set of reasons as certificates and CRLs write it (ReasonFlags, RFC 5280 4.2.1.13): bit *n* of the
/// named-bit list is bit *n* here. Unspecified has no bit of its own: only a CRL for all reasons speaks of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReasonFlags(u16);

impl ReasonFlags {
    /// No reason.
    pub const NONE: ReasonFlags = ReasonFlags(0);
    /// Every reason: what a CRL without onlySomeReasons covers.
    pub const ALL: ReasonFlags = ReasonFlags(0x1fe);

    /// From a named-bit list: its octets, most significant bit first. Bits that RFC 5280 does not name, the
    /// unused bit 0 among them, are dropped.
    pub fn from_named_bits(octets: &[u8]) -> ReasonFlags {
        let octet = |i: usize| octets.get(i).copied().unwrap_or(0);
        ReasonFlags(u16::from_be_bytes([octet(0), octet(1)]).reverse_bits()) & ReasonFlags::ALL
    }

    /// These reasons; unspecified and removeFromCRL have no flag and add nothing.
    pub fn of(reasons: &[Reason]) -> ReasonFlags {
        reasons.iter().fold(ReasonFlags::NONE, |flags, reason| flags | ReasonFlags::from(*reason))
    }

    /// The named-bit list as a number: bit *n* of the list is bit *n*.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether every reason of `other` is among these.
    pub fn contains(self, other: ReasonFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| !(ReasonFlags::from(*reason) & self).is_empty())
    }
}

impl From<Reason> for ReasonFlags {
    fn from(reason: Reason) -> ReasonFlags {
        ReasonFlags(match reason {
            Reason::Unspecified | Reason::RemoveFromCrl => 0,
            Reason::KeyCompromise => 1 << 1,
            Reason::CaCompromise => 1 << 2,
            Reason::AffiliationChanged => 1 << 3,
            Reason::Superseded => 1 << 4,
            Reason::CessationOfOperation => 1 << 5,
            Reason::CertificateHold => 1 << 6,
            Reason::PrivilegeWithdrawn => 1 << 7,
            Reason::AaCompromise => 1 << 8,
        })
    }
}

impl BitOr for ReasonFlags {
    type Output = ReasonFlags;

    fn bitor(self, other: ReasonFlags) -> ReasonFlags {
        ReasonFlags(self.0 | other.0)
    }
}

impl std::ops::BitAnd for ReasonFlags {
    type Output = ReasonFlags;

    fn bitand(self, other: ReasonFlags) -> ReasonFlags {
        ReasonFlags(self.0 & other.0)
    }
}

impl fmt::Debug for ReasonFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back_to_the_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(u32::from(reason.code())), Some(reason));
            assert_eq!(reason.name().parse(), Ok(reason));
        }
        assert_eq!(Reason::from_code(7), None);
        assert_eq!(Reason::from_code(11), None);
    }

    #[test]
    fn flags_are_numbered_as_in_the_named_bit_list() {
        assert_eq!(
            ReasonFlags::from_named_bits(&[0x60]),
            ReasonFlags::of(&[Reason::KeyCompromise, Reason::CaCompromise])
        );
        assert_eq!(ReasonFlags::from_named_bits(&[0x00, 0x80]), Reason::AaCompromise.into());
        assert_eq!(ReasonFlags::from_named_bits(&[0xff, 0xff, 0xff]), ReasonFlags::ALL);
        assert!(ReasonFlags::from_named_bits(&[0x80]).is_empty());
        assert!(ReasonFlags::ALL.iter().all(|reason| reason != Reason::Unspecified));
    }
}
