//! Laws that hold for every question.

use proptest::prelude::*;

use super::world::{Ask, Holder, root};
use crate::certificate::PolicyConstraints;
use crate::mint::CertificateTemplate;
use crate::path::Limits;
use crate::signature::AlgorithmPolicy;
use crate::verdict::Outcome;

/// What a certificate of a random chain says of policies.
#[derive(Clone, Debug)]
struct Says {
    policies: Vec<u8>,
    mappings: Vec<(u8, u8)>,
    explicit: Option<u32>,
    inhibit: Option<u32>,
    any: Option<u32>,
}

/// Policies 0 to 3; 4 stands for anyPolicy.
fn oid(policy: u8) -> Vec<u8> {
    if policy == 4 { vec![0x55, 0x1d, 32, 0] } else { vec![0x2a, 3, policy] }
}

impl Says {
    fn write(&self, template: &mut CertificateTemplate) {
        template.policies = self.policies.iter().map(|policy| oid(*policy).into()).collect();
        template.policy_mappings = self.mappings.iter().map(|(from, to)| (oid(*from), oid(*to))).collect();
        if self.explicit.is_some() || self.inhibit.is_some() {
            template.policy_constraints = Some(PolicyConstraints {
                require_explicit_policy: self.explicit,
                inhibit_policy_mapping: self.inhibit,
            });
        }
        template.inhibit_any_policy = self.any;
    }
}

fn says() -> impl Strategy<Value = Says> {
    let few = || proptest::option::weighted(0.2, 0u32..3);
    let policies = proptest::collection::btree_set(0u8..5, 0..4);
    let mappings = proptest::collection::vec((0u8..4, 0u8..4), 0..4);
    (policies, mappings, few(), few(), few()).prop_map(|(policies, mappings, explicit, inhibit, any)| Says {
        policies: policies.into_iter().collect(),
        mappings,
        explicit,
        inhibit,
        any,
    })
}

/// A chain of CAs that say these things, and a leaf that says the last.
fn ask(chain: &[Says]) -> Ask {
    let top = root("CN=top");
    let mut holders: Vec<Holder> = Vec::new();
    for (n, says) in chain.iter().enumerate() {
        let issuer = holders.last().unwrap_or(&top);
        let subject = format!("CN={n}");
        holders.push(issuer.ca(&subject, |template| says.write(template)));
    }
    let target = holders.pop().unwrap();
    Ask::about(&target, &top).through(&holders.iter().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_requirement_that_is_switched_on_never_makes_invalid_valid(
        chain in proptest::collection::vec(says(), 1..5),
        initial in proptest::collection::btree_set(0u8..5, 0..3),
        switch in 0usize..5,
    ) {
        let mut ask = ask(&chain);
        ask.requirements.algorithms = AlgorithmPolicy::LEGACY;
        let off = ask.verdict();
        match switch {
            0 => ask.requirements.explicit_policy = true,
            1 => ask.requirements.inhibit_policy_mapping = true,
            2 => ask.requirements.inhibit_any_policy = true,
            3 => ask.requirements.algorithms = AlgorithmPolicy::DEFAULT,
            _ => {
                let oids = initial.iter().map(|policy| crate::asn1::Oid::from_content(&oid(*policy)).unwrap().into());
                ask.requirements.policies = oids.collect();
            }
        }
        let on = ask.verdict();
        prop_assert!(off.is_valid() || !on.is_valid(), "{}\n{}", off.report(), on.report());
    }

    #[test]
    fn a_smaller_budget_never_makes_invalid_valid_nor_valid_invalid(
        chain in proptest::collection::vec(says(), 1..5),
        signatures in 0u32..6,
        candidates in 0u32..6,
        comparisons in 0u32..40,
    ) {
        let mut ask = ask(&chain);
        let whole = ask.verdict().outcome;
        ask.limits = Limits { signatures, candidates, comparisons, ..ask.limits };
        let less = ask.verdict().outcome;
        prop_assert!(less == whole || less == Outcome::Indeterminate, "{whole} became {less}");
    }

    #[test]
    fn the_order_of_untrusted_certificates_does_not_matter(
        chain in proptest::collection::vec(says(), 2..5),
        seed in any::<usize>(),
    ) {
        let mut ask = ask(&chain);
        let outcome = ask.outcome();
        let length = ask.untrusted.len();
        ask.untrusted.rotate_left(seed % length);
        ask.untrusted.reverse();
        prop_assert_eq!(ask.outcome(), outcome);
    }
}
