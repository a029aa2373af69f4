//! Step 5: a verdict in words, with the CRLs that decided and their age.

use std::time::Duration;

use revocast_messages::{Evidence, Judgement, Outcome};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::path::{Anchor, ProvenPath, Rechecked};
use revocast_pki::verdict::{self, Finding, Verdict};

use super::policy::Policy;

/// Of a certificate that cannot be read.
pub(crate) fn unreadable(certificate: CertId, why: &str) -> Judgement {
    let reason = format!("the certificate cannot be read: {why}");
    Judgement { outcome: Outcome::Invalid, reason, ..unjudged(certificate) }
}

/// Of a certificate about which nothing was found out.
pub(crate) fn unjudged(certificate: CertId) -> Judgement {
    Judgement {
        certificate,
        outcome: Outcome::Indeterminate,
        reason: String::new(),
        path: Vec::new(),
        evidence: Vec::new(),
        explanation: None,
    }
}

/// What the engine found.
pub(crate) fn of_verdict(verdict: &Verdict, explain: bool) -> Judgement {
    let (certificates, anchor) = match &verdict.path {
        Some(path) => (&path.certificates[..], path.anchor.as_ref()),
        None => (&[][..], None),
    };
    Judgement {
        certificate: verdict.target.id(),
        outcome: outcome(verdict.outcome),
        reason: verdict.reason.map_or_else(String::new, |reason| reason.to_string()),
        path: ids(certificates, anchor),
        evidence: all_evidence(certificates, verdict.evidence(), verdict.at),
        explanation: explain.then(|| verdict.report().to_string()),
    }
}

/// What live CRLs say of a path that was found valid before.
pub(crate) fn of_path(certificate: CertId, path: &ProvenPath, rechecked: &Rechecked, at: Time) -> Judgement {
    Judgement {
        outcome: outcome(rechecked.outcome),
        reason: rechecked.reason.map_or_else(String::new, |reason| reason.to_string()),
        ..of_valid_path(certificate, path, all_evidence(path.certificates(), &rechecked.evidence, at))
    }
}

/// Of a path of which live CRLs say that it is valid still.
pub(crate) fn of_valid_path(certificate: CertId, path: &ProvenPath, evidence: Vec<Evidence>) -> Judgement {
    Judgement {
        certificate,
        outcome: Outcome::Valid,
        reason: String::new(),
        path: ids(path.certificates(), Some(path.anchor())),
        evidence,
        explanation: None,
    }
}

/// Holds a valid verdict to what the policy asks beyond RFC 5280: young CRLs, of which the oldest has
/// `oldest_s` ([`oldest_s`]), and contact with the broker.
pub(crate) fn held_to(
    judgement: Judgement,
    policy: &Policy,
    oldest_s: Option<i64>,
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
    if let Some(limit) = policy.max_crl_age
        && oldest_s.is_some_and(|age_s| age_s > i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
    {
        return doubt(format!("a CRL was issued longer than {} ago", in_words(limit)));
    }
    judgement
}

/// Seconds since the newest of what decided about a certificate was issued, the complete CRL or the delta.
pub(crate) fn newest_age_s(found: Finding<'_>, at: Time) -> i64 {
    let complete = found.crl.this_update();
    at.since(found.delta.map_or(complete, |delta| delta.this_update().max(complete)))
}

/// The same of all certificates of a path: the most.
pub(crate) fn oldest_s(evidence: &[verdict::Evidence], at: Time) -> Option<i64> {
    evidence.iter().map(|found| newest_age_s(found.as_finding(), at)).max()
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

/// From the target to the anchor.
fn ids(certificates: &[Certificate], anchor: Option<&Anchor>) -> Vec<CertId> {
    let mut ids = Vec::with_capacity(certificates.len() + 1);
    let anchor = anchor.and_then(Anchor::certificate);
    ids.extend(certificates.iter().chain(anchor).map(Certificate::id));
    ids
}

fn all_evidence(certificates: &[Certificate], found: &[verdict::Evidence], at: Time) -> Vec<Evidence> {
    let mut all = Vec::with_capacity(found.len());
    all.extend(found.iter().filter_map(|found| evidence(certificates, found.as_finding(), at)));
    all
}

/// What a CRL says of one of these certificates.
pub(crate) fn evidence(certificates: &[Certificate], found: Finding<'_>, at: Time) -> Option<Evidence> {
    let crl = found.delta.unwrap_or(found.crl);
    Some(Evidence {
        certificate: certificates.get(found.certificate)?.id(),
        issuer: found.signer,
        scope: found.scope,
        kind: crl.kind(),
        crl_id: crl.id(),
        number: crl.number(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
        age_s: at.since(crl.this_update()),
    })
}
