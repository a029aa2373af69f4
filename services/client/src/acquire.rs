//! [`acquire`]: a certificate from the fleet, if it is valid for whoever asks (function 504 of the original).

use std::time::Duration;

use revocast_bus::Bus;
use revocast_messages::{
    AcquireAnswer, AcquireFrom, AcquireRequest, Instance, Outcome, decode, encode, subjects,
};
use revocast_pki::certificate::Certificate;

use crate::ask::AskError;

/// Asks whichever validator is free, or `validator`, for a certificate; waits at most for `patience`. What is handed
/// over is what was asked for and has a valid verdict; the verdict itself is the validator's.
pub async fn acquire(
    bus: &Bus,
    request: &AcquireRequest,
    validator: Option<&Instance>,
    patience: Duration,
) -> Result<AcquireAnswer, AskError> {
    let subject = validator.map_or_else(|| subjects::ACQUIRE.to_owned(), subjects::acquire_at);
    let answer = bus.ask(&subject, &Vec::new(), encode(request)?.into(), patience).await?;
    let answer: AcquireAnswer = decode(&answer)?;
    if is_whole(request, &answer) { Ok(answer) } else { Err(AskError::Other) }
}

/// Either refused, or judged; and a certificate only with its own valid verdict, and if it is the one asked for.
fn is_whole(request: &AcquireRequest, answer: &AcquireAnswer) -> bool {
    let judgements = match (&answer.answer, &answer.refused) {
        (Some(answer), None) => &answer.judgements,
        (None, Some(_)) => return answer.certificate.is_none(),
        _ => return false,
    };
    let Some(der) = &answer.certificate else { return !judgements.is_empty() };
    let Ok(certificate) = Certificate::decode(der.0.clone()) else { return false };
    let is_valid = judgements
        .iter()
        .any(|judged| judged.certificate == certificate.id() && judged.outcome == Outcome::Valid);
    let fits = match &request.from {
        AcquireFrom::Url(_) => true,
        AcquireFrom::Search(by) => by.read().is_ok_and(|wanted| wanted.fits(&certificate)),
    };
    is_valid && fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use revocast_messages::{AcquireRefusal, Answer, Judgement, SearchBy};
    use revocast_pki::asn1::Time;
    use revocast_pki::identity::CertId;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    fn certificate() -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name("CN=x").unwrap();
        let validity = (Time::from_unix(0), Time::from_unix(9));
        let template = CertificateTemplate::new(subject.clone(), key.spki(), &[1], validity);
        Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap()
    }

    fn answer(handed_over: Option<&Certificate>, judged: &[(CertId, Outcome)]) -> AcquireAnswer {
        let judgement = |(certificate, outcome): &(CertId, Outcome)| Judgement {
            certificate: *certificate,
            outcome: *outcome,
            reason: String::new(),
            path: Vec::new(),
            evidence: Vec::new(),
            explanation: None,
        };
        let answer = Answer {
            validator: "v-1".parse().unwrap(),
            policy: "default".into(),
            judged_at_ms: 0,
            freshness_s: None,
            judgements: judged.iter().map(judgement).collect(),
            refused: None,
            past: None,
        };
        AcquireAnswer {
            validator: answer.validator.clone(),
            source: None,
            certificate: handed_over.map(|certificate| certificate.der().clone().into()),
            answer: Some(answer),
            refused: None,
        }
    }

    #[test]
    fn what_was_not_asked_for_or_has_no_valid_verdict_is_not_taken() {
        let (one, two) = (certificate(), certificate());
        let from = AcquireFrom::Search(SearchBy::Certificate(one.id()));
        let request = AcquireRequest { from, intermediates: Vec::new(), options: Default::default() };
        let whole = |handed_over, judged: &[_]| is_whole(&request, &answer(handed_over, judged));
        assert!(whole(Some(&one), &[(one.id(), Outcome::Valid)]));
        assert!(whole(None, &[(one.id(), Outcome::Revoked)]));
        assert!(!whole(Some(&one), &[(one.id(), Outcome::Revoked)]));
        assert!(!whole(Some(&one), &[(two.id(), Outcome::Valid)]));
        assert!(!whole(Some(&two), &[(two.id(), Outcome::Valid)]), "another one than was asked for");
        assert!(!whole(None, &[]));
        let refused = Some(AcquireRefusal::Absent { why: "no".into() });
        let of_nothing = AcquireAnswer { answer: None, refused, ..answer(None, &[]) };
        assert!(is_whole(&request, &of_nothing));
        assert!(!is_whole(&request, &AcquireAnswer { certificate: Some(vec![].into()), ..of_nothing }));
    }
}
