//! A server that does what a script says, byte by byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// What a server does after it has read a request; when the script ends, it closes the connection.
#[derive(Clone)]
pub(super) enum Act {
    Send(Vec<u8>),
    /// One byte after the other, with a pause between them.
    Drip(Vec<u8>),
    /// For ever.
    Flood(Vec<u8>),
    /// Neither sends nor closes.
    Hold,
    /// Waits until as many connections stand here.
    Meet(Arc<tokio::sync::Barrier>),
}

pub(super) fn send(text: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Send(text.as_ref().to_vec())]
}

/// A whole answer: status line and headers, then the body with its length.
pub(super) fn answer(head: &str, body: &[u8]) -> Vec<Act> {
    let mut whole = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    vec![Act::Send(whole)]
}

type Script = Arc<dyn Fn(usize, &str) -> Vec<Act> + Send + Sync>;

/// A server on loopback; it ends with its handle.
pub(super) struct Server {
    pub(super) port: u16,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    requests: Mutex<Vec<String>>,
    in_service: AtomicUsize,
    peak: AtomicUsize,
}

impl Server {
    /// Plays `script`, which is given the number of requests before and the request itself.
    pub(super) async fn start(script: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static) -> Server {
        Server::launch(None, Arc::new(script)).await
    }

    /// The same under TLS.
    pub(super) async fn start_tls(
        acceptor: TlsAcceptor,
        script: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static,
    ) -> Server {
        Server::launch(Some(acceptor), Arc::new(script)).await
    }

    /// Plays the same acts to everybody.
    pub(super) async fn always(acts: Vec<Act>) -> Server {
        Server::start(move |_, _| acts.clone()).await
    }

    async fn launch(acceptor: Option<TlsAcceptor>, script: Script) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, state, acceptor) = (script.clone(), shared.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, script, state).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, script, state).await,
                            Err(_) => Ok(()),
                        },
                    }
                });
            }
        });
        Server { port, state, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests up to now.
    pub(super) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The most requests that were in service at once.
    pub(super) fn peak(&self) -> usize {
        self.state.peak.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: Script,
    state: Arc<State>,
) -> std::io::Result<()> {
    let request = read_request(&mut stream).await?;
    let before = {
        let mut requests = state.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let now = state.in_service.fetch_add(1, Ordering::SeqCst) + 1;
    state.peak.fetch_max(now, Ordering::SeqCst);
    let acts = script(before, &request);
    let last = acts.len().saturating_sub(1);
    for (i, act) in acts.into_iter().enumerate() {
        if i == last {
            // Before the client can know that it was served.
            state.in_service.fetch_sub(1, Ordering::SeqCst);
        }
        play(act, &mut stream).await?;
    }
    stream.shutdown().await
}

async fn play(act: Act, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    match act {
        Act::Send(bytes) => stream.write_all(&bytes).await?,
        Act::Drip(bytes) => {
            for byte in bytes {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Act::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
        },
        Act::Hold => std::future::pending().await,
        Act::Meet(barrier) => {
            barrier.wait().await;
        }
    }
    stream.flush().await
}

/// An HTTP head, or an LDAP message that comes in one piece.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut request = Vec::new();
    let is_whole = |request: &[u8]| request.ends_with(b"\r\n\r\n") || request.first() == Some(&0x30);
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}
