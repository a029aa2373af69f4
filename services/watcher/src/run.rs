//! The watcher as a service: learns certificates, watches what is to be watched, announces, answers subscriptions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use revocast_bus::{Bus, BusError, Followed, Follower, Stored};
use revocast_daemon::{Context, DoorError, blocking, every, open_door, router};
use revocast_fetch::{Fetcher, SetupError};
use revocast_fleet::registrar::{Responsible, ShelfKnowledge, keep_answering};
use revocast_fleet::{Announced, Announcer, beat};
use revocast_messages::{Incoming, Registration, Role, decode, subjects};
use revocast_pki::certificate::Certificate;
use revocast_store::{CertificateFileError, Shelf, ShelfError, read_certificates};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::announce::Announcing;
use crate::config::WatcherConfig;
use crate::demand::watched;
use crate::polls::Polls;
use crate::watch::Watch;

/// Why the service ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder of its state cannot be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The HTTP door does not open.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// A configured certificate cannot be read.
    #[error(transparent)]
    Certificates(#[from] CertificateFileError),
    /// A configured certificate cannot be kept.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The fetcher's settings cannot be used.
    #[error(transparent)]
    Fetch(#[from] SetupError),
    /// The broker's settings cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// What a watcher follows in either stream.
const CERTIFICATES: &str = "pki.notice.cert.>";
/// How often the registry is read for what subscriptions name.
const DEMAND_INTERVAL: Duration = Duration::from_secs(5);
/// Leases that are not given back within this lapse by themselves.
const RELEASE_PATIENCE: Duration = Duration::from_millis(1_000);

/// Runs the service until `context.stop`.
pub async fn run(config: WatcherConfig, context: Context) -> Result<(), RunError> {
    let fetcher = Fetcher::new(config.fetch.clone())?;
    let (shelf, polls, certificates) = open(&config).await?;
    let (_, _doors) = open_door(config.listen, &config.http, router(&context), &context).await?;
    let bus = Bus::connect_eventually(&config.bus, &format!("revocast/watcher/{}", config.instance)).await?;
    let announcing = Arc::new(Announcing {
        announcer: announcer(&bus, &config, &context),
        instance: config.instance.clone(),
        clock: context.clock.clone(),
        shelf: shelf.clone(),
        polls: polls.clone(),
        certificates,
    });
    let watch = Arc::new(Watch {
        fetcher,
        bus: bus.clone(),
        holder: config.instance.to_string(),
        shelf: shelf.clone(),
        polls,
        announcing: announcing.clone(),
        max_crl_bytes: config.max_crl_bytes,
        counted: context.metrics.counter("revocast_polls", "looks at a URL, by what came of them"),
        pending: Mutex::default(),
    });
    let running = Running { config, context: context.clone(), bus: bus.clone(), shelf, announcing, watch };
    let mut watches = Watches { under_way: BTreeMap::new(), tasks: JoinSet::new() };
    tokio::select! {
        never = running.work(&mut watches) => match never {},
        () = context.stop.cancelled() => {}
    }
    watches.stop().await;
    bus.close().await;
    Ok(())
}

async fn open(config: &WatcherConfig) -> Result<(Arc<Shelf>, Arc<Polls>, Vec<Certificate>), RunError> {
    let (folder, paths) = (config.state.clone(), config.certificates.clone());
    blocking(move || {
        let shelf = Shelf::open(&folder)?;
        let mut certificates = read_certificates(&paths)?;
        for certificate in &certificates {
            shelf.keep_certificate(certificate.clone())?;
        }
        certificates.retain(Certificate::is_ca);
        let digests: Vec<_> =
            shelf.read(|holdings| holdings.crls().map(|(_, held)| held.crl.digest()).collect());
        let polls = Polls::open(&folder, |digest| digests.contains(digest));
        Ok((Arc::new(shelf), Arc::new(polls), certificates))
    })
    .await
}

fn announcer(bus: &Bus, config: &WatcherConfig, context: &Context) -> Announcer {
    let published = context
        .metrics
        .counter("revocast_notices_published", "notices that the broker confirmed, by outcome");
    let health = context.health.clone();
    let told = move |announced: &Announced| match announced {
        Ok(outcome) => {
            published.add_one(&[("outcome", outcome.word())]);
            health.well("notices");
        }
        Err(error) => {
            warn!(%error, "a notice was not published; it is announced again later");
            health.degraded("notices", error.to_string());
        }
    };
    Announcer::start(bus, Role::Watcher, &config.instance, told)
}

struct Running {
    config: WatcherConfig,
    context: Context,
    bus: Bus,
    shelf: Arc<Shelf>,
    announcing: Arc<Announcing>,
    watch: Arc<Watch>,
}

impl Running {
    async fn work(&self, watches: &mut Watches) -> std::convert::Infallible {
        tokio::select! {
            never = self.learn(subjects::NOTICES) => never,
            never = self.learn(subjects::SIGHTINGS) => never,
            never = self.watch_on_demand(watches) => never,
            never = self.answer_subscriptions() => never,
            never = self.announce() => never,
            never = self.beat() => never,
        }
    }

    /// Takes in the certificates that others announce.
    async fn learn(&self, stream: &'static str) -> std::convert::Infallible {
        let mut follower = Follower::new(&self.bus, stream, CERTIFICATES, None);
        let about = format!("stream {stream}");
        self.context.health.degraded(&about, "not attached yet");
        loop {
            match follower.next().await {
                Followed::Head(message) | Followed::Next(message) => self.learn_from(stream, &message).await,
                Followed::Attached { .. } => self.context.health.well(&about),
                Followed::Detached { why } => self.context.health.degraded(&about, why),
            }
        }
    }

    async fn learn_from(&self, stream: &str, message: &Stored) {
        let read = Incoming::read(stream, &message.subject, |name| message.header(name), &message.payload);
        let certificate = match read {
            Ok(Incoming::Certificate(notice)) => Certificate::decode(notice.certificate.0),
            Ok(_) => return,
            Err(error) => return warn!(subject = %message.subject, %error, "passed over a message"),
        };
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(error) => return warn!(subject = %message.subject, %error, "passed over a notice"),
        };
        let (shelf, subject) = (self.shelf.clone(), certificate.subject().clone());
        match blocking(move || shelf.keep_certificate(certificate)).await {
            Ok(true) => {
                info!(%subject, "a certificate");
                self.watch.certificate_came(&subject).await;
            }
            Ok(false) => {}
            Err(error) => warn!(%error, "a certificate was not kept"),
        }
    }

    /// Keeps the watches as configuration and subscriptions want them.
    async fn watch_on_demand(&self, watches: &mut Watches) -> std::convert::Infallible {
        let mut looking = every(DEMAND_INTERVAL);
        let mut registrations = Vec::new();
        loop {
            looking.tick().await;
            let wanted = watched(&self.config, &registrations, self.context.clock.now_ms());
            watches.adjust(&self.watch, &wanted, &self.context.stop);
            if self.config.allowed_hosts.is_empty() {
                continue;
            }
            // A registry that cannot be read leaves what it said last.
            match self.registrations().await {
                Ok(read) => registrations = read,
                Err(error) => warn!(%error, "the registry cannot be read"),
            }
            let wanted = watched(&self.config, &registrations, self.context.clock.now_ms());
            watches.adjust(&self.watch, &wanted, &self.context.stop);
        }
    }

    async fn registrations(&self) -> Result<Vec<Registration>, BusError> {
        let entries = self.bus.bucket(subjects::SUBSCRIPTIONS).await?.entries(">").await?;
        Ok(entries.into_iter().filter_map(|entry| decode(&entry.value?).ok()).collect())
    }

    async fn answer_subscriptions(&self) -> std::convert::Infallible {
        let who = Responsible {
            role: Role::Watcher,
            instance: self.config.instance.clone(),
            issuers: Vec::new(),
            longest_lease: self.config.longest_lease,
        };
        let clock = self.context.clock.clone();
        let knowledge = ShelfKnowledge::new(self.shelf.clone(), move || clock.now_ms());
        let issuers = || self.shelf.read(|holdings| holdings.issuers());
        let told = |error: Option<&BusError>| match error {
            None => self.context.health.well("subscriptions"),
            Some(error) => self.context.health.degraded("subscriptions", error.to_string()),
        };
        keep_answering(&self.bus, who, knowledge, issuers, told).await
    }

    async fn announce(&self) -> std::convert::Infallible {
        let mut announcing = every(self.config.reassert);
        loop {
            announcing.tick().await;
            self.announcing.announce_all().await;
        }
    }

    async fn beat(&self) -> std::convert::Infallible {
        let interval_s = u32::try_from(self.config.heartbeat.as_secs().max(1)).unwrap_or(u32::MAX);
        let mut beating = every(self.config.heartbeat);
        loop {
            beating.tick().await;
            let now_ms = self.context.clock.now_ms();
            if self.bus.is_connected() {
                self.context.health.well("broker");
                beat(&self.bus, Role::Watcher, &self.config.instance, interval_s, now_ms).await;
            } else {
                // Whatever it saw, nobody could be told.
                self.context.health.not_ready("broker", "not connected");
            }
        }
    }
}

/// The URLs that are watched now, one task each.
struct Watches {
    under_way: BTreeMap<String, CancellationToken>,
    tasks: JoinSet<()>,
}

impl Watches {
    fn adjust(&mut self, watch: &Arc<Watch>, wanted: &BTreeMap<String, Duration>, stop: &CancellationToken) {
        self.under_way.retain(|url, token| {
            let stays = wanted.contains_key(url);
            if !stays {
                info!(%url, "no longer watched");
                token.cancel();
            }
            stays
        });
        for (url, period) in wanted {
            self.under_way.entry(url.clone()).or_insert_with(|| {
                let token = stop.child_token();
                self.tasks.spawn(watch.clone().watch(url.clone(), *period, token.clone()));
                token
            });
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Ends them all and lets them give their leases back, so that another watcher takes over at once.
    async fn stop(mut self) {
        self.under_way.values().for_each(CancellationToken::cancel);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(RELEASE_PATIENCE, ended).await.is_err() {
            warn!("not every lease was given back; they lapse by themselves");
        }
    }
}
