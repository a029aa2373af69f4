//! [`NatsCluster`]: three real brokers of `nats/cluster`, on this machine.

use revocast_bus::{Bus, BusConfig};

use crate::nats_server::{PASSWORD, passwords};
use crate::{NatsServer, eventually, free_address, root};

/// Three brokers that are one.
pub struct NatsCluster {
    nodes: Vec<(String, NatsServer)>,
}

impl NatsCluster {
    /// Starts `n1`, `n2` and `n3` with their own files; only addresses and folders are this machine's.
    pub async fn start() -> NatsCluster {
        let routes: Vec<String> = (0..3).map(|_| format!("nats://{}", free_address())).collect();
        let mut nodes = Vec::new();
        for (name, route) in ["n1", "n2", "n3"].into_iter().zip(&routes) {
            let config = root().join(format!("nats/cluster/{name}.conf"));
            let arguments =
                ["--cluster", route, "--routes", &routes.join(",")].map(ToOwned::to_owned).to_vec();
            nodes.push((name.to_owned(), NatsServer::launch(&config, arguments, passwords()).await));
        }
        NatsCluster { nodes }
    }

    /// Where its nodes are reached.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|(_, node)| node.url()).collect()
    }

    /// A connection as the user of a role, to whichever node is there.
    pub async fn as_role(&self, role: &str) -> Bus {
        let config = BusConfig { servers: self.urls(), ..self.nodes[0].1.config_of(role) };
        eventually("a node can be reached", async || Bus::connect(&config, role).await.ok()).await
    }

    /// Which node leads a stream, as the first one that runs sees it; `None` while there is no leader.
    pub async fn leader_of(&self, stream: &str) -> Option<String> {
        let options = async_nats::ConnectOptions::with_user_and_password("operator".into(), PASSWORD.into());
        let client =
            options.custom_inbox_prefix("_INBOX_operator").connect(self.running().url()).await.ok()?;
        let found = async_nats::jetstream::new(client).get_stream(stream).await.ok()?;
        found.cached_info().cluster.as_ref()?.leader.clone()
    }

    /// The first node that runs.
    pub fn running(&self) -> &NatsServer {
        let running = self.nodes.iter().find(|(_, node)| node.is_started());
        running.map(|(_, node)| node).unwrap()
    }

    /// A node by its name.
    pub fn node(&mut self, name: &str) -> &mut NatsServer {
        let found = self.nodes.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, node)| node).unwrap_or_else(|| panic!("there is no node {name}"))
    }
}
