//! Hosts that are down, slow, lying or bombs.

use super::server::{Act, Server, answer, send};
use super::*;
use crate::{Reason, Stage};

/// What a host does, and the error that comes of it.
async fn check(acts: Vec<Act>, config: FetchConfig, reason: Reason) -> FetchError {
    let server = Server::always(acts).await;
    let fetcher = fetcher(config);
    let error = get(&fetcher, &server.url("/a.crl")).await.unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    assert_eq!(fetcher.counters().failed(reason), 1);
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    error
}

#[tokio::test]
async fn a_host_that_is_down_is_unreachable() {
    let server = Server::always(vec![]).await;
    let url = server.url("/a.crl");
    drop(server);
    let error = get(&fetcher(config()), &url).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }) && error.is_passing(), "{error}");
}

#[tokio::test]
async fn statuses_are_told_and_only_troubles_of_the_server_pass() {
    for (head, code, passing) in [
        ("500 Oops", 500, true),
        ("503 Busy", 503, true),
        ("429 Slowly", 429, true),
        ("404 Not Found", 404, false),
        ("403 Forbidden", 403, false),
        ("206 Partial Content", 206, false),
        ("204 No Content", 204, false),
        ("302 Found", 302, false), // whereto?
    ] {
        let error = check(answer(head, b""), config(), Reason::Status).await;
        assert_eq!(error, FetchError::Status { host: "127.0.0.1".into(), code, retry_after: None });
        assert_eq!(error.is_passing(), passing, "{error}");
    }
}

#[tokio::test]
async fn a_body_of_one_byte_now_and_then_is_too_slow() {
    let config = FetchConfig { rate_window: SOON, minimum_rate: 1_000_000, ..config() };
    let acts =
        vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n".into()), Act::Drip(vec![b'x'; 900])];
    let error = check(acts, config, Reason::TooSlow).await;
    assert!(error.is_passing());
}

fn deadline(error: &FetchError) -> Stage {
    match error {
        FetchError::Deadline { stage, .. } => *stage,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_body_that_stops_is_idle() {
    let config = FetchConfig { idle_deadline: SOON, ..config() };
    let acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\nxxx".into()), Act::Hold];
    assert_eq!(deadline(&check(acts, config, Reason::Deadline).await), Stage::Idle);
}

#[tokio::test]
async fn a_host_that_never_answers_meets_the_first_byte_deadline() {
    let config = FetchConfig { first_byte_deadline: SOON, ..config() };
    assert_eq!(deadline(&check(vec![Act::Hold], config, Reason::Deadline).await), Stage::FirstByte);
}

#[tokio::test]
async fn a_head_that_drips_meets_the_first_byte_deadline() {
    let config = FetchConfig { first_byte_deadline: SOON, ..config() };
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(10_000));
    let error = check(vec![Act::Drip(head.into_bytes())], config, Reason::Deadline).await;
    assert_eq!(deadline(&error), Stage::FirstByte);
}

#[tokio::test]
async fn a_body_that_drips_fast_enough_meets_the_total_deadline() {
    let config = FetchConfig { total_deadline: 4 * SOON, minimum_rate: 0, ..config() };
    let acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\n\r\n".into()), Act::Drip(vec![b'x'; 1_000_000])];
    assert_eq!(deadline(&check(acts, config, Reason::Deadline).await), Stage::Total);
}

#[tokio::test]
async fn a_truncated_body_is_broken_with_a_length_and_in_chunks() {
    check(send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123"), config(), Reason::Broken).await;
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n";
    check(send(chunks), config(), Reason::Broken).await;
    check(send(format!("{chunks}5\r\n123")), config(), Reason::Broken).await;
}

#[tokio::test]
async fn contradictory_or_nonsensical_lengths_are_broken() {
    for length in ["content-length: 3\r\ncontent-length: 4", "content-length: -1", "content-length: many"] {
        check(send(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n123")), config(), Reason::Broken).await;
    }
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n";
    check(send(chunk), config(), Reason::Broken).await;
}

#[tokio::test]
async fn what_follows_a_body_of_the_declared_length_is_not_taken() {
    let server = Server::always(send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n12345")).await;
    assert_eq!(bytes(get(&fetcher(config()), &server.url("/")).await), b"123");
}

#[tokio::test]
async fn what_is_no_http_is_broken() {
    for noise in ["", "\0\0\0\0", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 200 OK\r\n"] {
        assert!(check(send(noise), config(), Reason::Broken).await.is_passing());
    }
}

#[tokio::test]
async fn a_gzip_bomb_is_refused_by_its_encoding() {
    let head = "200 OK\r\ncontent-encoding: gzip";
    let error = check(answer(head, b"\x1f\x8b\x08"), config(), Reason::Encoded).await;
    assert!(!error.is_passing());
}

#[tokio::test]
async fn a_declared_length_above_the_limit_is_refused_unread() {
    let acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".into()), Act::Hold];
    let error = check(acts, config(), Reason::TooLarge).await;
    assert_eq!(error, FetchError::TooLarge { host: "127.0.0.1".into(), limit: LIMIT });
}

#[tokio::test]
async fn an_undeclared_length_is_cut_off_at_the_limit() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    check(vec![Act::Send(head), Act::Flood(vec![b'x'; 100])], config(), Reason::TooLarge).await;
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    check(vec![Act::Send(head), Act::Flood(b"4\r\nxxxx\r\n".into())], config(), Reason::TooLarge).await;
}

#[tokio::test]
async fn the_configured_limit_binds_whatever_the_caller_admits() {
    let server = Server::always(answer("200 OK", b"12345")).await;
    let fetcher = fetcher(FetchConfig { max_bytes: 4, ..config() });
    let error = fetcher.get(&server.url("/"), &Validators::default(), usize::MAX).await.unwrap_err();
    assert_eq!(error, FetchError::TooLarge { host: "127.0.0.1".into(), limit: 4 });
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let acts = vec![Act::Send(b"HTTP/1.1 200 OK\r\n".into()), Act::Flood(b"x: y\r\n".into())];
    check(acts, config(), Reason::Broken).await;
}

#[tokio::test]
async fn interim_answers_without_end_meet_the_cap_on_the_wire() {
    check(vec![Act::Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".into())], config(), Reason::TooLarge).await;
}

#[tokio::test]
async fn not_modified_without_a_condition_is_an_error() {
    let error = check(send("HTTP/1.1 304 Not Modified\r\n\r\n"), config(), Reason::UnaskedNotModified).await;
    assert!(error.is_passing());
}

#[tokio::test]
async fn a_fetch_that_is_dropped_closes_its_connection_and_frees_its_place() {
    let server =
        Server::start(|before, _| if before < 2 { vec![Act::Hold] } else { answer("200 OK", b"x") }).await;
    let fetcher = fetcher(config());
    for _ in 0..2 {
        let url = server.url("/a.crl");
        let before = server.requests().len();
        let fetching = tokio::spawn({
            let fetcher = fetcher.clone();
            async move { get(&fetcher, &url).await }
        });
        while server.requests().len() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fetching.abort();
    }
    assert_eq!(bytes(get(&fetcher, &server.url("/a.crl")).await), b"x");
}
