//! A connection to a judged address, with TLS where the scheme asks for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::{FetchError, SetupError};
use crate::meter::{Meter, Metered};
use crate::target::{HostName, Target};

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first of `addresses` that answers, each given an equal share of `limit`.
pub(crate) async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    limit: Duration,
    tls: &TlsConnector,
    meter: Arc<Meter>,
) -> Result<Box<dyn Stream>, FetchError> {
    let stream = tcp(target, addresses, limit).await?;
    // One small request, then reading: nothing is gained by waiting to fill a segment.
    let _ = stream.set_nodelay(true);
    let stream = Metered { stream, meter };
    if !target.scheme.is_secure() {
        return Ok(Box::new(stream));
    }
    let refused = |why: String| FetchError::Tls { host: target.host(), why };
    let name =
        server_name(target).ok_or_else(|| refused("it is no name that a certificate could bear".into()))?;
    match tls.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(refused(error.to_string())),
    }
}

async fn tcp(target: &Target, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, FetchError> {
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut why = String::from("it has no address");
    for address in addresses {
        why = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address}: no answer"),
        };
    }
    Err(FetchError::Unreachable { host: target.host(), why })
}

fn server_name(target: &Target) -> Option<ServerName<'static>> {
    match &target.host {
        HostName::Address(address) => Some(ServerName::IpAddress((*address).into())),
        HostName::Name(name) => ServerName::try_from(name.clone()).ok(),
    }
}

/// TLS 1.2 and 1.3 by ring, trusting the system's authorities and those in the PEM file `more`.
pub(crate) fn tls_connector(more: Option<&Path>) -> Result<TlsConnector, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = more {
        add_authorities(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), SetupError> {
    let unusable = |why: String| SetupError::Authorities { path: path.to_owned(), why };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.len() == before { Err(unusable("it holds no certificate".into())) } else { Ok(()) }
}
