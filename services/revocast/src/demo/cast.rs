//! Who takes part in the demo: a broker, an authority with nine CAs, validators. All in a temporary folder, all ended
//! with the demo.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use revocast_authority::{Authority, AuthorityConfig, NewCa};
use revocast_bus::Bus;
use revocast_daemon::Context;
use revocast_fleet::Overview;
use revocast_pki::certificate::Certificate;
use revocast_pki::mint::KeyKind;
use revocast_validator::{PolicyConfig, ValidatorConfig};
use tokio::task::JoinSet;

use crate::broker::Broker;
use crate::ca::publish_over;
use crate::clock::now_ms;
use crate::exit::Failure;

/// The authority's instance.
pub(super) const AUTHORITY: &str = "authority-1";

/// A validator's instance.
pub(super) fn validator(n: u8) -> String {
    format!("validator-{n}")
}

/// Which CAs cross-certify each other. The original's figure 2 leads from CA 1 over 8, 6 and 4 to CA 2.
const BRIDGES: [(u8, u8); 10] =
    [(1, 8), (8, 6), (6, 4), (4, 2), (1, 3), (3, 5), (5, 7), (7, 9), (9, 8), (3, 6)];

pub(super) struct Cast {
    authority: Authority,
    bus: Bus,
    services: JoinSet<()>,
    context: Context,
    crosses: Vec<(String, String, Certificate)>,
    broker: Broker,
}

impl Cast {
    /// Starts the broker, and makes the declared streams.
    pub(super) async fn start(nats_server: &Path) -> Result<Cast, Failure> {
        let (broker, bus) = Broker::start(nats_server).await?;
        let instance = AUTHORITY.parse().map_err(Failure::io)?;
        let authority =
            Authority::open(&broker.folder().join("authority.db"), instance).map_err(Failure::io)?;
        let (services, context, crosses) = (JoinSet::new(), Context::default(), Vec::new());
        Ok(Cast { authority, bus, services, context, crosses, broker })
    }

    pub(super) fn authority(&mut self) -> &mut Authority {
        &mut self.authority
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Nine roots, and a cross-certificate in each direction for each bridge.
    pub(super) fn found_nine_cas(&mut self) -> Result<(), Failure> {
        for n in 1..=9 {
            let new = NewCa {
                label: format!("ca{n}"),
                subject: format!("CN=CA {n},O=Demo"),
                key: KeyKind::EcdsaP256,
                parent: None,
                validity_s: 86_400,
                crl_life_s: 3_600,
                base_url: "http://127.0.0.1:8442".into(),
                path_length: None,
            };
            self.authority.init(&new, now_ms()).map_err(Failure::io)?;
        }
        for (one, other) in BRIDGES {
            self.cross(one, other)?;
            self.cross(other, one)?;
        }
        Ok(())
    }

    fn cross(&mut self, issuer: u8, subject: u8) -> Result<(), Failure> {
        let (issuer, subject) = (format!("ca{issuer}"), format!("ca{subject}"));
        let other = self.authority.ca_certificate(&subject).map_err(Failure::io)?;
        let cross = self.authority.cross(&issuer, &other, 86_400, now_ms()).map_err(Failure::io)?;
        self.crosses.push((issuer, subject, cross.certificate));
        Ok(())
    }

    /// The cross-certificate that `issuer` issued for `subject`.
    pub(super) fn cross_certificate(&self, issuer: &str, subject: &str) -> Result<Certificate, Failure> {
        let mut crosses = self.crosses.iter();
        let found = crosses.find(|(by, of, _)| by == issuer && of == subject);
        found
            .map(|(_, _, certificate)| certificate.clone())
            .ok_or_else(|| Failure::io(format!("{issuer} did not cross-certify {subject}")))
    }

    /// Publishes what the ledger has still to tell.
    pub(super) async fn publish(&mut self) -> Result<(), Failure> {
        publish_over(&self.authority, &self.bus, AUTHORITY).await
    }

    /// Starts the authority's service and `validators` that believe CA 2.
    pub(super) fn start_services(&mut self, validators: u8) -> Result<(), Failure> {
        let anchor = self.broker.folder().join("ca2.crt");
        let believed = self.authority.ca_certificate("ca2").map_err(Failure::io)?;
        std::fs::write(&anchor, believed.der()).map_err(Failure::io)?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let authority = AuthorityConfig {
            ledger: self.broker.folder().join("authority.db"),
            bus: self.broker.config().clone(),
            listen: any_port,
            ..AuthorityConfig::default()
        };
        self.spawn(|context| revocast_authority::run(authority, context));
        for n in 1..=validators {
            let instance = validator(n);
            let policy = PolicyConfig { anchors: vec![anchor.clone()], ..PolicyConfig::default() };
            let config = ValidatorConfig {
                state: self.broker.folder().join(&instance),
                instance: instance.parse().map_err(Failure::io)?,
                listen: any_port,
                bus: self.broker.config().clone(),
                policies: [("default".to_owned(), policy)].into(),
                ..ValidatorConfig::default()
            };
            self.spawn(|context| revocast_validator::run(config, context));
        }
        Ok(())
    }

    fn spawn<F, E>(&mut self, service: impl FnOnce(Context) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let context = Context { stop: self.context.stop.clone(), ..Context::default() };
        let service = service(context);
        self.services.spawn(async move {
            if let Err(error) = service.await {
                eprintln!("a service ended: {error}");
            }
        });
    }

    /// Waits until every validator is subscribed and enforces everything.
    pub(super) async fn settle(&mut self, validators: u8, patience: Duration) -> Result<(), Failure> {
        let settled = async {
            loop {
                let scopes = Overview::read(&self.bus, now_ms()).await.map_err(Failure::io)?.scopes();
                let full = |scope: &revocast_fleet::ScopeView| {
                    scope.enforced && scope.validators.len() == usize::from(validators)
                };
                if scopes.len() >= 9 && scopes.iter().all(full) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(patience, settled)
            .await
            .map_err(|_| Failure::io(format!("the fleet did not settle within {patience:?}")))?
    }

    /// Ends all services, then the broker.
    pub(super) async fn stop(mut self) {
        self.context.stop.cancel();
        while self.services.join_next().await.is_some() {}
        self.bus.close().await;
        self.broker.stop().await;
    }
}
