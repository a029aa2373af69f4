//! [`Reach`]: what a verdict may depend on, found without judging: every name above the certificate, and every instant
//! at which something up there begins or ends. Wider than the path that was chosen, so that a verdict is judged anew
//! when another path opens, too.

use std::collections::{BTreeSet, HashMap, HashSet};

use revocast_messages::Judgement;
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::CertId;
use revocast_pki::name::Name;
use revocast_pki::path::CertificateSource;
use revocast_pki::revocation::CrlSource;

/// Names that are followed upwards from one certificate; where there are more, every CRL concerns it. A mesh of
/// cross-certified CAs has some dozens.
const MAX_NAMES: usize = 256;
/// Certificates that are looked at for one certificate.
const MAX_CERTIFICATES: usize = 1_024;

/// What a verdict may depend on.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Whose CRLs and certificates concern it.
    pub names: HashSet<Name>,
    /// There are more than can be followed: everything concerns it.
    pub wide: bool,
    /// notBefore and notAfter of the target and of every certificate above it.
    validity: HashMap<CertId, (Time, Time)>,
    /// The last instants before a CRL of these names begins to count, and before it is overdue.
    due: BTreeSet<Time>,
    target: CertId,
}

impl Reach {
    /// Of `target`, through certificates and CRLs that are known.
    pub(crate) fn of(
        target: &Certificate,
        certificates: &dyn CertificateSource,
        crls: &dyn CrlSource,
    ) -> Reach {
        let mut reach = Reach {
            names: HashSet::new(),
            wide: false,
            validity: HashMap::new(),
            due: BTreeSet::new(),
            target: target.id(),
        };
        let mut ahead = reach.pass(target);
        while let Some(name) = ahead.pop() {
            if reach.names.len() >= MAX_NAMES || reach.validity.len() >= MAX_CERTIFICATES {
                reach.wide = true;
                break;
            }
            if !reach.names.insert(name.clone()) {
                continue;
            }
            for crl in crls.by_issuer(&name).iter() {
                // The clock of a CA may be ahead of ours: what it says of the next second counts in that second.
                reach.due.insert(crl.this_update().plus(-1));
                reach.due.extend(crl.next_update());
            }
            for certificate in certificates.by_subject(&name) {
                ahead.extend(reach.pass(&certificate));
            }
        }
        reach
    }

    /// Takes a certificate in; the names that lead on from it.
    fn pass(&mut self, certificate: &Certificate) -> Vec<Name> {
        let validity = (certificate.not_before(), certificate.not_after());
        if self.validity.insert(certificate.id(), validity).is_some() {
            return Vec::new();
        }
        let mut names = vec![certificate.issuer().clone()];
        for point in certificate.crl_distribution_points().into_iter().flatten() {
            names.extend(point.crl_issuer.into_iter().flatten().filter_map(|name| name.directory()));
        }
        names
    }

    /// What a verdict may claim to have known, if this was within reach before it was judged: the certificates above the
    /// target, and those of its path. What came to be known later it does not rest on.
    pub(crate) fn known(&self, judgement: &Judgement) -> BTreeSet<CertId> {
        let all = self.validity.keys().chain(&judgement.path).filter(|id| **id != self.target);
        all.copied().collect()
    }

    /// The first instant from `at` on after which any verdict on the target may be another.
    pub(crate) fn next(&self, at: Time) -> Option<Time> {
        let ends = self.validity.values().flat_map(|validity| ends(*validity));
        ends.chain(self.due.iter().copied()).filter(|end| *end >= at).min()
    }

    /// The first instant from `at` on after which this verdict may be another; `oldest_s` is the greatest age
    /// of CRLs that the policy admits, `grace_s` how long after their nextUpdate they count, both in seconds.
    pub(crate) fn until(
        &self,
        judgement: &Judgement,
        at: Time,
        oldest_s: Option<i64>,
        grace_s: u32,
    ) -> Option<Time> {
        let path = judgement.path.iter().filter_map(|id| self.validity.get(id)).copied().flat_map(ends);
        let lists = judgement.evidence.iter().flat_map(|found| {
            let aged = oldest_s.map(|age| found.this_update.plus(age));
            found.next_update.map(|next| next.plus(i64::from(grace_s))).into_iter().chain(aged)
        });
        path.chain(lists).filter(|end| *end >= at).min()
    }
}

/// The last instants before a certificate begins, and before it is over.
fn ends((not_before, not_after): (Time, Time)) -> [Time; 2] {
    [not_before.plus(-1), not_after]
}

#[cfg(test)]
mod tests {
    use revocast_messages::{Evidence, Outcome};
    use revocast_pki::identity::{CrlId, CrlKind, ScopeId};
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};
    use revocast_pki::path::Graph;
    use revocast_pki::revocation::CrlSet;

    use super::*;

    fn certificate(subject: &str, issuer: &str, from: i64, to: i64) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let validity = (Time::from_unix(from), Time::from_unix(to));
        let template = CertificateTemplate::ca(name(subject).unwrap(), key.spki(), &[1], validity);
        Certificate::decode(template.sign(&name(issuer).unwrap(), &key).unwrap()).unwrap()
    }

    /// A verdict on a certificate, by a path through these.
    fn judged(target: &Certificate, above: &[&Certificate]) -> Judgement {
        Judgement {
            certificate: target.id(),
            outcome: Outcome::Invalid,
            reason: String::new(),
            path: [target].into_iter().chain(above.iter().copied()).map(Certificate::id).collect(),
            evidence: Vec::new(),
            explanation: None,
        }
    }

    #[test]
    fn what_came_to_be_known_after_a_verdict_was_begun_is_not_claimed_to_be_behind_it() {
        let target = certificate("CN=leaf", "CN=Issuing", 0, 500);
        let issuing = certificate("CN=Issuing", "CN=Root", 0, 900);
        let [root, late] = [900, 800].map(|to| certificate("CN=Root", "CN=Root", 0, to));
        let mut graph: Graph = [issuing.clone()].into_iter().collect();
        let before = Reach::of(&target, &graph, &CrlSet::new());
        graph.insert(late.clone());
        let after = Reach::of(&target, &graph, &CrlSet::new());
        let judgement = judged(&target, &[&issuing, &root]);
        assert_eq!(before.known(&judgement), [issuing.id(), root.id()].into());
        assert!(after.known(&judgement).contains(&late.id()));
    }

    #[test]
    fn a_verdict_holds_until_the_grace_of_its_crl_is_over() {
        let target = certificate("CN=leaf", "CN=Issuing", 0, 900);
        let reach = Reach::of(&target, &Graph::new(), &CrlSet::new());
        let found = Evidence {
            certificate: target.id(),
            issuer: target.as_issuer(),
            scope: ScopeId([0; 16]),
            kind: CrlKind::Complete,
            crl_id: CrlId([0; 32]),
            number: None,
            this_update: Time::from_unix(100),
            next_update: Some(Time::from_unix(500)),
            age_s: 0,
        };
        let judgement = Judgement { evidence: vec![found], ..judged(&target, &[]) };
        let until = |at, grace_s| reach.until(&judgement, Time::from_unix(at), None, grace_s).map(Time::unix);
        assert_eq!([until(400, 0), until(400, 60), until(550, 60)], [Some(500), Some(560), Some(560)]);
        assert_eq!([until(501, 0), until(561, 60)], [Some(900), Some(900)]);
    }

    #[test]
    fn everything_above_the_target_is_within_reach_and_nothing_beside_it() {
        let target = certificate("CN=leaf", "CN=Issuing", 0, 500);
        let graph: Graph = [
            certificate("CN=Issuing", "CN=Root", 100, 900),
            certificate("CN=Issuing", "CN=Bridge", 0, 300),
            certificate("CN=Bridge", "CN=Issuing", 0, 900),
            certificate("CN=Elsewhere", "CN=Root", 0, 200),
        ]
        .into_iter()
        .collect();
        let reach = Reach::of(&target, &graph, &CrlSet::new());
        let mut names: Vec<String> = reach.names.iter().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["CN=Bridge", "CN=Issuing", "CN=Root"]);
        assert_eq!(reach.known(&judged(&target, &[])).len(), 3);
        let next = |at| reach.next(Time::from_unix(at)).map(Time::unix);
        assert_eq!([next(0), next(100), next(400), next(901)], [Some(99), Some(300), Some(500), None]);
    }
}
