//! [`Metered`]: a connection whose received bytes are counted and capped, below TLS and everything else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::counters::{Tally, add};

/// Beyond the document itself a connection may bring this much: TLS certificates and heads, which HTTP servers
/// themselves limit to 8 to 64 KiB.
const OVERHEAD: u64 = 128 * 1024;

/// What one connection has received, and may receive.
#[derive(Debug)]
pub(crate) struct Meter {
    received: AtomicU64,
    cap: u64,
    tally: Arc<Tally>,
}

impl Meter {
    /// For a document of at most `limit` bytes: a quarter more for the framing of chunks and TLS records,
    /// which costs one in eight with chunks of 64 bytes, and [`OVERHEAD`].
    pub(crate) fn new(limit: usize, tally: Arc<Tally>) -> Arc<Meter> {
        let limit = limit as u64;
        let cap = limit.saturating_add(limit / 4).saturating_add(OVERHEAD);
        Arc::new(Meter { received: AtomicU64::new(0), cap, tally })
    }

    /// Bytes received up to now.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether the cap was met.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.received() > self.cap
    }

    fn count(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        add(&self.tally.wire_bytes, bytes as u64);
    }
}

/// A connection under a [`Meter`]: reading fails once the cap is exceeded.
pub(crate) struct Metered<S> {
    pub(crate) stream: S,
    pub(crate) meter: Arc<Meter>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.meter.count(buffer.filled().len() - before);
        Poll::Ready(if self.meter.is_exceeded() { Err(io::Error::other("over the cap")) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
