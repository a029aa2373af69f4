//! A base CRL and its delta as one list (RFC 5280 5.2.4), without a copy of either.

use super::{Crl, Entry, Reason};
use crate::asn1::Time;
use crate::identity::{CrlKind, CrlNumber};
use crate::name::Name;

/// Why a delta CRL cannot be combined with a complete one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCombinable {
    /// The base is a delta, or the delta is complete.
    #[error("not a complete CRL and a delta CRL")]
    Kinds,
    /// (a) The issuers differ.
    #[error("the issuers differ")]
    Issuer,
    /// (b) The scopes differ.
    #[error("the issuing distribution points differ")]
    Scope,
    /// 6.3.3 (c): they say that different keys signed them.
    #[error("the authority key identifiers differ")]
    Key,
    /// One of them has no number, so nothing tells whether they fit.
    #[error("a CRL without a number")]
    NoNumber,
    /// (c) The complete CRL is older than the base that the delta starts from.
    #[error("the complete CRL {complete} is older than the base {base} of the delta")]
    BaseTooOld {
        /// Number of the complete CRL.
        complete: CrlNumber,
        /// The base number in the delta.
        base: CrlNumber,
    },
    /// (d) The delta is older than the complete CRL and would undo what that one says.
    #[error("the delta {delta} is older than the complete CRL {complete}")]
    DeltaTooOld {
        /// Number of the complete CRL.
        complete: CrlNumber,
        /// Number of the delta.
        delta: CrlNumber,
    },
}

/// A complete CRL, brought up to date by a delta if there is one.
///
/// Both must have been verified, with the same key: names and identifiers are compared here, signatures are not.
#[derive(Clone, Debug)]
pub struct Effective {
    base: Crl,
    delta: Option<Crl>,
}

impl Effective {
    /// A complete CRL alone.
    pub fn complete(base: Crl) -> Result<Effective, NotCombinable> {
        match base.kind() {
            CrlKind::Complete => Ok(Effective { base, delta: None }),
            CrlKind::Delta => Err(NotCombinable::Kinds),
        }
    }

    /// A complete CRL and a delta, if the conditions of RFC 5280 5.2.4 hold. Under (d) the RFC asks for a delta with
    /// a greater number; one with the same was issued together with the complete CRL, says the same, and is allowed.
    pub fn combine(base: Crl, delta: Crl) -> Result<Effective, NotCombinable> {
        if (base.kind(), delta.kind()) != (CrlKind::Complete, CrlKind::Delta) {
            return Err(NotCombinable::Kinds);
        }
        if base.issuer() != delta.issuer() {
            return Err(NotCombinable::Issuer);
        }
        if scope(&base) != scope(&delta) {
            return Err(NotCombinable::Scope);
        }
        if key(&base) != key(&delta) {
            return Err(NotCombinable::Key);
        }
        let (Some(complete), Some(number), Some(from)) = (base.number(), delta.number(), delta.base_number())
        else {
            return Err(NotCombinable::NoNumber);
        };
        if complete < from {
            return Err(NotCombinable::BaseTooOld { complete, base: from });
        }
        if number < complete {
            return Err(NotCombinable::DeltaTooOld { complete, delta: number });
        }
        Ok(Effective { base, delta: Some(delta) })
    }

    /// The complete CRL.
    pub fn base(&self) -> &Crl {
        &self.base
    }

    /// The delta, if there is one.
    pub fn delta(&self) -> Option<&Crl> {
        self.delta.as_ref()
    }

    /// As of when it speaks.
    pub fn this_update(&self) -> Time {
        self.newest().this_update()
    }

    /// Until when it may be relied upon: the earlier nextUpdate of the two, since without a current complete CRL
    /// a delta says nothing about what it does not mention (RFC 5280 6.3.3 (a)).
    pub fn next_update(&self) -> Option<Time> {
        let delta = self.delta.as_ref().and_then(Crl::next_update);
        [self.base.next_update(), delta].into_iter().flatten().min()
    }

    /// The CRL whose number the combination bears.
    pub fn newest(&self) -> &Crl {
        self.delta.as_ref().unwrap_or(&self.base)
    }

    /// The entry by which a certificate of the CRL's own issuer is revoked.
    pub fn find(&self, serial: &[u8]) -> Option<Entry<'_>> {
        self.find_issued_by(self.base.issuer(), serial)
    }

    /// The entry by which a certificate of `issuer` is revoked: the delta's if it mentions it, else the base's.
    pub fn find_issued_by(&self, issuer: &Name, serial: &[u8]) -> Option<Entry<'_>> {
        match self.delta.as_ref().and_then(|delta| delta.find_issued_by(issuer, serial)) {
            Some(entry) => (entry.reason() != Reason::RemoveFromCrl).then_some(entry),
            None => self.base.find_issued_by(issuer, serial),
        }
    }

    /// All entries: those of the base that the delta does not mention, then those of the delta that revoke.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let kept = self.base.iter().filter(|entry| !self.is_mentioned(entry));
        let delta = self.delta.iter().flat_map(Crl::iter);
        kept.chain(delta.filter(|entry| entry.reason() != Reason::RemoveFromCrl))
    }

    fn is_mentioned(&self, entry: &Entry<'_>) -> bool {
        let mentions =
            |delta: &Crl| delta.find_issued_by(entry.certificate_issuer(), entry.serial()).is_some();
        self.delta.as_ref().is_some_and(mentions)
    }
}

fn scope(crl: &Crl) -> Vec<u8> {
    crl.distribution_point().map(|point| point.normal_form()).unwrap_or_default()
}

fn key(crl: &Crl) -> Option<&[u8]> {
    crl.authority_key_id().and_then(|id| id.key_id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::mint::{CrlTemplate, DistributionScope, KeyKind, RevokedEntry, SigningKey, name};
    use Reason::{CertificateHold, KeyCompromise, RemoveFromCrl, Superseded};

    fn at(n: i64) -> Time {
        Time::from_unix(1_790_000_000 + n)
    }

    fn template(number: u64) -> CrlTemplate {
        CrlTemplate::new(name("CN=Example CA").unwrap(), number, at(number as i64), at(number as i64 + 100))
    }

    fn delta(number: u64, base: u64) -> CrlTemplate {
        CrlTemplate { base: Some(base.into()), ..template(number) }
    }

    fn signed(template: &CrlTemplate, entries: impl IntoIterator<Item = (u8, Reason)>) -> Crl {
        thread_local! {
            static KEY: SigningKey = SigningKey::generate(KeyKind::Ed25519).unwrap();
        }
        let entries =
            entries.into_iter().map(|(serial, reason)| RevokedEntry::new(&[serial], at(0)).because(reason));
        Crl::decode(KEY.with(|key| template.sign(entries, key)).unwrap()).unwrap()
    }

    #[test]
    fn a_delta_is_combined_only_with_what_it_fits() {
        let number = |n: u64| CrlNumber::from(n);
        let scoped = |template: CrlTemplate| CrlTemplate {
            distribution_point: Some(DistributionScope {
                only_user_certs: true,
                ..DistributionScope::default()
            }),
            ..template
        };
        let other_name = CrlTemplate { issuer: name("CN=Other").unwrap(), ..delta(7, 5) };
        let keyed = CrlTemplate { authority_key_id: Some(vec![1]), ..delta(7, 5) };
        for (base, delta, expected) in [
            (template(5), delta(7, 5), None),
            (template(6), delta(7, 5), None),
            (template(7), delta(7, 5), None),
            (scoped(template(5)), scoped(delta(7, 5)), None),
            (
                template(4),
                delta(7, 5),
                Some(NotCombinable::BaseTooOld { complete: number(4), base: number(5) }),
            ),
            (
                template(8),
                delta(7, 5),
                Some(NotCombinable::DeltaTooOld { complete: number(8), delta: number(7) }),
            ),
            (template(5), scoped(delta(7, 5)), Some(NotCombinable::Scope)),
            (template(5), other_name, Some(NotCombinable::Issuer)),
            (template(5), keyed, Some(NotCombinable::Key)),
            (CrlTemplate { number: None, ..template(5) }, delta(7, 5), Some(NotCombinable::NoNumber)),
            (template(5), template(7), Some(NotCombinable::Kinds)),
            (delta(5, 1), delta(7, 5), Some(NotCombinable::Kinds)),
        ] {
            assert_eq!(Effective::combine(signed(&base, []), signed(&delta, [])).err(), expected);
        }
        assert_eq!(Effective::complete(signed(&delta(7, 5), [])).err(), Some(NotCombinable::Kinds));
    }

    #[test]
    fn the_combination_is_as_new_as_the_delta_and_as_old_as_the_first_to_end() {
        let together = Effective::combine(signed(&template(5), []), signed(&delta(7, 5), [])).unwrap();
        assert_eq!((together.this_update(), together.next_update()), (at(7), Some(at(105))));
        let alone = Effective::complete(signed(&template(5), [])).unwrap();
        assert_eq!((alone.this_update(), alone.next_update()), (at(5), Some(at(105))));
    }

    proptest! {
        #[test]
        fn a_base_with_its_delta_says_what_the_complete_list_would(
            base in proptest::collection::btree_map(0u8..30, prop_oneof![Just(Superseded), Just(CertificateHold)], 0..20),
            delta_entries in proptest::collection::btree_map(0u8..30, prop_oneof![Just(KeyCompromise), Just(RemoveFromCrl)], 0..20),
        ) {
            let mut expected: BTreeMap<u8, Reason> = base.clone();
            for (serial, reason) in &delta_entries {
                match reason {
                    RemoveFromCrl => expected.remove(serial),
                    reason => expected.insert(*serial, *reason),
                };
            }
            let together = Effective::combine(signed(&template(5), base), signed(&delta(6, 5), delta_entries)).unwrap();
            for serial in 0..30u8 {
                prop_assert_eq!(together.find(&[serial]).map(|entry| entry.reason()), expected.get(&serial).copied());
            }
            let listed: BTreeMap<u8, Reason> = together.iter().map(|entry| (entry.serial()[0], entry.reason())).collect();
            prop_assert_eq!(listed, expected);
        }
    }
}
