//! How a verb reaches the broker.

use std::path::PathBuf;

use clap::Args;
use revocast_bus::{Bus, BusConfig, Credentials, check_server};
use revocast_daemon::{LogFormat, start_logs};

use crate::exit::Failure;

/// Options of every verb that talks to the broker.
#[derive(Args, Clone)]
pub(crate) struct BusArgs {
    /// URLs of the broker's servers.
    #[arg(
        long = "nats",
        value_name = "URL",
        env = "REVOCAST_NATS",
        value_delimiter = ',',
        value_parser = server,
        default_value = "nats://127.0.0.1:4222"
    )]
    servers: Vec<String>,
    /// Credentials file of this user (JWT and NKey).
    #[arg(long, value_name = "FILE", env = "REVOCAST_NATS_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// User name at the broker.
    #[arg(long, value_name = "NAME", env = "REVOCAST_NATS_USER", requires = "nats_password")]
    nats_user: Option<String>,
    /// Password of that user; better given in the environment.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "REVOCAST_NATS_PASSWORD",
        hide_env_values = true,
        requires = "nats_user"
    )]
    nats_password: Option<String>,
    /// PEM file of the authorities whose broker certificates are accepted.
    #[arg(long, value_name = "FILE", env = "REVOCAST_NATS_TLS_AUTHORITIES")]
    tls_authorities: Option<PathBuf>,
}

impl BusArgs {
    /// As a configuration.
    pub(crate) fn config(&self) -> BusConfig {
        let credentials = match (&self.credentials, &self.nats_user, &self.nats_password) {
            (Some(file), _, _) => Credentials::File(file.clone()),
            (None, Some(name), Some(password)) => {
                Credentials::User { name: name.clone(), password: password.clone() }
            }
            _ => Credentials::None,
        };
        BusConfig {
            servers: self.servers.clone(),
            inbox_prefix: self.nats_user.as_ref().map(|user| format!("_INBOX_{user}")),
            credentials,
            tls_authorities: self.tls_authorities.clone(),
            ..BusConfig::default()
        }
    }

    /// Connects, or says why not.
    pub(crate) async fn connect(&self) -> Result<Bus, Failure> {
        self.connect_to(None).await
    }

    /// Connects to the broker at this URL, if there is one, in place of the one that was named.
    pub(crate) async fn connect_to(&self, url: Option<&str>) -> Result<Bus, Failure> {
        let mut config = self.config();
        if let Some(url) = url {
            config.servers = vec![url.to_owned()];
        }
        Bus::connect(&config, "revocast/cli").await.map_err(Failure::io)
    }
}

/// The URL of a broker's server.
pub(crate) fn server(text: &str) -> Result<String, String> {
    check_server(text).map(|()| text.to_owned())
}

/// Runs a verb that talks to the network.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::io)?.block_on(work)
}

/// Runs a verb that starts services of its own, until it ends, or until SIGINT or SIGTERM: then everything that it
/// started ends with it.
pub(crate) fn block_on_until_stopped<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    start_logs(LogFormat::Text, "error");
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::io)?;
        tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::io("interrupted")),
            _ = terminate.recv() => Err(Failure::io("terminated")),
        }
    })
}
