//! The drill's validators, in this process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use revocast_bus::Bus;
use revocast_daemon::Context;
use revocast_fetch::FetchConfig;
use revocast_messages::subjects;
use revocast_validator::{PolicyConfig, ValidatorConfig};
use tokio::task::JoinSet;

use super::authority::DrillAuthority;
use crate::broker::Broker;
use crate::exit::Failure;

/// Validators that believe the drill's CA.
pub(super) struct DrillFleet {
    services: JoinSet<()>,
    context: Context,
    count: u16,
}

impl DrillFleet {
    pub(super) async fn start(
        broker: &Broker,
        authority: &DrillAuthority,
        count: u16,
    ) -> Result<DrillFleet, Failure> {
        let anchor = broker.folder().join("anchor.crt");
        std::fs::write(&anchor, authority.certificate().der()).map_err(Failure::io)?;
        let (mut services, context) = (JoinSet::new(), Context::default());
        for n in 1..=count {
            let instance = format!("drill-{n}");
            let mut fetch = FetchConfig::default();
            fetch.allowed_networks.push(IpNet::from(IpAddr::V4(Ipv4Addr::LOCALHOST)));
            let policy = PolicyConfig { anchors: vec![anchor.clone()], ..PolicyConfig::default() };
            let config = ValidatorConfig {
                state: broker.folder().join(&instance),
                instance: instance.parse().map_err(Failure::io)?,
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                bus: broker.config().clone(),
                repositories: vec![authority.url().to_owned()],
                fetch,
                policies: [("default".to_owned(), policy)].into(),
                ..ValidatorConfig::default()
            };
            let context = Context { stop: context.stop.clone(), ..Context::default() };
            services.spawn(async move {
                if let Err(error) = revocast_validator::run(config, context).await {
                    eprintln!("a validator ended: {error}");
                }
            });
        }
        Ok(DrillFleet { services, context, count })
    }

    /// Waits until every validator is subscribed.
    pub(super) async fn subscribed(&self, bus: &Bus, patience: Duration) -> Result<(), Failure> {
        let bucket = bus.bucket(subjects::SUBSCRIPTIONS).await.map_err(Failure::io)?;
        let all = async {
            while bucket.entries(">").await.map_err(Failure::io)?.len() < usize::from(self.count) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        tokio::time::timeout(patience, all)
            .await
            .map_err(|_| Failure::io(format!("the validators did not subscribe within {patience:?}")))?
    }

    pub(super) async fn stop(mut self) {
        self.context.stop.cancel();
        while self.services.join_next().await.is_some() {}
    }
}
