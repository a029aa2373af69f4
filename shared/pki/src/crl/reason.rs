//! Why a certificate was revoked.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::distribution_point::Reasons;

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

    /// The reasons whose flags are set, in the order of their codes.
    pub fn in_flags(flags: Reasons) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| Reasons::from(*reason).bits() & flags.bits() != 0)
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

/// The flag of a reason in ReasonFlags (RFC 5280 4.2.1.13). Unspecified and removeFromCRL have none: only a CRL
/// for all reasons speaks of them.
impl From<Reason> for Reasons {
    fn from(reason: Reason) -> Reasons {
        Reasons::from_bits(match reason {
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

impl FromIterator<Reason> for Reasons {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Reasons {
        reasons.into_iter().fold(Reasons::NONE, |set, reason| set.or(reason.into()))
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
    fn every_reason_but_two_has_a_flag() {
        assert_eq!(Reasons::from_iter(Reason::ALL), Reasons::ALL);
        assert_eq!(Reasons::from_iter([Reason::Unspecified, Reason::RemoveFromCrl]), Reasons::NONE);
    }
}
