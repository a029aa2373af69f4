//! Step 1: a question's certificates, candidates and policy, each within its limit. Nothing is read here that may
//! not be needed: a certificate whose path is known is never decoded.

use std::sync::Arc;

use bytes::Bytes;
use revocast_messages::{Blob, Question, QuestionOptions, Refusal};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::Digest;
use revocast_pki::path::{AskedName, Graph};

use super::policy::{Effective, Policies, Policy};

/// A question that can be judged.
pub(crate) struct Asked {
    /// What is asked about.
    pub certificates: Vec<Blob>,
    intermediates: Vec<Blob>,
    pub policy: Arc<Policy>,
    /// The policy's requirements, narrowed by the question's options.
    pub effective: Arc<Effective>,
    pub name: Option<AskedName>,
    pub explain: bool,
}

/// Reads a question under the validator's policies.
pub(crate) fn read(question: Question, policies: &Policies) -> Result<Asked, Refusal> {
    let Question { certificates, intermediates, options } = question;
    bounded("certificates", certificates.len(), Question::MAX_CERTIFICATES)?;
    bounded("intermediates", intermediates.len(), Question::MAX_INTERMEDIATES)?;
    if certificates.is_empty() {
        return Err(malformed("the question is about no certificate".into()));
    }
    let QuestionOptions { policy, dns, eku, explain, .. } = options;
    let policy = policies.get(policy.as_deref()).ok_or_else(|| {
        let asked = policy.as_deref().unwrap_or_default();
        malformed(format!("there is no policy {asked:?}; there are: {}", policies.names()))
    })?;
    Ok(Asked {
        certificates,
        intermediates,
        effective: policy.narrowed(eku.as_deref()).map_err(malformed)?,
        policy: policy.clone(),
        name: dns.map(AskedName::Dns),
        explain,
    })
}

impl Asked {
    /// The certificates that the question brings along. One that cannot be read helps nobody, and hurts nobody.
    pub(crate) fn candidates(&self) -> Graph {
        self.intermediates.iter().filter_map(|der| decode(der).ok()).collect()
    }

    /// What tells these candidates from others.
    pub(crate) fn candidates_digest(&self) -> Digest {
        let mut all = Vec::with_capacity(self.intermediates.iter().map(|der| der.len() + 8).sum());
        for der in &self.intermediates {
            all.extend((der.len() as u64).to_be_bytes());
            all.extend_from_slice(der);
        }
        Digest::of(&all)
    }
}

/// Reads a certificate from octets of its own: one that comes to be kept must not keep a whole question alive.
pub(crate) fn decode(der: &[u8]) -> Result<Certificate, String> {
    Certificate::decode(Bytes::copy_from_slice(der)).map_err(|error| error.to_string())
}

fn bounded(what: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    if count > limit {
        return Err(malformed(format!("{count} {what} are above the limit of {limit} for one question")));
    }
    Ok(())
}

fn malformed(why: String) -> Refusal {
    Refusal::Malformed { why }
}
