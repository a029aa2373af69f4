//! [`Question`]: what is asked of the engine, and [`Sources`]: what it may look into.

use super::anchor::Anchors;
use super::budget::Limits;
use super::graph::CertificateSource;
use super::names::AskedName;
use crate::asn1::{OidBuf, Time};
use crate::certificate::Certificate;
use crate::revocation::CrlSource;
use crate::signature::{AlgorithmPolicy, Memory};

/// Is this certificate valid, at that instant, under these requirements?
#[derive(Clone)]
pub struct Question<'a> {
    /// The certificate asked about.
    pub target: Certificate,
    /// The instant asked for.
    pub at: Time,
    /// Who is believed.
    pub anchors: &'a Anchors,
    /// What is required of the path.
    pub requirements: &'a Requirements,
    /// The name that the target must bear, if one is asked for.
    pub name: Option<AskedName>,
    /// What the answer may cost.
    pub limits: Limits,
    /// Whether the caller's deadline has passed; asked before each step that costs.
    pub expired: Option<&'a dyn Fn() -> bool>,
    /// At most this many tried paths are told besides the one that decided.
    pub told: usize,
}

impl<'a> Question<'a> {
    /// With default limits, no deadline, no name, and no tried paths told.
    pub fn new(
        target: Certificate,
        at: Time,
        anchors: &'a Anchors,
        requirements: &'a Requirements,
    ) -> Question<'a> {
        let limits = Limits::default();
        Question { target, at, anchors, requirements, name: None, limits, expired: None, told: 0 }
    }
}

/// What is required of a path, whatever the target: the inputs of RFC 5280 6.1.1 and of the project's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requirements {
    /// user-initial-policy-set; empty: any policy.
    pub policies: Vec<OidBuf>,
    /// initial-explicit-policy: a policy must hold for the whole path.
    pub explicit_policy: bool,
    /// initial-policy-mapping-inhibit.
    pub inhibit_policy_mapping: bool,
    /// initial-any-policy-inhibit.
    pub inhibit_any_policy: bool,
    /// The purpose (extended key usage) that the target must serve.
    pub purpose: Option<OidBuf>,
    /// How revocation counts.
    pub revocation: RevocationMode,
    /// So many seconds after its nextUpdate a CRL still counts as current.
    pub grace_s: u32,
    /// Which algorithms count.
    pub algorithms: AlgorithmPolicy,
}

impl Requirements {
    /// At `at`, a CRL whose nextUpdate is before this is past it.
    pub(crate) fn overdue(&self, at: Time) -> Time {
        at.plus(-i64::from(self.grace_s))
    }
}

/// How revocation counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RevocationMode {
    /// Each certificate must be known not to be revoked.
    #[default]
    Hard,
    /// What is revoked is refused; what is not known passes.
    Soft,
    /// Nobody asks.
    None,
}

/// What the engine may look into, and what it remembers.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Certificates that may issue; hints, none is believed.
    pub certificates: &'a dyn CertificateSource,
    /// CRLs; hints, none is believed before its signature verifies.
    pub crls: &'a dyn CrlSource,
    /// Signatures that were found right before.
    pub memory: &'a Memory,
}
