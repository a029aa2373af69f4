//! Where CRLs come from.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crl::Crl;
use crate::identity::{CrlNumber, IssuerId, ScopeId};
use crate::name::Name;

/// Gives CRLs. A validator hands its live state through this.
pub trait CrlSource {
    /// All CRLs, complete and delta, whose issuer field is `issuer`, in any order, whoever signed them. The list is
    /// shared, as many questions ask for it; the same list means that nothing changed.
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]>;

    /// What stands for all that it gives at this moment; `None` if it does not know. Whoever reads the same one again may go
    /// by what was given in between.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// The highest number among CRLs, complete and delta, that were held for a scope of this signer, and are lost. A
    /// complete one below it gives no good answer.
    fn lost(&self, _signer: IssuerId, _scope: ScopeId) -> Option<CrlNumber> {
        None
    }
}

/// Stands for what a source holds until a change is done. No state after it, and no other source of the process, has the same
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(pub(crate) u64);

/// The revisions of a source that changes. Whoever changes it goes on to the next one before any reader may rely on the change.
#[derive(Debug)]
pub struct Revisions(AtomicU64);

/// The newest of all sources; none is 0.
static NEWEST: AtomicU64 = AtomicU64::new(0);

impl Default for Revisions {
    fn default() -> Revisions {
        Revisions(AtomicU64::new(unused()))
    }
}

impl Revisions {
    /// Something changed.
    pub fn advance(&self) {
        // Two who change it at once may leave the older one of theirs: that is another than all before, too.
        self.0.store(unused(), Ordering::SeqCst);
    }

    /// The one of this moment.
    pub fn get(&self) -> Revision {
        Revision(self.0.load(Ordering::SeqCst))
    }
}

fn unused() -> u64 {
    NEWEST.fetch_add(1, Ordering::SeqCst) + 1
}

/// CRLs in memory, by issuer.
#[derive(Clone, Debug, Default)]
pub struct CrlSet {
    by_issuer: HashMap<Name, Arc<[Crl]>>,
}

impl CrlSet {
    /// Without CRLs.
    pub fn new() -> CrlSet {
        CrlSet::default()
    }

    /// Takes in a CRL; tells whether it was new.
    pub fn insert(&mut self, crl: Crl) -> bool {
        let known = self.by_issuer.entry(crl.issuer().clone()).or_default();
        let new = !known.contains(&crl);
        if new {
            *known = known.iter().cloned().chain([crl]).collect();
        }
        new
    }

    /// All CRLs, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Crl> {
        self.by_issuer.values().flat_map(|crls| crls.iter())
    }
}

impl FromIterator<Crl> for CrlSet {
    fn from_iter<I: IntoIterator<Item = Crl>>(crls: I) -> CrlSet {
        let mut set = CrlSet::new();
        set.extend(crls);
        set
    }
}

impl Extend<Crl> for CrlSet {
    fn extend<I: IntoIterator<Item = Crl>>(&mut self, crls: I) {
        for crl in crls {
            self.insert(crl);
        }
    }
}

impl CrlSource for CrlSet {
    fn by_issuer(&self, issuer: &Name) -> Arc<[Crl]> {
        self.by_issuer.get(issuer).cloned().unwrap_or_default()
    }
}
