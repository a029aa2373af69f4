//! What a policy is called between validators: a hash of who is believed and of what is required of a path.
//!
//! Two validators that are configured alike call their policies alike, whatever they name them; so a path that one
//! found can be offered to the other. The octets that are hashed begin with a version, and a golden vector holds them.
//! What is judged of each answer apart (the age of CRLs, contact with the broker, the name asked for) is left out.

use super::anchor::{Anchor, Anchors};
use super::question::{Requirements, RevocationMode};
use crate::asn1::OidBuf;
use crate::certificate::Certificate;
use crate::identity::{PolicyId, first_half, sha256};

/// First octet of what is hashed.
const FORM_VERSION: u8 = 1;

/// Set in the octet of the revocation mode where the seconds of grace follow it.
const WITH_GRACE: u8 = 0x80;

/// A hash of a set of anchors: names, keys, and the certificates whose constraints bind. Does not depend on order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnchorsDigest([u8; 32]);

impl Anchors {
    /// Their digest. Costs a hash for each, so it is worth keeping.
    pub fn digest(&self) -> AnchorsDigest {
        let mut forms: Vec<Vec<u8>> = self.iter().map(form).collect();
        forms.sort_unstable();
        forms.dedup();
        let mut hashed = vec![FORM_VERSION];
        forms.iter().for_each(|form| push(&mut hashed, form));
        AnchorsDigest(sha256(&[&hashed]))
    }
}

impl Requirements {
    /// What these requirements under these anchors are called.
    pub fn policy_id(&self, anchors: &AnchorsDigest) -> PolicyId {
        let mut policies: Vec<&OidBuf> = self.policies.iter().collect();
        policies.sort_unstable();
        policies.dedup();
        let mut hashed = vec![FORM_VERSION];
        hashed.extend(anchors.0);
        let flags = [self.explicit_policy, self.inhibit_policy_mapping, self.inhibit_any_policy];
        hashed.extend(flags.map(u8::from));
        let mode = match self.revocation {
            RevocationMode::Hard => 0,
            RevocationMode::Soft => 1,
            RevocationMode::None => 2,
        };
        // A policy without grace is called as it was before there was any.
        match self.grace_s {
            0 => hashed.push(mode),
            grace_s => {
                hashed.push(mode | WITH_GRACE);
                hashed.extend(grace_s.to_be_bytes());
            }
        }
        push(&mut hashed, self.algorithms.name().as_bytes());
        push(&mut hashed, self.purpose.as_ref().map_or(&[][..], |purpose| purpose.as_oid().content()));
        policies.iter().for_each(|policy| push(&mut hashed, policy.as_oid().content()));
        PolicyId(first_half(sha256(&[&hashed])))
    }
}

/// An anchor: its issuer identity (name and key), then the certificate whose constraints bind, if one does.
fn form(anchor: &Anchor) -> Vec<u8> {
    let mut form = anchor.as_issuer().0.to_vec();
    form.extend(anchor.constraints().map(Certificate::id).iter().flat_map(|id| id.0));
    form
}

/// With its length in front.
fn push(hashed: &mut Vec<u8>, part: &[u8]) {
    hashed.extend((part.len() as u64).to_be_bytes());
    hashed.extend(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::name;
    use crate::path::tests::world::root;
    use crate::signature::AlgorithmPolicy;

    fn anchor(subject: &str) -> Anchor {
        Anchor::from_key(name(subject).unwrap(), vec![0x30, 0x00])
    }

    #[test]
    fn a_policy_is_called_as_it_always_was() {
        let anchors: Anchors = [anchor("CN=Root")].into_iter().collect();
        let requirements =
            Requirements { purpose: "1.3.6.1.5.5.7.3.1".parse().ok(), ..Requirements::default() };
        assert_eq!(requirements.policy_id(&anchors.digest()).to_string(), "7337fd12d0a378383b108c4bc152f4bc");
    }

    #[test]
    fn the_order_of_anchors_and_policies_does_not_matter() {
        let (a, b) = (anchor("CN=A"), anchor("CN=B"));
        let digest = |anchors: [&Anchor; 2]| anchors.into_iter().cloned().collect::<Anchors>().digest();
        assert_eq!(digest([&a, &b]), digest([&b, &a]));
        assert_ne!(digest([&a, &b]), digest([&a, &a]));
        let asking = |policies: [&str; 2]| Requirements {
            policies: policies.iter().filter_map(|policy| policy.parse().ok()).collect(),
            ..Requirements::default()
        };
        let digest = digest([&a, &b]);
        assert_eq!(
            asking(["1.2.3", "1.2.4"]).policy_id(&digest),
            asking(["1.2.4", "1.2.3"]).policy_id(&digest)
        );
    }

    #[test]
    fn whatever_is_required_tells_policies_apart() {
        let plain = Requirements::default();
        let others = [
            Requirements { policies: vec!["1.2.3".parse().unwrap()], ..plain.clone() },
            Requirements { purpose: "1.2.3".parse().ok(), ..plain.clone() },
            Requirements { explicit_policy: true, ..plain.clone() },
            Requirements { inhibit_policy_mapping: true, ..plain.clone() },
            Requirements { inhibit_any_policy: true, ..plain.clone() },
            Requirements { revocation: RevocationMode::Soft, ..plain.clone() },
            Requirements { revocation: RevocationMode::None, ..plain.clone() },
            Requirements { grace_s: 1, ..plain.clone() },
            Requirements { grace_s: 2, ..plain.clone() },
            Requirements { grace_s: 1, revocation: RevocationMode::Soft, ..plain.clone() },
            Requirements { algorithms: AlgorithmPolicy::LEGACY, ..plain.clone() },
        ];
        let digest = Anchors::default().digest();
        let mut ids: Vec<PolicyId> = others.iter().map(|other| other.policy_id(&digest)).collect();
        ids.push(plain.policy_id(&digest));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), others.len() + 1);
    }

    #[test]
    fn an_anchor_that_binds_by_its_certificate_is_another_than_its_bare_key() {
        let certificate = root("CN=Root").certificate;
        let bound: Anchors = [Anchor::from_certificate(certificate.clone())].into_iter().collect();
        let bare: Anchors = [Anchor::as_key(certificate)].into_iter().collect();
        assert_ne!(bound.digest(), bare.digest());
    }
}
