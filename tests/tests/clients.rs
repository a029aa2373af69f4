//! Clients in other languages: the very scripts of `docs/clients`, against a fleet under its permissions.
//!
//! ```text
//!   ask.py, watch.py, follow.py  -->  nats-server (accounts)  <--  authority, v1
//!   ask.sh, events.sh (curl)     -->  v1, over TLS, with a client certificate
//! ```

#![allow(missing_docs, clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use revocast_tests::{Fleet, PASSWORD, TlsFiles, eventually, free_address, root};
use serde_json::{Value, json};

/// A fleet with accounts, and a validator whose door asks for client certificates.
async fn opened() -> (Fleet, SocketAddr) {
    let mut fleet = Fleet::with_accounts().await;
    fleet.init_cas();
    fleet.issue("second");
    fleet.start_authority();
    let files = TlsFiles::new(&fleet.path(""), "good");
    files.issue("door");
    files.issue("asker");
    TlsFiles::new(&fleet.path(""), "other").issue("stranger");
    let address = free_address();
    let config = format!(
        "instance = 'v1'\nstate = {:?}\nlisten = '{address}'\nlease = '6s'\n\
         [policies.default]\nanchors = [{:?}]\n\
         [http.tls]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        fleet.path("v1"),
        fleet.path("root.crt"),
        fleet.path("door.pem"),
        fleet.path("door.key"),
        fleet.path("good-ca.pem"),
    );
    fleet.start_service("validator", "v1", &config);
    fleet.settled(1).await;
    for name in ["leaf", "second", "issuing"] {
        openssl(&fleet, &["x509", "-in", &format!("{name}.crt"), "-out", &format!("{name}.pem")]);
    }
    (fleet, address)
}

fn openssl(fleet: &Fleet, words: &[&str]) {
    let output = Command::new("openssl").args(words).current_dir(fleet.path("")).output().unwrap();
    assert!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A script of `docs/clients`, as a user of the broker.
fn script(fleet: &Fleet, name: &str, user: &str) -> Command {
    let mut command = Command::new(root().join("docs/clients").join(name));
    command
        .current_dir(fleet.path(""))
        .env("PYTHONPATH", nats_py())
        .env("NATS_URL", fleet.nats.url())
        .env("NATS_USER", user)
        .env("NATS_PASSWORD", PASSWORD)
        .stdin(Stdio::null());
    command
}

/// nats-py, as `ops/nats-py.sh` brings it.
fn nats_py() -> PathBuf {
    let found = Command::new("sh").arg(root().join("ops/nats-py.sh")).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().trim().into()
}

fn revoke(fleet: &Fleet, name: &str) {
    let file = format!("{name}.crt");
    let (code, report) = fleet.json_with_code(&["ca", "revoke", "issuing", "--cert", &file, "--wait"]);
    assert_eq!(code, 0, "{report}");
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_python_client_asks_over_nats_in_json() {
    let (fleet, _) = opened().await;
    let ask = |words: &[&str]| script(&fleet, "ask.py", "client").args(words).output().unwrap();
    let answer = |output: &Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(output)))
    };
    let valid = ask(&["leaf.pem", "second.crt"]);
    assert_eq!(valid.status.code(), Some(0), "{}", printed(&valid));
    assert_eq!(answer(&valid)["validator"], "v1");
    revoke(&fleet, "second");
    let revoked = ask(&["--explain", "leaf.crt", "second.crt"]);
    assert_eq!(revoked.status.code(), Some(1), "{}", printed(&revoked));
    let judgements = answer(&revoked)["judgements"].clone();
    assert_eq!((&judgements[0]["outcome"], &judgements[1]["outcome"]), (&json!("valid"), &json!("revoked")));
    assert!(judgements[1]["explanation"].is_string());
    let refused = ask(&["--policy", "none", "--validator", "v1", "leaf.crt"]);
    assert_eq!(refused.status.code(), Some(4), "{}", printed(&refused));
    assert!(answer(&refused)["refused"]["malformed"]["why"].as_str().unwrap().contains("default"));
    assert!(!fleet.nats.log().contains("Violation"), "{}", fleet.nats.log());
}

/// A script that runs on, and what it prints; it ends with its handle.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// The next line; empty at the end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_python_client_subscribes_in_json_follows_the_notices_and_takes_the_subscription_back() {
    let (fleet, _) = opened().await;
    let mut follower = Running::start(script(&fleet, "follow.py", "validator").args(["--name", "pythonic"]));
    let mut subscribed = false;
    let mut heads = 0;
    while !subscribed || heads < 2 {
        let line = follower.json();
        subscribed |= line["subscription"]["accepted"]["role"] == "authority";
        heads += usize::from(line["notice"].is_object());
    }
    let registered = || {
        let (_, scopes) = fleet.json_with_code(&["status"]);
        let validators = scopes[0]["validators"].as_array().cloned().unwrap_or_default();
        validators.iter().any(|validator| validator["validator"] == "pythonic")
    };
    assert!(registered(), "it is in the list of destinations");
    let (_, report) = fleet.json_with_code(&["ca", "revoke", "issuing", "--cert", "leaf.crt"]);
    let notice = loop {
        let line = follower.json();
        if line["notice"].is_object() {
            break line["notice"].clone();
        }
    };
    assert_eq!(
        (&notice["Revocast-Issuer"], &notice["Revocast-Crl-Number"], &notice["Revocast-Entries"]),
        (&json!("CN=Issuing,O=Test"), &json!("2"), &json!("1")),
        "{notice} {report}"
    );
    kill(Pid::from_raw(follower.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(follower.json(), json!({ "subscription": "stopped" }));
    assert!(follower.child.wait().unwrap().success());
    eventually("it has left the list", async || (!registered()).then_some(())).await;
    assert!(!fleet.nats.log().contains("Violation"), "{}", fleet.nats.log());
}

#[tokio::test]
async fn a_python_client_is_told_when_the_verdict_on_a_watched_certificate_changes() {
    let (fleet, _) = opened().await;
    let mut watching =
        Running::start(script(&fleet, "watch.py", "client").args(["--count", "2", "leaf.crt"]));
    assert_eq!(watching.json()["outcome"], "valid");
    revoke(&fleet, "leaf");
    let verdict = watching.json();
    assert_eq!((&verdict["outcome"], &verdict["before"]), (&json!("revoked"), &json!("valid")), "{verdict}");
    assert!(watching.child.wait().unwrap().success());
    assert!(!fleet.nats.log().contains("Violation"), "{}", fleet.nats.log());
}

const GOOD: &str = "--cacert good-ca.pem --cert asker.pem --key asker.key";

#[tokio::test]
async fn curl_asks_in_every_form_with_a_client_certificate_and_is_refused_without() {
    let (fleet, address) = opened().await;
    let url = format!("https://localhost:{}", address.port());
    let ask = |options: &str| {
        let mut command = script(&fleet, "ask.sh", "client");
        command.args([url.as_str(), "leaf.pem", "issuing.pem"]).env("CURL_OPTIONS", options);
        command.output().unwrap()
    };
    let output = ask(GOOD);
    assert!(output.status.success(), "{}", printed(&output));
    let answers: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let judged: Vec<usize> =
        answers.iter().map(|answer| answer["judgements"].as_array().unwrap().len()).collect();
    assert_eq!(judged, [1, 1, 2, 1]);
    assert!(answers.iter().all(|answer| answer["judgements"][0]["outcome"] == "valid"));
    assert!(answers[0]["judgements"][0]["explanation"].is_string());
    for (refused, options) in [
        ("no client certificate", "--cacert good-ca.pem"),
        ("one of another authority", "--cacert good-ca.pem --cert stranger.pem --key stranger.key"),
        (
            "a client that believes another authority",
            "--cacert other-ca.pem --cert asker.pem --key asker.key",
        ),
    ] {
        let output = ask(options);
        assert!(!output.status.success(), "{refused}: {}", printed(&output));
    }
}

#[tokio::test]
async fn curl_follows_what_comes_to_be_enforced() {
    let (fleet, address) = opened().await;
    let url = format!("https://localhost:{}", address.port());
    let mut events = script(&fleet, "events.sh", "client");
    events.args([url.as_str(), "event=applied"]).env("CURL_OPTIONS", GOOD);
    let mut events = Running::start(&mut events);
    // Listening begins some time after curl does: whatever is applied from then on is told.
    let mut seen = 0;
    let listening = || {
        let metrics = Command::new("curl")
            .args(["--silent", "--fail", &format!("{url}/metrics")])
            .args(GOOD.split(' '))
            .current_dir(fleet.path(""))
            .output()
            .unwrap();
        String::from_utf8_lossy(&metrics.stdout).contains("revocast_event_listeners{} 1.0\n")
    };
    eventually("curl listens", async || listening().then_some(())).await;
    revoke(&fleet, "leaf");
    let data = loop {
        let line = events.line();
        assert!(!line.is_empty(), "curl ended after {seen} lines");
        seen += 1;
        if let Some(data) = line.strip_prefix("data: ") {
            break serde_json::from_str::<Value>(data).unwrap();
        }
    };
    assert_eq!((&data["event"], &data["number"]), (&json!("applied"), &json!("2")), "{data}");
}
