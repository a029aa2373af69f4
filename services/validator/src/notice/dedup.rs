//! Step 2: is it news? Judged only against CRLs that were applied and verified, by content, whoever published.

use revocast_pki::identity::CrlOrder;

use crate::state::Enforced;

/// How a CRL stands to what is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is enforced for the scope, or something below it.
    New,
    /// It is the one that is enforced, or one that was joined to it.
    Held,
    /// Something above it is enforced.
    Older,
    /// It has the number of the enforced one and other words, or a lower number and a later time: a CA's fault.
    /// What either revokes is revoked.
    Conflict,
}

impl Standing {
    /// Whether it changes what is enforced.
    pub(crate) fn is_news(self) -> bool {
        matches!(self, Standing::New | Standing::Conflict)
    }
}

/// Where a CRL of this order stands to what is enforced.
pub(crate) fn standing(enforced: Option<&Enforced>, order: &CrlOrder) -> Standing {
    let Some(enforced) = enforced else { return Standing::New };
    if enforced.holds(order.id) {
        Standing::Held
    } else if enforced.orders().any(|held| supersedes(&held, order)) {
        Standing::Older
    } else if enforced.orders().all(|held| supersedes(order, &held)) {
        Standing::New
    } else {
        Standing::Conflict
    }
}

/// Where a CRL of this order stands to a mark whose CRL is not to be had any more: there is no way back below it.
pub(crate) fn standing_to_mark(mark: &CrlOrder, order: &CrlOrder) -> Standing {
    if mark.id == order.id || supersedes(order, mark) { Standing::New } else { Standing::Older }
}

/// Whether one CRL makes another of its scope obsolete: a higher number that is no older, or a later time where neither
/// has a number. A partial order: what is left of any multiset of CRLs, taken in any order, is the same.
pub(crate) fn supersedes(newer: &CrlOrder, older: &CrlOrder) -> bool {
    match (newer.number, older.number) {
        (None, None) => newer.this_update > older.this_update,
        (a, b) => a > b && newer.this_update >= older.this_update,
    }
}

#[cfg(test)]
mod tests {
    use revocast_pki::asn1::Time;
    use revocast_pki::identity::{CrlId, CrlNumber};

    use super::*;

    /// I2.
    #[test]
    fn at_a_mark_without_its_file_only_the_same_crl_and_newer_ones_are_news() {
        let order = |number: u64, time, id| CrlOrder {
            number: Some(CrlNumber::from(number)),
            this_update: Time::from_unix(time),
            id: CrlId([id; 32]),
        };
        let mark = order(5, 100, 1);
        for (order, standing) in [
            (order(5, 100, 1), Standing::New),
            (order(6, 100, 2), Standing::New),
            (order(4, 99, 3), Standing::Older),
            (order(4, 101, 4), Standing::Older),
            (order(5, 100, 5), Standing::Older),
        ] {
            assert_eq!(standing_to_mark(&mark, &order), standing, "{order:?}");
        }
    }
}
