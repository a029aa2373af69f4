//! What is held, as JSON tells it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, Digest, IssuerId, ScopeId};
use revocast_store::{Held, Holdings, ScopeKey};
use serde::Serialize;

/// One issuer.
#[derive(Debug, Serialize)]
pub(crate) struct IssuerView {
    issuer: IssuerId,
    name: String,
    certificates: usize,
    scopes: usize,
}

/// One series of CRLs.
#[derive(Debug, Serialize)]
pub(crate) struct ScopeView {
    issuer: IssuerId,
    issuer_name: String,
    scope: ScopeId,
    kind: CrlKind,
    number: Option<CrlNumber>,
    base_number: Option<CrlNumber>,
    this_update: Time,
    next_update: Option<Time>,
    entries: usize,
    size_bytes: usize,
    crl_id: CrlId,
    digest: Digest,
    /// Whether it was posted here.
    posted: bool,
    /// Where it is served.
    path: String,
    /// How often its bytes were sent since it is here or the process began; 304 is not counted.
    downloads: u64,
    /// The most that any CRL of this series was sent since the process began.
    most_downloads: u64,
}

/// Everybody whose CA certificate or CRL is held.
pub(crate) fn issuers(holdings: &Holdings) -> Vec<IssuerView> {
    let mut views: BTreeMap<IssuerId, IssuerView> = BTreeMap::new();
    let view = |issuer, name: String| IssuerView { issuer, name, certificates: 0, scopes: 0 };
    for certificate in holdings.certificates().filter(|certificate| certificate.is_ca()) {
        let issuer = certificate.as_issuer();
        let entry = views.entry(issuer).or_insert_with(|| view(issuer, certificate.subject().to_string()));
        entry.certificates += 1;
    }
    for ((issuer, ..), held) in holdings.crls() {
        let entry = views.entry(*issuer).or_insert_with(|| view(*issuer, held.crl.issuer().to_string()));
        entry.scopes += 1;
    }
    views.into_values().collect()
}

/// Every series of CRLs.
pub(crate) fn scopes(holdings: &Holdings, downloads: &Downloads) -> Vec<ScopeView> {
    holdings.crls().map(|(key, held)| scope(key, held, downloads)).collect()
}

fn scope(key: &ScopeKey, held: &Held, downloads: &Downloads) -> ScopeView {
    let ((issuer, scope, kind), crl) = (*key, &held.crl);
    let (count, most) = downloads.of(key, crl.id());
    ScopeView {
        issuer,
        issuer_name: crl.issuer().to_string(),
        scope,
        kind,
        number: crl.number(),
        base_number: crl.base_number(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
        entries: crl.entries(),
        size_bytes: crl.der().len(),
        crl_id: crl.id(),
        digest: crl.digest(),
        posted: held.own,
        path: path(key),
        downloads: count,
        most_downloads: most,
    }
}

/// Where the highest CRL of a series is served.
pub(crate) fn path((issuer, scope, kind): &ScopeKey) -> String {
    format!("/crl/{issuer}/{scope}/{kind}.crl")
}

/// How often CRLs were sent whole. One entry per series, so the shelf's limits bound it.
#[derive(Debug, Default)]
pub(crate) struct Downloads(Mutex<HashMap<ScopeKey, Count>>);

#[derive(Clone, Copy, Debug)]
struct Count {
    crl: CrlId,
    times: u64,
    most: u64,
}

impl Downloads {
    /// A CRL was sent.
    pub(crate) fn add(&self, key: ScopeKey, crl: CrlId) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(Count { crl, times: 0, most: 0 });
        if count.crl != crl {
            *count = Count { crl, times: 0, most: count.most };
        }
        count.times += 1;
        count.most = count.most.max(count.times);
    }

    /// How often this CRL was sent, and the most that any of its series was.
    pub(crate) fn of(&self, key: &ScopeKey, crl: CrlId) -> (u64, u64) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).map_or((0, 0), |count| (if count.crl == crl { count.times } else { 0 }, count.most))
    }
}
