//! What goes well, and what is remembered: conditions, places, setbacks.

use std::time::Duration;

use super::server::{Act, Server, answer, send};
use super::*;
use crate::Reason;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_document_comes_whole_with_a_length_in_chunks_and_until_the_end() {
    for acts in [
        answer("200 OK", b"document"),
        send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ndoc\r\n5;x=y\r\nument\r\n0\r\n\r\n"),
        send("HTTP/1.0 200 OK\r\n\r\ndocument"),
    ] {
        let fetcher = fetcher(config());
        assert_eq!(bytes(get(&fetcher, &Server::always(acts).await.url("/")).await), b"document");
        let counters = fetcher.counters();
        assert_eq!((counters.requests, counters.documents, counters.document_bytes), (1, 1, 8));
        assert!(counters.wire_bytes > 8 && counters.failures.is_empty());
    }
}

#[tokio::test]
async fn a_document_of_exactly_the_limit_is_taken() {
    let server = Server::always(answer("200 OK", &[b'x'; LIMIT])).await;
    assert_eq!(bytes(get(&fetcher(config()), &server.url("/")).await).len(), LIMIT);
}

#[tokio::test]
async fn a_document_that_did_not_change_is_not_sent_again() {
    let server = Server::start(|_, request| {
        if request.contains("if-none-match: \"v1\"\r\n") {
            send("HTTP/1.1 304 Not Modified\r\n\r\n")
        } else {
            answer("200 OK\r\netag: \"v1\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT", b"x")
        }
    })
    .await;
    let fetcher = fetcher(config());
    let Fetched::Body { validators, .. } = get(&fetcher, &server.url("/a.crl")).await.unwrap() else {
        panic!("not modified")
    };
    let again = fetcher.get(&server.url("/a.crl"), &validators, LIMIT).await.unwrap();
    assert_eq!(again, Fetched::NotModified);
    assert!(server.requests()[1].contains("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    assert_eq!(fetcher.counters().not_modified, 1);
    // Another URL gave them, so they mean nothing here.
    assert_eq!(bytes(fetcher.get(&server.url("/b.crl"), &validators, LIMIT).await), b"x");
}

#[tokio::test]
async fn a_host_never_sees_more_than_two_connections() {
    let meeting = Arc::new(tokio::sync::Barrier::new(2));
    let server = Server::start(move |_, _| {
        let mut acts = vec![Act::Meet(meeting.clone())];
        acts.extend(answer("200 OK", b"x"));
        acts
    })
    .await;
    let fetcher = fetcher(config());
    let fetches: Vec<_> = (0..8)
        .map(|i| {
            let (fetcher, url) = (fetcher.clone(), server.url(&format!("/{i}.crl")));
            tokio::spawn(async move { get(&fetcher, &url).await })
        })
        .collect();
    for fetch in fetches {
        assert_eq!(bytes(fetch.await.unwrap()), b"x");
    }
    assert_eq!(server.peak(), 2);
}

#[tokio::test]
async fn who_waits_for_a_place_too_long_is_told_so() {
    let server = Server::always(vec![Act::Hold]).await;
    let config =
        FetchConfig { connections_per_host: 1.try_into().unwrap(), total_deadline: SOON, ..config() };
    let fetcher = fetcher(config);
    let url = server.url("/");
    let (first, second) = tokio::join!(get(&fetcher, &url), get(&fetcher, &url));
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!(error.reason(), Reason::Deadline, "{error}");
    }
}

#[tokio::test]
async fn what_is_not_found_is_not_asked_for_again_soon() {
    let server = Server::always(answer("404 Not Found", b"")).await;
    let fetcher = fetcher(FetchConfig { negative_ttl: HOUR, ..config() });
    assert_eq!(get(&fetcher, &server.url("/a.crl")).await.unwrap_err().reason(), Reason::Status);
    let error = get(&fetcher, &server.url("/a.crl")).await.unwrap_err();
    assert!(matches!(error, FetchError::PutOff { .. }) && error.is_passing(), "{error}");
    assert!(error.retry_after().unwrap() <= HOUR);
    assert_eq!(server.requests().len(), 1);
    // Another document of the same host is asked for.
    assert_eq!(get(&fetcher, &server.url("/b.crl")).await.unwrap_err().reason(), Reason::Status);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn retry_after_keeps_the_place_alone_for_as_long() {
    for value in ["1800", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let busy = answer(&format!("503 Busy\r\nretry-after: {value}"), b"");
        let server = Server::always(busy).await;
        let fetcher = fetcher(config());
        let error = get(&fetcher, &server.url("/a.crl?x")).await.unwrap_err();
        assert!(error.retry_after().unwrap() > HOUR / 3, "{error}");
        let error = get(&fetcher, &server.url("/a.crl?y")).await.unwrap_err();
        assert!(matches!(error, FetchError::PutOff { .. }), "{error}");
        // The date is eight thousand years off: the ceiling cuts it.
        assert!(error.retry_after().unwrap() <= HOUR);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_host_that_recovers_is_forgiven() {
    let server = Server::start(|before, _| match before {
        1 => answer("200 OK", b"x"),
        _ => answer("500 Oops", b""),
    })
    .await;
    let fetcher = fetcher(config());
    assert!(get(&fetcher, &server.url("/")).await.is_err());
    assert_eq!(bytes(get(&fetcher, &server.url("/")).await), b"x");
    assert!(get(&fetcher, &server.url("/")).await.is_err());
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_at_the_start() {
    for config in [
        FetchConfig { file_directories: vec!["/nowhere/at/all".into()], ..config() },
        FetchConfig { tls_authorities: Some("/nowhere/at/all.pem".into()), ..config() },
        FetchConfig { total_deadline: Duration::MAX, ..config() },
    ] {
        assert!(Fetcher::new(config).is_err());
    }
}
