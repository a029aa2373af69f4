//! The repository as a service: reads its shelf and serves it, then follows, announces and answers as far as the
//! broker can be reached.

use std::sync::Arc;

use revocast_bus::{Bus, BusError};
use revocast_daemon::{Context, DoorError, Gauge, blocking, every, open_door, router};
use revocast_fleet::registrar::{Responsible, ShelfKnowledge, keep_answering};
use revocast_fleet::{Announced, Announcer, beat};
use revocast_messages::{Role, subjects};
use revocast_store::{CertificateFileError, Shelf, ShelfError, read_certificates};
use tracing::warn;

use crate::assertion::Assertion;
use crate::config::RepositoryConfig;
use crate::doors::Doors;
use crate::intake::Intake;
use crate::searches::Searches;

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
    /// The broker's settings cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Runs the service until `context.stop`.
pub async fn run(config: RepositoryConfig, context: Context) -> Result<(), RunError> {
    let shelf = open(&config).await?;
    let bus =
        Bus::connect_eventually(&config.bus, &format!("revocast/repository/{}", config.instance)).await?;
    let announcer = announcer(&bus, &config, &context);
    let assertion = Assertion {
        announcer: announcer.clone(),
        instance: config.instance.clone(),
        clock: context.clock.clone(),
        base_url: config.base_url.clone(),
    };
    let doors = Doors::new(&config, &context, shelf.clone(), assertion.clone());
    let routes = doors.router().merge(router(&context));
    let (_, _doors) = open_door(config.listen, &config.http, routes, &context).await?;
    let intake =
        Intake::new(shelf.clone(), announcer, &context, config.concurrent_notices, config.max_crl_bytes);
    let crls = context.metrics.gauge("revocast_crls_held", "series of CRLs of which the highest is held");
    let running = Running { config, context: context.clone(), bus: bus.clone(), shelf, assertion, crls };
    tokio::select! {
        never = running.work(Arc::new(intake)) => match never {},
        () = context.stop.cancelled() => {}
    }
    bus.close().await;
    Ok(())
}

async fn open(config: &RepositoryConfig) -> Result<Arc<Shelf>, RunError> {
    let (folder, paths) = (config.state.clone(), config.certificates.clone());
    blocking(move || {
        let shelf = Shelf::open(&folder)?;
        for certificate in read_certificates(&paths)? {
            shelf.keep_certificate(certificate)?;
        }
        Ok(Arc::new(shelf))
    })
    .await
}

fn announcer(bus: &Bus, config: &RepositoryConfig, context: &Context) -> Announcer {
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
    Announcer::start(bus, Role::Repository, &config.instance, told)
}

struct Running {
    config: RepositoryConfig,
    context: Context,
    bus: Bus,
    shelf: Arc<Shelf>,
    assertion: Assertion,
    crls: Gauge,
}

impl Running {
    async fn work(&self, intake: Arc<Intake>) -> std::convert::Infallible {
        tokio::select! {
            never = intake.clone().follow(self.bus.clone(), subjects::NOTICES) => never,
            never = intake.clone().follow(self.bus.clone(), subjects::SIGHTINGS) => never,
            never = intake.pay_debts() => never,
            never = self.answer_subscriptions() => never,
            never = self.answer_searches() => never,
            never = self.assert() => never,
            never = self.beat() => never,
        }
    }

    async fn answer_subscriptions(&self) -> std::convert::Infallible {
        let who = Responsible {
            role: Role::Repository,
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

    async fn answer_searches(&self) -> std::convert::Infallible {
        let searches = Searches::new(self.shelf.clone(), self.config.instance.clone(), &self.context);
        searches.answer_all(&self.bus).await
    }

    async fn assert(&self) -> std::convert::Infallible {
        let mut asserting = every(self.config.reassert);
        loop {
            asserting.tick().await;
            self.assertion.assert_heads(&self.shelf).await;
        }
    }

    async fn beat(&self) -> std::convert::Infallible {
        let interval_s = u32::try_from(self.config.heartbeat.as_secs().max(1)).unwrap_or(u32::MAX);
        let mut beating = every(self.config.heartbeat);
        loop {
            beating.tick().await;
            self.crls.set(&[], self.shelf.read(|holdings| holdings.scopes()) as f64);
            let now_ms = self.context.clock.now_ms();
            if self.bus.is_connected() {
                self.context.health.well("broker");
                beat(&self.bus, Role::Repository, &self.config.instance, interval_s, now_ms).await;
            } else {
                // What is held is served all the same.
                self.context.health.degraded("broker", "not connected");
            }
        }
    }
}
