//! What came of an acquisition: the certificate only with a valid verdict. Pure.

use revocast_messages::{AcquireAnswer, AcquireRefusal, Answer, Instance, Outcome, Refusal};

use super::find::Found;

/// What was got and judged.
pub(super) fn judged(found: Found, answer: Answer) -> Result<AcquireAnswer, AcquireRefusal> {
    match answer.refused {
        Some(Refusal::Malformed { why }) => return Err(AcquireRefusal::Malformed { why }),
        Some(Refusal::Busy { why }) => return Err(AcquireRefusal::Busy { why }),
        None => {}
    }
    let pairs = || found.fitting.iter().zip(&answer.judgements);
    let valid = pairs().find(|((certificate, _), judgement)| {
        judgement.outcome == Outcome::Valid && judgement.certificate == certificate.id()
    });
    let (certificate, source) = match valid {
        Some(((certificate, place), _)) => (Some(certificate.der().clone().into()), Some(place.clone())),
        None => (None, found.fitting.first().map(|(_, place)| place.clone())),
    };
    Ok(AcquireAnswer {
        validator: answer.validator.clone(),
        source,
        certificate,
        answer: Some(answer),
        refused: None,
    })
}

/// Nothing was judged.
pub(super) fn refused(validator: Instance, refusal: AcquireRefusal) -> AcquireAnswer {
    AcquireAnswer { validator, source: None, certificate: None, answer: None, refused: Some(refusal) }
}

/// The word under which it is counted.
pub(super) fn word(answer: &AcquireAnswer) -> &'static str {
    match &answer.refused {
        Some(AcquireRefusal::Malformed { .. }) => "malformed",
        Some(AcquireRefusal::Forbidden { .. }) => "forbidden",
        Some(AcquireRefusal::Absent { .. }) => "absent",
        Some(AcquireRefusal::Unavailable { .. }) => "unavailable",
        Some(AcquireRefusal::Busy { .. }) => "busy",
        None if answer.certificate.is_some() => "valid",
        None => "not_valid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revocast_messages::Judgement;
    use revocast_pki::asn1::Time;
    use revocast_pki::certificate::Certificate;
    use revocast_pki::identity::CertId;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    fn certificate(serial: u8) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name("CN=x").unwrap();
        let validity = (Time::from_unix(0), Time::from_unix(9));
        let template = CertificateTemplate::new(subject.clone(), key.spki(), &[serial], validity);
        Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap()
    }

    fn answer(judgements: &[(CertId, Outcome)], refused: Option<Refusal>) -> Answer {
        let judgement = |(certificate, outcome): &(CertId, Outcome)| Judgement {
            certificate: *certificate,
            outcome: *outcome,
            reason: String::new(),
            path: Vec::new(),
            evidence: Vec::new(),
            explanation: None,
        };
        Answer {
            validator: "v-1".parse().unwrap(),
            policy: "default".into(),
            judged_at_ms: 0,
            freshness_s: None,
            judgements: judgements.iter().map(judgement).collect(),
            refused,
            past: None,
        }
    }

    #[test]
    fn a_certificate_is_handed_over_only_with_its_own_valid_verdict() {
        let (one, two) = (certificate(1), certificate(2));
        let found = Found {
            fitting: vec![(one.clone(), "known".into()), (two.clone(), "repository".into())],
            along: Vec::new(),
        };
        for (first, second, handed_over) in [
            (Outcome::Valid, Outcome::Valid, Some(&one)),
            (Outcome::Revoked, Outcome::Valid, Some(&two)),
            (Outcome::Revoked, Outcome::Indeterminate, None),
            (Outcome::Invalid, Outcome::Invalid, None),
        ] {
            let answer = answer(&[(one.id(), first), (two.id(), second)], None);
            let judged = judged(found.clone(), answer).unwrap();
            assert_eq!(judged.certificate.as_deref(), handed_over.map(|one| &one.der()[..]));
            let place = if handed_over == Some(&two) { "repository" } else { "known" };
            assert_eq!(judged.source.as_deref(), Some(place));
            assert_eq!(judged.answer.unwrap().judgements.len(), 2);
        }
        let exchanged = answer(&[(two.id(), Outcome::Valid), (one.id(), Outcome::Revoked)], None);
        assert_eq!(judged(found, exchanged).unwrap().certificate, None);
    }

    #[test]
    fn a_refused_question_is_a_refused_request() {
        let why = || "no such policy".to_owned();
        for (refused, expected) in [
            (Refusal::Malformed { why: why() }, AcquireRefusal::Malformed { why: why() }),
            (Refusal::Busy { why: why() }, AcquireRefusal::Busy { why: why() }),
        ] {
            assert_eq!(judged(Found::default(), answer(&[], Some(refused))).unwrap_err(), expected);
        }
    }
}
