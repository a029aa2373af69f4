//! A broker of our own, for the demo and the drill: in a temporary folder, on a port that is free, ended with us.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use revocast_bus::{Bus, BusConfig, declare};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::exit::Failure;

/// The broker's configuration, as it stands in the project.
const SERVER_CONF: &str = include_str!("../../../nats/server.conf");

/// A running broker with the declared streams.
pub(crate) struct Broker {
    process: Child,
    config: BusConfig,
    folder: TempDir,
}

impl Broker {
    /// Starts `nats_server`, and makes the declared streams.
    pub(crate) async fn start(nats_server: &Path) -> Result<(Broker, Bus), Failure> {
        let folder = tempfile::Builder::new().prefix("revocast-").tempdir().map_err(Failure::io)?;
        let (process, port) = start_broker(nats_server, folder.path()).await?;
        let config = BusConfig { servers: vec![format!("nats://127.0.0.1:{port}")], ..BusConfig::default() };
        let bus = connect(&config).await?;
        for declaration in declare::built_in() {
            bus.apply(&declaration).await.map_err(Failure::io)?;
        }
        Ok((Broker { process, config, folder }, bus))
    }

    /// How services reach it.
    pub(crate) fn config(&self) -> &BusConfig {
        &self.config
    }

    /// A folder that is removed with the broker.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        let _ = self.process.kill().await;
    }
}

async fn start_broker(nats_server: &Path, folder: &Path) -> Result<(Child, u16), Failure> {
    let (config, ports) = (folder.join("server.conf"), folder.join("ports"));
    std::fs::write(&config, SERVER_CONF).map_err(Failure::io)?;
    std::fs::create_dir(&ports).map_err(Failure::io)?;
    let mut broker = Command::new(nats_server)
        .args(["--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1", "--config"])
        .arg(&config)
        .arg("--store_dir")
        .arg(folder.join("jetstream"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let name = nats_server.display();
            Failure::io(format!("{name} does not start ({error}): name a nats-server 2.15 or later with --nats-server, or run `make demo`"))
        })?;
    for _ in 0..500 {
        if let Some(port) = told_port(&ports) {
            return Ok((broker, port));
        }
        if let Ok(Some(status)) = broker.try_wait() {
            return Err(Failure::io(format!(
                "{} ended with {status}: is it older than 2.15?",
                nats_server.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::io("nats-server does not tell its port"))
}

fn told_port(ports: &Path) -> Option<u16> {
    let file = std::fs::read_dir(ports).ok()?.next()?.ok()?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    told["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

async fn connect(config: &BusConfig) -> Result<Bus, Failure> {
    let mut last = None;
    for _ in 0..100 {
        match Bus::connect(config, "revocast/demo").await {
            Ok(bus) => return Ok(bus),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::io(last.map_or_else(String::new, |error| error.to_string())))
}
