//! The doors of a validator, as a stranger's program finds them: each route as `openapi.json` says, events as they
//! happen, limits with their names, and the NATS services with their statistics.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_nats::HeaderMap;
use data_encoding::BASE64;
use revocast_client::{client_name, watch};
use revocast_messages::{WatchInterest, WatchRequest};
use revocast_tests::{
    DEADLINE, EventStream, Fleet, HttpAnswer, Schemas, ServerEvent, eventually, free_address, http, http_get,
    sha256_hex,
};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json; charset=utf-8")];

/// An authority, and a validator with a door that is known; `more` goes into its configuration.
async fn opened(more: &str) -> (Fleet, SocketAddr) {
    let mut fleet = Fleet::start().await;
    fleet.init_cas();
    fleet.start_authority();
    let address = free_address();
    let config = format!(
        "instance = 'v1'\nstate = {:?}\nlisten = '{address}'\nlease = '6s'\n[policies.default]\nanchors = [{:?}]\n{more}\n",
        fleet.path("v1"),
        fleet.path("root.crt"),
    );
    fleet.start_service("validator", "v1", &config);
    fleet.settled(1).await;
    (fleet, address)
}

struct Asker<'f> {
    fleet: &'f Fleet,
    address: SocketAddr,
}

impl Asker<'_> {
    fn certificate(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.fleet.path(name)).unwrap()
    }

    fn question(&self, names: &[&str]) -> Vec<u8> {
        let certificates: Vec<String> =
            names.iter().map(|name| BASE64.encode(&self.certificate(name))).collect();
        serde_json::to_vec(&json!({ "certificates": certificates })).unwrap()
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpAnswer {
        http(self.address, "POST", path, headers, body).await.unwrap()
    }
}

fn revoke(fleet: &Fleet, name: &str) {
    fleet.json(&["ca", "revoke", "issuing", "--cert", &format!("{name}.crt"), "--reason", "keyCompromise"]);
}

fn outcomes(answer: &HttpAnswer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    let judgements = answer["judgements"].as_array().unwrap().iter();
    judgements.map(|judgement| judgement["outcome"].as_str().unwrap().to_owned()).collect()
}

/// Holds answers against the document, and remembers which operations were seen.
struct Documented<'d> {
    document: &'d Value,
    seen: BTreeSet<String>,
}

impl Documented<'_> {
    /// The answer's status and body are what the document says of the operation.
    fn hold(&mut self, method: &str, path: &str, answer: &HttpAnswer) {
        let bare = path.split('?').next().unwrap();
        let operation = &self.document["paths"][bare][method.to_ascii_lowercase()];
        assert!(operation.is_object(), "{method} {bare} is not documented");
        self.seen.insert(operation["operationId"].as_str().unwrap().to_owned());
        let schemas = Schemas::of(self.document);
        let status = answer.status.to_string();
        let response = schemas.resolve(&operation["responses"][&status]);
        let kind = answer.header("content-type").split(';').next().unwrap();
        let schema = &response["content"][kind]["schema"];
        assert!(schema.is_object(), "{method} {path}: {status} with {kind} is not documented");
        if kind == "application/json" {
            let faults = schemas.faults(schema, &answer.json());
            assert!(faults.is_empty(), "{method} {path}, {status}: {faults:#?}");
        }
    }

    fn hold_event(&mut self, data: &Value) {
        let operation = &self.document["paths"]["/v1/events"]["get"];
        self.seen.insert(operation["operationId"].as_str().unwrap().to_owned());
        let schema = &operation["responses"]["200"]["content"]["text/event-stream"]["schema"];
        let faults = Schemas::of(self.document).faults(schema, data);
        assert!(faults.is_empty(), "{data}: {faults:#?}");
    }

    fn operations(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn every_route_answers_as_the_document_says_in_good_and_in_bad() {
    let (fleet, address) = opened("").await;
    let asker = Asker { fleet: &fleet, address };
    let document = http_get(address, "/openapi.json").await.unwrap().json();
    let mut documented = Documented { document: &document, seen: BTreeSet::new() };
    for path in
        ["/v1/scopes", "/v1/issuers", "/v1/issuers?limit=1", "/openapi.json", "/livez", "/readyz", "/metrics"]
    {
        documented.hold("GET", path, &http_get(address, path).await.unwrap());
    }
    for (path, status) in [
        ("/v1/issuers?limit=0", 400),
        ("/v1/issuers?page=1", 400),
        ("/v1/events?event=gossip", 400),
        ("/v1/events?issuer=x", 400),
    ] {
        let refused = http_get(address, path).await.unwrap();
        assert_eq!(refused.status, status, "{path}");
        documented.hold("GET", path, &refused);
    }

    let leaf = asker.certificate("leaf.crt");
    let known = |name| {
        let id = sha256_hex(&asker.certificate(name));
        serde_json::to_vec(&json!({ "from": { "search": { "certificate": id } } })).unwrap()
    };
    let many = vec!["leaf.crt"; 257];
    let unknown_policy = json!({ "certificates": [BASE64.encode(&leaf)], "options": { "policy": "none" } });
    for (path, headers, body, status) in [
        ("/v1/validate", &JSON[..], asker.question(&["leaf.crt"]), 200),
        ("/v1/validate?explain=true&dns=leaf.example", &[], leaf.clone(), 200),
        ("/v1/validate", &[], b"no certificate".to_vec(), 200),
        ("/v1/validate", &[], Vec::new(), 400),
        ("/v1/validate?color=red", &[], leaf.clone(), 400),
        ("/v1/validate?as_of=yesterday", &[], leaf.clone(), 400),
        ("/v1/validate?explain=true", &JSON[..], asker.question(&["leaf.crt"]), 400),
        ("/v1/validate", &JSON[..], b"{".to_vec(), 400),
        ("/v1/validate", &[("Content-Type", "text/html")], leaf.clone(), 415),
        ("/v1/validate", &JSON[..], asker.question(&many), 422),
        ("/v1/validate", &JSON[..], serde_json::to_vec(&unknown_policy).unwrap(), 422),
        ("/v1/validate", &[], vec![b'a'; (1 << 20) + 1], 413),
        ("/v1/acquire", &JSON[..], known("issuing.crt"), 200),
        ("/v1/acquire", &JSON[..], b"{".to_vec(), 400),
        ("/v1/acquire", &JSON[..], br#"{"from": {"url": "http://127.0.0.1/"}}"#.to_vec(), 403),
        ("/v1/acquire", &[], known("issuing.crt"), 415),
        ("/v1/acquire", &JSON[..], br#"{"from": {"search": {"subject": {"name": "AAAA"}}}}"#.to_vec(), 422),
        // Only a repository could have it, and there is none.
        ("/v1/acquire", &JSON[..], known("leaf.crt"), 502),
    ] {
        let answer = asker.post(path, headers, &body).await;
        assert_eq!(answer.status, status, "{path}: {}", String::from_utf8_lossy(&answer.body));
        documented.hold("POST", path, &answer);
    }
    let too_many = asker.post("/v1/validate", &JSON, &asker.question(&many)).await.json();
    assert_eq!(too_many["error"], "257 certificates are above the limit of 256 for one question");

    let mut events = EventStream::open(address, "/v1/events", &[]).await.unwrap();
    revoke(&fleet, "leaf");
    let mut names = BTreeSet::new();
    while !["notice", "applied", "receipt"].into_iter().all(|name| names.contains(name)) {
        let event = events.next().await.unwrap();
        assert_eq!(event.data["event"], event.event);
        documented.hold_event(&event.data);
        names.insert(event.event);
    }
    assert_eq!(documented.seen, documented.operations(), "every operation was held against the document");
}

#[tokio::test]
async fn certificates_are_taken_in_every_form_and_each_of_many_is_judged_in_order() {
    let (fleet, address) = opened("").await;
    fleet.issue("second");
    let asker = Asker { fleet: &fleet, address };
    let [leaf, second, issuing] =
        ["leaf.crt", "second.crt", "issuing.crt"].map(|name| asker.certificate(name));
    let pem = |der: &[u8]| {
        let text = BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    };
    let both = [pem(&leaf), pem(&second), pem(&issuing)].concat();
    let kind = |kind| [("Content-Type", kind)];
    let ask = async |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        outcomes(&asker.post(path, headers, body).await)
    };
    assert_eq!(ask("/v1/validate", &[], &leaf).await, ["valid"]);
    assert_eq!(ask("/v1/validate", &kind("application/pkix-cert"), &leaf).await, ["valid"]);
    assert_eq!(ask("/v1/validate", &kind("application/pem-certificate-chain"), &both).await, ["valid"]);
    assert_eq!(ask("/v1/validate?dns=other.example", &[], &leaf).await, ["invalid"]);
    revoke(&fleet, "second");
    eventually("the revocation is enforced", async || {
        (ask("/v1/validate", &[], &second).await == ["revoked"]).then_some(())
    })
    .await;
    assert_eq!(ask("/v1/validate?each=true", &[], &both).await, ["valid", "revoked", "valid"]);
    assert_eq!(
        ask("/v1/validate", &JSON, &asker.question(&["second.crt", "leaf.crt"])).await,
        ["revoked", "valid"]
    );
}

#[tokio::test]
async fn events_are_told_as_they_happen_to_so_many_and_end_with_the_validator() {
    let (mut fleet, address) =
        opened("[http]\nheader_deadline = '2s'\n[events]\nlisteners = 2\nkeep_alive = '50ms'").await;
    let open = async |query: &str, headers: &[(&str, &str)]| {
        EventStream::open(address, &format!("/v1/events{query}"), headers).await.unwrap()
    };
    let mut all = open("", &[]).await;
    let mut applied = open("?event=applied&kind=complete", &[]).await;
    assert_eq!(open("", &[]).await.status, 503, "a third one");
    // Listening outlives the time that a request's head may take.
    for _ in 0..60 {
        applied.comment().await;
    }
    revoke(&fleet, "leaf");
    let event = applied.next().await.unwrap();
    assert_eq!((event.event.as_str(), &event.data["number"]), ("applied", &json!("2")), "{event:?}");
    // The first CRL's receipt may be told late.
    let receipt = loop {
        let receipt = next_receipt(&mut all).await;
        if receipt.data["crl_id"] == event.data["crl_id"] {
            break receipt;
        }
    };

    // Whoever comes back goes on after what it heard.
    drop(applied);
    let last = event.id.unwrap();
    let mut again = eventually("the place is free again", async || {
        let stream = EventStream::open(address, "/v1/events", &[("Last-Event-ID", last.as_str())]).await?;
        (stream.status == 200).then_some(stream)
    })
    .await;
    assert_eq!(next_receipt(&mut again).await.id, receipt.id);
    drop(again);
    let mut stranger = eventually("the place is free again", async || {
        let stream = EventStream::open(address, "/v1/events", &[("Last-Event-ID", "1-1")]).await?;
        (stream.status == 200).then_some(stream)
    })
    .await;
    assert_eq!(stranger.next().await.unwrap().data, json!({ "event": "missed", "events": null }));

    // Two listen while it ends, which must not hold it up.
    fleet.stop("v1");
    all.rest().await;
    stranger.rest().await;
}

async fn next_receipt(events: &mut EventStream) -> ServerEvent {
    next_of(events, "receipt").await
}

async fn next_of(events: &mut EventStream, name: &str) -> ServerEvent {
    loop {
        let event = events.next().await.unwrap();
        if event.event == name {
            return event;
        }
    }
}

#[tokio::test]
async fn a_watched_verdict_that_changes_and_a_certificate_that_is_published_are_events_as_the_document_says()
{
    let (fleet, address) = opened("").await;
    let asker = Asker { fleet: &fleet, address };
    let document = http_get(address, "/openapi.json").await.unwrap().json();
    let mut documented = Documented { document: &document, seen: BTreeSet::new() };
    let mut events = EventStream::open(address, "/v1/events", &[]).await.unwrap();

    let leaf = asker.certificate("leaf.crt");
    let request = WatchRequest {
        client: client_name(),
        certificate: leaf.clone().into(),
        intermediates: Vec::new(),
        options: Default::default(),
        interest: WatchInterest::Start { lease_s: 60 },
    };
    let bus = fleet.nats.bus("client").await;
    let watching = watch(&bus, request, DEADLINE).await.unwrap();
    let first = next_of(&mut events, "verdict").await.data;
    revoke(&fleet, "leaf");
    let changed = next_of(&mut events, "verdict").await.data;
    for (told, outcome, before) in [(&first, "valid", Value::Null), (&changed, "revoked", json!("valid"))] {
        documented.hold_event(told);
        assert_eq!(told["watch"], watching.current().watch.to_string(), "{told}");
        assert_eq!((&told["event"], &told["certificate"]), (&json!("verdict"), &json!(sha256_hex(&leaf))));
        assert_eq!((&told["outcome"], &told["before"]), (&json!(outcome), &before), "{told}");
        assert_eq!((&told["policy"], &told["validator"]), (&json!("default"), &json!("v1")), "{told}");
    }
    watching.stop().await.unwrap();

    fleet.json(&["ca", "init", "foreign", "--subject", "CN=Foreign,O=Elsewhere", "--out", "foreign.crt"]);
    let learned = next_of(&mut events, "learned").await.data;
    documented.hold_event(&learned);
    assert_eq!(learned["event"], "learned");
    assert_eq!(learned["certificate"], sha256_hex(&asker.certificate("foreign.crt")));
    for name in ["subject", "issued_by"] {
        assert!(learned[name].as_str().unwrap().contains("CN=Foreign"), "{learned}");
    }
}

#[tokio::test]
async fn issuers_are_told_page_by_page_with_whether_they_lead_to_an_anchor() {
    let (fleet, address) = opened("").await;
    fleet.json(&["ca", "init", "foreign", "--subject", "CN=Foreign,O=Elsewhere", "--out", "foreign.crt"]);
    let page = async |query: &str| http_get(address, &format!("/v1/issuers{query}")).await.unwrap().json();
    let all = eventually("the foreign CA is learned", async || {
        let all = page("").await;
        (all["issuers"].as_array()?.len() == 3).then_some(all)
    })
    .await;
    assert_eq!(all["next"], Value::Null);
    let of = |name: &str| {
        let issuers = all["issuers"].as_array().unwrap().iter();
        issuers.into_iter().find(|issuer| issuer["name"].as_str().unwrap().contains(name)).unwrap().clone()
    };
    for (name, anchored, scopes) in [("CN=Root", true, 1), ("CN=Issuing", true, 1), ("CN=Foreign", false, 0)]
    {
        let issuer = of(name);
        assert_eq!(issuer["anchored"], json!({ "default": anchored }), "{issuer}");
        assert_eq!(issuer["scopes"].as_array().unwrap().len(), scopes, "{issuer}");
        assert_eq!(issuer["certificates"].as_array().unwrap().len(), 1, "{issuer}");
    }
    let mut pages = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = page(&query).await;
        pages.push(page["issuers"][0].clone());
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(Value::from(pages), all["issuers"]);
}

#[tokio::test]
async fn the_services_take_json_tell_errors_in_json_and_how_far_they_followed() {
    let (fleet, _) = opened("").await;
    let client = async_nats::connect(fleet.nats.url()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(JSON[0].0, JSON[0].1);
    // The services open one after the other, once the validator is ready.
    let ask = async |subject: &str, body: Value| {
        let answer = eventually("somebody answers", async || {
            let (headers, body) = (headers.clone(), body.to_string());
            client.request_with_headers(subject.to_owned(), headers, body.into()).await.ok()
        })
        .await;
        (serde_json::from_slice::<Value>(&answer.payload).unwrap(), answer.headers.unwrap_or_default())
    };
    let leaf = BASE64.encode(&std::fs::read(fleet.path("leaf.crt")).unwrap());
    let (answer, kind) = ask("pki.validate", json!({ "certificates": [leaf] })).await;
    assert_eq!(answer["judgements"][0]["outcome"], "valid", "{answer}");
    assert_eq!(kind.get("Content-Type").unwrap().as_str(), "application/json");
    let (explained, _) = ask("pki.explain", json!({ "certificates": [leaf] })).await;
    assert!(explained["judgements"][0]["explanation"].as_str().unwrap().contains("leaf"), "{explained}");
    let (error, headers_of_error) = ask("pki.validate", json!({ "certificate\n": [leaf] })).await;
    assert!(error["error"].as_str().unwrap().contains("certificate"), "{error}");
    assert_eq!(headers_of_error.get("Nats-Service-Error-Code").unwrap().as_str(), "400");

    let request = json!({
        "validator": "stranger", "issuer": null, "locations": [],
        "interest": { "start": { "payload": "announce", "lease_s": 5 } },
    });
    let (accepted, _) = ask("pki.subscribe.all.stranger", request.clone()).await;
    assert_eq!(accepted["accepted"]["role"], "authority", "{accepted}");
    let stop = json!({ "validator": "stranger", "issuer": null, "locations": [], "interest": "stop" });
    assert_eq!(ask("pki.subscribe.all.stranger", stop).await.0, "stopped");

    let told = eventually("every notice is worked on", async || {
        let (stats, _) = ask("$SRV.STATS.revocast-validator", Value::Null).await;
        let data = stats["endpoints"][0]["data"].clone();
        (data["streams"]["NOTICES"]["lag"] == 0).then_some(data)
    })
    .await;
    let bus = fleet.nats.bus("onlooker").await;
    assert!(told["streams"]["NOTICES"]["last_sequence"].as_u64().unwrap() > 0, "{told}");
    assert!(
        told["streams"]["NOTICES"]["last_sequence"].as_u64().unwrap()
            <= bus.stream_state("NOTICES").await.unwrap().last_sequence
    );
    assert_eq!((&told["scopes"], &told["ready"]), (&json!(2), &json!(true)), "{told}");
    let (info, _) = ask("$SRV.INFO.revocast-validator", Value::Null).await;
    let metadata = &info["metadata"];
    assert_eq!((&metadata["instance"], &metadata["policies"]), (&json!("v1"), &json!("default")), "{info}");
    assert_eq!(metadata["configuration"].as_str().unwrap().len(), 32, "{info}");
}

#[tokio::test]
async fn the_doors_series_are_there_before_anybody_asked() {
    let (_fleet, address) = opened("").await;
    let metrics = http_get(address, "/metrics").await.unwrap();
    let text = String::from_utf8(metrics.body).unwrap();
    for (name, kind, series) in [
        ("revocast_answers", "counter", r#"revocast_answers_total{outcome="revoked"} 0"#),
        (
            "revocast_http_answers",
            "counter",
            r#"revocast_http_answers_total{method="POST",route="/v1/validate",status="200"} 0"#,
        ),
        ("revocast_http_refused", "counter", r#"revocast_http_refused_total{limit="requests"} 0"#),
        ("revocast_event_listeners", "gauge", "revocast_event_listeners{} 0.0"),
        ("revocast_events_missed", "counter", "revocast_events_missed_total{} 0"),
        ("revocast_question_seconds", "histogram", "revocast_question_seconds_count 0"),
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}: {text}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {text}");
        assert!(text.contains(series), "{series}: {text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let described = |suffix: &str| {
            name.strip_suffix(suffix).is_some_and(|family| text.contains(&format!("# TYPE {family} ")))
        };
        assert!(["", "_total", "_count", "_sum", "_bucket"].into_iter().any(described), "{line}");
    }
}
