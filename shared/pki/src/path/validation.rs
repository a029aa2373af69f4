//! Path validation, RFC 5280 section 6.1, with the policy graph of RFC 9618.
//!
//! Begin with [`validate`]: the state of 6.1.2 is made from question and anchor, and each certificate from the anchor
//! down is processed by 6.1.3, prepared for the next by 6.1.4, and the last one wrapped up by 6.1.5. Revocation
//! (6.1.3 (a)(3)) is judged afterwards, over the whole path, as it may need paths of its own.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::anchor::Anchor;
use super::budget::Exhausted;
use super::constraints::{Layer, admit};
use super::names::AskedName;
use super::policy::{ANY_POLICY, PolicyGraph, intersect};
use super::question::Requirements;
use super::session::Session;
use crate::asn1::{Oid, Time};
use crate::certificate::{Certificate, KeyUsage, Version};
use crate::signature;
use crate::verdict::{Check, Failure, Reason, Rule};

/// anyExtendedKeyUsage (RFC 5280 4.2.1.12).
const ANY_PURPOSE: Oid<'static> = Oid::known(&[0x55, 0x1d, 37, 0]);

/// A path to be validated.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    /// From the target up, the anchor left out.
    pub(super) certificates: &'a [Certificate],
    pub(super) anchor: &'a Anchor,
}

/// What is required of a path, apart from the instant.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) requirements: &'a Requirements,
    pub(super) name: Option<&'a AskedName>,
    pub(super) at: Time,
}

/// What a valid path gives.
pub(super) struct Validated<'a> {
    /// The user-constrained policy set.
    pub(super) policies: BTreeSet<Oid<'a>>,
    /// The working public key of each certificate, from the target up; the anchor's last.
    pub(super) keys: Vec<Cow<'a, [u8]>>,
}

/// Why validation ended early.
pub(super) enum Stop {
    Failed(Failure),
    Exhausted(Exhausted),
}

impl From<Exhausted> for Stop {
    fn from(exhausted: Exhausted) -> Stop {
        Stop::Exhausted(exhausted)
    }
}

/// Validates a path; every check is written into `checks`.
pub(super) fn validate<'a>(
    path: Path<'a>,
    inputs: Inputs<'a>,
    session: &mut Session<'_>,
    checks: &mut Vec<Check>,
) -> Result<Validated<'a>, Stop> {
    let mut walk = Walk::new(path, inputs, session, checks)?;
    for index in (0..path.certificates.len()).rev() {
        walk.process(index)?;
        if index > 0 {
            walk.prepare(index)?;
        }
    }
    let policies = walk.wrap_up()?;
    walk.keys.reverse();
    Ok(Validated { policies, keys: walk.keys })
}

/// The working public keys of a path that was validated, from the target up, the anchor's last (6.1.4 (d) to (f)).
pub(super) fn working_keys<'a>(path: Path<'a>) -> Vec<Cow<'a, [u8]>> {
    let mut keys = vec![Cow::Borrowed(path.anchor.spki())];
    for certificate in path.certificates.iter().rev() {
        let key = working_key(certificate, keys.last().map(Cow::as_ref).unwrap_or_default());
        keys.push(key);
    }
    keys.reverse();
    keys
}

fn working_key<'a>(certificate: &'a Certificate, issuer_key: &[u8]) -> Cow<'a, [u8]> {
    match signature::inherit_parameters(certificate.spki(), issuer_key) {
        Some(inherited) => Cow::Owned(inherited),
        None => Cow::Borrowed(certificate.spki()),
    }
}

/// Whether `at` is within the validity of the certificate (6.1.3 (a)(2)).
pub(super) fn valid_at(certificate: &Certificate, at: Time) -> Result<(), Reason> {
    if at < certificate.not_before() {
        Err(Reason::NotYetValid)
    } else if at > certificate.not_after() {
        Err(Reason::Expired)
    } else {
        Ok(())
    }
}

/// What a certificate must say of itself to issue (6.1.4 (k), (n), (o)), each rule by itself.
pub(super) fn may_issue(certificate: &Certificate) -> [(Rule, Result<(), Reason>); 3] {
    let otherwise = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    let usage = certificate.key_usage();
    let signs = usage.is_none_or(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
    let known = certificate.unknown_critical_extension().is_none();
    [
        (Rule::BasicConstraints, otherwise(certificate.is_ca(), Reason::NotACa)),
        (Rule::KeyUsage, otherwise(signs, Reason::KeyUsage)),
        (Rule::CriticalExtensions, otherwise(known, Reason::UnknownCriticalExtension)),
    ]
}

/// The state of 6.1.2.
struct Walk<'a, 's, 'b> {
    path: Path<'a>,
    inputs: Inputs<'a>,
    session: &'s mut Session<'b>,
    checks: &'s mut Vec<Check>,
    graph: PolicyGraph<'a>,
    layers: Vec<Layer<'a>>,
    /// After how many more certificates a policy is required, mapping stops, anyPolicy counts no longer.
    explicit_policy: u32,
    policy_mapping: u32,
    inhibit_any_policy: u32,
    max_path_length: u32,
    /// Working public keys, from the anchor down.
    keys: Vec<Cow<'a, [u8]>>,
}

impl<'a, 's, 'b> Walk<'a, 's, 'b> {
    fn new(
        path: Path<'a>,
        inputs: Inputs<'a>,
        session: &'s mut Session<'b>,
        checks: &'s mut Vec<Check>,
    ) -> Result<Walk<'a, 's, 'b>, Stop> {
        let length = u32::try_from(path.certificates.len()).unwrap_or(u32::MAX);
        let until = |now: bool| if now { 0 } else { length.saturating_add(1) };
        let required = inputs.requirements;
        let mut keys = Vec::with_capacity(path.certificates.len() + 1);
        keys.push(Cow::Borrowed(path.anchor.spki()));
        let mut walk = Walk {
            path,
            inputs,
            session,
            checks,
            graph: PolicyGraph::new(),
            layers: Vec::new(),
            explicit_policy: until(required.explicit_policy),
            policy_mapping: until(required.inhibit_policy_mapping),
            inhibit_any_policy: until(required.inhibit_any_policy),
            max_path_length: length,
            keys,
        };
        let top = path.certificates.len();
        walk.check(top, Rule::Anchor, path.anchor.inspect(inputs.at))?;
        if let Some(anchor) = path.anchor.constraints() {
            walk.constrain(anchor);
            walk.check_purpose(top, anchor)?;
        }
        Ok(walk)
    }

    /// 6.1.3.
    fn process(&mut self, index: usize) -> Result<(), Stop> {
        let certificate = &self.path.certificates[index];
        let signature = match self.keys.last() {
            Some(key) => self.session.verify(certificate, key)?,
            None => Err(Reason::NoPath),
        };
        self.check(index, Rule::Signature, signature)?;
        self.check(index, Rule::Validity, valid_at(certificate, self.inputs.at))?;
        let issuer =
            self.path.certificates.get(index + 1).map_or(self.path.anchor.name(), Certificate::subject);
        let chains = certificate.issuer() == issuer && !issuer.is_empty();
        self.require(index, Rule::NameChaining, chains, Reason::NameChaining)?;
        let is_last = index == 0;
        if is_last || !certificate.is_self_issued() {
            let admitted = admit(&self.layers, certificate, &mut self.session.budget)?;
            self.require(index, Rule::NameConstraints, admitted, Reason::NameConstraints)?;
        }
        let any_counts = self.inhibit_any_policy > 0 || (!is_last && certificate.is_self_issued());
        self.graph.add(certificate, any_counts, &mut self.session.budget)?;
        let policy_holds = self.explicit_policy > 0 || !self.graph.is_null();
        self.require(index, Rule::Policy, policy_holds, Reason::Policy)?;
        self.check_purpose(index, certificate)
    }

    /// 6.1.4: the certificate is an issuer.
    fn prepare(&mut self, index: usize) -> Result<(), Stop> {
        let certificate = &self.path.certificates[index];
        self.map_policies(index, certificate)?;
        let key = working_key(certificate, self.keys.last().map(Cow::as_ref).unwrap_or_default());
        self.keys.push(key);
        if !certificate.is_self_issued() {
            for skip in [&mut self.explicit_policy, &mut self.policy_mapping, &mut self.inhibit_any_policy] {
                *skip = skip.saturating_sub(1);
            }
            self.require(index, Rule::PathLength, self.max_path_length > 0, Reason::PathLength)?;
            self.max_path_length -= 1;
        }
        self.constrain(certificate);
        for (rule, result) in may_issue(certificate) {
            self.check(index, rule, result)?;
        }
        Ok(())
    }

    /// 6.1.5, and what a question may ask of the target besides.
    fn wrap_up(&mut self) -> Result<BTreeSet<Oid<'a>>, Stop> {
        let Some(target) = self.path.certificates.first() else { return Ok(BTreeSet::new()) };
        self.keys.push(Cow::Borrowed(target.spki()));
        self.explicit_policy = self.explicit_policy.saturating_sub(1);
        if target.policy_constraints().and_then(|constraints| constraints.require_explicit_policy) == Some(0)
        {
            self.explicit_policy = 0;
        }
        let known = target.unknown_critical_extension().is_none();
        self.require(0, Rule::CriticalExtensions, known, Reason::UnknownCriticalExtension)?;
        let strong = signature::inspect_key(target.spki(), &self.inputs.requirements.algorithms).is_ok();
        self.require(0, Rule::Key, strong, Reason::AlgorithmRefused)?;
        if let Some(name) = self.inputs.name {
            self.require(0, Rule::NameBorne, name.is_borne_by(target), Reason::NameNotBorne)?;
        }
        let policies = intersect(&self.graph.authority_constrained(), &self.initial_policies());
        let policy_holds = self.explicit_policy > 0 || !policies.is_empty();
        self.require(0, Rule::PolicySet, policy_holds, Reason::Policy)?;
        Ok(policies)
    }

    /// 6.1.4 (a), (b).
    fn map_policies(&mut self, index: usize, certificate: &'a Certificate) -> Result<(), Stop> {
        let Some(mappings) = certificate.policy_mappings() else { return Ok(()) };
        let maps_any = mappings
            .into_iter()
            .any(|mapping| mapping.issuer_domain == ANY_POLICY || mapping.subject_domain == ANY_POLICY);
        self.require(index, Rule::PolicyMapping, !maps_any, Reason::PolicyMapping)?;
        self.graph.map(mappings, self.policy_mapping == 0, &mut self.session.budget)?;
        Ok(())
    }

    /// 6.1.4 (g), (i), (j), (m); for an anchor's certificate by RFC 5937.
    fn constrain(&mut self, issuer: &'a Certificate) {
        if let Some(constraints) = issuer.name_constraints() {
            self.layers.push(Layer::new(&constraints));
        }
        let lower = |limit: &mut u32, to: Option<u32>| *limit = to.map_or(*limit, |to| to.min(*limit));
        let policy = issuer.policy_constraints();
        lower(&mut self.explicit_policy, policy.and_then(|constraints| constraints.require_explicit_policy));
        lower(&mut self.policy_mapping, policy.and_then(|constraints| constraints.inhibit_policy_mapping));
        lower(&mut self.inhibit_any_policy, issuer.inhibit_any_policy());
        let path_length = issuer.basic_constraints().and_then(|constraints| constraints.path_length);
        lower(&mut self.max_path_length, path_length);
    }

    /// The user-initial policy set, narrowed by the policies of an anchor that has some (RFC 5937 3.2).
    fn initial_policies(&self) -> BTreeSet<Oid<'a>> {
        let asked = &self.inputs.requirements.policies;
        let mut initial: BTreeSet<Oid<'a>> = asked.iter().map(|policy| policy.as_oid()).collect();
        if initial.is_empty() {
            initial.insert(ANY_POLICY);
        }
        match self.path.anchor.constraints().filter(|anchor| anchor.version() == Version::V3) {
            Some(anchor) => match anchor.policies() {
                Some(policies) => intersect(&initial, &policies.collect()),
                None => initial,
            },
            None => initial,
        }
    }

    /// The purpose asked for must be allowed by each certificate that names purposes at all: by the target (4.2.1.12)
    /// and, as everybody does, by the CAs above it.
    fn check_purpose(&mut self, index: usize, certificate: &Certificate) -> Result<(), Stop> {
        let Some(asked) = &self.inputs.requirements.purpose else { return Ok(()) };
        let Some(mut purposes) = certificate.extended_key_usage() else { return Ok(()) };
        let serves = purposes.any(|purpose| purpose == asked.as_oid() || purpose == ANY_PURPOSE);
        self.require(index, Rule::ExtendedKeyUsage, serves, Reason::ExtendedKeyUsage)
    }

    fn require(&mut self, certificate: usize, rule: Rule, holds: bool, reason: Reason) -> Result<(), Stop> {
        self.check(certificate, rule, if holds { Ok(()) } else { Err(reason) })
    }

    fn check(&mut self, certificate: usize, rule: Rule, result: Result<(), Reason>) -> Result<(), Stop> {
        let failure = result.err();
        self.checks.push(Check { certificate, rule, failure });
        match failure {
            None => Ok(()),
            Some(reason) => Err(Stop::Failed(Failure { reason, certificate })),
        }
    }
}
