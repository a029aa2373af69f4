//! Policies by name: who is believed, and what is required of a path.

use std::collections::BTreeMap;
use std::time::Duration;

use revocast_pki::asn1::{Oid, OidBuf};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::IssuerId;
use revocast_pki::name::Name;
use revocast_pki::path::{Anchor, Anchors, Requirements, RevocationMode};
use revocast_pki::signature::AlgorithmPolicy;
use revocast_store::{CertificateFileError, read_certificates};

use crate::config::{PolicyConfig, Revocation};

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file of certificates.
    #[error(transparent)]
    File(#[from] CertificateFileError),
    /// A policy without anchors believes nobody.
    #[error("policy {0:?} has no trust anchor")]
    NoAnchor(String),
    /// Something that should be an object identifier.
    #[error("policy {policy:?}: {text:?} is not an object identifier")]
    Oid {
        /// Which policy.
        policy: String,
        /// What was found.
        text: String,
    },
    /// The default names no policy.
    #[error("default_policy {0:?} is not among the policies")]
    NoDefault(String),
}

/// One policy.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub name: String,
    pub anchors: Anchors,
    pub requirements: Requirements,
    pub max_crl_age: Option<Duration>,
    pub fresh_within: Option<Duration>,
    believed: Vec<Anchor>,
}

/// All policies of a validator.
#[derive(Clone, Debug)]
pub struct Policies {
    by_name: BTreeMap<String, Policy>,
    default: String,
}

impl Policies {
    /// Reads the policies' files. At least one policy with an anchor is needed.
    pub fn read(configs: &BTreeMap<String, PolicyConfig>, default: &str) -> Result<Policies, PolicyError> {
        let mut by_name = BTreeMap::new();
        for (name, config) in configs {
            by_name.insert(name.clone(), Policy::read(name, config)?);
        }
        if !by_name.contains_key(default) {
            return Err(PolicyError::NoDefault(default.to_owned()));
        }
        Ok(Policies { by_name, default: default.to_owned() })
    }

    /// A policy by name, or the default one.
    pub(crate) fn get(&self, name: Option<&str>) -> Option<&Policy> {
        self.by_name.get(name.unwrap_or(&self.default))
    }

    /// The names of all policies.
    pub(crate) fn names(&self) -> String {
        self.by_name.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.by_name.values()
    }

    /// The key of an anchor of any policy.
    pub(crate) fn anchor(&self, issuer: IssuerId) -> Option<Vec<u8>> {
        let mut anchors = self.iter().flat_map(|policy| &policy.believed);
        anchors.find(|anchor| anchor.as_issuer() == issuer).map(|anchor| anchor.spki().to_vec())
    }

    /// The keys of the anchors of any policy that bear this name.
    pub(crate) fn anchor_keys(&self, name: &Name) -> impl Iterator<Item = Vec<u8>> {
        let anchors = self.iter().flat_map(|policy| &policy.believed);
        anchors.filter(move |anchor| anchor.name() == name).map(|anchor| anchor.spki().to_vec())
    }

    /// The anchors' certificates: they take part in the graph, too.
    pub(crate) fn anchor_certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.iter().flat_map(|policy| &policy.believed).filter_map(Anchor::certificate)
    }

    /// CRLs are taken in if any policy would count them; each question judges by its own.
    pub(crate) fn widest_algorithms(&self) -> AlgorithmPolicy {
        let legacy = AlgorithmPolicy::legacy();
        if self.iter().any(|policy| policy.requirements.algorithms == legacy) {
            legacy
        } else {
            AlgorithmPolicy::default()
        }
    }
}

impl Policy {
    fn read(name: &str, config: &PolicyConfig) -> Result<Policy, PolicyError> {
        let believed: Vec<Anchor> = read_certificates(&config.anchors)?
            .into_iter()
            .map(if config.anchors_as_keys { Anchor::as_key } else { Anchor::from_certificate })
            .collect();
        if believed.is_empty() {
            return Err(PolicyError::NoAnchor(name.to_owned()));
        }
        let oid = |text: &String| {
            purpose(text).ok_or_else(|| PolicyError::Oid { policy: name.to_owned(), text: text.clone() })
        };
        let requirements = Requirements {
            policies: config.policies.iter().map(oid).collect::<Result<_, _>>()?,
            explicit_policy: config.explicit_policy,
            inhibit_policy_mapping: config.inhibit_policy_mapping,
            inhibit_any_policy: config.inhibit_any_policy,
            purpose: config.eku.as_ref().map(oid).transpose()?,
            revocation: match config.revocation {
                Revocation::Hard => RevocationMode::Hard,
                Revocation::Soft => RevocationMode::Soft,
                Revocation::None => RevocationMode::None,
            },
            algorithms: if config.legacy_algorithms {
                AlgorithmPolicy::legacy()
            } else {
                AlgorithmPolicy::default()
            },
        };
        Ok(Policy {
            name: name.to_owned(),
            anchors: believed.iter().cloned().collect(),
            requirements,
            max_crl_age: config.max_crl_age,
            fresh_within: config.fresh_within,
            believed,
        })
    }
}

#[cfg(test)]
impl Policy {
    /// A policy that asks for nothing but a path to this anchor.
    pub(crate) fn believing(anchor: Certificate) -> Policy {
        let believed = vec![Anchor::from_certificate(anchor)];
        Policy {
            name: "default".into(),
            anchors: believed.iter().cloned().collect(),
            requirements: Requirements::default(),
            max_crl_age: None,
            fresh_within: None,
            believed,
        }
    }
}

/// A purpose by name (RFC 5280 4.2.1.12), or any identifier in its dotted form.
pub(crate) fn purpose(text: &str) -> Option<OidBuf> {
    let dotted = match text {
        "serverAuth" => "1.3.6.1.5.5.7.3.1",
        "clientAuth" => "1.3.6.1.5.5.7.3.2",
        "codeSigning" => "1.3.6.1.5.5.7.3.3",
        "emailProtection" => "1.3.6.1.5.5.7.3.4",
        "timeStamping" => "1.3.6.1.5.5.7.3.8",
        "OCSPSigning" => "1.3.6.1.5.5.7.3.9",
        dotted => dotted,
    };
    let content = Oid::encode(dotted)?;
    Oid::from_content(&content).map(OidBuf::from)
}
