//! Step 2: is it news? Judged only against CRLs that were applied and verified, by content, whoever published.

use revocast_pki::identity::CrlOrder;

use crate::state::{Enforced, Withheld};

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
    if enforced.holds(order.id) { Standing::Held } else { standing_among(enforced.orders(), order) }
}

/// Where it stands to what is withheld: there is no way back below a lost CRL, and it is news when it comes again.
pub(crate) fn standing_to_withheld(withheld: &Withheld, order: &CrlOrder) -> Standing {
    if withheld.lost.iter().any(|lost| lost.id == order.id) {
        Standing::New
    } else if withheld.crls.iter().any(|crl| crl.id() == order.id) {
        Standing::Held
    } else {
        standing_among(withheld.orders(), order)
    }
}

fn standing_among(mut joined: impl Iterator<Item = CrlOrder> + Clone, order: &CrlOrder) -> Standing {
    if joined.clone().any(|one| supersedes(&one, order)) {
        Standing::Older
    } else if joined.all(|one| supersedes(order, &one)) {
        Standing::New
    } else {
        Standing::Conflict
    }
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

    fn order(number: u64, time: i64, id: u8) -> CrlOrder {
        CrlOrder {
            number: Some(CrlNumber::from(number)),
            this_update: Time::from_unix(time),
            id: CrlId([id; 32]),
        }
    }

    fn check(lost: &[CrlOrder], expected: &[(CrlOrder, Standing)]) {
        let withheld = Withheld { crls: Vec::new(), lost: lost.to_vec() };
        for (order, standing) in expected {
            assert_eq!(standing_to_withheld(&withheld, order), *standing, "{order:?}");
        }
    }

    /// I2.
    #[test]
    fn at_a_mark_without_its_file_the_same_crl_and_newer_ones_are_news_and_none_below() {
        check(
            &[order(5, 100, 1)],
            &[
                (order(5, 100, 1), Standing::New),
                (order(6, 100, 2), Standing::New),
                (order(4, 99, 3), Standing::Older),
                (order(4, 101, 4), Standing::Conflict),
                (order(5, 100, 5), Standing::Conflict),
            ],
        );
    }

    #[test]
    fn where_two_are_lost_only_what_supersedes_both_takes_their_place() {
        check(
            &[order(5, 100, 1), order(4, 200, 2)],
            &[
                (order(4, 200, 2), Standing::New),
                (order(6, 150, 3), Standing::Conflict),
                (order(6, 200, 4), Standing::New),
                (order(3, 150, 5), Standing::Older),
            ],
        );
    }
}
