//! HTTP by hand: a client that sends what it is told, and a server that serves what it is given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Header lines; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// A header line, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }
}

/// One request; `None` if nobody answers it.
pub async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<HttpAnswer> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

/// GET without conditions.
pub async fn http_get(address: SocketAddr, path: &str) -> Option<HttpAnswer> {
    http(address, "GET", path, &[], &[]).await
}

fn parse(answer: &[u8]) -> Option<HttpAnswer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(HttpAnswer { status, headers, body: answer[end + 4..].to_vec() })
}

/// An address at which nobody listens, and that nobody comes by who asks the system for any port: it lies below the
/// ports that the system hands out. No other test gets it for as long as this one runs.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests that run at once begin at different places.
    let own = (std::process::id() % 1_000) as u16 * 20;
    (0..10_000)
        .map(|_| 10_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000) % 20_000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| is_ours(address.port()) && std::net::TcpListener::bind(address).is_ok())
        .unwrap()
}

/// Takes a port among all tests of this machine: by the lock on a file, which ends with the process.
fn is_ours(port: u16) -> bool {
    static TAKEN: Mutex<Vec<std::fs::File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("revocast-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join(port.to_string())).unwrap();
    let is_ours = file.try_lock().is_ok();
    if is_ours {
        TAKEN.lock().unwrap().push(file);
    }
    is_ours
}

/// A plain server of one document, with an entity tag, as CAs have them. It ends with its handle.
pub struct PlainServer {
    address: SocketAddr,
    state: Arc<Mutex<Served>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Served {
    document: Vec<u8>,
    requests: u64,
    whole: u64,
}

impl PlainServer {
    /// Serves `document` at every path.
    pub async fn start(document: &[u8]) -> PlainServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Served { document: document.to_vec(), ..Served::default() }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        PlainServer { address, state, task }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves another document from now on; how often it had sent one before.
    pub fn show(&self, document: &[u8]) -> u64 {
        let mut served = self.state.lock().unwrap();
        served.document = document.to_vec();
        served.whole
    }

    /// How often it was asked.
    pub fn requests(&self) -> u64 {
        self.state.lock().unwrap().requests
    }

    /// How often it sent its document.
    pub fn whole(&self) -> u64 {
        self.state.lock().unwrap().whole
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<Served>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => request.push(octet),
            Err(_) => return,
        }
    }
    let answer = answer(&String::from_utf8_lossy(&request), &mut state.lock().unwrap());
    // Whoever hung up does not want it.
    let _ = stream.write_all(&answer).await;
}

fn answer(request: &str, served: &mut Served) -> Vec<u8> {
    served.requests += 1;
    let tag = format!("\"{}\"", crate::sha256_hex(&served.document));
    let has_it = request.lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(name, value)| name.eq_ignore_ascii_case("if-none-match") && value.trim() == tag)
    });
    if has_it {
        return format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\nConnection: close\r\n\r\n").into_bytes();
    }
    served.whole += 1;
    let length = served.document.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), &served.document].concat()
}
