//! [`Bus`]: one connection to the broker, which comes back by itself for as long as it lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{ConnectOptions, Event, ServerAddr, ServerError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::error::BusError;
use crate::message::{Headers, header_map};

/// How a service reaches the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// URLs of the servers, tried in random order.
    pub servers: Vec<String>,
    /// Who this service is to the broker.
    pub credentials: Credentials,
    /// PEM file of the authorities whose broker certificates are accepted; the system's when absent.
    pub tls_authorities: Option<PathBuf>,
    /// PEM file of the client certificate.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub tls_key: Option<PathBuf>,
    /// Refuses a connection without TLS.
    pub tls_required: bool,
    /// First tokens of reply subjects; permissions bind it to the user, so that nobody reads another's replies.
    pub inbox_prefix: Option<String>,
}

/// Whether this is the URL of a broker's server; without a scheme it is `nats`. Fails with what is wrong.
pub fn check_server(url: &str) -> Result<(), String> {
    let address: ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
    if address.into_inner().host_str().is_none_or(str::is_empty) {
        return Err("no server is named".into());
    }
    Ok(())
}

impl Default for BusConfig {
    fn default() -> BusConfig {
        BusConfig {
            servers: vec!["nats://127.0.0.1:4222".into()],
            credentials: Credentials::None,
            tls_authorities: None,
            tls_certificate: None,
            tls_key: None,
            tls_required: false,
            inbox_prefix: None,
        }
    }
}

/// Who a service is to the broker.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credentials {
    /// Whoever connects.
    #[default]
    None,
    /// A user and a password.
    User {
        /// The user.
        name: String,
        /// The password; shown as `...`.
        #[serde(serialize_with = "masked")]
        password: String,
    },
    /// A credentials file (JWT and NKey seed), as `nsc` writes it.
    File(PathBuf),
    /// An NKey seed; shown as `...`.
    #[serde(serialize_with = "masked")]
    Nkey(String),
}

/// A configuration that is shown tells no secrets.
fn masked<S: serde::Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("...")
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::User { name, .. } => write!(f, "User({name}, ...)"),
            Credentials::File(path) => write!(f, "File({})", path.display()),
            Credentials::Nkey(_) => f.write_str("Nkey(...)"),
        }
    }
}

/// A request without an answer fails after this long.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Closing takes no longer than this, whatever the broker does: a service stops within two seconds.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Messages that may wait in one subscription before the client drops some (and says so): notices are a few
/// kilobytes, so this bounds a subscription to megabytes.
const SUBSCRIPTION_CAPACITY: usize = 4_096;

/// A connection to the broker. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    violations: broadcast::Sender<String>,
    reconnects: Arc<AtomicU64>,
}

impl Bus {
    /// Connects under `name` (`revocast/<role>/<instance>`), or fails if no server can be reached now.
    pub async fn connect(config: &BusConfig, name: &str) -> Result<Bus, BusError> {
        Bus::open(config, name, false).await
    }

    /// Like [`Bus::connect`], but returns at once when no server can be reached: the connection is made later.
    pub async fn connect_eventually(config: &BusConfig, name: &str) -> Result<Bus, BusError> {
        Bus::open(config, name, true).await
    }

    async fn open(config: &BusConfig, name: &str, eventually: bool) -> Result<Bus, BusError> {
        let (violations, _) = broadcast::channel(64);
        let reconnects = Arc::new(AtomicU64::new(0));
        let mut options = options(config, name).await?;
        if eventually {
            options = options.retry_on_initial_connect();
        }
        let (told, counted) = (violations.clone(), reconnects.clone());
        options = options.event_callback(move |event| {
            notice_event(&event, &told, &counted);
            async {}
        });
        let client = options
            .connect(&config.servers)
            .await
            .map_err(|error| BusError::unreachable(format!("{} ({error})", config.servers.join(", "))))?;
        let jetstream = jetstream::ContextBuilder::new().timeout(REQUEST_TIMEOUT).build(client.clone());
        Ok(Bus { client, jetstream, violations, reconnects })
    }

    /// Whether the connection stands at this moment.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// How often the connection came to stand, the first time included.
    pub fn connections(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Publishes without a stream behind it: whoever listens now, gets it.
    pub async fn tell(&self, subject: &str, headers: &Headers, payload: Bytes) -> Result<(), BusError> {
        self.client
            .publish_with_headers(subject.to_owned(), header_map(headers), payload)
            .await
            .map_err(|error| BusError::unreachable(format!("publish to {subject} ({error})")))
    }

    /// Asks whoever serves `subject` and waits for one answer.
    ///
    /// [`BusError::Absent`] when nobody serves it, [`BusError::Denied`] when this user may not ask.
    pub async fn ask(
        &self,
        subject: &str,
        headers: &Headers,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, BusError> {
        let mut violations = self.violations();
        let request =
            async_nats::Request::new().headers(header_map(headers)).payload(payload).timeout(Some(patience));
        let asked = self.client.send_request(subject.to_owned(), request);
        let answer = tokio::select! {
            answer = asked => answer,
            denied = violations.of(subject) => return Err(denied),
        };
        let answer = answer.map_err(|error| match error.kind() {
            async_nats::RequestErrorKind::NoResponders => BusError::absent(format!("a service on {subject}")),
            async_nats::RequestErrorKind::MaxPayloadExceeded => BusError::TooLarge { size: 0 },
            _ => BusError::unreachable(format!("an answer on {subject} ({error})")),
        })?;
        match answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error")) {
            Some(error) => Err(BusError::Refused { what: subject.into(), why: error.as_str().into() }),
            None => Ok(answer.payload),
        }
    }

    /// The largest payload that the broker takes, in octets.
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Hands everything that was published to the broker, then closes. Without a connection there is nobody to hand
    /// it to, and it closes at once.
    pub async fn close(&self) {
        if !self.is_connected() {
            return;
        }
        let handed = async {
            if let Err(error) = self.client.flush().await {
                warn!(%error, "what was published last may not have reached the broker");
            }
            if let Err(error) = self.client.drain().await {
                warn!(%error, "the broker connection did not drain");
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, handed).await.is_err() {
            warn!("the broker does not take what was published last");
        }
    }

    pub(crate) fn violations(&self) -> Violations {
        Violations(self.violations.subscribe())
    }
}

/// Denials are told by the broker as events beside the request that they concern.
pub(crate) struct Violations(broadcast::Receiver<String>);

impl Violations {
    /// Waits until the broker denies something that names `subject`; never returns otherwise.
    pub(crate) async fn of(&mut self, subject: &str) -> BusError {
        let quoted = format!("\"{subject}\"");
        loop {
            match self.0.recv().await {
                Ok(words) if words.contains(&quoted) => return BusError::Denied { what: words },
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn notice_event(event: &Event, violations: &broadcast::Sender<String>, connections: &AtomicU64) {
    match event {
        Event::Connected => {
            connections.fetch_add(1, Ordering::Relaxed);
            info!("connected to the broker");
        }
        Event::ServerError(ServerError::Other(words))
            if words.to_lowercase().contains("permissions violation") =>
        {
            warn!(%words, "the broker denied something");
            // Nobody may be waiting for it.
            let _ = violations.send(words.clone());
        }
        Event::Disconnected | Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => {
            warn!(%event, "broker");
        }
        event => info!(%event, "broker"),
    }
}

async fn options(config: &BusConfig, name: &str) -> Result<ConnectOptions, BusError> {
    let mut options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ping_interval(Duration::from_secs(5));
    options = match &config.credentials {
        Credentials::None => options,
        Credentials::User { name, password } => options.user_and_password(name.clone(), password.clone()),
        Credentials::Nkey(seed) => options.nkey(seed.clone()),
        Credentials::File(path) => options
            .credentials_file(path)
            .await
            .map_err(|error| BusError::Settings(format!("credentials file {}: {error}", path.display())))?,
    };
    if let Some(path) = &config.tls_authorities {
        options = options.add_root_certificates(path.clone());
    }
    match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        (None, None) => {}
        _ => return Err(BusError::Settings("tls_certificate and tls_key go together".into())),
    }
    if let Some(prefix) = &config.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    Ok(options.require_tls(config.tls_required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_shown_tells_no_secrets() {
        for credentials in [
            Credentials::User { name: "watcher".into(), password: "hush".into() },
            Credentials::Nkey("hush".into()),
        ] {
            let shown = serde_json::to_string(&BusConfig { credentials, ..BusConfig::default() }).unwrap();
            assert!(!shown.contains("hush") && shown.contains("..."), "{shown}");
        }
    }
}
