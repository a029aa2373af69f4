//! [`Poller`]: asks one URL. With contact to the fleet, one validator of the fleet asks for all, under a lease that outlives
//! the request; what comes is believed once an entitled key has signed it, and goes the way of every CRL.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Lease};
use revocast_daemon::{Counter, standing_back};
use revocast_fetch::{FetchError, Fetched, Fetcher, Validators};
use revocast_messages::{Instance, subjects};
use revocast_pki::identity::Digest;
use tracing::{debug, info};

use super::decide::Contact;
use super::targets::Came;
use super::tell::{Found, Telling};
use crate::notice::fetch::held;
use crate::notice::verify::{Unverified, Verified};
use crate::notice::{Outcome, Walk};
use crate::state::JournalError;

/// A broker that does not give a lease within this time is as good as none.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// Why a URL brought nothing that counts.
#[derive(Debug, thiserror::Error)]
enum Unfound {
    /// The repository does not give it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Nobody entitled has signed what came.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// It is not taken in.
    #[error("{0}")]
    Refused(String),
    /// The disk says no.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Unfound {
    fn word(&self) -> &'static str {
        match self {
            Unfound::Fetch(error) => error.reason().as_str(),
            Unfound::Unverified(_) => "unverified",
            Unfound::Refused(_) => "limit",
            Unfound::Journal(_) => "disk",
        }
    }
}

/// Asks URLs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Poller {
    pub walk: Arc<Walk>,
    pub fetcher: Fetcher,
    pub bus: Bus,
    pub instance: Instance,
    pub max_crl_bytes: usize,
    pub telling: Telling,
    pub counted: Counter,
}

impl Poller {
    /// Asks a URL for what is new since `validators`.
    pub(crate) async fn poll(&self, url: &str, validators: &Validators, contact: Contact) -> Came {
        let lease = match self.lease(url, contact).await {
            Ok(Some(lease)) => Some(lease),
            Ok(None) => {
                self.count("leased");
                return Came::Leased;
            }
            // Cut off, it asks for itself.
            Err(error) => {
                debug!(%url, %error, "asked without a lease");
                None
            }
        };
        let asking = self.ask(url, validators, lease.is_some());
        let Some(lease) = lease else { return asking.await };
        let (came, lease) = held(asking, lease, self.instance.as_str()).await;
        if matches!(came, Came::Nothing) {
            // Another validator may have another way there.
            lease.release().await;
        }
        // Otherwise it is left to lapse: the fleet has asked, and nobody needs to for half a minute.
        came
    }

    /// The right to ask for the fleet; `None` if another validator asks or did a moment ago. Fails where there is no
    /// broker to ask, and where there is no contact: a broker whose streams are not provably known may give leases all
    /// the same, but what is found under one is told to nobody.
    async fn lease(&self, url: &str, contact: Contact) -> Result<Option<Lease>, BusError> {
        let unreachable = || BusError::Unreachable { what: "the fleet".into() };
        if !contact.is_one_for_all(self.bus.is_connected()) {
            return Err(unreachable());
        }
        let key = format!("fetch.{}", Digest::of(url.as_bytes()));
        let leasing = async {
            let leases = self.bus.bucket(subjects::LEASES).await?;
            leases.lease(&key, self.instance.as_str()).await
        };
        tokio::time::timeout(LEASE_PATIENCE, leasing).await.unwrap_or_else(|_| Err(unreachable()))
    }

    async fn ask(&self, url: &str, validators: &Validators, for_all: bool) -> Came {
        let arrived = Instant::now();
        let fetched = self.fetcher.get(url, validators, self.max_crl_bytes).await;
        let taken = match fetched {
            Ok(Fetched::NotModified) => {
                self.count("not_modified");
                return Came::Same;
            }
            Ok(Fetched::Body { bytes, validators, .. }) => {
                let validators = validators.settled(self.walk.clock.now_ms());
                self.take(url, bytes, validators, arrived, for_all).await
            }
            Err(error) => Err(error.into()),
        };
        taken.unwrap_or_else(|error| {
            self.count(error.word());
            info!(%url, %error, "a repository gave nothing that counts");
            Came::Nothing
        })
    }

    async fn take(
        &self,
        url: &str,
        bytes: Bytes,
        validators: Validators,
        arrived: Instant,
        for_all: bool,
    ) -> Result<Came, Unfound> {
        let verified = self.verify(bytes).await?;
        let (scope, crl, signer) = (verified.scope(), verified.crl().clone(), verified.signer().to_vec());
        let before = self.walk.live.enforced(&scope).map(|enforced| enforced.crl);
        match self.walk.apply(verified, url, arrived).await? {
            Outcome::Applied => {
                self.count("new");
                self.telling.found(Found { scope, crl, signer, before, url: url.to_owned(), for_all });
            }
            Outcome::Aside { why, .. } => return Err(Unfound::Refused(why)),
            _ => self.count("known"),
        }
        Ok(Came::Crl(scope, validators))
    }

    async fn verify(&self, bytes: Bytes) -> Result<Verified, Unverified> {
        let Ok(_place) = self.walk.gate.acquire().await else { return Err(Unverified::Interrupted) };
        let (walk, now_s) = (self.walk.clone(), self.walk.clock.now_s());
        standing_back(bytes.len(), move || walk.verifier.verify_found(bytes, &walk.live, now_s)).await
    }

    fn count(&self, outcome: &'static str) {
        self.counted.add_one(&[("outcome", outcome)]);
    }
}
