//! Getting what was asked for, at what it costs least: what is known here, a repository, a URL.
//!
//! A URL in a request is a URL that only a message named, so it is fetched only if the configuration admits it: by a
//! prefix, or by the switch that lets clients name any. The guarded fetcher's rules on schemes, addresses and redirects
//! hold in every case.

use std::sync::Arc;
use std::time::Instant;

use revocast_daemon::blocking;
use revocast_fetch::Prefixes;
use revocast_messages::{AcquireFrom, AcquireRefusal, AcquireRequest, Blob, Question, SearchBy, Wanted};
use revocast_pki::certificate::Certificate;
use revocast_pki::path::CertificateSource;

use super::AcquireConfig;
use crate::elsewhere::{Elsewhere, NotHad};
use crate::state::Live;

/// What was got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The certificates that fit, and where each was; at most [`AcquireRequest::MAX_JUDGED`].
    pub fitting: Vec<(Certificate, String)>,
    /// What came along with them, and may help to build a path.
    pub along: Vec<Certificate>,
}

impl Found {
    /// The question whether they are valid for the one who asks.
    pub(super) fn question(&self, request: AcquireRequest) -> Question {
        let mut intermediates = request.intermediates;
        intermediates.extend(self.along.iter().map(blob));
        intermediates.truncate(Question::MAX_INTERMEDIATES);
        let certificates = self.fitting.iter().map(|(certificate, _)| blob(certificate)).collect();
        Question { certificates, intermediates, options: request.options }
    }
}

fn blob(certificate: &Certificate) -> Blob {
    certificate.der().clone().into()
}

/// Gets certificates.
pub(crate) struct Find {
    live: Arc<Live>,
    elsewhere: Elsewhere,
    urls: UrlRule,
}

impl Find {
    pub(crate) fn new(
        live: Arc<Live>,
        elsewhere: Elsewhere,
        config: &AcquireConfig,
        repositories: &[String],
    ) -> Find {
        Find { live, elsewhere, urls: UrlRule::new(config, repositories) }
    }

    /// What was asked for, or why there is none.
    pub(super) async fn find(&self, from: &AcquireFrom, until: Instant) -> Result<Found, AcquireRefusal> {
        match from {
            AcquireFrom::Url(url) => self.fetch(url, until).await,
            AcquireFrom::Search(by) => self.search(by, until).await,
        }
    }

    async fn fetch(&self, url: &str, until: Instant) -> Result<Found, AcquireRefusal> {
        if !self.urls.admits(url) {
            let why =
                "no prefix of this validator's configuration (acquire.urls, repositories) admits that URL";
            return Err(AcquireRefusal::Forbidden { why: why.into() });
        }
        let patience = until.saturating_duration_since(Instant::now());
        let (certificates, place) = self.elsewhere.get(url, patience).await.map_err(refusal)?;
        let mut certificates = certificates.into_iter();
        let Some(first) = certificates.next() else {
            return Err(AcquireRefusal::Absent {
                why: "the document at that URL holds no certificate".into(),
            });
        };
        Ok(Found { fitting: vec![(first, place)], along: certificates.collect() })
    }

    async fn search(&self, by: &SearchBy, until: Instant) -> Result<Found, AcquireRefusal> {
        let malformed = |error: &dyn std::error::Error| AcquireRefusal::Malformed { why: error.to_string() };
        let wanted = by.read().map_err(|error| malformed(&error))?;
        let mut found = Found::default();
        found.take(self.known(&wanted).await, "known", &wanted);
        if found.fitting.is_empty() || !names_one(&wanted) {
            let patience = until.saturating_duration_since(Instant::now());
            match self.elsewhere.search(by, patience).await {
                Ok(brought) => found.take(brought, "repository", &wanted),
                Err(why) if found.fitting.is_empty() => return Err(refusal(why)),
                Err(_) => {}
            }
        }
        if found.fitting.is_empty() {
            let why = "neither this validator nor the repository that it asked has such a certificate";
            return Err(AcquireRefusal::Absent { why: why.into() });
        }
        Ok(found)
    }

    async fn known(&self, wanted: &Wanted) -> Vec<Certificate> {
        if let Wanted::Subject(name, _) = wanted {
            return self.live.by_subject(name);
        }
        let (live, wanted) = (self.live.clone(), wanted.clone());
        blocking(move || {
            live.certificates_that(|certificate| wanted.fits(certificate), AcquireRequest::MAX_JUDGED)
        })
        .await
    }
}

impl Found {
    /// Takes in those that fit, as long as there is room.
    fn take(&mut self, brought: Vec<Certificate>, place: &str, wanted: &Wanted) {
        for certificate in brought {
            let is_new = self.fitting.iter().all(|(known, _)| *known != certificate);
            if is_new && is_asked_for(&certificate, wanted) && self.fitting.len() < AcquireRequest::MAX_JUDGED
            {
                self.fitting.push((certificate, place.to_owned()));
            }
        }
    }
}

/// Whoever looks for an issuer takes a key identifier as a hint; whoever asks for a certificate means it.
fn is_asked_for(certificate: &Certificate, wanted: &Wanted) -> bool {
    let key = match wanted {
        Wanted::Subject(_, Some(key_id)) => certificate.subject_key_id() == Some(key_id),
        _ => true,
    };
    key && wanted.fits(certificate)
}

/// Whether one certificate at most can be meant.
fn names_one(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Certificate(_) | Wanted::IssuerAndSerial(..))
}

fn refusal(why: NotHad) -> AcquireRefusal {
    match why {
        NotHad::Absent(why) => AcquireRefusal::Absent { why },
        NotHad::Nobody(why) | NotHad::Unavailable(why) => AcquireRefusal::Unavailable { why },
        NotHad::Forbidden(why) => AcquireRefusal::Forbidden { why },
    }
}

/// Which URLs clients may name.
struct UrlRule {
    any: bool,
    listed: [Prefixes; 2],
}

impl UrlRule {
    fn new(config: &AcquireConfig, repositories: &[String]) -> UrlRule {
        // A repository's prefix that is no URL admits nothing here.
        let readable = repositories.iter().filter(|prefix| Prefixes::new([prefix]).is_ok());
        let repositories = Prefixes::new(readable).unwrap_or_default();
        UrlRule { any: config.any_url, listed: [config.urls.clone(), repositories] }
    }

    fn admits(&self, url: &str) -> bool {
        self.any || self.listed.iter().any(|prefixes| prefixes.admits(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revocast_pki::asn1::Time;
    use revocast_pki::mint::{CertificateTemplate, KeyKind, SigningKey, name};

    fn certificate(subject: &str, serial: u8) -> Certificate {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let subject = name(subject).unwrap();
        let validity = (Time::from_unix(0), Time::from_unix(9));
        let template = CertificateTemplate::new(subject.clone(), key.spki(), &[serial], validity);
        Certificate::decode(template.sign(&subject, &key).unwrap()).unwrap()
    }

    fn rule(any_url: bool) -> UrlRule {
        let config = AcquireConfig {
            urls: Prefixes::new(["http://pki.example/certs"]).unwrap(),
            any_url,
            ..AcquireConfig::default()
        };
        UrlRule::new(&config, &["http://repository.example/".into(), "no URL".into()])
    }

    #[test]
    fn a_url_that_only_a_message_names_is_fetched_where_the_configuration_says_so() {
        for listed in ["http://pki.example/certs/a.crt", "http://repository.example/ca/x.crt"] {
            assert!(rule(false).admits(listed), "{listed}");
        }
        for foreign in
            ["http://pki.example/", "http://169.254.169.254/latest", "no URL/x", "file:///etc/passwd"]
        {
            assert!(!rule(false).admits(foreign) && rule(true).admits(foreign), "{foreign}");
        }
    }

    #[test]
    fn of_what_a_repository_brings_only_what_was_asked_for_counts_and_only_so_much() {
        let all: Vec<Certificate> = (1..=20).map(|serial| certificate("CN=CA", serial)).collect();
        let other = certificate("CN=Other", 1);
        let brought = || all.iter().cloned().chain([other.clone()]).collect::<Vec<_>>();
        let found = |wanted: Wanted| {
            let mut found = Found::default();
            found.take(brought(), "repository", &wanted);
            found.take(brought(), "repository", &wanted);
            found.fitting.into_iter().map(|(certificate, _)| certificate).collect::<Vec<_>>()
        };
        assert_eq!(found(Wanted::Certificate(all[6].id())), [all[6].clone()]);
        let key_id = all[3].subject_key_id().unwrap().to_vec();
        assert_eq!(found(Wanted::Subject(all[0].subject().clone(), Some(key_id))), [all[3].clone()]);
        assert_eq!(found(Wanted::Subject(all[0].subject().clone(), None)), all[..AcquireRequest::MAX_JUDGED]);
        assert!(found(Wanted::KeyId(vec![1])).is_empty());
    }

    #[test]
    fn what_came_along_helps_as_far_as_a_question_may_bring_something_along() {
        let along: Vec<Certificate> = (1..=70).map(|serial| certificate("CN=CA", serial)).collect();
        let found = Found { fitting: vec![(along[0].clone(), "x".into())], along };
        let request = AcquireRequest {
            from: AcquireFrom::Url("x".into()),
            intermediates: vec![vec![0x30, 0x00].into()],
            options: Default::default(),
        };
        let question = found.question(request);
        assert_eq!((question.certificates.len(), question.intermediates.len()), (1, 64));
        assert_eq!(question.intermediates[0][..], [0x30, 0x00], "what the client brings comes first");
    }
}
