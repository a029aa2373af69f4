//! [`StallingServer`]: a repository that answers and never ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// It promises a megabyte, and sends a byte a second. It ends with its handle.
pub struct StallingServer {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl StallingServer {
    /// Starts it.
    pub async fn start() -> StallingServer {
        // Another address of this machine: to a fetcher, another host.
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(stall(stream));
            }
        });
        StallingServer { address, asked, task }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often it was connected to.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for StallingServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stall(mut stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n";
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sent = stream.write_all(b"0").await;
    }
}
