//! An [`Answer`] as it is written, in both forms: octet by octet what is derived for it (tests hold them together), for
//! less than half the price.
//!
//! Answers are the most that is written, and identifiers the most of an answer. What is derived looks in each for what
//! to escape in JSON, and writes the binary form of each octet by octet. In JSON that was the largest part of what a
//! question took beyond a bare handler.

use revocast_pki::identity::CertId;
use serde::Serialize;

use crate::codec::{Binary, Unwritten};
use crate::question::{Answer, Evidence, Judgement};

/// Appends the binary form of an answer.
pub(crate) fn binary(answer: &Answer, to: &mut Binary) -> Result<(), Unwritten> {
    let Answer { validator, policy, judged_at_ms, freshness_s, judgements, refused, past } = answer;
    to.text(validator.as_str());
    to.text(policy);
    to.signed(*judged_at_ms);
    to.option(*freshness_s, |to, freshness_s| to.unsigned(freshness_s.into()));
    to.unsigned(judgements.len() as u64);
    for judgement in judgements {
        let Judgement { certificate, outcome, reason, path, evidence, explanation } = judgement;
        to.octets(&certificate.0);
        to.unsigned(*outcome as u64);
        to.text(reason);
        to.unsigned(path.len() as u64);
        path.iter().for_each(|CertId(octets)| to.octets(octets));
        to.unsigned(evidence.len() as u64);
        evidence.iter().for_each(|found| binary_evidence(found, to));
        to.option(explanation.as_deref(), Binary::text);
    }
    match (refused, past) {
        (None, None) => to.octets(&[0, 0]),
        seldom => to.value(&seldom)?,
    }
    Ok(())
}

fn binary_evidence(evidence: &Evidence, to: &mut Binary) {
    let Evidence { certificate, issuer, scope, kind, crl_id, number, this_update, next_update, age_s } =
        evidence;
    to.octets(&certificate.0);
    to.octets(&issuer.0);
    to.octets(&scope.0);
    to.unsigned(*kind as u64);
    to.octets(&crl_id.0);
    to.option(number.as_ref(), |to, number| to.octets(number.as_octets()));
    to.signed(this_update.unix());
    to.option(*next_update, |to, next_update| to.signed(next_update.unix()));
    to.signed(*age_s);
}

/// Appends the answer in JSON.
pub(crate) fn json(answer: &Answer, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let Answer { validator, policy, judged_at_ms, freshness_s, judgements, refused, past } = answer;
    let mut json = Json(to);
    json.text("{\"validator\":\"");
    // Letters, digits, `-` and `_`.
    json.text(validator.as_str());
    json.text("\",\"policy\":");
    json.value(policy)?;
    json.text(",\"judged_at_ms\":");
    json.value(judged_at_ms)?;
    json.text(",\"freshness_s\":");
    json.value(freshness_s)?;
    json.text(",\"judgements\":");
    json.list(judgements, Json::judgement)?;
    json.text(",\"refused\":");
    json.value(refused)?;
    json.text(",\"past\":");
    json.value(past)?;
    json.text("}");
    Ok(())
}

struct Json<'a>(&'a mut Vec<u8>);

impl Json<'_> {
    fn judgement(&mut self, judgement: &Judgement) -> serde_json::Result<()> {
        let Judgement { certificate, outcome, reason, path, evidence, explanation } = judgement;
        self.text("{\"certificate\":");
        self.hex(&certificate.0);
        self.text(",\"outcome\":");
        self.value(outcome)?;
        self.text(",\"reason\":");
        self.value(reason)?;
        self.text(",\"path\":");
        self.list(path, |json, CertId(octets)| {
            json.hex(octets);
            Ok(())
        })?;
        self.text(",\"evidence\":");
        self.list(evidence, Json::evidence)?;
        self.text(",\"explanation\":");
        self.value(explanation)?;
        self.text("}");
        Ok(())
    }

    fn evidence(&mut self, evidence: &Evidence) -> serde_json::Result<()> {
        let Evidence { certificate, issuer, scope, kind, crl_id, number, this_update, next_update, age_s } =
            evidence;
        self.text("{\"certificate\":");
        self.hex(&certificate.0);
        self.text(",\"issuer\":");
        self.hex(&issuer.0);
        self.text(",\"scope\":");
        self.hex(&scope.0);
        self.text(",\"kind\":");
        self.value(kind)?;
        self.text(",\"crl_id\":");
        self.hex(&crl_id.0);
        self.text(",\"number\":");
        self.value(number)?;
        self.text(",\"this_update\":");
        self.value(this_update)?;
        self.text(",\"next_update\":");
        self.value(next_update)?;
        self.text(",\"age_s\":");
        self.value(age_s)?;
        self.text("}");
        Ok(())
    }

    fn list<T>(
        &mut self,
        items: &[T],
        item: impl Fn(&mut Self, &T) -> serde_json::Result<()>,
    ) -> serde_json::Result<()> {
        self.text("[");
        for (index, one) in items.iter().enumerate() {
            if index > 0 {
                self.text(",");
            }
            item(self, one)?;
        }
        self.text("]");
        Ok(())
    }

    /// What needs no escape.
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn hex(&mut self, octets: &[u8]) {
        self.text("\"");
        let begin = self.0.len();
        self.0.resize(begin + 2 * octets.len(), 0);
        data_encoding::HEXLOWER.encode_mut(octets, &mut self.0[begin..]);
        self.text("\"");
    }

    fn value(&mut self, value: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut *self.0, value)
    }
}
