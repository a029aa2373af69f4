//! Step 7: readers see it from here on.

use std::time::Duration;

use revocast_messages::Source;
use revocast_pki::identity::{CrlId, CrlNumber, Digest};

use super::persist::Persisted;
use super::receipt::Told;
use crate::events::Event;
use crate::metrics::Counts;
use crate::state::{Live, ScopeKey};

/// What is enforced now. Made only here.
pub(crate) struct Swapped {
    scope: ScopeKey,
    crl_id: CrlId,
    applied_at_ms: i64,
    pub(crate) number: Option<CrlNumber>,
    pub(crate) source: Source,
    /// CRLs that nothing names any more.
    pub(crate) obsolete: Vec<Digest>,
}

impl Swapped {
    /// What listeners within are told.
    pub(crate) fn event(&self) -> Event {
        Event::Applied { scope: self.scope, crl_id: self.crl_id, number: self.number }
    }

    /// What the receipt will say.
    pub(crate) fn receipt(&self, took: Duration) -> Told {
        Told {
            scope: self.scope,
            number: self.number,
            crl_id: self.crl_id,
            applied_at_ms: self.applied_at_ms,
            source: self.source,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            again: false,
        }
    }
}

/// Makes what is on the disk what readers see.
pub(crate) fn swap(live: &Live, persisted: Persisted, counts: &Counts) -> Swapped {
    let Persisted { scope, next, obsolete, .. } = persisted;
    let swapped = Swapped {
        scope,
        crl_id: next.crl.id(),
        applied_at_ms: next.applied_at_ms,
        number: next.crl.number(),
        source: next.source,
        obsolete,
    };
    live.swap(scope, next.clone());
    // Beside the readers' way: they see it already.
    show(&scope, &next, counts);
    swapped
}

/// Sets the series that exporters of this field have.
pub(crate) fn show(scope: &ScopeKey, enforced: &crate::state::Enforced, counts: &Counts) {
    let (issuer, covered, kind) = (scope.0.to_string(), scope.1.to_string(), scope.2.to_string());
    let labels = [("issuer", issuer.as_str()), ("scope", covered.as_str()), ("kind", kind.as_str())];
    if let Some(number) = enforced.crl.number().and_then(|number| number.to_string().parse().ok()) {
        counts.crl_number.set(&labels, number);
    }
    if let Some(next_update) = enforced.crl.next_update() {
        counts.crl_next_update.set(&labels, next_update.unix() as f64);
    }
}
