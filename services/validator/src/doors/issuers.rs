//! `GET /v1/issuers`: the CAs that this validator knows, page by page, and whether it has a way to believe them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use revocast_daemon::{blocking, refused};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::{CertId, CrlKind, CrlNumber, IssuerId, ScopeId};
use serde::{Deserialize, Serialize};

use super::http::{Doors, options};
use crate::question::Judge;
use crate::question::anchored::leads_to_anchor;
use crate::state::{Enforced, ScopeKey};

/// Issuers on a page, unless the request says less. Each costs a path search per policy, a fraction of a millisecond.
const PAGE: usize = 100;
/// At most this many certificates of one issuer are told; real CAs have few cross-certificates.
const MAX_CERTIFICATES: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    limit: Option<usize>,
    /// The last issuer of the page before.
    after: Option<IssuerId>,
}

#[derive(Serialize)]
struct Issuers {
    issuers: Vec<IssuerView>,
    /// What to ask for as `after`; null on the last page.
    next: Option<IssuerId>,
}

#[derive(Serialize)]
struct IssuerView {
    issuer: IssuerId,
    name: String,
    certificates: Vec<CertificateView>,
    scopes: Vec<ScopeView>,
    /// By policy: whether it leads to one of its anchors, now.
    anchored: BTreeMap<String, bool>,
}

#[derive(Serialize)]
struct CertificateView {
    certificate: CertId,
    /// Name of who issued it.
    issued_by: String,
    not_before: Time,
    not_after: Time,
}

#[derive(Serialize)]
struct ScopeView {
    scope: ScopeId,
    kind: CrlKind,
    number: Option<CrlNumber>,
    this_update: Time,
    next_update: Option<Time>,
}

/// `GET /v1/issuers`.
pub(crate) async fn issuers(doors: Arc<Doors>, head: Parts, _: Bytes) -> Response {
    let page: Page = match options(&head.uri) {
        Ok(page) => page,
        Err((status, why)) => return refused(status, &why),
    };
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        let why = format!("a page of {limit} issuers: 1 to {PAGE} are told at once");
        return refused(StatusCode::BAD_REQUEST, &why);
    }
    let Ok(place) = doors.judge.gate.clone().acquire_owned().await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "this validator is stopping");
    };
    let judge = doors.judge.clone();
    let listed = blocking(move || {
        let _place = place;
        list(&judge, page.after, limit)
    });
    Json(listed.await).into_response()
}

#[derive(Default)]
struct Known {
    certificates: Vec<Certificate>,
    enforced: Vec<(ScopeKey, Enforced)>,
}

fn list(judge: &Judge, after: Option<IssuerId>, limit: usize) -> Issuers {
    let mut known: BTreeMap<IssuerId, Known> = BTreeMap::new();
    for certificate in judge.live.cas() {
        known.entry(certificate.as_issuer()).or_default().certificates.push(certificate);
    }
    for (scope, enforced) in judge.live.all() {
        known.entry(scope.0).or_default().enforced.push((scope, enforced));
    }
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = known.range((from, Bound::Unbounded));
    let at = Time::from_unix(judge.clock.now_s());
    let issuers: Vec<IssuerView> =
        rest.by_ref().take(limit).map(|(issuer, known)| view(judge, *issuer, known, at)).collect();
    let next = rest.next().and_then(|_| issuers.last()).map(|last| last.issuer);
    Issuers { issuers, next }
}

fn view(judge: &Judge, issuer: IssuerId, known: &Known, at: Time) -> IssuerView {
    let certificates = || known.certificates.iter().take(MAX_CERTIFICATES);
    let subject = certificates().next().map(Certificate::subject);
    let name = subject.or_else(|| known.enforced.first().map(|(_, enforced)| enforced.crl.issuer()));
    let anchored = judge.policies.iter().map(|policy| {
        let is_anchor = policy.anchors.iter().any(|anchor| anchor.as_issuer() == issuer);
        let leads = is_anchor
            || certificates().any(|certificate| leads_to_anchor(certificate, policy, &judge.live, at));
        (policy.name.clone(), leads)
    });
    let mut scopes: Vec<ScopeView> = known.enforced.iter().map(scope_view).collect();
    scopes.sort_by_key(|scope| (scope.scope, scope.kind));
    IssuerView {
        issuer,
        name: name.map(ToString::to_string).unwrap_or_default(),
        certificates: certificates().map(certificate_view).collect(),
        scopes,
        anchored: anchored.collect(),
    }
}

fn certificate_view(certificate: &Certificate) -> CertificateView {
    CertificateView {
        certificate: certificate.id(),
        issued_by: certificate.issuer().to_string(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
    }
}

fn scope_view(((_, scope, kind), enforced): &(ScopeKey, Enforced)) -> ScopeView {
    ScopeView {
        scope: *scope,
        kind: *kind,
        number: enforced.crl.number(),
        this_update: enforced.crl.this_update(),
        next_update: enforced.crl.next_update(),
    }
}
