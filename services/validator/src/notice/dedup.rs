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
        return Standing::Held;
    }
    let held = enforced.order();
    let same_number = order.number.is_some() && order.number == held.number;
    let behind_and_later = order.number < held.number && order.this_update > held.this_update;
    if same_number || behind_and_later {
        Standing::Conflict
    } else if *order > held {
        Standing::New
    } else {
        Standing::Older
    }
}
