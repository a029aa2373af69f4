//! TLS at the door: TLS 1.2 and 1.3 by ring, client certificates where they are asked for, and files that may be
//! replaced while the service runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::DoorError;
use crate::health::Health;
use crate::run::Context;
use crate::work::{blocking, every};

/// The files of a door with TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The door's certificate, and the chain above it.
    pub certificate: PathBuf,
    /// Its key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// Authorities whose client certificates are accepted; without it no client is asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused. Absent: yes, if there is a `client_ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_client: Option<bool>,
    /// How often it is looked whether the files were replaced.
    #[serde(default = "reload_interval", with = "humantime_serde")]
    pub reload: Duration,
}

const fn reload_interval() -> Duration {
    Duration::from_secs(30)
}

/// How connections are secured.
#[derive(Clone)]
pub(super) enum Security {
    Plain,
    /// By the newest files that could be used.
    Tls(watch::Receiver<TlsAcceptor>),
}

impl Security {
    /// Reads the files, and looks after them from now on until the stop.
    pub(super) async fn new(config: Option<&TlsConfig>, context: &Context) -> Result<Security, DoorError> {
        let Some(config) = config.cloned() else { return Ok(Security::Plain) };
        let (config, files, acceptor) = blocking(move || {
            let files = Files::read(&config)?;
            let acceptor = files.acceptor(&config)?;
            Ok((config, files, acceptor))
        })
        .await?;
        let (newest, told) = watch::channel(acceptor);
        let (health, stop) = (context.health.clone(), context.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = look_after(config, files, &newest, &health) => {}
            }
        });
        Ok(Security::Tls(told))
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Security::Tls(_))
    }
}

/// Takes up files that were replaced. Those that cannot be used change nothing but the service's health.
async fn look_after(
    config: TlsConfig,
    mut used: Files,
    newest: &watch::Sender<TlsAcceptor>,
    health: &Health,
) {
    let mut looking = every(config.reload);
    loop {
        looking.tick().await;
        let (wanted, before) = (config.clone(), used.clone());
        let looked = blocking(move || {
            let files = Files::read(&wanted)?;
            let changed = files != before;
            let acceptor = changed.then(|| files.acceptor(&wanted)).transpose()?;
            Ok::<_, DoorError>(acceptor.map(|acceptor| (files, acceptor)))
        });
        match looked.await {
            Ok(None) => health.well(ABOUT),
            Ok(Some((files, acceptor))) => {
                info!("the door's TLS files were replaced");
                used = files;
                newest.send_replace(acceptor);
                health.well(ABOUT);
            }
            Err(error) => {
                warn!(%error, "the door's TLS files cannot be used; those from before still are");
                health.degraded(ABOUT, error.to_string());
            }
        }
    }
}

const ABOUT: &str = "tls";

/// What stands in the files.
#[derive(Clone, PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Files, DoorError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, error));
        Ok(Files {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn acceptor(&self, config: &TlsConfig) -> Result<TlsAcceptor, DoorError> {
        let chain = certificates(&config.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| wrong(&config.key, error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DoorError::Tls(error.to_string()))?;
        let builder = match self.client_verifier(config)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|error| {
            DoorError::Tls(format!(
                "{} and {} do not go together: {error}",
                config.certificate.display(),
                config.key.display()
            ))
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(server)))
    }

    fn client_verifier(&self, config: &TlsConfig) -> Result<Option<Arc<dyn ClientCertVerifier>>, DoorError> {
        let (Some(path), Some(pem)) = (&config.client_ca, &self.client_ca) else {
            return match config.require_client {
                Some(true) => Err(DoorError::Tls("require_client needs a client_ca".into())),
                _ => Ok(None),
            };
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, pem)? {
            roots.add(certificate).map_err(|error| wrong(path, error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match config.require_client {
            Some(false) => builder.allow_unauthenticated(),
            _ => builder,
        };
        builder.build().map(Some).map_err(|error| wrong(path, error))
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(path, error))?;
    if found.is_empty() { Err(wrong(path, "it holds no certificate in PEM")) } else { Ok(found) }
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> DoorError {
    DoorError::File { file: path.display().to_string(), why: why.to_string() }
}
