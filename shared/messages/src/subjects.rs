//! Where messages travel: every subject of the system, written and read in one place.
//!
//! Class and identifiers stand in the subject so that the broker's permissions can bind who may speak for whom.
//! Readers parse the subject back and refuse one that they do not expect (a stream may be fed foreign subjects).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use revocast_pki::identity::{CertId, CrlKind, IssuerId, PolicyId, ScopeId, WatchId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Who speaks: the class token of a notice's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A certification authority.
    Authority,
    /// A certificate and CRL repository.
    Repository,
    /// A watcher in front of a repository.
    Watcher,
    /// A validator that found something by itself.
    Validator,
}

impl Role {
    /// Every role, in the order of trustworthiness of their notices' arrival.
    pub const ALL: [Role; 4] = [Role::Authority, Role::Repository, Role::Watcher, Role::Validator];

    /// The subject token.
    pub const fn token(self) -> &'static str {
        match self {
            Role::Authority => "authority",
            Role::Repository => "repository",
            Role::Watcher => "watcher",
            Role::Validator => "validator",
        }
    }

    fn from_token(token: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.token() == token)
    }

    /// The stream that takes this role's notices and heartbeats: sightings are kept apart from the notices of
    /// entitled publishers, so that a flood of them cannot push a CA's notice out.
    pub const fn stream(self) -> &'static str {
        match self {
            Role::Authority | Role::Repository => NOTICES,
            Role::Watcher | Role::Validator => SIGHTINGS,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.token())
    }
}

/// Stream of the notices of entitled publishers.
pub const NOTICES: &str = "NOTICES";
/// Stream of what watchers and validators saw.
pub const SIGHTINGS: &str = "SIGHTINGS";
/// Stream of receipts.
pub const RECEIPTS: &str = "RECEIPTS";
/// Stream of shared paths.
pub const PATHS: &str = "PATHS";
/// Stream of watched verdicts.
pub const VERDICTS: &str = "VERDICTS";
/// Stream of documents on their way to a recipient.
pub const DOCUMENTS: &str = "DOCUMENTS";
/// Stream of messages that were put aside.
pub const ASIDE: &str = "ASIDE";
/// Object store of CRL bytes.
pub const CRLS: &str = "crls";
/// Bucket of subscriptions.
pub const SUBSCRIPTIONS: &str = "subscriptions";
/// Bucket of watched certificates.
pub const WATCHES: &str = "watches";
/// Bucket of short leases: who fetches, who puts, who watches.
pub const LEASES: &str = "leases";

/// Service that judges certificates.
pub const VALIDATE: &str = "pki.validate";
/// Service that gets a certificate and judges it.
pub const ACQUIRE: &str = "pki.acquire";
/// Service that explains a verdict.
pub const EXPLAIN: &str = "pki.explain";
/// Service that takes a certificate under watch.
pub const WATCH: &str = "pki.watch";
/// Everything that is told of watched verdicts.
pub const ALL_VERDICTS: &str = "pki.verdict.*";
/// Service that searches a repository's certificates.
pub const SEARCH: &str = "pki.repository.search";
/// What the subjects of all heartbeats begin with.
pub const HEARTBEATS: &str = "pki.heartbeat.";
/// Everything that a validator follows in either notice stream.
pub const ALL_NOTICES: &str = "pki.>";

/// Name of one running service: a subject token of 1 to 32 letters, digits, `-` or `_`. Cheap to clone: it stands in
/// every answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(Arc<str>);

impl Instance {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name an instance: 1 to 32 letters, digits, '-' or '_' are asked for")]
pub struct NotAnInstance(pub String);

impl FromStr for Instance {
    type Err = NotAnInstance;

    fn from_str(text: &str) -> Result<Instance, NotAnInstance> {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Instance(text.into()))
        } else {
            Err(NotAnInstance(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Instance, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A subject of one of the streams, or of a subscription request, read back into its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `pki.notice.crl.<class>.<issuer>.<scope>.<kind>`
    CrlNotice {
        /// Who speaks.
        class: Role,
        /// Who signed the CRL.
        issuer: IssuerId,
        /// What it covers.
        scope: ScopeId,
        /// Complete or delta.
        kind: CrlKind,
    },
    /// `pki.notice.cert.<class>.<issuer>.<certificate>`
    CertificateNotice {
        /// Who speaks.
        class: Role,
        /// Who signed the certificate.
        issuer: IssuerId,
        /// Which one.
        certificate: CertId,
    },
    /// `pki.heartbeat.<class>.<instance>`
    Heartbeat {
        /// Who speaks.
        class: Role,
        /// Its instance.
        instance: Instance,
    },
    /// `pki.receipt.<validator>.<issuer>.<scope>.<kind>`
    Receipt {
        /// Who enforces.
        validator: Instance,
        /// Who signed the CRL.
        issuer: IssuerId,
        /// What it covers.
        scope: ScopeId,
        /// Complete or delta.
        kind: CrlKind,
    },
    /// `pki.path.<validator>.<policy>.<target>`
    PathShare {
        /// Who found it.
        validator: Instance,
        /// The policy under which it was found.
        policy: PolicyId,
        /// The target certificate.
        target: CertId,
    },
    /// `pki.verdict.<watch>`: what a watched verdict came to be.
    Verdict {
        /// Which one.
        watch: WatchId,
    },
    /// `pki.subscribe.<issuer>.<validator>`; the issuer `all` asks for every issuer.
    Subscribe {
        /// One issuer, or `None` for all.
        issuer: Option<IssuerId>,
        /// Who asks.
        validator: Instance,
    },
    /// `pki.aside.<instance>`: what an instance put aside.
    Aside {
        /// Who put it aside.
        instance: Instance,
    },
}

/// A subject that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subject of this system")]
pub struct UnknownSubject(pub String);

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(text: &str) -> Result<Subject, UnknownSubject> {
        let tokens: Vec<&str> = text.split('.').take(8).collect();
        parse(&tokens).ok_or_else(|| UnknownSubject(text.chars().take(256).collect()))
    }
}

fn parse(tokens: &[&str]) -> Option<Subject> {
    Some(match *tokens {
        ["pki", "notice", "crl", class, issuer, scope, kind] => Subject::CrlNotice {
            class: Role::from_token(class)?,
            issuer: issuer.parse().ok()?,
            scope: scope.parse().ok()?,
            kind: kind.parse().ok()?,
        },
        ["pki", "notice", "cert", class, issuer, certificate] => Subject::CertificateNotice {
            class: Role::from_token(class)?,
            issuer: issuer.parse().ok()?,
            certificate: certificate.parse().ok()?,
        },
        ["pki", "heartbeat", class, instance] => {
            Subject::Heartbeat { class: Role::from_token(class)?, instance: instance.parse().ok()? }
        }
        ["pki", "receipt", validator, issuer, scope, kind] => Subject::Receipt {
            validator: validator.parse().ok()?,
            issuer: issuer.parse().ok()?,
            scope: scope.parse().ok()?,
            kind: kind.parse().ok()?,
        },
        ["pki", "path", validator, policy, target] => Subject::PathShare {
            validator: validator.parse().ok()?,
            policy: policy.parse().ok()?,
            target: target.parse().ok()?,
        },
        ["pki", "verdict", watch] => Subject::Verdict { watch: watch.parse().ok()? },
        ["pki", "subscribe", issuer, validator] => Subject::Subscribe {
            issuer: if issuer == "all" { None } else { Some(issuer.parse().ok()?) },
            validator: validator.parse().ok()?,
        },
        ["pki", "aside", instance] => Subject::Aside { instance: instance.parse().ok()? },
        _ => return None,
    })
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::CrlNotice { class, issuer, scope, kind } => {
                write!(f, "pki.notice.crl.{class}.{issuer}.{scope}.{kind}")
            }
            Subject::CertificateNotice { class, issuer, certificate } => {
                write!(f, "pki.notice.cert.{class}.{issuer}.{certificate}")
            }
            Subject::Heartbeat { class, instance } => write!(f, "pki.heartbeat.{class}.{instance}"),
            Subject::Receipt { validator, issuer, scope, kind } => {
                write!(f, "pki.receipt.{validator}.{issuer}.{scope}.{kind}")
            }
            Subject::PathShare { validator, policy, target } => {
                write!(f, "pki.path.{validator}.{policy}.{target}")
            }
            Subject::Verdict { watch } => write!(f, "pki.verdict.{watch}"),
            Subject::Subscribe { issuer: Some(issuer), validator } => {
                write!(f, "pki.subscribe.{issuer}.{validator}")
            }
            Subject::Subscribe { issuer: None, validator } => write!(f, "pki.subscribe.all.{validator}"),
            Subject::Aside { instance } => write!(f, "pki.aside.{instance}"),
        }
    }
}

/// The service subject by which one preselected validator is asked.
pub fn validate_at(validator: &Instance) -> String {
    format!("{VALIDATE}.{validator}")
}

/// The service subject by which one preselected validator is asked for a certificate.
pub fn acquire_at(validator: &Instance) -> String {
    format!("{ACQUIRE}.{validator}")
}

/// Where the broker says again what it has stored on `pki.verdict.<watch>`. A message there was taken into the stream;
/// one heard on the stream's own subject may have been refused.
pub fn told(watch: WatchId) -> String {
    format!("pki.told.{watch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_read_back_as_it_was_written() {
        let issuer = IssuerId([0x11; 16]);
        let scope = ScopeId([0x22; 16]);
        let certificate = CertId([0x33; 32]);
        let validator: Instance = "v-1".parse().unwrap();
        let kind = CrlKind::Delta;
        for subject in [
            Subject::CrlNotice { class: Role::Authority, issuer, scope, kind },
            Subject::CertificateNotice { class: Role::Repository, issuer, certificate },
            Subject::Heartbeat { class: Role::Watcher, instance: validator.clone() },
            Subject::Receipt { validator: validator.clone(), issuer, scope, kind },
            Subject::PathShare {
                validator: validator.clone(),
                policy: PolicyId([0x44; 16]),
                target: certificate,
            },
            Subject::Verdict { watch: WatchId([0x44; 16]) },
            Subject::Subscribe { issuer: Some(issuer), validator: validator.clone() },
            Subject::Subscribe { issuer: None, validator: validator.clone() },
            Subject::Aside { instance: validator },
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }

    #[test]
    fn foreign_subjects_are_refused() {
        for foreign in
            ["", "pki", "pki.notice.crl.king.00.11.complete", "pki.heartbeat.watcher.a b", "pki.aside.>"]
        {
            assert!(foreign.parse::<Subject>().is_err(), "{foreign}");
        }
    }

    #[test]
    fn an_instance_is_one_subject_token() {
        for wrong in ["", "a.b", "a b", "*", ">", &"x".repeat(33)] {
            assert!(wrong.parse::<Instance>().is_err(), "{wrong}");
        }
    }
}
