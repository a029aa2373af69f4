//! Whereto the fetcher may be led: addresses, names, redirects.

use super::server::{Act, Server, answer};
use super::*;
use crate::Reason;

async fn refused(fetcher: &Fetcher, url: &str, reason: Reason) -> FetchError {
    let error = get(fetcher, url).await.unwrap_err();
    assert_eq!(error.reason(), reason, "{url}: {error}");
    error
}

fn with_names(config: FetchConfig, names: &Names) -> Fetcher {
    Fetcher::with_resolver(config, Box::new(names.clone())).unwrap()
}

fn redirect(to: &str) -> Vec<Act> {
    answer(&format!("302 Found\r\nlocation: {to}"), b"")
}

#[tokio::test]
async fn literal_addresses_inside_are_refused_in_every_notation_before_any_packet() {
    let fetcher = fetcher(FetchConfig { allowed_networks: vec![], ..config() });
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "100.64.0.1",
    ] {
        let error =
            refused(&fetcher, &format!("http://{host}/latest/meta-data"), Reason::ForbiddenAddress).await;
        assert!(!error.is_passing());
    }
    assert_eq!(fetcher.counters().requests, 0);
}

/// CVE-2026-21945: a URL from outside must not reach what only this machine may reach.
#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    for address in ["10.0.0.1", "::ffff:169.254.169.254", "fe80::1", "::1"] {
        let fetcher = with_names(config(), &Names::new(&[&[address]]));
        let error = refused(&fetcher, "http://crl.example/a.crl", Reason::ForbiddenAddress).await;
        assert!(error.to_string().starts_with("crl.example lies at"), "{error}");
    }
}

/// CVE-2022-40617: a name that answers differently the next time gains nothing.
#[tokio::test]
async fn a_name_is_resolved_once_and_only_its_admitted_addresses_are_used() {
    let server = Server::always(answer("200 OK", b"x")).await;
    // First an address inside and an admitted one, thereafter only the former.
    let names = Names::new(&[&["10.0.0.1", "::ffff:127.0.0.1"], &["10.0.0.1"]]);
    let fetcher = with_names(config(), &names);
    let url = format!("http://crl.example:{}/a.crl", server.port);
    assert_eq!(bytes(get(&fetcher, &url).await), b"x");
    assert_eq!(names.asked.load(Ordering::Relaxed), 1);
    refused(&fetcher, &url, Reason::ForbiddenAddress).await;
}

#[tokio::test]
async fn a_name_without_addresses_is_unresolved() {
    let error = refused(&with_names(config(), &Names::new(&[&[]])), "http://x/", Reason::Unresolved).await;
    assert!(error.is_passing());
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let server = Server::always(answer("200 OK", b"x")).await;
    let config = FetchConfig { allowed_networks: vec!["127.0.0.0/8".parse().unwrap()], ..config() };
    let fetcher = with_names(config, &Names::new(&[&["127.9.9.9", "127.0.0.1"]]));
    assert_eq!(bytes(get(&fetcher, &format!("http://x:{}/", server.port)).await), b"x");
}

#[tokio::test]
async fn redirects_are_followed_up_to_three() {
    let hops = |hops| {
        Server::start(move |before, _| {
            if before < hops { redirect(&format!("/{}", before + 1)) } else { answer("200 OK", b"x") }
        })
    };
    let server = hops(3).await;
    let fetcher = fetcher(config());
    match get(&fetcher, &server.url("/0")).await.unwrap() {
        Fetched::Body { final_url, .. } => assert_eq!(final_url, server.url("/3")),
        other => panic!("{other:?}"),
    }
    let counters = fetcher.counters();
    assert_eq!((counters.requests, counters.redirects, counters.documents), (4, 3, 1));
    refused(&fetcher, &hops(4).await.url("/0"), Reason::TooManyRedirects).await;
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = Server::start(|_, _| redirect("/a.crl")).await;
    let error = refused(&fetcher(config()), &server.url("/a.crl"), Reason::TooManyRedirects).await;
    assert!(!error.is_passing());
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_redirect_to_an_address_inside_is_refused() {
    for to in
        ["http://127.0.0.2/", "http://169.254.169.254/latest/", "http://[::ffff:10.0.0.1]/", "//10.0.0.1/"]
    {
        let server = Server::start(move |_, _| redirect(to)).await;
        refused(&fetcher(config()), &server.url("/a.crl"), Reason::ForbiddenAddress).await;
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_to_a_name_that_leads_inside_is_refused() {
    let server = Server::start(|_, _| redirect("http://inside.example/")).await;
    let fetcher = with_names(config(), &Names::new(&[&["192.168.1.1"]]));
    refused(&fetcher, &server.url("/a.crl"), Reason::ForbiddenAddress).await;
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_refused_even_where_that_scheme_is_admitted() {
    let directory = tempfile::tempdir().unwrap();
    let generous = FetchConfig {
        schemes: serde_json::from_str(r#"["http", "file", "ldap"]"#).unwrap(),
        file_directories: vec![directory.path().into()],
        ..config()
    };
    for to in ["file:///etc/passwd", "ldap://127.0.0.1/cn=x?crl"] {
        let server = Server::start(move |_, _| redirect(to)).await;
        refused(&fetcher(config()), &server.url("/"), Reason::UnsupportedScheme).await;
        refused(&fetcher(generous.clone()), &server.url("/"), Reason::UnsafeRedirect).await;
    }
}

#[tokio::test]
async fn the_environment_names_no_proxy_that_would_be_used() {
    // A proxy would be asked with the whole URL; the host itself is asked with the path.
    let server = Server::always(answer("200 OK", b"x")).await;
    assert_eq!(bytes(get(&fetcher(config()), &server.url("/a.crl?b=c#d")).await), b"x");
    let request = &server.requests()[0];
    assert!(request.starts_with("GET /a.crl?b=c HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{request}");
    assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
}
