//! [`Watch`]: polls URLs, each while this watcher holds its lease.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Lease};
use revocast_daemon::{Counter, blocking, every};
use revocast_fetch::{Fetched, Fetcher, Validators};
use revocast_messages::subjects;
use revocast_pki::crl::Crl;
use revocast_pki::identity::Digest;
use revocast_pki::name::Name;
use revocast_store::Shelf;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::announce::Announcing;
use crate::polls::{Polled, Polls};
use crate::sight::{Sighting, sight, sight_crl};

/// A lease lapses after the bucket's 30 seconds; it is renewed at a third of that.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How often a watcher that stands by asks for the lease.
const STANDBY_INTERVAL: Duration = Duration::from_secs(2);
/// Intervals are drawn from nine to eleven tenths of what is configured, so that watchers do not come in step.
const JITTER: f64 = 0.1;

/// Octets of pending CRLs that are kept; further ones are fetched again until their signer is known.
const MAX_PENDING_OCTETS: usize = 256 << 20;

/// Watches URLs. One for all of them.
pub(crate) struct Watch {
    pub fetcher: Fetcher,
    pub bus: Bus,
    /// The name under which leases are taken: the instance.
    pub holder: String,
    pub shelf: Arc<Shelf>,
    pub polls: Arc<Polls>,
    pub announcing: Arc<Announcing>,
    pub max_crl_bytes: usize,
    pub counted: Counter,
    /// CRLs whose signer is not known yet, the last one of each URL.
    pub pending: Mutex<BTreeMap<String, Crl>>,
}

impl Watch {
    /// Watches a URL until `stop`, in turns with other watchers.
    pub(crate) async fn watch(self: Arc<Self>, url: String, interval: Duration, stop: CancellationToken) {
        loop {
            let lease = tokio::select! {
                lease = self.lease(&url) => lease,
                () = stop.cancelled() => return,
            };
            info!(%url, "watching");
            if let Some(lease) = self.watch_leased(&url, interval, lease, &stop).await {
                return lease.release().await;
            }
            warn!(%url, "the lease is lost; standing by");
        }
    }

    /// A new certificate of `subject` may be the one that pending CRLs wait for.
    pub(crate) async fn certificate_came(self: &Arc<Self>, subject: &Name) {
        let waiting: Vec<(String, Crl)> = {
            let pending = self.pending();
            let by_subject = pending.iter().filter(|(_, crl)| crl.issuer() == subject);
            by_subject.map(|(url, crl)| (url.clone(), crl.clone())).collect()
        };
        for (url, crl) in waiting {
            let (watch, validators) = (self.clone(), self.polls.validators(&url));
            blocking(move || {
                let digest = crl.digest();
                let sighting = sight_crl(&watch.shelf, crl);
                watch.take(&url, digest, validators, sighting);
            })
            .await;
        }
    }

    /// Waits until the lease is ours.
    async fn lease(&self, url: &str) -> Lease {
        let key = format!("watch.{}", Digest::of(url.as_bytes()));
        loop {
            match self.try_lease(&key).await {
                Ok(Some(lease)) => return lease,
                Ok(None) => debug!(%url, "another watcher holds the lease"),
                Err(error) => debug!(%url, %error, "no lease can be had"),
            }
            sleep(STANDBY_INTERVAL).await;
        }
    }

    async fn try_lease(&self, key: &str) -> Result<Option<Lease>, BusError> {
        let leases = self.bus.bucket(subjects::LEASES).await?;
        match leases.lease(key, &self.holder).await? {
            Some(lease) => Ok(Some(lease)),
            // A killed predecessor of this instance may have left it.
            None => leases.resume(key, &self.holder).await,
        }
    }

    /// Watches until the lease is lost (`None`), or until `stop` (the lease, to be given back).
    async fn watch_leased(
        self: &Arc<Self>,
        url: &str,
        period: Duration,
        mut lease: Lease,
        stop: &CancellationToken,
    ) -> Option<Lease> {
        let mut renewing = every(RENEWAL_INTERVAL);
        let polling = self.poll_for_ever(url, period);
        tokio::pin!(polling);
        loop {
            tokio::select! {
                never = &mut polling => match never {},
                _ = renewing.tick() => {
                    if let Err(error) = lease.renew(&self.holder).await {
                        debug!(%url, %error, "the lease was not renewed");
                        return None;
                    }
                }
                () = stop.cancelled() => return Some(lease),
            }
        }
    }

    async fn poll_for_ever(self: &Arc<Self>, url: &str, period: Duration) -> std::convert::Infallible {
        loop {
            let next = Instant::now() + jittered(period, fastrand::f64());
            self.poll(url).await;
            sleep_until(next).await;
        }
    }

    async fn poll(self: &Arc<Self>, url: &str) {
        match self.fetcher.get(url, &self.polls.validators(url), self.max_crl_bytes).await {
            Ok(Fetched::NotModified) => self.count(url, "not_modified"),
            Ok(Fetched::Body { bytes, validators, .. }) => {
                let (watch, url) = (self.clone(), url.to_owned());
                blocking(move || watch.take_document(&url, bytes, validators)).await;
            }
            Err(error) => {
                self.count(url, error.reason().as_str());
                warn!(%url, %error, "nothing came");
            }
        }
    }

    fn take_document(&self, url: &str, document: Bytes, validators: Validators) {
        let digest = Digest::of(&document);
        let sighting = sight(&self.shelf, document);
        self.take(url, digest, validators, sighting);
    }

    /// Remembers what was seen, and announces what is new: what is announced is durable.
    fn take(&self, url: &str, digest: Digest, validators: Validators, sighting: Sighting) {
        self.count(url, sighting.word());
        self.pending().remove(url);
        let is_held =
            self.shelf.read(|holdings| holdings.crls().any(|(_, held)| held.crl.digest() == digest));
        let polled = Polled::new(digest, validators, self.announcing.clock.now_ms());
        self.polls.remember(url, polled, is_held);
        match sighting {
            Sighting::New { held, before } => {
                info!(%url, issuer = %held.crl.issuer(), number = ?held.crl.number(), "a new CRL");
                self.announcing.announce(&held, before.as_ref());
            }
            Sighting::Known => {}
            Sighting::Lower => warn!(%url, "a CRL below the one that is held"),
            Sighting::Pending(crl) => {
                warn!(%url, issuer = %crl.issuer(), "a CRL by none of the known keys; not announced");
                self.keep_pending(url, crl);
            }
            Sighting::Garbage(error) => warn!(%url, %error, "no CRL"),
            Sighting::Unkept(error) => {
                warn!(%url, %error, "a CRL was not kept; it is fetched again");
                self.polls.forget(url);
            }
        }
    }

    fn keep_pending(&self, url: &str, crl: Crl) {
        let mut pending = self.pending();
        let octets: usize = pending.values().map(|crl| crl.der().len()).sum();
        if octets + crl.der().len() <= MAX_PENDING_OCTETS {
            pending.insert(url.to_owned(), crl);
        } else {
            self.polls.forget(url);
        }
    }

    fn count(&self, url: &str, outcome: &str) {
        self.counted.add_one(&[("url", url), ("outcome", outcome)]);
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<String, Crl>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `period`, a tenth more or less; `chance` is drawn evenly from 0 to 1.
fn jittered(period: Duration, chance: f64) -> Duration {
    period.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_a_tenth() {
        let period = Duration::from_secs(60);
        assert_eq!(jittered(period, 0.0), Duration::from_secs(54));
        assert_eq!(jittered(period, 0.5), period);
        assert_eq!(jittered(period, 1.0), Duration::from_secs(66));
    }
}
