//! The HTTP doors: CRLs and certificates at the URLs that certificates name (RFC 5280 4.2.1.13, 4.2.2.1), search
//! (RFC 4387), listings, and the door through which CRLs are posted.
//!
//! | door | brings |
//! |---|---|
//! | `GET /crl/<issuer>.crl` | the issuer's newest complete CRL, the one without issuing distribution point first |
//! | `GET /crl/<issuer>/<scope>/<complete or delta>.crl` | the highest CRL of that series |
//! | `GET /ca/<issuer>.crt` | a certificate of that CA, a self-signed one first |
//! | `GET /certificates/<certificate>.crt` | that certificate |
//! | `GET /certificates/search.cgi`, `/crls/search.cgi` | what RFC 4387 finds |
//! | `GET /v1/issuers`, `/v1/scopes` | what is held, as JSON |
//! | `POST /v1/crls` | takes the DER of a CRL that a known key signed |

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use revocast_daemon::{Context, Counter, blocking};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, Digest, IssuerId, ScopeId};
use revocast_store::{Held, Holdings, ScopeKey, Shelf, has_signed};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::assertion::Assertion;
use crate::config::RepositoryConfig;
use crate::document::{self, Document};
use crate::listing::{self, Downloads};
use crate::post::{self, NotTaken, Posted};
use crate::search::{MAX_FOUND, NotASearch, Search, multipart};

/// Certificates of one CA that are considered when one is asked for; real CAs have few cross-certificates.
const MAX_CONSIDERED: usize = 64;

/// What the doors need.
pub(crate) struct Doors {
    shelf: Arc<Shelf>,
    assertion: Assertion,
    downloads: Downloads,
    posting: Semaphore,
    max_crl_bytes: usize,
    post_deadline: Duration,
    notice_patience: Duration,
    answers: Counter,
}

impl Doors {
    pub(crate) fn new(
        config: &RepositoryConfig,
        context: &Context,
        shelf: Arc<Shelf>,
        assertion: Assertion,
    ) -> Doors {
        Doors {
            shelf,
            assertion,
            downloads: Downloads::default(),
            posting: Semaphore::new(config.concurrent_posts.max(1)),
            max_crl_bytes: config.max_crl_bytes,
            post_deadline: config.post_deadline,
            notice_patience: config.notice_patience,
            answers: context.metrics.counter("revocast_repository_answers", "answers by kind and status"),
        }
    }

    /// The routes.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/crl/{issuer}", get(crl_of_issuer))
            .route("/crl/{issuer}/{scope}/{kind}", get(crl_of_scope))
            .route("/ca/{issuer}", get(ca))
            .route("/certificates/{certificate}", get(certificate))
            .route("/certificates/search.cgi", get(search_certificates))
            .route("/crls/search.cgi", get(search_crls))
            .route("/v1/issuers", get(issuers))
            .route("/v1/scopes", get(scopes))
            .route("/v1/crls", post(post_crl))
            .with_state(Arc::new(self))
    }

    fn counted(&self, kind: &str, answer: Response) -> Response {
        self.answers.add_one(&[("kind", kind), ("status", answer.status().as_str())]);
        answer
    }

    fn send_crl(&self, held: Option<Held>, method: &Method, request: &HeaderMap) -> Response {
        let Some(held) = held else { return self.counted("crl", not_found()) };
        let (key, id) = (held.key(), held.crl.id());
        let answer = crl_document(&held).answer(request);
        if answer.status() == StatusCode::OK && method == Method::GET {
            self.downloads.add(key, id);
        }
        self.counted("crl", answer)
    }

    fn send_certificate(&self, found: Option<Certificate>, lasting: bool, request: &HeaderMap) -> Response {
        let answer = found.map(|found| certificate_document(&found, lasting).answer(request));
        self.counted("certificate", answer.unwrap_or_else(not_found))
    }
}

type Shared = State<Arc<Doors>>;

async fn crl_of_issuer(
    State(doors): Shared,
    Path(file): Path<String>,
    method: Method,
    request: HeaderMap,
) -> Response {
    let issuer = named::<IssuerId>(&file, ".crl");
    let held = issuer.and_then(|issuer| doors.shelf.read(|holdings| newest_complete(holdings, issuer)));
    doors.send_crl(held, &method, &request)
}

async fn crl_of_scope(
    State(doors): Shared,
    Path((issuer, scope, file)): Path<(String, String, String)>,
    method: Method,
    request: HeaderMap,
) -> Response {
    let held = scope_key(&issuer, &scope, &file).and_then(|key| doors.shelf.crl(&key));
    doors.send_crl(held, &method, &request)
}

async fn ca(State(doors): Shared, Path(file): Path<String>, request: HeaderMap) -> Response {
    let Some(issuer) = named::<IssuerId>(&file, ".crt") else { return not_found() };
    let shelf = doors.shelf.clone();
    let found = blocking(move || certificate_of(&shelf, issuer)).await;
    doors.send_certificate(found, false, &request)
}

async fn certificate(State(doors): Shared, Path(file): Path<String>, request: HeaderMap) -> Response {
    let id = named::<CertId>(&file, ".crt");
    let found = id.and_then(|id| doors.shelf.read(|holdings| holdings.certificate(&id).cloned()));
    doors.send_certificate(found, true, &request)
}

async fn issuers(State(doors): Shared) -> Response {
    Json(doors.shelf.read(listing::issuers)).into_response()
}

async fn scopes(State(doors): Shared) -> Response {
    Json(doors.shelf.read(|holdings| listing::scopes(holdings, &doors.downloads))).into_response()
}

async fn search_certificates(
    State(doors): Shared,
    Query(query): Query<Vec<(String, String)>>,
    request: HeaderMap,
) -> Response {
    let search = match Search::read(&query) {
        Ok(search) => search,
        Err(error) => return doors.counted("search", bad_search(&error)),
    };
    let shelf = doors.shelf.clone();
    let found: Vec<Certificate> = blocking(move || {
        let all: Vec<Certificate> = shelf.read(|holdings| holdings.certificates().cloned().collect());
        all.into_iter().filter(|certificate| search.finds(certificate)).take(MAX_FOUND).collect()
    })
    .await;
    let documents = found.iter().map(|certificate| certificate_document(certificate, false)).collect();
    doors.counted("search", found_documents(documents, document::CERTIFICATE, &request))
}

async fn search_crls(
    State(doors): Shared,
    Query(query): Query<Vec<(String, String)>>,
    request: HeaderMap,
) -> Response {
    let search = match Search::read_for_crls(&query) {
        Ok(search) => search,
        Err(error) => return doors.counted("search", bad_search(&error)),
    };
    let finds = |held: &&Held| search.finds_crl(&held.crl);
    let found: Vec<Held> = doors.shelf.read(|holdings| {
        holdings.crls().map(|(_, held)| held).filter(finds).take(MAX_FOUND).cloned().collect()
    });
    let documents = found.iter().map(crl_document).collect();
    doors.counted("search", found_documents(documents, document::CRL, &request))
}

async fn post_crl(State(doors): Shared, request: Request<Body>) -> Response {
    let Ok(_permit) = doors.posting.try_acquire() else {
        let busy = (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
            refusal("too many are being posted"),
        );
        return doors.counted("post", busy.into_response());
    };
    let der = match timeout(doors.post_deadline, to_bytes(request.into_body(), doors.max_crl_bytes)).await {
        Ok(Ok(der)) => der,
        Ok(Err(_)) => {
            let why = format!("the body breaks off, or has more than {} bytes", doors.max_crl_bytes);
            return doors.counted("post", (StatusCode::PAYLOAD_TOO_LARGE, refusal(&why)).into_response());
        }
        Err(_) => {
            return doors.counted(
                "post",
                (StatusCode::REQUEST_TIMEOUT, refusal("the body took too long")).into_response(),
            );
        }
    };
    let answer = take_posted(&doors, der).await;
    doors.counted("post", answer)
}

async fn take_posted(doors: &Doors, der: Bytes) -> Response {
    let shelf = doors.shelf.clone();
    match blocking(move || post::take(&shelf, der)).await {
        Ok(Posted::Known(held)) => (StatusCode::OK, Json(Receipt::of(&held, "known"))).into_response(),
        Ok(Posted::New { held, before }) => {
            info!(issuer = %held.crl.issuer(), number = ?held.crl.number(), "a CRL was posted");
            let told = doors.assertion.announce(held.clone(), before).await;
            let (status, notice) = match timeout(doors.notice_patience, told).await {
                Ok(Ok(Ok(published))) => (StatusCode::CREATED, published.word()),
                _ => (StatusCode::ACCEPTED, "pending"),
            };
            (status, Json(Receipt::of(&held, notice))).into_response()
        }
        Err(error) => {
            warn!(%error, "a posted CRL was not taken");
            (not_taken(&error), refusal(&error.to_string())).into_response()
        }
    }
}

fn not_taken(error: &NotTaken) -> StatusCode {
    match error {
        NotTaken::Malformed(_) | NotTaken::UnknownIssuer { .. } | NotTaken::Unsigned { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        NotTaken::Superseded { .. } | NotTaken::Conflict { .. } => StatusCode::CONFLICT,
        NotTaken::Shelf(_) => StatusCode::INSUFFICIENT_STORAGE,
    }
}

/// What is answered to whoever posted a CRL.
#[derive(Debug, Serialize)]
struct Receipt {
    issuer: IssuerId,
    scope: ScopeId,
    kind: CrlKind,
    number: Option<CrlNumber>,
    crl_id: CrlId,
    digest: Digest,
    entries: usize,
    path: String,
    /// `stored`, `already_there`, `superseded` (by a higher one), `pending`, or `known` when the CRL was held before.
    notice: &'static str,
}

impl Receipt {
    fn of(held: &Held, notice: &'static str) -> Receipt {
        let key @ (issuer, scope, kind) = held.key();
        let Held { crl, .. } = held;
        Receipt {
            issuer,
            scope,
            kind,
            number: crl.number(),
            crl_id: crl.id(),
            digest: crl.digest(),
            entries: crl.entries(),
            path: listing::path(&key),
            notice,
        }
    }
}

/// An issuer's complete CRL that covers most: the one without issuing distribution point, else the latest.
fn newest_complete(holdings: &Holdings, issuer: IssuerId) -> Option<Held> {
    let complete =
        holdings.crls_of(issuer).map(|(_, held)| held).filter(|held| held.crl.kind() == CrlKind::Complete);
    let preference = |held: &&Held| (held.crl.distribution_point().is_none(), held.crl.this_update());
    complete.max_by_key(preference).cloned()
}

/// A certificate of a CA: one that its own key signed, else one that a known key signed, else any.
fn certificate_of(shelf: &Shelf, issuer: IssuerId) -> Option<Certificate> {
    let candidates: Vec<Certificate> =
        shelf.read(|holdings| holdings.by_issuer(issuer).iter().take(MAX_CONSIDERED).cloned().collect());
    if candidates.len() < 2 {
        return candidates.into_iter().next();
    }
    let rank = |certificate: &Certificate| {
        if has_signed(certificate, certificate) {
            return 2;
        }
        let signers = shelf.read(|holdings| holdings.by_subject(certificate.issuer()).to_vec());
        u8::from(signers.iter().take(MAX_CONSIDERED).any(|signer| has_signed(signer, certificate)))
    };
    candidates
        .into_iter()
        .max_by_key(|certificate| (rank(certificate), certificate.not_after(), certificate.id()))
}

fn crl_document(held: &Held) -> Document {
    let crl: &Crl = &held.crl;
    Document {
        bytes: crl.der().clone(),
        digest: crl.digest(),
        media: document::CRL,
        last_modified: held.last_modified,
        lasting: false,
    }
}

fn certificate_document(certificate: &Certificate, lasting: bool) -> Document {
    Document {
        bytes: certificate.der().clone(),
        digest: Digest(certificate.id().0),
        media: document::CERTIFICATE,
        // Another certificate of the same CA may have any time.
        last_modified: lasting.then(|| certificate.not_before()),
        lasting,
    }
}

fn found_documents(mut documents: Vec<Document>, media: &str, request: &HeaderMap) -> Response {
    match documents.pop() {
        None => not_found(),
        Some(only) if documents.is_empty() => only.answer(request),
        Some(last) => {
            let bytes: Vec<Bytes> =
                documents.into_iter().chain([last]).map(|document| document.bytes).collect();
            let (kind, body) = multipart(&bytes, media);
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
    }
}

fn named<T: std::str::FromStr>(file: &str, extension: &str) -> Option<T> {
    file.strip_suffix(extension)?.parse().ok()
}

fn scope_key(issuer: &str, scope: &str, file: &str) -> Option<ScopeKey> {
    Some((issuer.parse().ok()?, scope.parse().ok()?, named(file, ".crl")?))
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not held\n").into_response()
}

fn bad_search(error: &NotASearch) -> Response {
    (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

fn refusal(why: &str) -> Json<Refusal> {
    Json(Refusal { error: why.to_owned() })
}
