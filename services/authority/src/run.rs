//! The authority as a service: carries the outbox, renews CRLs, re-asserts its heads, answers, and says that it is
//! alive.

use std::sync::Arc;
use std::time::Duration;

use revocast_bus::{Bus, BusError};
use revocast_daemon::{Clock, Context, Counter, DoorError, every, open_door, router};
use revocast_fleet::beat;
use revocast_fleet::registrar::{self, Knowledge, Responsible};
use revocast_messages::{Role, ScopeState};
use revocast_pki::certificate::Certificate;
use revocast_pki::identity::IssuerId;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::authority::{Authority, AuthorityError};
use crate::config::AuthorityConfig;
use crate::outbox::Outbox;

/// Why the service ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger or a key cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The broker refuses what retrying does not mend.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The HTTP door does not open.
    #[error(transparent)]
    Door(#[from] DoorError),
}

/// Another process may have written into the outbox: it is looked at this often.
const OUTBOX_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is looked whether a CRL is due.
const DUE_INTERVAL: Duration = Duration::from_secs(1);
/// Rows that are read from the outbox at once.
const BATCH: usize = 32;

/// Runs the service until `context.stop`.
pub async fn run(config: AuthorityConfig, context: Context) -> Result<(), RunError> {
    let authority = Arc::new(Mutex::new(Authority::open(&config.ledger, config.instance.clone())?));
    let (_, _doors) = open_door(config.listen, &config.http, router(&context), &context).await?;
    let bus =
        Bus::connect_eventually(&config.bus, &format!("revocast/authority/{}", config.instance)).await?;
    let delivered =
        context.metrics.counter("revocast_notices_published", "notices that the broker confirmed");
    let mut service = Running { config, context: context.clone(), authority, bus, delivered };
    service.context.health.not_ready("broker", "not connected yet");
    tokio::select! {
        ended = service.work() => ended?,
        () = context.stop.cancelled() => {}
    }
    service.last_words().await;
    Ok(())
}

struct Running {
    config: AuthorityConfig,
    context: Context,
    authority: Arc<Mutex<Authority>>,
    bus: Bus,
    delivered: Counter,
}

impl Running {
    async fn work(&mut self) -> Result<(), RunError> {
        let outbox = self.outbox().await;
        let subscriptions = self.subscriptions().await?;
        self.context.health.well("broker");
        let mut telling = every(OUTBOX_INTERVAL);
        let mut renewing = every(DUE_INTERVAL);
        let mut asserting = every(self.config.reassert);
        let mut beating = every(self.config.heartbeat);
        loop {
            tokio::select! {
                _ = telling.tick() => self.tell(&outbox).await?,
                _ = renewing.tick() => self.renew().await?,
                _ = asserting.tick() => self.assert_heads(&outbox).await?,
                _ = beating.tick() => self.beat().await,
                () = self.context.stop.cancelled() => break,
            }
        }
        subscriptions.stop().await;
        Ok(())
    }

    /// The outbox needs JetStream; until it answers there is nothing to do but wait.
    async fn outbox(&self) -> Outbox {
        let mut waiting = every(Duration::from_millis(250));
        loop {
            waiting.tick().await;
            if self.bus.stream_state(Role::Authority.stream()).await.is_ok() {
                return Outbox::new(&self.bus, self.config.instance.as_str()).await;
            }
        }
    }

    /// Answers subscriptions as soon as the registry can be written.
    async fn subscriptions(&self) -> Result<revocast_bus::Service, RunError> {
        let issuers = self.authority.lock().await.summaries()?.into_iter().map(|ca| ca.issuer).collect();
        let who = Responsible {
            role: Role::Authority,
            instance: self.config.instance.clone(),
            issuers,
            longest_lease: self.config.longest_lease,
        };
        let mut waiting = every(Duration::from_secs(1));
        loop {
            waiting.tick().await;
            let knowledge = Known { authority: self.authority.clone(), clock: self.context.clock.clone() };
            match registrar::start(&self.bus, who.clone(), knowledge).await {
                Ok(service) => {
                    self.context.health.well("subscriptions");
                    return Ok(service);
                }
                Err(error) => {
                    self.context.health.not_ready("subscriptions", error.to_string());
                    warn!(%error, "subscriptions cannot be answered yet");
                }
            }
        }
    }

    async fn tell(&self, outbox: &Outbox) -> Result<(), RunError> {
        let rows = self.authority.lock().await.ledger().outbox(BATCH).map_err(AuthorityError::from)?;
        for row in rows {
            let ca = Certificate::decode(row.ca_certificate.clone()).map_err(AuthorityError::from)?;
            match outbox.deliver(&row, &ca).await {
                Ok(_) => {
                    self.delivered.add_one(&[]);
                    self.authority.lock().await.ledger().told(row.id).map_err(AuthorityError::from)?;
                    self.context.health.well("outbox");
                }
                Err(error) => {
                    // It stays in the outbox; the operator sees why.
                    self.context.health.degraded("outbox", error.to_string());
                    warn!(%error, "a notice stays in the outbox");
                    break;
                }
            }
        }
        Ok(())
    }

    async fn renew(&self) -> Result<(), RunError> {
        let mut authority = self.authority.lock().await;
        let now_ms = self.context.clock.now_ms();
        for ca in authority.due(self.config.renew_share, now_ms)? {
            let issued = authority.issue_crl(&ca, now_ms)?;
            info!(%ca, number = issued.notice.number.map(|number| number.to_string()), "renewed a CRL");
        }
        Ok(())
    }

    async fn assert_heads(&self, outbox: &Outbox) -> Result<(), RunError> {
        let heads = self.authority.lock().await.heads(self.context.clock.now_ms())?;
        for (head, ca) in heads {
            if let Err(error) = outbox.assert(&head, &ca).await {
                self.context.health.degraded("heads", error.to_string());
                warn!(%error, "a head was not asserted");
                return Ok(());
            }
        }
        self.context.health.well("heads");
        Ok(())
    }

    async fn beat(&self) {
        let interval_s = u32::try_from(self.config.heartbeat.as_secs().max(1)).unwrap_or(u32::MAX);
        beat(&self.bus, Role::Authority, &self.config.instance, interval_s, self.context.clock.now_ms())
            .await;
    }

    /// What is still in the outbox stays there, durably; what was published is handed to the broker.
    async fn last_words(&self) {
        self.bus.close().await;
    }
}

/// What the authority tells its subscribers.
struct Known {
    authority: Arc<Mutex<Authority>>,
    clock: Clock,
}

impl Knowledge for Known {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    async fn scopes(&self, issuer: Option<IssuerId>) -> Vec<ScopeState> {
        match self.authority.lock().await.scopes(issuer) {
            Ok(scopes) => scopes,
            Err(error) => {
                warn!(%error, "the ledger does not tell its scopes");
                Vec::new()
            }
        }
    }
}
