#![allow(clippy::unwrap_used)]

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;

/// Whatever should happen happens within this.
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 100;

struct Opened {
    address: SocketAddr,
    context: Context,
    /// Lets a `GET /slow` go on.
    go: Arc<Notify>,
    serving: JoinHandle<()>,
}

async fn opened(config: DoorConfig, limits: RequestLimits) -> Opened {
    let context = Context::default();
    let (go, waiting) = (Arc::new(Notify::new()), context.metrics.counter("waiting", "slow requests"));
    let slow = {
        let go = go.clone();
        async move || {
            waiting.add_one(&[]);
            go.notified().await;
            "slow\n"
        }
    };
    let routes = Router::new().route("/echo", post(async |body: Bytes| body)).route("/slow", get(slow));
    let limits = Limits::new(&limits, MAX_BODY, &context.metrics);
    let admitted = from_fn(move |request: Request, next: Next| {
        let limits = limits.clone();
        async move {
            match limits.admit(request).await {
                Ok(Admitted { head, body, .. }) => next.run(Request::from_parts(head, body.into())).await,
                Err(refusal) => refusal,
            }
        }
    });
    let routes = with_refusals(routes.layer(admitted));
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, serving) = open_door(any_port, &config, routes, &context).await.unwrap();
    Opened { address, context, go, serving }
}

impl Opened {
    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, request: &str) -> String {
        rest(self.send(request).await).await
    }

    /// Waits until so many `GET /slow` are under way.
    async fn slow_under_way(&self, count: u64) {
        let wanted = format!("waiting_total{{}} {count}\n");
        let reached = async {
            while !self.context.metrics.text().contains(&wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap();
    }
}

/// What comes until the door hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

fn echo(body: &str) -> String {
    format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_above_it_is_refused_with_the_limit_in_words() {
    let door = opened(DoorConfig::default(), RequestLimits::default()).await;
    assert!(door.ask(&echo(&"a".repeat(MAX_BODY))).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let refused = door.ask(&echo(&"a".repeat(MAX_BODY + 1))).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    assert!(refused.ends_with(r#"{"error":"the body is above the limit of 100 bytes"}"#), "{refused}");
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        "a".repeat(0x65)
    );
    assert!(door.ask(&chunked).await.starts_with("HTTP/1.1 413 "));
    let told = r#"revocast_http_refused_total{limit="body_bytes"} 2"#;
    assert!(door.context.metrics.text().contains(told), "{}", door.context.metrics.text());
}

#[tokio::test]
async fn a_head_and_a_body_that_do_not_come_are_not_waited_for() {
    let soon = Duration::from_millis(100);
    let config = DoorConfig { header_deadline: soon, ..DoorConfig::default() };
    let door = opened(config, RequestLimits { body_deadline: soon, ..RequestLimits::default() }).await;
    for unfinished in ["", "GET /slow HT"] {
        let answer = door.ask(unfinished).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let refused = door.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhal").await;
    assert!(refused.starts_with("HTTP/1.1 408 "), "{refused}");
}

#[tokio::test]
async fn requests_above_those_at_once_are_told_to_come_again() {
    let door = opened(DoorConfig::default(), RequestLimits { at_once: 1, ..RequestLimits::default() }).await;
    let first = door.send(SLOW).await;
    door.slow_under_way(1).await;
    let refused = door.ask(&echo("x")).await.to_ascii_lowercase();
    assert!(refused.starts_with("http/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("1 requests are under way"), "{refused}");
    door.go.notify_one();
    assert!(rest(first).await.ends_with("slow\n"));
    assert!(door.ask(&echo("x")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn connections_above_those_at_once_wait_until_one_ends() {
    let door = opened(DoorConfig { connections: 1, ..DoorConfig::default() }, RequestLimits::default()).await;
    let first = door.send(SLOW).await;
    door.slow_under_way(1).await;
    let second = door.send(SLOW).await;
    door.go.notify_one();
    assert!(rest(first).await.ends_with("slow\n"));
    door.slow_under_way(2).await;
    door.go.notify_one();
    assert!(rest(second).await.ends_with("slow\n"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_as_json() {
    let door = opened(DoorConfig::default(), RequestLimits::default()).await;
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let unknown = door.ask(&request("GET /nowhere")).await;
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    assert!(unknown.ends_with(r#"{"error":"there is nothing at /nowhere"}"#), "{unknown}");
    let method = door.ask(&request("DELETE /echo")).await.to_ascii_lowercase();
    assert!(method.starts_with("http/1.1 405 ") && method.contains("\r\nallow: post\r\n"), "{method}");
    assert!(method.ends_with(r#"{"error":"/echo does not take delete"}"#), "{method}");
}

#[tokio::test]
async fn a_route_before_the_router_takes_its_own_requests_and_no_other() {
    let context = Context::default();
    let limits = Arc::new(Limits::new(&RequestLimits::default(), MAX_BODY, &context.metrics));
    let router = with_refusals(Router::new().route("/echo", post(async |body: Bytes| body)));
    let site = Site::from(router).with_first(Method::POST, "/first", move |request| {
        let limits = limits.clone();
        async move {
            match limits.admit(request).await {
                Ok(Admitted { body, .. }) => [b"first: ", &body[..]].concat().into_response(),
                Err(refusal) => refusal,
            }
        }
    });
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, serving) = open_door(any_port, &DoorConfig::default(), site, &context).await.unwrap();
    let door = Opened { address, context, go: Arc::default(), serving };
    let first = |body: &str| echo(body).replace("/echo", "/first?all");
    assert!(door.ask(&first("x")).await.ends_with("\r\n\r\nfirst: x"));
    assert!(door.ask(&echo("x")).await.ends_with("\r\n\r\nx"));
    assert!(door.ask(&first(&"a".repeat(MAX_BODY + 1))).await.starts_with("HTTP/1.1 413 "));
    for other in ["GET /first", "POST /first/"] {
        let request = format!("{other} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(door.ask(&request).await.starts_with("HTTP/1.1 404 "), "{other}");
    }
}

#[tokio::test]
async fn a_body_that_comes_after_its_head_and_in_pieces_is_waited_for_and_whole() {
    let door = opened(DoorConfig::default(), RequestLimits::default()).await;
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n";
    let mut stream = door.send(head).await;
    for piece in ["he", "ll", "o!"] {
        // Others are answered meanwhile: the door has seen what is there, and waits.
        assert!(door.ask(&echo("x")).await.ends_with("\r\n\r\nx"));
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    assert!(rest(stream).await.ends_with("\r\n\r\nhello!"));
    let chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = door.ask(&format!("{chunked}3\r\nhel\r\n3\r\nlo!\r\n0\r\nTrailer: x\r\n\r\n")).await;
    assert!(answer.ends_with("\r\n\r\nhello!"), "{answer}");
}

#[tokio::test]
async fn at_the_stop_what_is_under_way_is_answered_and_idle_connections_end() {
    let door = opened(DoorConfig::default(), RequestLimits::default()).await;
    let idle = door.send("").await;
    let under_way = door.send(SLOW).await;
    door.slow_under_way(1).await;
    door.context.stop.cancel();
    assert_eq!(rest(idle).await, "");
    door.go.notify_one();
    assert!(rest(under_way).await.ends_with("slow\n"));
    tokio::time::timeout(DEADLINE, door.serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(door.address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_and_files_that_are_not_there_are_told_by_name() {
    let taken = opened(DoorConfig::default(), RequestLimits::default()).await;
    let again = open_door(taken.address, &DoorConfig::default(), Router::new(), &taken.context).await;
    assert!(again.unwrap_err().to_string().contains(&taken.address.to_string()));
    let tls = TlsConfig {
        certificate: "/nowhere/door.pem".into(),
        key: "/nowhere/door.key".into(),
        client_ca: None,
        require_client: None,
        reload: Duration::from_secs(1),
    };
    let config = DoorConfig { tls: Some(tls), ..DoorConfig::default() };
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let missing = open_door(any_port, &config, Router::new(), &taken.context).await.unwrap_err().to_string();
    assert!(missing.starts_with("TLS: /nowhere/door.pem: "), "{missing}");
}
