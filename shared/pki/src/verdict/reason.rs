//! The words of a verdict: outcomes, reasons, and the rules with the clauses that ask for them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::Resource;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A path is valid and nothing on it is revoked, as far as the question asked for it.
    Valid,
    /// A certificate of an otherwise valid path is revoked.
    Revoked,
    /// No path is valid.
    Invalid,
    /// It cannot be told: revocation information or budget did not suffice.
    Indeterminate,
}

impl Outcome {
    /// The word as it stands in documents.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Valid => "valid",
            Outcome::Revoked => "revoked",
            Outcome::Invalid => "invalid",
            Outcome::Indeterminate => "indeterminate",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why the status of a certificate is not known; the later, the closer it came to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// No CRL of its issuer and distribution points is held.
    NoCrl,
    /// None of the CRLs is signed by who may.
    NoSigner,
    /// A CRL has a critical extension that nobody here knows.
    UnknownCriticalExtension,
    /// The CRLs are past their nextUpdate, or have none.
    Stale,
    /// A newer CRL was held before, and is lost.
    Lost,
    /// A delta CRL is based on a newer complete CRL than those that are held.
    BaseMissing,
    /// The CRLs do not speak of every reason.
    ReasonsMissing,
}

impl Unknown {
    fn text(self) -> &'static str {
        match self {
            Unknown::NoCrl => "no CRL is held for it",
            Unknown::NoSigner => "no CRL for it is signed by a key that is entitled to",
            Unknown::UnknownCriticalExtension => "its CRL has a critical extension that is not known",
            Unknown::Stale => "its CRL is past nextUpdate",
            Unknown::Lost => "a newer CRL for it was held, and is lost",
            Unknown::BaseMissing => "a delta CRL is based on a newer complete CRL than is held",
            Unknown::ReasonsMissing => "its CRLs do not cover every reason of revocation",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Unknown::NoCrl => "revocation_unknown_no_crl",
            Unknown::NoSigner => "revocation_unknown_no_signer",
            Unknown::UnknownCriticalExtension => "revocation_unknown_critical_extension",
            Unknown::Stale => "revocation_unknown_stale",
            Unknown::Lost => "revocation_unknown_lost",
            Unknown::BaseMissing => "revocation_unknown_base",
            Unknown::ReasonsMissing => "revocation_unknown_reasons",
        }
    }
}

/// Why a path is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No issuer leads to an anchor.
    NoPath,
    /// More intermediate certificates than the question allows.
    Depth,
    /// A signature is wrong.
    Signature,
    /// The algorithm policy refuses algorithm or key.
    AlgorithmRefused,
    /// An algorithm that nobody here knows, or a malformed key.
    AlgorithmUnknown,
    /// Before notBefore.
    NotYetValid,
    /// After notAfter.
    Expired,
    /// Issuer and subject do not meet, or an issuer without a name.
    NameChaining,
    /// A name that the constraints of a CA do not admit.
    NameConstraints,
    /// No policy holds where one is required.
    Policy,
    /// A mapping from or to anyPolicy.
    PolicyMapping,
    /// An issuer that is not a CA.
    NotACa,
    /// More certificates below a CA than it allows.
    PathLength,
    /// A key whose usage does not allow to sign certificates.
    KeyUsage,
    /// A critical extension that nobody here knows.
    UnknownCriticalExtension,
    /// The purpose asked for is not among those of the certificate.
    ExtendedKeyUsage,
    /// The certificate does not bear the name asked for.
    NameNotBorne,
    /// The certificate is on a CRL.
    Revoked,
    /// Whether it is revoked cannot be told.
    RevocationUnknown(Unknown),
    /// The question's budget did not suffice.
    Budget(Resource),
}

impl Reason {
    /// The word as it stands in documents.
    pub fn code(self) -> &'static str {
        match self {
            Reason::NoPath => "no_path",
            Reason::Depth => "depth",
            Reason::Signature => "signature",
            Reason::AlgorithmRefused => "algorithm_refused",
            Reason::AlgorithmUnknown => "algorithm_unknown",
            Reason::NotYetValid => "not_yet_valid",
            Reason::Expired => "expired",
            Reason::NameChaining => "name_chaining",
            Reason::NameConstraints => "name_constraints",
            Reason::Policy => "policy",
            Reason::PolicyMapping => "policy_mapping",
            Reason::NotACa => "not_a_ca",
            Reason::PathLength => "path_length",
            Reason::KeyUsage => "key_usage",
            Reason::UnknownCriticalExtension => "unknown_critical_extension",
            Reason::ExtendedKeyUsage => "extended_key_usage",
            Reason::NameNotBorne => "name_not_borne",
            Reason::Revoked => "revoked",
            Reason::RevocationUnknown(unknown) => unknown.code(),
            Reason::Budget(Resource::Signatures) => "budget_signatures",
            Reason::Budget(Resource::Candidates) => "budget_candidates",
            Reason::Budget(Resource::Comparisons) => "budget_comparisons",
            Reason::Budget(Resource::Time) => "budget_time",
        }
    }

    /// What a verdict says that rests on this reason.
    pub fn outcome(self) -> Outcome {
        match self {
            Reason::Revoked => Outcome::Revoked,
            Reason::RevocationUnknown(_) | Reason::Budget(_) => Outcome::Indeterminate,
            _ => Outcome::Invalid,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoPath => "no issuer leads to an anchor",
            Reason::Depth => "the path would be longer than allowed",
            Reason::Signature => "the signature is wrong",
            Reason::AlgorithmRefused => "the algorithm policy refuses its algorithm or key",
            Reason::AlgorithmUnknown => "its signature algorithm is not known",
            Reason::NotYetValid => "it is not valid yet",
            Reason::Expired => "it has expired",
            Reason::NameChaining => "its issuer's name does not chain",
            Reason::NameConstraints => "a name is outside of what the CAs above may name",
            Reason::Policy => "no certificate policy holds for the whole path",
            Reason::PolicyMapping => "it maps anyPolicy",
            Reason::NotACa => "it is not a CA's",
            Reason::PathLength => "more CAs follow than it allows",
            Reason::KeyUsage => "its key may not sign certificates",
            Reason::UnknownCriticalExtension => "it has a critical extension that is not known",
            Reason::ExtendedKeyUsage => "it is not for the purpose asked for",
            Reason::NameNotBorne => "it does not bear the name asked for",
            Reason::Revoked => "it is revoked",
            Reason::RevocationUnknown(unknown) => unknown.text(),
            Reason::Budget(resource) => return write!(f, "the budget of {resource} is exhausted"),
        })
    }
}

/// What is checked of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The anchor's own validity and constraints.
    Anchor,
    /// The signature, by the key of the certificate above.
    Signature,
    /// The strength of the target's own key.
    Key,
    /// The instant is within the validity.
    Validity,
    /// Not revoked.
    Revocation,
    /// The issuer is the subject of the certificate above.
    NameChaining,
    /// The names are within the constraints of the CAs above.
    NameConstraints,
    /// A policy still holds where one is required.
    Policy,
    /// anyPolicy is not mapped.
    PolicyMapping,
    /// The issuer is a CA.
    BasicConstraints,
    /// No more certificates follow than the CA allows.
    PathLength,
    /// The key may sign certificates.
    KeyUsage,
    /// Each critical extension is known.
    CriticalExtensions,
    /// The purpose asked for.
    ExtendedKeyUsage,
    /// The name asked for.
    NameBorne,
    /// The user-constrained policy set is not empty where a policy is required.
    PolicySet,
    /// An issuer is known.
    Issuer,
}

impl Rule {
    /// The word as it stands in documents.
    pub fn code(self) -> &'static str {
        self.code_and_clause().0
    }

    /// The clause that asks for it.
    pub fn clause(self) -> &'static str {
        self.code_and_clause().1
    }

    fn code_and_clause(self) -> (&'static str, &'static str) {
        match self {
            Rule::Anchor => ("anchor", "RFC 5937 3.2"),
            Rule::Signature => ("signature", "RFC 5280 6.1.3 (a)(1)"),
            Rule::Key => ("key", "NIST SP 800-131A"),
            Rule::Validity => ("validity", "RFC 5280 6.1.3 (a)(2)"),
            Rule::Revocation => ("revocation", "RFC 5280 6.1.3 (a)(3), 6.3"),
            Rule::NameChaining => ("name_chaining", "RFC 5280 6.1.3 (a)(4)"),
            Rule::NameConstraints => ("name_constraints", "RFC 5280 6.1.3 (b), (c)"),
            Rule::Policy => ("policy", "RFC 9618 5.2; RFC 5280 6.1.3 (d) to (f)"),
            Rule::PolicyMapping => ("policy_mapping", "RFC 5280 6.1.4 (a), (b)"),
            Rule::BasicConstraints => ("basic_constraints", "RFC 5280 6.1.4 (k)"),
            Rule::PathLength => ("path_length", "RFC 5280 6.1.4 (l), (m)"),
            Rule::KeyUsage => ("key_usage", "RFC 5280 6.1.4 (n)"),
            Rule::CriticalExtensions => ("critical_extensions", "RFC 5280 6.1.4 (o), 6.1.5 (f)"),
            Rule::ExtendedKeyUsage => ("extended_key_usage", "RFC 5280 4.2.1.12"),
            Rule::NameBorne => ("name_borne", "RFC 9525 6"),
            Rule::PolicySet => ("policy_set", "RFC 9618 5.5, 5.6"),
            Rule::Issuer => ("issuer", "RFC 4158 2"),
        }
    }
}
