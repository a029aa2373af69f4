//! [`Asked`]: what is watched, read from a request or a registration within its limits, and what the watch is called.

use std::time::Duration;

use revocast_messages::{Blob, Question, QuestionOptions, Refusal, WatchRequest};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::WatchId;
use revocast_pki::path::{Anchor, Graph, RevocationMode};

use crate::question::Policies;
use crate::question::intake::Terms;

/// One watched certificate.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub target: Certificate,
    /// Certificates offered along: hints.
    pub offered: Vec<Blob>,
    pub options: QuestionOptions,
}

impl Asked {
    /// Reads what is to be watched, and what the watch is called under the policy that is in effect here.
    pub(crate) fn read(
        certificate: &Blob,
        offered: &[Blob],
        options: &QuestionOptions,
        policies: &Policies,
    ) -> Result<(WatchId, Asked), Refusal> {
        let refused = |why: String| Refusal::Malformed { why };
        if offered.len() > WatchRequest::MAX_INTERMEDIATES {
            let (count, limit) = (offered.len(), WatchRequest::MAX_INTERMEDIATES);
            return Err(refused(format!(
                "{count} intermediates are above the limit of {limit} for one watch"
            )));
        }
        if options.is_historical() {
            return Err(refused("the past does not change: a watch is about the present".into()));
        }
        let target = Certificate::decode(certificate.0.clone())
            .map_err(|error| refused(format!("the certificate cannot be read: {error}")))?;
        // What it takes to explain a verdict is nothing to watch.
        let options = QuestionOptions { explain: false, ..options.clone() };
        let asked = Asked { target, offered: offered.to_vec(), options };
        let policy = asked.policy_in_effect(policies)?;
        Ok((WatchId::of(asked.target.id(), &policy), asked))
    }

    /// The question that is asked again and again.
    pub(crate) fn question(&self) -> Question {
        Question {
            certificates: vec![self.target.der().clone().into()],
            intermediates: self.offered.clone(),
            options: self.options.clone(),
        }
    }

    /// The certificates offered along, as far as they can be read.
    pub(crate) fn graph(&self) -> Graph {
        self.offered.iter().filter_map(|der| Certificate::decode(der.0.clone()).ok()).collect()
    }

    /// The same with what another client offers, up to the limit; `None` if that is nothing new.
    pub(crate) fn with(&self, other: &Asked) -> Option<Asked> {
        let new = other.offered.iter().filter(|der| !self.offered.contains(der));
        let room = WatchRequest::MAX_INTERMEDIATES.saturating_sub(self.offered.len());
        let more: Vec<Blob> = new.take(room).cloned().collect();
        let nothing_new = more.is_empty();
        (!nothing_new).then(|| Asked { offered: [&self.offered[..], &more].concat(), ..self.clone() })
    }

    /// Octets that stand for who is believed and what is required, in the names of nobody's configuration: validators
    /// that are configured alike agree on them. Begins with the version of this form.
    fn policy_in_effect(&self, policies: &Policies) -> Result<Vec<u8>, Refusal> {
        let asked = Terms::of(&self.question(), policies)?;
        let required = &asked.effective.requirements;
        let mut anchors: Vec<String> = asked.policy.anchors.iter().map(anchor).collect();
        let mut purposes: Vec<String> = required.policies.iter().map(ToString::to_string).collect();
        anchors.sort_unstable();
        purposes.sort_unstable();
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
        let words = (
            1,
            (anchors, purposes, required.purpose.as_ref().map(ToString::to_string)),
            (required.explicit_policy, required.inhibit_policy_mapping, required.inhibit_any_policy),
            (revocation(required.revocation), required.algorithms.name()),
            (seconds(asked.policy.max_crl_age), seconds(asked.policy.fresh_within)),
            self.options.dns.as_ref().map(|name| name.to_ascii_lowercase()),
        );
        // Tuples of words and numbers: writing them as JSON does not fail, and tells them apart whatever they hold.
        Ok(serde_json::to_vec(&words).unwrap_or_default())
    }
}

/// An anchor by name and key, and by the certificate that it was given as.
fn anchor(anchor: &Anchor) -> String {
    let certificate =
        anchor.certificate().map_or_else(String::new, |certificate| certificate.id().to_string());
    format!("{}{certificate}", anchor.as_issuer())
}

fn revocation(mode: RevocationMode) -> u8 {
    match mode {
        RevocationMode::Hard => 0,
        RevocationMode::Soft => 1,
        RevocationMode::None => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    use super::*;
    use crate::config::{PolicyConfig, Revocation};

    fn certificate(subject: &str) -> Blob {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (Time::from_unix(0), Time::from_unix(1_000));
        let subject = name(subject).unwrap();
        let template = CertificateTemplate::ca(subject.clone(), key.spki(), &[1], validity);
        template.sign(&subject, &key).unwrap().into()
    }

    #[test]
    fn validators_that_are_configured_alike_call_a_watch_alike_whatever_they_call_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let anchor = folder.path().join("root.crt");
        std::fs::write(&anchor, &*certificate("CN=Root")).unwrap();
        let plain = PolicyConfig { anchors: vec![anchor], ..PolicyConfig::default() };
        let soft = PolicyConfig { revocation: Revocation::Soft, ..plain.clone() };
        let policies = |names: [(&str, &PolicyConfig); 2], default: &str| {
            let configs: BTreeMap<String, PolicyConfig> =
                names.map(|(name, config)| (name.to_owned(), config.clone())).into();
            Policies::read(&configs, default).unwrap()
        };
        let here = policies([("default", &plain), ("soft", &soft)], "default");
        let there = policies([("strict", &plain), ("lenient", &soft)], "strict");
        let (leaf, other) = (certificate("CN=leaf"), certificate("CN=other"));
        let id = |certificate: &Blob, policies: &Policies, policy: Option<&str>, dns: Option<&str>| {
            let options = QuestionOptions {
                policy: policy.map(str::to_owned),
                dns: dns.map(str::to_owned),
                ..QuestionOptions::default()
            };
            Asked::read(certificate, &[], &options, policies).unwrap().0
        };
        let plainly = id(&leaf, &here, None, None);
        assert_eq!(plainly, id(&leaf, &here, Some("default"), None));
        assert_eq!(plainly, id(&leaf, &there, None, None));
        assert_eq!(id(&leaf, &here, Some("soft"), None), id(&leaf, &there, Some("lenient"), None));
        for another in [
            id(&other, &here, None, None),
            id(&leaf, &here, Some("soft"), None),
            id(&leaf, &here, None, Some("a.example")),
        ] {
            assert_ne!(plainly, another);
        }
        let unknown = QuestionOptions { policy: Some("strict".into()), ..QuestionOptions::default() };
        assert!(Asked::read(&leaf, &[], &unknown, &here).is_err());
        let past = QuestionOptions { as_of: Some(Time::from_unix(1)), ..QuestionOptions::default() };
        assert!(Asked::read(&leaf, &[], &past, &here).is_err());
    }
}
