//! Step 1: a question becomes certificates, candidates and a policy, each within its limit.

use revocast_messages::{Blob, Question, QuestionOptions, Refusal};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::path::{AskedName, Graph, Requirements};

use super::policy::{Policies, Policy, purpose};

/// A question that can be judged.
pub(crate) struct Asked<'p> {
    pub targets: Vec<Target>,
    pub candidates: Graph,
    pub policy: &'p Policy,
    /// The policy's requirements, narrowed by the question's options.
    pub requirements: Requirements,
    pub name: Option<AskedName>,
    pub explain: bool,
}

/// One certificate asked about; its identity is known even when it cannot be read.
pub(crate) struct Target {
    pub id: CertId,
    pub certificate: Result<Certificate, String>,
}

/// Reads a question under the validator's policies.
pub(crate) fn read<'p>(question: &Question, policies: &'p Policies) -> Result<Asked<'p>, Refusal> {
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
    let targets = question.certificates.iter().map(target).collect();
    // A candidate that cannot be read helps nobody, and hurts nobody.
    let candidates =
        question.intermediates.iter().filter_map(|der| Certificate::decode(der.0.clone()).ok()).collect();
    Ok(Asked {
        targets,
        candidates,
        requirements: narrowed(policy, options)?,
        policy,
        name: options.dns.clone().map(AskedName::Dns),
        explain: options.explain,
    })
}

fn target(der: &Blob) -> Target {
    let certificate = Certificate::decode(der.0.clone()).map_err(|error| error.to_string());
    Target { id: CertId::of(der), certificate }
}

/// A purpose narrows a policy without one; a policy with one accepts no other.
fn narrowed(policy: &Policy, options: &QuestionOptions) -> Result<Requirements, Refusal> {
    let mut requirements = policy.requirements.clone();
    if let Some(text) = &options.eku {
        let asked = purpose(text).ok_or_else(|| {
            malformed(format!("{text:?} is not a purpose: a name such as serverAuth, or dotted"))
        })?;
        if requirements.purpose.as_ref().is_some_and(|required| *required != asked) {
            return Err(malformed(format!(
                "policy {:?} requires another purpose than {text:?}",
                policy.name
            )));
        }
        requirements.purpose = Some(asked);
    }
    Ok(requirements)
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
