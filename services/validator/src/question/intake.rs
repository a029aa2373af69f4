//! Step 1: a question's certificates, candidates and policy, each within its limit. Nothing is read here that may
//! not be needed: a certificate whose path is known is never decoded.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use revocast_messages::{Blob, Question, Refusal};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::Digest;
use revocast_pki::path::{AskedName, Graph};

use super::policy::{Effective, Policies, Policy};

/// What certificates are held to.
pub(crate) struct Terms {
    pub policy: Arc<Policy>,
    /// The policy's requirements, narrowed by the question's options.
    pub effective: Arc<Effective>,
    pub name: Option<AskedName>,
}

/// The same, lent for as long as it is looked whether an answer is at hand.
#[derive(Clone, Copy)]
pub(crate) struct LentTerms<'a> {
    pub policy: &'a Policy,
    pub effective: &'a Effective,
    pub name: Option<&'a AskedName>,
}

/// A question that can be judged.
pub(crate) struct Asked {
    question: Arc<Question>,
    pub terms: Terms,
    pub explain: bool,
    /// Candidates that were found beside the question's.
    pub found: Vec<Certificate>,
    /// When the searches for all its certificates end, whatever they have found.
    pub until: Instant,
}

/// Reads a question under the validator's policies, to be searched for at most until `until`.
pub(crate) fn read(question: Arc<Question>, policies: &Policies, until: Instant) -> Result<Asked, Refusal> {
    let terms = Terms::of(&question, policies)?;
    Ok(Asked { terms, explain: question.options.explain, found: Vec::new(), until, question })
}

impl Terms {
    /// The terms of a question that keeps within its limits.
    pub(crate) fn of(question: &Question, policies: &Policies) -> Result<Terms, Refusal> {
        bounded("certificates", question.certificates.len(), Question::MAX_CERTIFICATES)?;
        bounded("intermediates", question.intermediates.len(), Question::MAX_INTERMEDIATES)?;
        if question.certificates.is_empty() {
            return Err(malformed("the question is about no certificate".into()));
        }
        let options = &question.options;
        let policy = policies.get(options.policy.as_deref()).ok_or_else(|| {
            let asked = options.policy.as_deref().unwrap_or_default();
            malformed(format!("there is no policy {asked:?}; there are: {}", policies.names()))
        })?;
        Ok(Terms {
            effective: policy.narrowed(options.eku.as_deref()).map_err(malformed)?.into_owned(),
            policy: policy.clone(),
            name: options.dns.clone().map(AskedName::Dns),
        })
    }

    pub(crate) fn lent(&self) -> LentTerms<'_> {
        LentTerms { policy: &self.policy, effective: &self.effective, name: self.name.as_ref() }
    }
}

impl Deref for Asked {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

impl Asked {
    /// What is asked about.
    pub(crate) fn certificates(&self) -> &[Blob] {
        &self.question.certificates
    }

    /// The certificates that the question brings along, and those found beside it. One that cannot be read helps
    /// nobody, and hurts nobody.
    pub(crate) fn candidates(&self) -> Graph {
        let offered = self.question.intermediates.iter().filter_map(|der| decode(der).ok());
        offered.chain(self.found.iter().cloned()).collect()
    }

    /// What tells these candidates from others.
    pub(crate) fn candidates_digest(&self) -> Digest {
        let offered = self.question.intermediates.iter().map(|der| &der[..]);
        let found = self.found.iter().map(|certificate| &certificate.der()[..]);
        let mut all = Vec::new();
        for der in offered.chain(found) {
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
