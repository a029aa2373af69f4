//! Searches over NATS: `pki.repository.search`, shared out among the repositories of a fleet.
//!
//! Binary by default, JSON when the request's header says so. A name or a hash is looked up; a serial number or a key
//! identifier is looked for in all certificates, as the search over HTTP does, a few at once and off the runtime.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_daemon::{Context, Counter, blocking};
use revocast_messages::headers::{self, JSON, says_json};
use revocast_messages::{
    Headers, Instance, SearchAnswer, SearchRequest, Wanted, codec, decode, encode, subjects,
};
use revocast_pki::certificate::Certificate;
use revocast_store::{Holdings, Shelf};
use tracing::warn;

/// The queue group that all repositories of a fleet join: they follow the same streams, so one answers for all.
const GROUP: &str = "repositories";

/// Searches that are worked on at once; further ones wait. Each may look at every certificate of the shelf.
const CONCURRENT: usize = 8;

/// The door is tried again after this long while the broker cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers searches, for as long as it is polled.
pub(crate) struct Searches {
    shelf: Arc<Shelf>,
    instance: Instance,
    answers: Counter,
}

impl Searches {
    pub(crate) fn new(shelf: Arc<Shelf>, instance: Instance, context: &Context) -> Searches {
        let answers =
            context.metrics.counter("revocast_repository_searches", "searches over NATS, by outcome");
        Searches { shelf, instance, answers }
    }

    /// Opens the door as soon as the broker can be reached, and keeps it open.
    pub(crate) async fn answer_all(self, bus: &Bus) -> Infallible {
        let searches = Arc::new(self);
        let _open = loop {
            match searches.clone().open(bus).await {
                Ok(service) => break service,
                Err(error) => {
                    warn!(%error, "searches over NATS cannot be answered yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        std::future::pending().await
    }

    async fn open(self: Arc<Self>, bus: &Bus) -> Result<Service, BusError> {
        let spec = ServiceSpec {
            name: "revocast-repository".into(),
            description: "searches certificates".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            metadata: [("instance".to_owned(), self.instance.to_string())].into(),
            concurrency: CONCURRENT,
        };
        serve(bus, spec, &[(subjects::SEARCH.to_owned(), Some(GROUP))], move |call| {
            let searches = self.clone();
            async move { searches.answer(&call).await }
        })
        .await
    }

    async fn answer(&self, call: &Call) -> Result<(Headers, Bytes), String> {
        let json = says_json(call.header(headers::CONTENT_TYPE));
        let request =
            if json { codec::from_json::<SearchRequest>(&call.payload) } else { decode(&call.payload) };
        let wanted = request.map_err(|error| error.to_string());
        let wanted = wanted.and_then(|request| request.by.read().map_err(|error| error.to_string()));
        let wanted = wanted.inspect_err(|_| self.answers.add_one(&[("outcome", "refused")]))?;
        let shelf = self.shelf.clone();
        let found = blocking(move || find(&shelf, &wanted)).await;
        self.answers.add_one(&[("outcome", if found.is_empty() { "nothing" } else { "found" })]);
        let answer = bounded(self.instance.clone(), &found);
        let body = if json { codec::to_json(&answer) } else { encode(&answer) };
        let kind = if json { vec![(headers::CONTENT_TYPE, JSON.to_owned())] } else { Vec::new() };
        Ok((kind, body.map_err(|error| error.to_string())?.into()))
    }
}

/// What the shelf has of it, the likeliest first; one more than an answer holds, at most.
pub(crate) fn find(shelf: &Shelf, wanted: &Wanted) -> Vec<Certificate> {
    let mut found = match wanted {
        Wanted::Certificate(id) => {
            shelf.read(|holdings| holdings.certificate(id).cloned()).into_iter().collect()
        }
        Wanted::Subject(name, _) => shelf.read(|holdings| holdings.by_subject(name).to_vec()),
        Wanted::IssuerAndSerial(..) | Wanted::KeyId(_) => shelf
            .read(everything)
            .into_iter()
            .filter(|certificate| wanted.fits(certificate))
            .take(SearchAnswer::MAX_CERTIFICATES + 1)
            .collect(),
    };
    found.sort_by_key(|certificate| (!bears(certificate, wanted), -certificate.not_before().unix()));
    found.truncate(SearchAnswer::MAX_CERTIFICATES + 1);
    found
}

fn everything(holdings: &Holdings) -> Vec<Certificate> {
    holdings.certificates().cloned().collect()
}

/// Whether it bears the key identifier that is hoped for.
fn bears(certificate: &Certificate, wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Subject(_, Some(key_id)) if certificate.subject_key_id() == Some(key_id))
}

/// As much of what was found as an answer holds.
fn bounded(repository: Instance, found: &[Certificate]) -> SearchAnswer {
    let mut octets = 0;
    let certificates: Vec<_> = found
        .iter()
        .take(SearchAnswer::MAX_CERTIFICATES)
        .map(|certificate| certificate.der().clone())
        .take_while(|der| {
            octets += der.len();
            octets <= SearchAnswer::MAX_OCTETS
        })
        .map(Into::into)
        .collect();
    SearchAnswer { repository, more: certificates.len() < found.len(), certificates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Ca;
    use revocast_messages::{Message, SearchBy};
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    fn shelf_with(certificates: impl IntoIterator<Item = Certificate>) -> (Shelf, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        for certificate in certificates {
            shelf.keep_certificate(certificate).unwrap();
        }
        (shelf, folder)
    }

    fn certificates(subject: &str, count: u8, padding: usize) -> Vec<Certificate> {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let mint = |serial: u8| {
            let from = Time::from_unix(i64::from(serial));
            let mut template =
                CertificateTemplate::new(subject.clone(), key.spki(), &[1, serial], (from, from.plus(9)));
            template.subject_key_id = Some(vec![serial; 1 + padding]);
            Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap()
        };
        (0..count).map(mint).collect()
    }

    #[test]
    fn a_certificate_is_found_by_each_key_and_no_other_is() {
        let (one, two) = (Ca::new("CN=1").certificate, Ca::new("CN=2").certificate);
        let (shelf, _folder) = shelf_with([one.clone(), two]);
        let key_id = || one.subject_key_id().unwrap().into();
        let name = || one.subject().der().clone().into();
        for by in [
            SearchBy::Certificate(one.id()),
            SearchBy::Subject { name: name(), key_id: None },
            SearchBy::IssuerAndSerial { issuer: name(), serial: one.serial().into() },
            SearchBy::KeyId(key_id()),
        ] {
            assert_eq!(find(&shelf, &by.read().unwrap()), std::slice::from_ref(&one), "{by:?}");
        }
    }

    #[test]
    fn the_key_that_is_hoped_for_comes_first_and_then_the_newest() {
        let all = certificates("CN=CA", 3, 0);
        let (shelf, _folder) = shelf_with(all.clone());
        let found = find(&shelf, &Wanted::Subject(all[0].subject().clone(), Some(vec![1])));
        assert_eq!(found, [1, 2, 0].map(|at: usize| all[at].clone()));
    }

    #[test]
    fn an_answer_ends_at_its_limits_and_says_that_there_is_more() {
        for (count, padding, held) in [(64, 0, 64), (70, 0, 64), (40, 20_000, 24)] {
            let all = certificates("CN=CA", count, padding);
            let (shelf, _folder) = shelf_with(all.clone());
            let found = find(&shelf, &Wanted::Subject(all[0].subject().clone(), None));
            let answer = bounded("r-1".parse().unwrap(), &found);
            assert_eq!((answer.certificates.len(), answer.more), (held, held < usize::from(count)));
            assert!(encode(&answer).unwrap().len() <= SearchAnswer::MAX_BYTES);
        }
    }
}
