//! The HTTP door of a service: where it listens, with TLS or without, and what it refuses before a handler sees it.
//!
//! Begin with [`open_door`]. It serves a router over connections that have a deadline for each request's head (whoever
//! sends one octet a second is cut off), over TLS when [`TlsConfig`] says so, and ends gracefully: connections without
//! a request are closed at the stop, those with one when it is answered. [`Limits`] hold one request to what it
//! may take; [`refused`] is the one form of an error.

mod limits;
mod site;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use limits::{Admitted, Limits, RequestLimits, refused, with_refusals};
pub use site::Site;
pub use tls::TlsConfig;

use crate::run::Context;
use tls::Security;

/// How a service's HTTP door is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorConfig {
    /// Connections at once; further ones wait until one ends.
    pub connections: usize,
    /// How long the TLS handshake, and then each request's head, may take; a connection without a request ends, too.
    #[serde(with = "humantime_serde")]
    pub header_deadline: Duration,
    /// TLS; without it the door speaks plain HTTP.
    pub tls: Option<TlsConfig>,
}

impl Default for DoorConfig {
    fn default() -> DoorConfig {
        DoorConfig { connections: 1_024, header_deadline: Duration::from_secs(10), tls: None }
    }
}

/// A door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address.
    #[error("cannot listen on {address}: {why}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file of the TLS configuration.
    #[error("TLS: {file}: {why}")]
    File {
        /// Its path.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS configuration as a whole.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Serves a [`Site`], such as a router, at `address` until the context's stop; returns the address that was bound (for
/// port 0) and the serving, which ends when the last request under way is answered.
pub async fn open_door(
    address: SocketAddr,
    config: &DoorConfig,
    site: impl Into<Site>,
    context: &Context,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let security = Security::new(config.tls.as_ref(), context).await?;
    open(address, config, security, site.into(), context.stop.clone()).await
}

/// Serves `router` at `address` over plain HTTP until `stop`, under the default limits of connections; returns the
/// address that was bound (for port 0) and the serving.
pub async fn listen(
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, JoinHandle<()>)> {
    let opened = open(address, &DoorConfig::default(), Security::Plain, router.into(), stop).await;
    opened.map_err(std::io::Error::other)
}

async fn open(
    address: SocketAddr,
    config: &DoorConfig,
    security: Security,
    site: Site,
    stop: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let unusable = |why| DoorError::Address { address, why };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    info!(%bound, tls = security.is_tls(), "listening for HTTP");
    let door = Door { security, site, header_deadline: config.header_deadline, stop };
    Ok((bound, tokio::spawn(door.serve(listener, config.connections.max(1)))))
}

/// After a failure to accept (too many open files) the next try is this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Door {
    security: Security,
    site: Site,
    header_deadline: Duration,
    stop: CancellationToken,
}

impl Door {
    async fn serve(self, listener: TcpListener, connections: usize) {
        let places = Arc::new(Semaphore::new(connections));
        let under_way = TaskTracker::new();
        while let Some((stream, place)) = self.accept(&listener, &places).await {
            let door = self.clone();
            under_way.spawn(async move {
                let _place = place;
                door.greet(stream).await;
            });
        }
        drop(listener);
        under_way.close();
        under_way.wait().await;
    }

    /// The next connection, and its place among those at once; `None` at the stop.
    async fn accept(
        &self,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
    ) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let accepting = async {
            let place = places.clone().acquire_owned().await.ok()?;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return Some((stream, place)),
                    Err(error) => {
                        warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            accepted = accepting => accepted,
            () = self.stop.cancelled() => None,
        }
    }

    async fn greet(&self, stream: TcpStream) {
        // Answers are small and whole: nothing is gained by waiting to fill a segment.
        let _ = stream.set_nodelay(true);
        let Security::Tls(tls) = &self.security else { return self.converse(stream).await };
        let acceptor = tls.borrow().clone();
        match tokio::time::timeout(self.header_deadline, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream).await,
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_deadline)
            .serve_connection(TokioIo::new(stream), self.site.clone());
        tokio::pin!(conversation);
        // Asked only when it has come: a token that is asked takes locks, and the conversation wakes this task often.
        let mut stopped: FuturesUnordered<_> = [self.stop.cancelled()].into_iter().collect();
        let ended = tokio::select! {
            biased;
            ended = conversation.as_mut() => ended,
            _ = stopped.next() => {
                conversation.as_mut().graceful_shutdown();
                conversation.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended in the middle");
        }
    }
}

#[cfg(test)]
mod tests;
