//! The valid policy graph of RFC 9618, which replaces the tree of RFC 5280 6.1.
//!
//! The tree has a node for each way in which a policy was reached, exponentially many under mutual mappings
//! (CVE-2023-0464). The graph has at most one node per policy and depth, with several parents. Nodes without
//! children are not deleted on the way: what counts is whether a depth is empty, and which nodes still reach the
//! last depth, which one backward pass tells at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::{Budget, Exhausted};
use crate::asn1::Oid;
use crate::certificate::{Certificate, PolicyMapping};

/// anyPolicy (RFC 5280 4.2.1.4).
pub const ANY_POLICY: Oid<'static> = Oid::known(&[0x55, 0x1d, 32, 0]);

/// The nodes of one depth by their valid_policy.
type Level<'a> = BTreeMap<Oid<'a>, Node<'a>>;

#[derive(Default)]
struct Node<'a> {
    /// The policies of the nodes one depth above from which this one follows.
    parents: Vec<Oid<'a>>,
    /// expected_policy_set; empty stands for the policy itself, the usual case.
    mapped_to: BTreeSet<Oid<'a>>,
}

/// The graph as it stands after some certificates; [`PolicyGraph::is_null`] once nothing is valid any more.
pub(crate) struct PolicyGraph<'a> {
    levels: Vec<Level<'a>>,
    null: bool,
}

impl<'a> PolicyGraph<'a> {
    /// One node, anyPolicy, at depth 0 (6.1.2 (a)).
    pub(crate) fn new() -> PolicyGraph<'a> {
        PolicyGraph { levels: vec![Level::from([(ANY_POLICY, Node::default())])], null: false }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.null
    }

    /// Takes in the policies of the next certificate (6.1.3 (d), (e)). `any_counts` tells whether its anyPolicy
    /// may stand for all others.
    pub(crate) fn add(
        &mut self,
        certificate: &'a Certificate,
        any_counts: bool,
        budget: &mut Budget<'_>,
    ) -> Result<(), Exhausted> {
        let (Some(policies), Some(above), false) = (certificate.policies(), self.levels.last(), self.null)
        else {
            self.null = true;
            return Ok(());
        };
        let expected = expected_by(above);
        let mut level = Level::new();
        let mut has_any = false;
        for policy in policies {
            has_any |= policy == ANY_POLICY;
            let parents = match expected.get(&policy) {
                _ if policy == ANY_POLICY => continue,
                Some(parents) => parents.clone(),
                None if above.contains_key(&ANY_POLICY) => vec![ANY_POLICY],
                None => continue,
            };
            budget.comparisons(parents.len())?;
            level.insert(policy, Node { parents, ..Node::default() });
        }
        if has_any && any_counts {
            for (policy, parents) in expected {
                budget.comparisons(parents.len())?;
                level.entry(policy).or_insert(Node { parents, ..Node::default() });
            }
        }
        self.null = level.is_empty();
        self.levels.push(level);
        Ok(())
    }

    /// Applies the mappings of the certificate that was added last (6.1.4 (b)): maps, or, where mapping is
    /// inhibited, deletes what would be mapped.
    pub(crate) fn map(
        &mut self,
        mappings: impl Iterator<Item = PolicyMapping<'a>>,
        inhibited: bool,
        budget: &mut Budget<'_>,
    ) -> Result<(), Exhausted> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let has_any = level.contains_key(&ANY_POLICY);
        for mapping in mappings {
            budget.comparisons(1)?;
            if inhibited {
                level.remove(&mapping.issuer_domain);
            } else if let Some(node) = level.get_mut(&mapping.issuer_domain) {
                node.mapped_to.insert(mapping.subject_domain);
            } else if has_any {
                let node =
                    Node { parents: vec![ANY_POLICY], mapped_to: BTreeSet::from([mapping.subject_domain]) };
                level.insert(mapping.issuer_domain, node);
            }
        }
        self.null |= level.is_empty();
        Ok(())
    }

    /// The authority-constrained policy set (RFC 9618 5.6): the policies, in the anchor's words, that hold for the
    /// whole path. Contains anyPolicy if every policy does.
    pub(crate) fn authority_constrained(&self) -> BTreeSet<Oid<'a>> {
        let mut found = BTreeSet::new();
        if self.null {
            return found;
        }
        let mut reached: BTreeSet<Oid<'a>> =
            self.levels.last().into_iter().flat_map(|level| level.keys().copied()).collect();
        if reached.contains(&ANY_POLICY) {
            found.insert(ANY_POLICY);
        }
        for level in self.levels.iter().skip(1).rev() {
            let mut above = BTreeSet::new();
            for policy in reached {
                let parents = level.get(&policy).map_or(&[][..], |node| &node.parents);
                if policy != ANY_POLICY && parents.contains(&ANY_POLICY) {
                    found.insert(policy);
                }
                above.extend(parents.iter().copied());
            }
            reached = above;
        }
        found
    }
}

/// Which nodes of a depth expect a policy at the next one.
fn expected_by<'a>(level: &Level<'a>) -> BTreeMap<Oid<'a>, Vec<Oid<'a>>> {
    let mut expected: BTreeMap<Oid<'a>, Vec<Oid<'a>>> = BTreeMap::new();
    for (policy, node) in level {
        if node.mapped_to.is_empty() {
            expected.entry(*policy).or_default().push(*policy);
        }
        for subject_domain in &node.mapped_to {
            expected.entry(*subject_domain).or_default().push(*policy);
        }
    }
    expected
}

/// The policies both sets admit; anyPolicy in one admits all of the other (6.1.5 (g)).
pub(crate) fn intersect<'a>(a: &BTreeSet<Oid<'a>>, b: &BTreeSet<Oid<'a>>) -> BTreeSet<Oid<'a>> {
    match (a.contains(&ANY_POLICY), b.contains(&ANY_POLICY)) {
        (_, true) => a.clone(),
        (true, false) => b.clone(),
        (false, false) => a.intersection(b).copied().collect(),
    }
}
