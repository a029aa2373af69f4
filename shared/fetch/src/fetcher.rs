//! [`Fetcher`]: one question, all guards.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsConnector;

use crate::address::AddressRules;
use crate::config::FetchConfig;
use crate::connect::{connect, tls_connector};
use crate::counters::{Counters, Tally, add};
use crate::deadline::{Deadlines, Stage};
use crate::error::{FetchError, SetupError};
use crate::http::{self, Answer};
use crate::meter::Meter;
use crate::places::{Place, Places};
use crate::resolve::{Resolver, SystemResolver, resolve};
use crate::setbacks::{Asked, Setbacks};
use crate::target::{Scheme, Target};
use crate::{file, ldap};

/// Redirects that are followed; real repositories need one.
pub(crate) const MAX_REDIRECTS: usize = 3;

/// What a host said of a document, so that it need not send the same one again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// The URL that gave them, after redirects: they are sent to no other.
    pub url: String,
    /// ETag.
    pub etag: Option<String>,
    /// Last-Modified.
    pub last_modified: Option<String>,
}

/// A time of last modification counts once it is this old: it is a second by the host's clock, and clocks differ.
const YOUNG: Duration = Duration::from_secs(60);

impl Validators {
    /// What may be relied upon of validators that came at `now_ms`. A time, or a weak tag made from one, that was young
    /// then is left out: the host may have put another document there within the same second (RFC 9110 8.8.2.2), and it
    /// would never be fetched.
    #[must_use]
    pub fn settled(self, now_ms: i64) -> Validators {
        let is_strong = self.etag.as_ref().is_some_and(|tag| !tag.starts_with("W/"));
        let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
        let is_young = |date: &String| {
            let modified = httpdate::parse_http_date(date).ok();
            let since_epoch = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
            since_epoch.is_none_or(|modified| modified + YOUNG > now)
        };
        if !is_strong && self.last_modified.as_ref().is_some_and(is_young) {
            return Validators::default();
        }
        self
    }
}

/// What was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The document is still the one whose validators were given.
    NotModified,
    /// The document, whole.
    Body {
        /// Its bytes.
        bytes: Bytes,
        /// For the next time.
        validators: Validators,
        /// Where it was found in the end.
        final_url: String,
    },
}

/// Fetches documents under all the guards of its configuration. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    config: FetchConfig,
    directories: Vec<PathBuf>,
    rules: AddressRules,
    resolver: Box<dyn Resolver>,
    tls: TlsConnector,
    places: Places,
    setbacks: Mutex<Setbacks>,
    tally: Arc<Tally>,
}

impl Fetcher {
    /// A fetcher as `config` asks; fails if one of its files or directories cannot be used.
    pub fn new(config: FetchConfig) -> Result<Fetcher, SetupError> {
        Fetcher::with_resolver(config, Box::new(SystemResolver::default()))
    }

    pub(crate) fn with_resolver(
        config: FetchConfig,
        resolver: Box<dyn Resolver>,
    ) -> Result<Fetcher, SetupError> {
        config.check()?;
        let inner = Inner {
            directories: file::resolved(&config.file_directories)?,
            rules: AddressRules::new(config.allowed_networks.clone()),
            resolver,
            tls: tls_connector(config.tls_authorities.as_deref())?,
            places: Places::new(&config),
            setbacks: Mutex::new(Setbacks::new(&config)),
            tally: Arc::default(),
            config,
        };
        Ok(Fetcher { inner: Arc::new(inner) })
    }

    /// Fetches the document at `url`, of at most `limit` bytes, unless it is the one that `validators` tell of.
    ///
    /// Fails at once with [`FetchError::PutOff`] where it failed lately. Dropping the future closes the connection.
    pub async fn get(&self, url: &str, validators: &Validators, limit: usize) -> Result<Fetched, FetchError> {
        let outcome = self.inner.get(url, validators, limit).await;
        self.inner.tally.count(&outcome);
        outcome
    }

    /// What was done up to now.
    pub fn counters(&self) -> Counters {
        self.inner.tally.read()
    }
}

/// What one exchange with one host needs to know.
pub(crate) struct Exchange<'a> {
    pub(crate) target: &'a Target,
    /// The target's host, for errors.
    pub(crate) host: String,
    pub(crate) limit: usize,
    pub(crate) config: &'a FetchConfig,
    pub(crate) deadlines: Deadlines,
    pub(crate) meter: Arc<Meter>,
    /// Held by whoever holds the connection.
    pub(crate) place: Arc<Place>,
}

impl Exchange<'_> {
    pub(crate) fn too_large(&self) -> FetchError {
        FetchError::TooLarge { host: self.host.clone(), limit: self.limit }
    }

    /// The connection failed: because of its meter's cap, or else for the reason given.
    pub(crate) fn broken(&self, why: String) -> FetchError {
        if self.meter.is_exceeded() {
            self.too_large()
        } else {
            FetchError::Broken { host: self.host.clone(), why }
        }
    }
}

impl Inner {
    async fn get(&self, url: &str, validators: &Validators, limit: usize) -> Result<Fetched, FetchError> {
        let limit = limit.min(self.config.max_bytes);
        let target = Target::parse(url, &self.config.schemes)?;
        let asked = Asked::new(&target, limit);
        if let Some(wait) = self.setbacks().wait(&asked, Instant::now()) {
            return Err(FetchError::PutOff { host: target.host(), wait });
        }
        let outcome = self.follow(target, validators, limit).await;
        match &outcome {
            Ok(_) => self.setbacks().succeeded(&asked),
            Err(error) => self.setbacks().failed(&asked, error, Instant::now(), fastrand::f64()),
        }
        outcome
    }

    fn setbacks(&self) -> MutexGuard<'_, Setbacks> {
        self.setbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(
        &self,
        mut target: Target,
        validators: &Validators,
        limit: usize,
    ) -> Result<Fetched, FetchError> {
        let deadlines = Deadlines::new(&self.config, Instant::now());
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&target, validators, limit, deadlines).await? {
                Answer::NotModified => return Ok(Fetched::NotModified),
                Answer::Document(bytes, validators) => {
                    return Ok(Fetched::Body { bytes, validators, final_url: target.url.into() });
                }
                Answer::Moved(location) => {
                    target = target.redirected(&location, &self.config.schemes)?;
                    add(&self.tally.redirects, 1);
                }
            }
        }
        Err(FetchError::TooManyRedirects { host: target.host(), limit: MAX_REDIRECTS })
    }

    async fn ask(
        &self,
        target: &Target,
        validators: &Validators,
        limit: usize,
        deadlines: Deadlines,
    ) -> Result<Answer, FetchError> {
        let host = target.host();
        if target.scheme == Scheme::File {
            let reading = file::get(target, &self.directories, validators, limit);
            return deadlines.keep(Stage::Total, &host, reading).await;
        }
        let place = deadlines.keep(Stage::Total, &host, async { Ok(self.places.take(&host).await) }).await?;
        let exchange = Exchange {
            target,
            host,
            limit,
            config: &self.config,
            deadlines,
            meter: Meter::new(limit, self.tally.clone()),
            place: Arc::new(place),
        };
        let connecting = async {
            let addresses = resolve(target, self.resolver.as_ref(), &self.rules).await?;
            add(&self.tally.requests, 1);
            connect(target, &addresses, self.config.connect_deadline, &self.tls, exchange.meter.clone()).await
        };
        let stream = deadlines.keep(Stage::Connect, &exchange.host, connecting).await?;
        match target.scheme {
            Scheme::Ldap | Scheme::Ldaps => ldap::search(stream, &exchange).await,
            _ => http::get(stream, &exchange, validators).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_time_does_not_count_unless_a_strong_tag_stands_beside_it() {
        const MODIFIED_MS: i64 = 784_111_777_000;
        for (etag, age_s, counts) in [
            (None, 0, false),
            (None, 59, false),
            (None, -5, false),
            (None, 61, true),
            (Some("W/\"1\""), 1, false),
            (Some("\"1\""), 1, true),
        ] {
            let validators = Validators {
                url: "http://h/x".into(),
                etag: etag.map(Into::into),
                last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".into()),
            };
            let settled = validators.settled(MODIFIED_MS + age_s * 1_000);
            assert_eq!(settled != Validators::default(), counts, "{etag:?} {age_s} s old");
        }
    }
}
