//! [`EventStream`]: server-sent events by hand.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::DEADLINE;

/// One event.
#[derive(Clone, Debug, Default)]
pub struct ServerEvent {
    /// Its identifier, if it has one.
    pub id: Option<String>,
    /// Its name.
    pub event: String,
    /// Its data, as JSON.
    pub data: Value,
}

/// A stream of events that is read as it comes.
pub struct EventStream {
    /// Status code of the answer.
    pub status: u16,
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// Comments that came.
    pub comments: u64,
    _open: OwnedWriteHalf,
}

impl EventStream {
    /// Asks for events; header lines are added to the request. `None` if nobody answers.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Option<EventStream> {
        let (read, mut write) = TcpStream::connect(address).await.ok()?.into_split();
        // HTTP/1.0: nothing but the events comes after the head.
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{more}\r\n");
        write.write_all(request.as_bytes()).await.ok()?;
        let mut lines = BufReader::new(read).lines();
        let status = lines.next_line().await.ok()??.split(' ').nth(1)?.parse().ok()?;
        while !lines.next_line().await.ok()??.is_empty() {}
        Some(EventStream { status, lines, comments: 0, _open: write })
    }

    /// The next event; `None` when the stream ends.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        let mut event = ServerEvent::default();
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                None if line.is_empty() && !event.event.is_empty() => return Some(event),
                Some(("", _)) => self.comments += 1,
                Some(("id", value)) => event.id = Some(value.trim().into()),
                Some(("event", value)) => event.event = value.trim().into(),
                Some(("data", value)) => event.data = serde_json::from_str(value).unwrap(),
                _ => {}
            }
        }
    }

    /// Waits until a comment comes.
    pub async fn comment(&mut self) {
        while !self.line().await.unwrap().starts_with(':') {}
    }

    /// Reads on to the end of the stream; how many events came.
    pub async fn rest(&mut self) -> u64 {
        let mut count = 0;
        while self.next().await.is_some() {
            count += 1;
        }
        count
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
        line.expect("the next line of the events").ok()?
    }
}
