//! Step 4: carries a step of the plan out. What comes is bytes, believed by nobody yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bucket, Bus, BusError, Lease, Objects};
use revocast_daemon::{Clock, every, standing_back};
use revocast_fetch::{FetchError, Fetched, Fetcher, Validators};
use revocast_messages::{CrlNotice, Instance, subjects};
use revocast_pki::crl::{Difference, DifferenceError};
use revocast_pki::identity::Digest;
use tokio::sync::OnceCell;
use tracing::debug;

use super::plan::Step;

/// A lease lapses after the bucket's 30 seconds; it is renewed at a third of that.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);

/// Why a step brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unobtained {
    /// The broker does not have it, or does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The repository does not give it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The difference does not lead there.
    #[error(transparent)]
    Difference(#[from] DifferenceError),
    /// The CRL is larger than this validator takes in.
    #[error("a CRL of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// As announced.
        size: u64,
        /// `max_crl_bytes` of the configuration.
        limit: usize,
    },
    /// Another validator is fetching it, or just has: it will be in the object store.
    #[error("another validator is fetching it")]
    Leased,
    /// A repository shows something else: another validator was shown it a moment ago, or this one before.
    #[error("the repository shows something else")]
    Unshown,
}

impl Unobtained {
    /// Whether a repository shows something else than what was announced.
    pub(crate) fn is_something_else(&self) -> bool {
        matches!(self, Unobtained::Unshown | Unobtained::Fetch(FetchError::TooLarge { .. }))
    }

    /// Whether trying again later can help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Unobtained::Bus(error) => error.is_passing() || matches!(error, BusError::Absent { .. }),
            Unobtained::Fetch(error) => error.is_passing(),
            Unobtained::Leased | Unobtained::Unshown => true,
            Unobtained::Difference(_) | Unobtained::TooLarge { .. } => false,
        }
    }
}

/// How far a step comes without asking anybody.
pub(super) enum AtHand {
    /// All the way.
    Bytes(Bytes),
    /// The bytes are among the objects.
    InStore,
    /// A repository has them.
    AtRepository(String),
}

/// Carries out what needs nobody: what is inside the notice, and differences.
pub(super) async fn at_hand(notice: &CrlNotice, step: &Step, limit: usize) -> Result<AtHand, Unobtained> {
    if notice.size_bytes > limit as u64 {
        return Err(Unobtained::TooLarge { size: notice.size_bytes, limit });
    }
    Ok(match step {
        Step::Inline(bytes) => AtHand::Bytes(bytes.clone()),
        Step::Difference(base, difference) => {
            let (base, difference) = (base.clone(), difference.bytes.0.clone());
            let octets = base.der().len();
            let rebuilt = standing_back(octets, move || Difference::decode(difference)?.apply(&base));
            AtHand::Bytes(rebuilt.await?)
        }
        Step::Object => AtHand::InStore,
        Step::Repository(url) => AtHand::AtRepository(url.clone()),
    })
}

/// Carries steps out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetch {
    bus: Bus,
    fetcher: Fetcher,
    instance: Instance,
    limit: usize,
    clock: Clock,
    stores: Arc<OnceCell<(Objects, Bucket)>>,
    shown: Arc<Shown>,
}

/// What repositories said of what they show instead of what was announced: they need not send it again. By the announced
/// CRL's digest and the URL.
#[derive(Default)]
struct Shown(Mutex<HashMap<(Digest, String), Validators>>);

/// Beyond so many it begins anew, which costs a download each.
const MAX_SHOWN: usize = 4_096;

impl Shown {
    fn get(&self, key: &(Digest, String)) -> Validators {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    fn note(&self, key: (Digest, String), validators: Validators) {
        let mut shown = self.lock();
        if shown.len() >= MAX_SHOWN {
            shown.clear();
        }
        shown.insert(key, validators);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Digest, String), Validators>> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch {
    pub(crate) fn new(bus: &Bus, fetcher: Fetcher, instance: Instance, limit: usize, clock: Clock) -> Fetch {
        Fetch {
            bus: bus.clone(),
            fetcher,
            instance,
            limit,
            clock,
            stores: Arc::default(),
            shown: Arc::default(),
        }
    }

    /// The bytes that a step brings. A repository that shows something else is not asked again for `rest`, by nobody
    /// of the fleet.
    pub(crate) async fn obtain(
        &self,
        notice: &CrlNotice,
        step: &Step,
        rest: Duration,
    ) -> Result<Bytes, Unobtained> {
        match at_hand(notice, step, self.limit).await? {
            AtHand::Bytes(bytes) => Ok(bytes),
            AtHand::InStore => {
                let (objects, _) = self.stores().await?;
                Ok(objects.get(&notice.digest.to_string(), self.limit).await?)
            }
            AtHand::AtRepository(url) => Box::pin(self.ask_repository(notice, &url, rest)).await,
        }
    }

    /// One validator of the fleet asks the repository, and shares what it got through the object store; that it got
    /// something else it shares by a lease that rests.
    async fn ask_repository(
        &self,
        notice: &CrlNotice,
        url: &str,
        rest: Duration,
    ) -> Result<Bytes, Unobtained> {
        let Ok((_, leases)) = self.stores().await else {
            return self.download(notice, url).await.map(|(bytes, _)| bytes);
        };
        let key = format!("fetch.{}", notice.digest);
        let lease = match leases.lease(&key, self.instance.as_str()).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Err(Unobtained::Leased),
            // Without the broker nobody can be agreed with: repositories are what is left.
            Err(error) if error.is_passing() => {
                return self.download(notice, url).await.map(|(bytes, _)| bytes);
            }
            Err(error) => return Err(error.into()),
        };
        let asking = Box::pin(self.ask_alone(notice, url, rest));
        let (obtained, lease) = held(asking, lease, self.instance.as_str()).await;
        lease.release().await;
        obtained
    }

    /// While nobody else of the fleet does.
    async fn ask_alone(&self, notice: &CrlNotice, url: &str, rest: Duration) -> Result<Bytes, Unobtained> {
        let (objects, leases) = self.stores().await?;
        // Whoever held the lease before may have put it there since this validator looked.
        if let Ok(bytes) = objects.get(&notice.digest.to_string(), self.limit).await {
            return Ok(bytes);
        }
        let resting = format!("fetch.{}", Digest::of(format!("{} {url}", notice.digest).as_bytes()));
        if leases.get(&resting).await?.is_some_and(|entry| entry.value.is_some()) {
            return Err(Unobtained::Unshown);
        }
        let obtained = self.download(notice, url).await;
        match &obtained {
            Ok((bytes, true)) => {
                // A failure here costs the others a download of their own.
                let _ = objects.put(bytes).await;
            }
            // Another validator may have another way there.
            Err(error) if !error.is_something_else() => {}
            Ok(_) | Err(_) => {
                if let Ok(Some(lease)) = leases.lease(&resting, self.instance.as_str()).await {
                    tokio::spawn(async move {
                        tokio::time::sleep(rest).await;
                        lease.release().await;
                    });
                }
            }
        }
        obtained.map(|(bytes, _)| bytes)
    }

    /// What a repository shows, unless it was shown before, and whether it is what was announced.
    async fn download(&self, notice: &CrlNotice, url: &str) -> Result<(Bytes, bool), Unobtained> {
        let key = (notice.digest, url.to_owned());
        match self.fetcher.get(url, &self.shown.get(&key), self.limit).await? {
            Fetched::Body { bytes, validators, .. } => {
                let hashed = bytes.clone();
                let digest = standing_back(bytes.len(), move || Digest::of(&hashed)).await;
                let as_announced = digest == notice.digest;
                if as_announced {
                    self.shown.lock().remove(&key);
                } else {
                    self.shown.note(key, validators.settled(self.clock.now_ms()));
                }
                Ok((bytes, as_announced))
            }
            Fetched::NotModified => Err(Unobtained::Unshown),
        }
    }

    async fn stores(&self) -> Result<&(Objects, Bucket), BusError> {
        self.stores
            .get_or_try_init(|| async {
                let objects =
                    self.bus.objects(subjects::CRLS, subjects::LEASES, self.instance.as_str()).await?;
                Ok((objects, self.bus.bucket(subjects::LEASES).await?))
            })
            .await
    }
}

/// Works while the lease is kept alive. One that is lost all the same costs another validator a download, no more.
pub(crate) async fn held<T>(work: impl Future<Output = T>, mut lease: Lease, holder: &str) -> (T, Lease) {
    let mut renewing = every(RENEWAL_INTERVAL);
    renewing.reset();
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return (done, lease),
            _ = renewing.tick() => {
                if let Err(error) = lease.renew(holder).await {
                    debug!(%error, "a lease was not renewed");
                }
            }
        }
    }
}
