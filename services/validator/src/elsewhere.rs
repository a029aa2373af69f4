//! [`Elsewhere`]: certificates that are not here: a repository asked over NATS, a document fetched from a URL.
//!
//! Whoever answers may lie, so what comes is bounded, read strictly, held against what was asked for, and believed by
//! nobody: it enters as a candidate. Which URL may be fetched is decided by the caller; which address it may lead to,
//! by the guarded fetcher.

use std::time::Duration;

use revocast_bus::{Bus, BusError};
use revocast_fetch::{FetchError, Fetched, Fetcher, Validators};
use revocast_messages::{SearchAnswer, SearchBy, SearchRequest, decode, encode, subjects};
use revocast_pki::bundle::{Item, items};
use revocast_pki::certificate::Certificate;

/// A document of certificates may have this many octets: a bundle of sixty large certificates.
const MAX_DOCUMENT: usize = 1 << 20;

/// A repository answers from memory, within milliseconds: whoever takes longer is not waited for.
const REPOSITORY_PATIENCE: Duration = Duration::from_secs(1);

/// Why there are no certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHad {
    /// It is not there, or what is there is of no use. Asking again later hardly helps.
    #[error("{0}")]
    Absent(String),
    /// Nobody serves searches: the fleet has no repository, or none at the moment.
    #[error("{0}")]
    Nobody(String),
    /// It could not be told whether it is there.
    #[error("{0}")]
    Unavailable(String),
    /// The fetcher's rules forbid it.
    #[error("{0}")]
    Forbidden(String),
}

/// Asks others for certificates. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    bus: Bus,
    fetcher: Fetcher,
}

impl Elsewhere {
    pub(crate) fn new(bus: &Bus, fetcher: Fetcher) -> Elsewhere {
        Elsewhere { bus: bus.clone(), fetcher }
    }

    /// What a repository has of it; every certificate fits what was asked for.
    pub(crate) async fn search(&self, by: &SearchBy, patience: Duration) -> Result<Vec<Certificate>, NotHad> {
        let absent = |error: &dyn std::error::Error| NotHad::Absent(error.to_string());
        let wanted = by.read().map_err(|error| absent(&error))?;
        let request = encode(&SearchRequest { by: by.clone() }).map_err(|error| absent(&error))?;
        if !self.bus.is_connected() {
            return Err(NotHad::Unavailable("the broker is not connected".into()));
        }
        let patience = patience.min(REPOSITORY_PATIENCE);
        let answer = self.bus.ask(subjects::SEARCH, &Vec::new(), request.into(), patience).await;
        let answer: SearchAnswer = decode(&answer.map_err(unanswered)?).map_err(|error| absent(&error))?;
        let mut found = decoded(answer.certificates.into_iter().map(|der| der.0));
        found.retain(|certificate| wanted.fits(certificate));
        Ok(found)
    }

    /// The certificates in the document at a URL, in their order, and the URL at which a redirect ended.
    pub(crate) async fn get(
        &self,
        url: &str,
        patience: Duration,
    ) -> Result<(Vec<Certificate>, String), NotHad> {
        let none = Validators::default();
        let fetched = tokio::time::timeout(patience, self.fetcher.get(url, &none, MAX_DOCUMENT)).await;
        let Ok(fetched) = fetched else {
            return Err(NotHad::Unavailable(format!("no document within {} s", patience.as_secs())));
        };
        match fetched.map_err(unfetched)? {
            Fetched::Body { bytes, final_url, .. } => {
                let items = items(bytes).map_err(|error| NotHad::Absent(error.to_string()))?;
                Ok((decoded(items.into_iter().filter_map(certificate)), final_url))
            }
            Fetched::NotModified => Err(NotHad::Absent("the host answered without a document".into())),
        }
    }
}

/// As many as an answer may hold; what cannot be read helps nobody.
fn decoded(ders: impl Iterator<Item = bytes::Bytes>) -> Vec<Certificate> {
    ders.take(SearchAnswer::MAX_CERTIFICATES).filter_map(|der| Certificate::decode(der).ok()).collect()
}

fn certificate(item: Item) -> Option<bytes::Bytes> {
    match item {
        Item::Certificate(der) => Some(der),
        Item::Crl(_) => None,
    }
}

fn unanswered(error: BusError) -> NotHad {
    match error {
        BusError::Absent { .. } => NotHad::Nobody("no repository answers searches".into()),
        BusError::Refused { .. } => NotHad::Absent(error.to_string()),
        error => NotHad::Unavailable(format!("the repository: {error}")),
    }
}

fn unfetched(error: FetchError) -> NotHad {
    let words = error.to_string();
    match error {
        FetchError::ForbiddenAddress { .. }
        | FetchError::UnsupportedScheme { .. }
        | FetchError::UnsafeRedirect { .. }
        | FetchError::BadUrl { .. } => NotHad::Forbidden(words),
        error if error.is_passing() => NotHad::Unavailable(words),
        _ => NotHad::Absent(words),
    }
}
