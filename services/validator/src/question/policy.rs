//! Policies by name: who is believed, and what is required of a path.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use revocast_pki::asn1::{Oid, OidBuf};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{IssuerId, PolicyId};
use revocast_pki::name::Name;
use revocast_pki::path::{Anchor, Anchors, AnchorsDigest, Requirements, RevocationMode};
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
    digest: AnchorsDigest,
    /// What it requires as it is.
    pub plain: Arc<Effective>,
    /// The same narrowed by each purpose that has a name, as far as the policy admits it.
    by_purpose: Vec<(&'static str, Arc<Effective>)>,
}

/// What a policy requires of a path once a question has narrowed it.
#[derive(Debug)]
pub(crate) struct Effective {
    /// What it is called in the whole fleet: paths are kept and shared under it.
    pub id: PolicyId,
    pub requirements: Requirements,
}

/// All policies of a validator.
#[derive(Clone, Debug)]
pub struct Policies {
    by_name: BTreeMap<String, Arc<Policy>>,
    by_id: HashMap<PolicyId, (Arc<Policy>, Arc<Effective>)>,
    /// The keys of all anchors.
    anchors: HashMap<IssuerId, Vec<u8>>,
    default: Arc<Policy>,
}

impl Policies {
    /// Reads the policies' files. At least one policy with an anchor is needed.
    pub fn read(configs: &BTreeMap<String, PolicyConfig>, default: &str) -> Result<Policies, PolicyError> {
        let (mut by_name, mut by_id, mut anchors) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        for (name, config) in configs {
            let policy = Arc::new(Policy::read(name, config)?);
            for effective in policy.by_purpose.iter().map(|(_, narrowed)| narrowed).chain([&policy.plain]) {
                by_id.insert(effective.id, (policy.clone(), effective.clone()));
            }
            let keys = policy.believed.iter().map(|anchor| (anchor.as_issuer(), anchor.spki().to_vec()));
            anchors.extend(keys);
            by_name.insert(name.clone(), policy);
        }
        let default = by_name.get(default).ok_or_else(|| PolicyError::NoDefault(default.to_owned()))?.clone();
        Ok(Policies { by_name, by_id, anchors, default })
    }

    /// A policy by name, or the default one.
    pub(crate) fn get(&self, name: Option<&str>) -> Option<&Arc<Policy>> {
        match name {
            Some(name) => self.by_name.get(name),
            None => Some(&self.default),
        }
    }

    /// A policy by what it is called in the fleet, as it is or narrowed by a purpose that has a name.
    pub(crate) fn by_id(&self, id: PolicyId) -> Option<&(Arc<Policy>, Arc<Effective>)> {
        self.by_id.get(&id)
    }

    /// The names of all policies.
    pub(crate) fn names(&self) -> String {
        self.by_name.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.by_name.values()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.by_name.values().map(Arc::as_ref)
    }

    /// The key of an anchor of any policy.
    pub(crate) fn anchor(&self, issuer: IssuerId) -> Option<Vec<u8>> {
        self.anchors.get(&issuer).cloned()
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
            grace_s: u32::try_from(config.grace.as_secs()).unwrap_or(u32::MAX),
            algorithms: if config.legacy_algorithms {
                AlgorithmPolicy::legacy()
            } else {
                AlgorithmPolicy::default()
            },
        };
        Ok(Policy {
            max_crl_age: config.max_crl_age,
            fresh_within: config.fresh_within,
            ..Policy::of(name, believed, requirements)
        })
    }

    fn of(name: &str, believed: Vec<Anchor>, requirements: Requirements) -> Policy {
        let anchors: Anchors = believed.iter().cloned().collect();
        let digest = anchors.digest();
        Policy {
            name: name.to_owned(),
            anchors,
            plain: Arc::new(Effective::of(requirements.clone(), &digest)),
            by_purpose: by_purpose(&requirements, &digest),
            requirements,
            max_crl_age: None,
            fresh_within: None,
            believed,
            digest,
        }
    }

    /// What it requires when a question asks for a purpose, by name or dotted. A purpose narrows a policy without
    /// one; a policy with one accepts no other. Fails with what is wrong.
    pub(crate) fn narrowed(&self, asked: Option<&str>) -> Result<Cow<'_, Arc<Effective>>, String> {
        let Some(text) = asked else { return Ok(Cow::Borrowed(&self.plain)) };
        if let Some((_, known)) = self.by_purpose.iter().find(|(name, _)| *name == text) {
            return Ok(Cow::Borrowed(known));
        }
        let asked = purpose(text)
            .ok_or_else(|| format!("{text:?} is not a purpose: a name such as serverAuth, or dotted"))?;
        if self.requirements.purpose.as_ref().is_some_and(|required| *required != asked) {
            return Err(format!("policy {:?} requires another purpose than {text:?}", self.name));
        }
        let requirements = Requirements { purpose: Some(asked), ..self.requirements.clone() };
        Ok(Cow::Owned(Arc::new(Effective::of(requirements, &self.digest))))
    }
}

impl Effective {
    fn of(requirements: Requirements, anchors: &AnchorsDigest) -> Effective {
        Effective { id: requirements.policy_id(anchors), requirements }
    }
}

/// Requirements narrowed by each purpose that has a name, as far as they admit it.
fn by_purpose(requirements: &Requirements, anchors: &AnchorsDigest) -> Vec<(&'static str, Arc<Effective>)> {
    let narrowed = PURPOSES.iter().filter_map(|(name, _)| {
        let asked = purpose(name);
        let admitted = requirements.purpose.is_none() || requirements.purpose == asked;
        let narrowed = Requirements { purpose: asked, ..requirements.clone() };
        admitted.then(|| (*name, Arc::new(Effective::of(narrowed, anchors))))
    });
    narrowed.collect()
}

/// Purposes that have a name (RFC 5280 4.2.1.12).
const PURPOSES: [(&str, &str); 6] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
];

#[cfg(test)]
impl Policy {
    /// A policy that asks for nothing but a path to this anchor.
    pub(crate) fn believing(anchor: Certificate) -> Policy {
        Policy::of("default", vec![Anchor::from_certificate(anchor)], Requirements::default())
    }
}

/// A purpose by name, or any identifier in its dotted form.
pub(crate) fn purpose(text: &str) -> Option<OidBuf> {
    let named = PURPOSES.iter().find(|(name, _)| *name == text);
    let content = Oid::encode(named.map_or(text, |(_, dotted)| dotted))?;
    Oid::from_content(&content).map(OidBuf::from)
}
