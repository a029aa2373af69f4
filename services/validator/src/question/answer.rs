//! Step 3: a verdict in words, with the CRLs that decided and their age.

use std::time::Duration;

use revocast_messages::{Evidence, Judgement, Outcome};
use revocast_pki::identity::CertId;
use revocast_pki::verdict::{self, Verdict};

use super::policy::Policy;

/// Of a certificate that cannot be read.
pub(crate) fn unreadable(certificate: CertId, why: &str) -> Judgement {
    Judgement {
        certificate,
        outcome: Outcome::Invalid,
        reason: format!("the certificate cannot be read: {why}"),
        path: Vec::new(),
        evidence: Vec::new(),
        explanation: None,
    }
}

/// What the engine found.
pub(crate) fn judgement(verdict: &Verdict, explain: bool) -> Judgement {
    let path = verdict.path.as_ref().map_or_else(Vec::new, |candidate| {
        let anchor = candidate.anchor.as_ref().and_then(|anchor| anchor.certificate());
        candidate.certificates.iter().chain(anchor).map(|certificate| certificate.id()).collect()
    });
    Judgement {
        certificate: verdict.target.id(),
        outcome: outcome(verdict.outcome),
        reason: verdict.reason.map_or_else(String::new, |reason| reason.to_string()),
        path,
        evidence: verdict.evidence().iter().filter_map(|found| evidence(verdict, found)).collect(),
        explanation: explain.then(|| verdict.report().to_string()),
    }
}

/// Holds a valid verdict to what the policy asks beyond RFC 5280: young CRLs, and contact with the broker.
pub(crate) fn held_to(
    judgement: Judgement,
    policy: &Policy,
    verdict: &Verdict,
    silence: Option<Duration>,
) -> Judgement {
    if judgement.outcome != Outcome::Valid {
        return judgement;
    }
    let doubt = |reason: String| Judgement { outcome: Outcome::Indeterminate, reason, ..judgement.clone() };
    if let Some(limit) = policy.fresh_within
        && silence.is_none_or(|silence| silence > limit)
    {
        return doubt(format!(
            "nothing proves that what was announced until {} ago is known",
            in_words(limit)
        ));
    }
    if let Some(limit) = policy.max_crl_age {
        let newest = |found: &verdict::Evidence| {
            found.delta.as_ref().unwrap_or(&found.crl).this_update().max(found.crl.this_update())
        };
        let oldest = verdict.evidence().iter().map(|found| verdict.at.since(newest(found))).max();
        if oldest.is_some_and(|age| age > i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)) {
            return doubt(format!("a CRL was issued longer than {} ago", in_words(limit)));
        }
    }
    judgement
}

fn in_words(limit: Duration) -> String {
    format!("{} s", limit.as_secs())
}

fn outcome(outcome: verdict::Outcome) -> Outcome {
    match outcome {
        verdict::Outcome::Valid => Outcome::Valid,
        verdict::Outcome::Revoked => Outcome::Revoked,
        verdict::Outcome::Invalid => Outcome::Invalid,
        verdict::Outcome::Indeterminate => Outcome::Indeterminate,
    }
}

fn evidence(verdict: &Verdict, found: &verdict::Evidence) -> Option<Evidence> {
    let certificate = verdict.path.as_ref()?.certificates.get(found.certificate)?;
    let crl = found.delta.as_ref().unwrap_or(&found.crl);
    Some(Evidence {
        certificate: certificate.id(),
        issuer: found.signer,
        scope: crl.scope(found.signer),
        kind: crl.kind(),
        crl_id: crl.id(),
        number: crl.number(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
        age_s: verdict.at.since(crl.this_update()),
    })
}
