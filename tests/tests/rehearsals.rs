//! The demo and the drill, run as a newcomer runs them.

#![allow(missing_docs, clippy::unwrap_used)]

use std::process::{Command, Stdio};

use revocast_tests::{nats_server, program};
use serde_json::Value;

/// Runs a verb with a broker of its own; its exit code and what it printed.
fn run(words: &[&str]) -> (i32, Value) {
    let output = Command::new(program())
        .args(words)
        .args(["--json", "--nats-server"])
        .arg(nats_server())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{error}: {printed}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), value)
}

#[test]
fn the_demo_shows_a_path_over_five_cas_undone_by_a_revocation() {
    let (code, shown) = run(&["demo"]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!((&shown["before"], &shown["after"]), (&"valid".into(), &"revoked".into()));
    assert_eq!(shown["path_length"], 6, "leaf, four cross-certificates, anchor");
    assert_eq!(shown["enforced"]["enforced"].as_array().unwrap().len(), 3);
    assert_eq!(shown["crosscut"], "revoked");
}

#[test]
fn a_large_crl_comes_by_object_store_first_and_by_difference_after_without_a_download_or_a_wrong_answer() {
    let (code, report) =
        run(&["drill", "--entries", "8000", "--revoke", "20", "--validators", "3", "--questions", "2"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["first"]["sources"], serde_json::json!([["object", 3]]));
    let mass = &report["mass_revocation"];
    assert_eq!(mass["sources"], serde_json::json!([["difference", 3]]));
    assert_eq!((&mass["entries"], &mass["missing"]), (&8020.into(), &0.into()));
    let (notice, crl) = (mass["notice_bytes"].as_u64().unwrap(), mass["crl_bytes"].as_u64().unwrap());
    assert!(notice * 50 < crl, "a notice of {notice} bytes for a CRL of {crl}");
    assert_eq!((&report["repository_downloads"], &report["wrong_verdicts"]), (&0.into(), &0.into()));
}

#[test]
fn a_large_crl_that_only_a_repository_has_is_downloaded_once_for_all() {
    let (code, report) = run(&[
        "drill",
        "--entries",
        "8000",
        "--revoke",
        "20",
        "--validators",
        "3",
        "--questions",
        "0",
        "--repository",
    ]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["repository_downloads"], 2, "one for each of the two CRLs: {report}");
    let sources = &report["mass_revocation"]["sources"];
    assert!(sources.as_array().unwrap().contains(&serde_json::json!(["repository", 1])), "{sources}");
    assert_eq!(report["mass_revocation"]["missing"], 0);
}
