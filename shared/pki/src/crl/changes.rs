//! What was revoked, and what no longer is, between two CRLs of one scope: values for notices, records and people.

use serde::Serialize;

use super::{Crl, Entry, Reason, Serial};
use crate::asn1::Time;
use crate::identity::CrlKind;
use crate::name::Name;

/// A certificate as an entry of a list names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// The certificate's issuer, if it is not the issuer of the CRL.
    pub issuer: Option<Name>,
    /// When it was revoked.
    pub date: Time,
    /// Why.
    pub reason: Reason,
}

impl RevokedCertificate {
    fn of(entry: &Entry<'_>, own: &Name) -> RevokedCertificate {
        let issuer = entry.certificate_issuer();
        RevokedCertificate {
            serial: Serial::new(entry.serial()),
            issuer: (issuer != own).then(|| issuer.clone()),
            date: entry.date(),
            reason: entry.reason(),
        }
    }
}

/// A certificate that is on both lists, differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// As the newer list has it.
    pub certificate: RevokedCertificate,
    /// The reason on the older list.
    pub reason_before: Reason,
}

/// What a newer CRL says that an older one of its scope did not. Every certificate occurs once at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Newly revoked, or put on hold.
    pub revoked: Vec<RevokedCertificate>,
    /// On hold before and released, as the older list has them.
    pub released: Vec<RevokedCertificate>,
    /// Revoked before and no longer on the list, usually since they expired; as the older list has them.
    pub dropped: Vec<RevokedCertificate>,
    /// On both lists, with another reason (a hold that became a revocation).
    pub changed: Vec<Changed>,
}

impl Changes {
    /// From `old` to `new`. If `new` is a delta CRL, what it does not mention has not changed (RFC 5280 5.2.4).
    ///
    /// Lists that agree in long stretches cost two comparisons per entry; others a few look-ups.
    pub fn between(old: &Crl, new: &Crl) -> Changes {
        let mut changes = Changes::default();
        match new.kind() {
            CrlKind::Complete => changes.take_complete(old, new),
            CrlKind::Delta => new.iter().for_each(|entry| changes.take_delta(old, new, &entry)),
        }
        changes
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
            && self.released.is_empty()
            && self.dropped.is_empty()
            && self.changed.is_empty()
    }

    fn take_complete(&mut self, old: &Crl, new: &Crl) {
        for entry in unequal(new, old) {
            match standing(&entry, new, old) {
                Standing::Ignored => {}
                Standing::Alone => self.revoked.push(RevokedCertificate::of(&entry, new.issuer())),
                Standing::Shared(before) => self.note_change(new, &before, &entry),
            }
        }
        for entry in unequal(old, new) {
            if matches!(standing(&entry, old, new), Standing::Alone) {
                self.take_gone(&entry, old);
            }
        }
    }

    fn take_delta(&mut self, old: &Crl, new: &Crl, entry: &Entry<'_>) {
        let removes = entry.reason() == Reason::RemoveFromCrl;
        match standing(entry, new, old) {
            Standing::Ignored => {}
            Standing::Alone if removes => {}
            Standing::Alone => self.revoked.push(RevokedCertificate::of(entry, new.issuer())),
            Standing::Shared(before) if removes => self.take_gone(&before, old),
            Standing::Shared(before) => self.note_change(new, &before, entry),
        }
    }

    fn take_gone(&mut self, entry: &Entry<'_>, old: &Crl) {
        let certificate = RevokedCertificate::of(entry, old.issuer());
        match certificate.reason {
            Reason::CertificateHold => self.released.push(certificate),
            _ => self.dropped.push(certificate),
        }
    }

    fn note_change(&mut self, new: &Crl, before: &Entry<'_>, entry: &Entry<'_>) {
        let reason_before = before.reason();
        if entry.reason() != reason_before {
            let certificate = RevokedCertificate::of(entry, new.issuer());
            self.changed.push(Changed { certificate, reason_before });
        }
    }
}

/// The entries of `list` that are not met by their equal when both lists are walked side by side. The other list is
/// taken up again behind the counterpart of an entry that differs, so few entries are looked up.
fn unequal<'a>(list: &'a Crl, other: &'a Crl) -> impl Iterator<Item = Entry<'a>> {
    let mut expected = other.iter();
    list.iter().filter(move |entry| {
        let mut next = expected.clone();
        if next.next().is_some_and(|found| same(&found, entry)) {
            expected = next;
            return false;
        }
        if let Some(found) = other.find_issued_by(entry.certificate_issuer(), entry.serial()) {
            expected = other.iter_behind(&found);
        }
        true
    })
}

/// How an entry of one list stands to another list.
enum Standing<'a> {
    /// Its own list answers by another entry for the same certificate: this one counts for nothing.
    Ignored,
    /// The other list does not have the certificate.
    Alone,
    /// The other list has it, by this entry.
    Shared(Entry<'a>),
}

fn standing<'a>(entry: &Entry<'_>, own: &Crl, other: &'a Crl) -> Standing<'a> {
    let answer = own.find_issued_by(entry.certificate_issuer(), entry.serial());
    if answer.is_none_or(|answer| answer.offset() != entry.offset()) {
        return Standing::Ignored;
    }
    match other.find_issued_by(entry.certificate_issuer(), entry.serial()) {
        Some(counterpart) => Standing::Shared(counterpart),
        None => Standing::Alone,
    }
}

/// Whether both entries say the same of the same certificate.
fn same(a: &Entry<'_>, b: &Entry<'_>) -> bool {
    a.der() == b.der() && a.certificate_issuer() == b.certificate_issuer()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mint::{CrlTemplate, DistributionScope, GeneralName, KeyKind, RevokedEntry, SigningKey, name};

    fn at(n: i64) -> Time {
        Time::from_unix(1_790_000_000 + n)
    }

    fn template() -> CrlTemplate {
        CrlTemplate::new(name("CN=Example CA").unwrap(), 1, at(0), at(9))
    }

    fn signed(template: &CrlTemplate, entries: impl IntoIterator<Item = RevokedEntry>) -> Crl {
        thread_local! {
            static KEY: SigningKey = SigningKey::generate(KeyKind::Ed25519).unwrap();
        }
        Crl::decode(KEY.with(|key| template.sign(entries, key)).unwrap()).unwrap()
    }

    fn entry((serial, reason): (u8, Reason)) -> RevokedEntry {
        RevokedEntry::new(&[serial], at(-5)).because(reason)
    }

    fn serials(certificates: &[RevokedCertificate]) -> Vec<u8> {
        certificates.iter().map(|certificate| certificate.serial.octets()[0]).collect()
    }

    use Reason::{CertificateHold as Hold, RemoveFromCrl, Superseded};

    #[test]
    fn what_was_revoked_released_dropped_and_changed_is_told_apart() {
        let old = signed(
            &template(),
            [(1, Superseded), (2, Hold), (3, Hold), (4, Superseded), (5, Hold)].map(entry),
        );
        let new = signed(
            &template(),
            [(6, Hold), (1, Superseded), (5, Hold), (3, Superseded), (7, Superseded)].map(entry),
        );
        let changes = Changes::between(&old, &new);
        assert_eq!(serials(&changes.revoked), [6, 7]);
        assert_eq!(serials(&changes.released), [2]);
        assert_eq!(serials(&changes.dropped), [4]);
        let changed: Vec<_> = changes.changed.iter().map(|changed| &changed.certificate).cloned().collect();
        assert_eq!((serials(&changed), changes.changed[0].reason_before), (vec![3], Hold));
        assert!(Changes::between(&new, &new).is_empty());
    }

    #[test]
    fn a_delta_changes_only_what_it_mentions() {
        let base = signed(&template(), [(1, Superseded), (2, Hold), (3, Hold)].map(entry));
        let delta = CrlTemplate { base: Some(1.into()), ..template() };
        let delta = signed(
            &delta,
            [(2, RemoveFromCrl), (1, RemoveFromCrl), (3, Superseded), (8, Hold), (9, RemoveFromCrl)]
                .map(entry),
        );
        let changes = Changes::between(&base, &delta);
        assert_eq!(serials(&changes.revoked), [8]);
        assert_eq!(serials(&changes.released), [2]);
        assert_eq!(serials(&changes.dropped), [1]);
        assert_eq!(changes.changed.len(), 1);
    }

    #[test]
    fn equal_octets_under_another_issuer_are_another_certificate() {
        let indirect = CrlTemplate {
            distribution_point: Some(DistributionScope { indirect: true, ..DistributionScope::default() }),
            ..template()
        };
        let of = |issuer: &str| RevokedEntry {
            certificate_issuer: vec![GeneralName::Directory(name(issuer).unwrap())],
            ..entry((1, Superseded))
        };
        let old = signed(&indirect, [of("CN=A"), entry((2, Superseded))]);
        let new = signed(&indirect, [of("CN=B"), entry((2, Superseded))]);
        let changes = Changes::between(&old, &new);
        assert_eq!((serials(&changes.revoked), serials(&changes.dropped)), (vec![1, 2], vec![1, 2]));
        assert_eq!(changes.revoked[1].issuer, Some(name("CN=B").unwrap()));
    }

    /// A list without repetition, and what it says.
    fn said() -> impl Strategy<Value = Vec<(u8, Reason)>> {
        let reason = prop_oneof![Just(Superseded), Just(Hold)];
        proptest::collection::btree_map(0u8..40, reason, 0..30)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }

    proptest! {
        #[test]
        fn changes_are_the_differences_of_the_two_sets(before in said(), after in said()) {
            let changes = Changes::between(&signed(&template(), before.clone().into_iter().map(entry)), &signed(&template(), after.clone().into_iter().map(entry)));
            let was = |serial: u8| before.iter().find(|(other, _)| *other == serial).map(|(_, reason)| *reason);
            let is = |serial: u8| after.iter().find(|(other, _)| *other == serial).map(|(_, reason)| *reason);
            let sorted = |certificates: &[RevokedCertificate]| {
                let mut serials = serials(certificates);
                serials.sort_unstable();
                serials
            };
            let all = || 0u8..40;
            let gone = |why: Reason| all().filter(|n| is(*n).is_none() && was(*n) == Some(why)).collect::<Vec<_>>();
            prop_assert_eq!(sorted(&changes.revoked), all().filter(|n| was(*n).is_none() && is(*n).is_some()).collect::<Vec<_>>());
            prop_assert_eq!(sorted(&changes.released), gone(Hold));
            prop_assert_eq!(sorted(&changes.dropped), gone(Superseded));
            let changed = all().filter(|n| was(*n).is_some() && is(*n).is_some() && was(*n) != is(*n)).count();
            prop_assert_eq!(changes.changed.len(), changed);
        }
    }
}
