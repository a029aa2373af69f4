//! The rules, with the sentences that they come from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a broken rule matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Allowed, and yet worth a look.
    Notice,
    /// Against advice, or likely a mistake.
    Warning,
    /// Against a MUST.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($name:ident, $id:literal, $severity:ident, $citation:literal, $demand:literal;)+) => {
        /// A rule that a CRL can break. Prints as its identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $demand] #[doc = concat!("(", $citation, ")")] #[serde(rename = $id)] $name,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),+];

            /// The identifier, as it is printed.
            pub fn id(self) -> &'static str {
                match self { $(Rule::$name => $id,)+ }
            }

            /// Severity, where the rule stands, and what it demands.
            pub fn text(self) -> (Severity, &'static str, &'static str) {
                match self { $(Rule::$name => (Severity::$severity, $citation, $demand),)+ }
            }
        }
    };
}

rules! {
    // The list.
    VersionMissing, "version-missing", Error, "RFC 5280 5.1.2.1",
        "a CRL with extensions must have the version field, with the value v2";
    IssuerEmpty, "issuer-empty", Error, "RFC 5280 5.1.2.3", "the issuer must not be the empty name";
    TimeForm, "time-form", Error, "RFC 5280 5.1.2.4",
        "times through 2049 must be UTCTime, later ones GeneralizedTime";
    NextUpdateMissing, "next-update-missing", Error, "RFC 5280 5.1.2.5", "nextUpdate must be there";
    NextUpdateEarly, "next-update-early", Error, "RFC 5280 5.1.2.5", "nextUpdate must be later than thisUpdate";
    EmptyList, "empty-list", Error, "RFC 5280 5.1.2.6",
        "revokedCertificates must be absent when there are no revoked certificates";
    KeyIdMissing, "key-id-missing", Error, "RFC 5280 5.2.1", "authorityKeyIdentifier must name the key by its identifier";
    NumberMissing, "number-missing", Error, "RFC 5280 5.2.3", "cRLNumber must be there";
    Criticality, "criticality", Error, "RFC 5280 5.2, 5.3",
        "deltaCRLIndicator, issuingDistributionPoint and certificateIssuer must be critical, other known extensions not";
    DeltaNumber, "delta-number", Error, "RFC 5280 5.2.4", "a delta must be newer than its base";
    DeltaFreshest, "delta-freshest", Error, "RFC 5280 5.2.6", "freshestCRL must not appear in delta CRLs";
    EmptyDistributionPoint, "empty-distribution-point", Error, "RFC 5280 5.2.5",
        "issuingDistributionPoint must not be an empty sequence";
    Unusable, "unusable", Error, "RFC 5280 5.2, 5.3, 6.3.3", "relying parties must be able to use the list";
    // Its entries.
    DuplicateSerial, "duplicate-serial", Error, "RFC 5280 5.3", "a certificate must be listed once";
    SerialForm, "serial-form", Error, "RFC 5280 4.1.2.2", "serial numbers must be positive, minimal, at most 20 octets";
    EntryTimeForm, "entry-time-form", Error, "RFC 5280 5.1.2.6",
        "revocation dates through 2049 must be UTCTime, later ones GeneralizedTime";
    FutureRevocation, "future-revocation", Warning, "RFC 5280 5.1.2.6",
        "the revocation date is when the revocation occurred, so not after thisUpdate";
    RemoveFromComplete, "remove-from-complete", Error, "RFC 5280 5.3.1", "removeFromCRL may only appear in delta CRLs";
    UnspecifiedReason, "unspecified-reason", Warning, "RFC 5280 5.3.1",
        "the reason code should be absent instead of unspecified";
    UnassignedReason, "unassigned-reason", Error, "RFC 5280 5.3.1", "the reason code must be one that is assigned";
    EntryExtensionsInV1, "entry-extensions-in-v1", Error, "RFC 5280 5.1.2.6",
        "entry extensions may only appear if the version is v2";
    // In company.
    NotByIssuer, "not-by-issuer", Error, "RFC 5280 6.3.3 (f)",
        "the issuer's certificate must have the CRL's issuer as subject";
    KeyIdMismatch, "key-id-mismatch", Error, "RFC 5280 5.2.1",
        "authorityKeyIdentifier must be the identifier of the key that signed";
    CrlSignMissing, "crl-sign-missing", Error, "RFC 5280 4.2.1.3", "the issuer's key usage must assert cRLSign";
    NumberNotGrowing, "number-not-growing", Error, "RFC 5280 5.2.3",
        "cRLNumber must increase from each CRL of a scope to the next";
    NumberReused, "number-reused", Error, "RFC 5280 5.2.3", "two CRLs of one scope must not have one number";
    TimeGoesBack, "time-goes-back", Error, "RFC 5280 5.1.2.4", "thisUpdate must not be earlier than that of the CRL before";
    SameSecond, "same-second", Warning, "RFC 5280 5.1.2.4",
        "two CRLs issued in one second cannot be told apart by those who go by thisUpdate";
    Late, "late", Error, "RFC 5280 5.1.2.5", "the next CRL must be issued no later than the nextUpdate of the one before";
    OtherScope, "other-scope", Notice, "RFC 5280 5.2.5", "only CRLs of one scope are a series";
    Shrunk, "shrunk", Warning, "RFC 5280 3.3",
        "an entry must not be removed until it was on a CRL issued after the certificate's end";
    NoMatchingPoint, "no-matching-point", Error, "RFC 5280 5.2.5, 6.3.3 (b) (2) (i)",
        "the name in the issuing distribution point must match one in the certificate's distribution point";
    // The Baseline Requirements.
    TooLong, "too-long", Error, "CA/Browser Forum TLS BR 7.2",
        "nextUpdate is at most 10 days after thisUpdate for subscriber certificates, 12 months for others";
    Indirect, "indirect", Error, "CA/Browser Forum TLS BR 7.2.2.1", "indirect CRLs must not be issued";
    PartitionedByReason, "partitioned-by-reason", Error, "CA/Browser Forum TLS BR 7.2.2.1",
        "onlySomeReasons and onlyContainsAttributeCerts must not be asserted";
    ForbiddenReason, "forbidden-reason", Error, "CA/Browser Forum TLS BR 7.2.2",
        "the reason must not be unspecified or certificateHold";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
