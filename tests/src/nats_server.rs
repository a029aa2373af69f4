//! [`NatsServer`]: a real broker of the project's own configuration, in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use revocast_bus::declare::Declaration;
use revocast_bus::{Bus, BusConfig, Credentials, declare};
use tempfile::TempDir;

use crate::process::Process;
use crate::{eventually, free_address, root};

/// One broker with JetStream.
pub struct NatsServer {
    process: Option<Process>,
    folder: TempDir,
    config: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    port: u16,
}

/// The users of `nats/accounts.conf`: one per role, and the system's.
const USERS: [&str; 9] =
    ["sys", "authority", "repository", "watcher", "validator", "bridge", "client", "monitor", "operator"];

/// What fills a store.
const BALLAST: &str = "BALLAST";

/// Everybody's password in the tests.
pub const PASSWORD: &str = "of-the-tests";

impl NatsServer {
    /// Starts one with `nats/server.conf`, and applies the declared streams.
    pub async fn start() -> NatsServer {
        let server = NatsServer::bare().await;
        declare_all(&server.bus("harness").await).await;
        server
    }

    /// Starts one with `nats/single.conf`, its accounts and permissions, and applies the declared streams.
    pub async fn with_accounts() -> NatsServer {
        let config = root().join("nats/single.conf");
        let server = NatsServer::launch(&config, Vec::new(), passwords()).await;
        declare_all(&server.as_role("operator").await).await;
        server
    }

    /// Starts one with `nats/server.conf` and no streams.
    pub async fn bare() -> NatsServer {
        NatsServer::with_config(&root().join("nats/server.conf")).await
    }

    /// Starts one whose store is full at 8 MB, with the declared streams, for none of which room is set apart.
    pub async fn small() -> NatsServer {
        let server = NatsServer::with_config(&root().join("tests/nats/small.conf")).await;
        let bus = server.bus("harness").await;
        for file in std::fs::read_dir(root().join("nats/streams")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let mut declared: serde_json::Value = serde_json::from_str(&text).unwrap();
            if declared["storage"] == "file" {
                declared.as_object_mut().unwrap().remove("max_bytes");
            }
            let declaration = Declaration::parse("a stream", &declared.to_string()).unwrap();
            bus.apply(&declaration).await.unwrap();
        }
        server
    }

    /// Fills its store to the brim, with a stream of nothing that anybody needs.
    pub async fn fill(&self) {
        let stream = self.jetstream().await;
        let config = async_nats::jetstream::stream::Config { name: BALLAST.into(), ..Default::default() };
        stream.create_stream(config).await.unwrap();
        // A store is full when it is above its limit: what is refused is refused whatever its size.
        let refused = async || {
            let sent = stream.publish(BALLAST, vec![0; 100_000].into()).await.ok()?;
            sent.await.is_err().then_some(())
        };
        eventually("the store is full", refused).await;
    }

    /// Makes room again.
    pub async fn make_room(&self) {
        self.jetstream().await.delete_stream(BALLAST).await.unwrap();
    }

    async fn jetstream(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }

    /// Starts one with another configuration file.
    pub async fn with_config(config: &Path) -> NatsServer {
        NatsServer::launch(config, Vec::new(), Vec::new()).await
    }

    /// Starts one with more words on its command line and in its environment.
    pub(crate) async fn launch(
        config: &Path,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> NatsServer {
        let mut server = NatsServer {
            process: None,
            folder: tempfile::Builder::new().prefix("revocast-nats-").tempdir().unwrap(),
            config: config.to_owned(),
            arguments,
            environment,
            port: 0,
        };
        server.start_again().await;
        server
    }

    /// Starts it again on its port, with its store as it is.
    pub async fn start_again(&mut self) {
        let first = self.port == 0;
        for _ in 0..20 {
            if first {
                // A port that the system hands out could be somebody's by the time of a restart.
                self.port = free_address().port();
            }
            match self.try_start().await {
                Ok(process) => {
                    self.process = Some(process);
                    break;
                }
                Err(log) => {
                    assert!(first && log.contains("address already in use"), "nats-server ended: {log}")
                }
            }
        }
        eventually("nats-server takes connections", async || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        })
        .await;
    }

    /// Its log, if it ends instead of telling its port.
    async fn try_start(&self) -> Result<Process, String> {
        let ports = self.folder.path().join("ports");
        let _ = std::fs::remove_dir_all(&ports);
        std::fs::create_dir_all(&ports).unwrap();
        let log = std::fs::File::create(self.log_path()).unwrap();
        let mut command = Command::new(nats_server());
        command
            .arg("--config")
            .arg(&self.config)
            .args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--http_port", "-1"])
            .arg("--store_dir")
            .arg(self.store())
            .arg("--ports_file_dir")
            .arg(&ports)
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log);
        let mut process = Process::start("nats-server", &mut command);
        while port_told(&ports).is_none() {
            if !process.is_running() {
                return Err(std::fs::read_to_string(self.log_path()).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(process)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// How a service reaches it.
    pub fn bus_config(&self) -> BusConfig {
        BusConfig { servers: vec![self.url()], ..BusConfig::default() }
    }

    /// A connection, once JetStream answers.
    pub async fn bus(&self, name: &str) -> Bus {
        self.bus_with(self.bus_config(), name).await
    }

    /// A connection as a user.
    pub async fn bus_as(&self, user: &str, password: &str) -> Bus {
        self.bus_with(self.config_as(user, password), user).await
    }

    fn config_as(&self, user: &str, password: &str) -> BusConfig {
        let credentials = Credentials::User { name: user.into(), password: password.into() };
        BusConfig { credentials, inbox_prefix: Some(format!("_INBOX_{user}")), ..self.bus_config() }
    }

    /// How a service reaches it as the user of a role.
    pub fn config_of(&self, role: &str) -> BusConfig {
        self.config_as(role, PASSWORD)
    }

    /// A connection as the user of a role, with the permissions of `nats/accounts.conf`.
    pub async fn as_role(&self, role: &str) -> Bus {
        self.bus_as(role, PASSWORD).await
    }

    /// The environment by which a program of ours connects as the user of a role: its verbs and its services.
    pub fn environment_of(role: &str) -> [(&'static str, String); 5] {
        [
            ("REVOCAST_NATS_USER", role.to_owned()),
            ("REVOCAST_NATS_PASSWORD", PASSWORD.to_owned()),
            ("REVOCAST__BUS__CREDENTIALS__USER__NAME", role.to_owned()),
            ("REVOCAST__BUS__CREDENTIALS__USER__PASSWORD", PASSWORD.to_owned()),
            ("REVOCAST__BUS__INBOX_PREFIX", format!("_INBOX_{role}")),
        ]
    }

    async fn bus_with(&self, config: BusConfig, name: &str) -> Bus {
        eventually("the broker can be reached", async || Bus::connect(&config, name).await.ok()).await
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, so that the store on the disk is whole.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Duration::from_secs(20));
        }
    }

    /// Whether it was started and not stopped since.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Where it keeps its streams.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }
}

async fn declare_all(bus: &Bus) {
    for declaration in declare::built_in() {
        bus.apply(&declaration).await.unwrap();
    }
}

/// What `nats/accounts.conf` reads from the environment.
pub(crate) fn passwords() -> Vec<(String, String)> {
    USERS.iter().map(|user| (format!("REVOCAST_NATS_{}", user.to_uppercase()), PASSWORD.to_owned())).collect()
}

fn port_told(ports: &Path) -> Option<u16> {
    let file = std::fs::read_dir(ports).ok()?.next()?.ok()?;
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    told["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

/// A nats-server that is new enough, as `ops/nats-server.sh` finds it.
pub fn nats_server() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let found = Command::new("sh").arg(root().join("ops/nats-server.sh")).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().trim().into()
}
