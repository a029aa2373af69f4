//! Questions as people and suites ask them, about certificates minted at run time.

use std::fs;
use std::path::Path;

use revocast_pki::asn1::Time;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, GeneralName, KeyKind, SigningKey, name};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::batch::answers;

const NOW: Time = Time::from_unix(1_800_000_000);
const DAY: i64 = 86_400;

/// A folder with `root.pem`, `sub.der`, `leaf.pem`, `crls/root.der` and `crls/sub.pem`, and with `bad`, `not-a-cert.pem`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let validity = (NOW.plus(-DAY), NOW.plus(DAY));
    let (root_name, sub_name) = (name("CN=root").unwrap(), name("CN=sub").unwrap());
    let key = || SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (root_key, sub_key, leaf_key) = (key(), key(), key());
    let root = CertificateTemplate::ca(root_name.clone(), root_key.spki(), &[1], validity);
    let sub = CertificateTemplate::ca(sub_name.clone(), sub_key.spki(), &[2], validity);
    let leaf = CertificateTemplate {
        subject_alt_names: vec![GeneralName::Dns("www.example.org".into())],
        ..CertificateTemplate::new(name("CN=leaf").unwrap(), leaf_key.spki(), &[3], validity)
    };
    let crl = |issuer, key| CrlTemplate::new(issuer, 1, validity.0, validity.1).sign([], key).unwrap();
    let write = |path: &str, content: &[u8]| fs::write(folder.path().join(path), content).unwrap();
    fs::create_dir(folder.path().join("crls")).unwrap();
    write("root.pem", &pem("CERTIFICATE", &root.sign(&root_name, &root_key).unwrap()));
    write("sub.der", &sub.sign(&root_name, &root_key).unwrap());
    write("leaf.pem", &pem("CERTIFICATE", &leaf.sign(&sub_name, &sub_key).unwrap()));
    write("crls/root.der", &crl(root_name, &root_key));
    write("crls/sub.pem", &pem("X509 CRL", &crl(sub_name, &sub_key)));
    write("bad", b"\x30\x03junk");
    write("not-a-cert.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n");
    folder
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
}

fn ask(lines: &[u8], folder: &Path) -> Vec<Value> {
    answers(lines, folder, NOW).map(|answer| serde_json::to_value(answer).unwrap()).collect()
}

fn question() -> Value {
    json!({ "anchor": ["root.pem"], "cert": "leaf.pem", "untrusted": ["sub.der"], "crl": ["crls"] })
}

fn with(changes: Value) -> String {
    let mut question = question();
    question.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    question.to_string()
}

#[test]
fn every_option_has_its_say() {
    let folder = folder();
    let cases = [
        (json!({}), "valid", None),
        (json!({ "crl": [] }), "indeterminate", Some("revocation_unknown_no_crl")),
        (json!({ "crl": [], "revocation": "soft" }), "valid", None),
        (json!({ "crl": [], "revocation": "none" }), "valid", None),
        (json!({ "at": "2040-01-01T00:00:00Z" }), "invalid", Some("expired")),
        (json!({ "at": "2040-01-01T00:00:00Z", "anchor-as-key": true }), "invalid", Some("expired")),
        (json!({ "untrusted": [] }), "invalid", Some("no_path")),
        (json!({ "untrusted": ["bad", "sub.der"] }), "valid", None),
        (json!({ "max-depth": 1 }), "valid", None),
        (json!({ "max-depth": 0 }), "invalid", Some("depth")),
        (json!({ "explicit-policy": true }), "invalid", Some("policy")),
        (json!({ "policy": ["1.2.3"] }), "valid", None),
        (json!({ "dns": "www.example.org", "eku": "serverAuth" }), "valid", None),
        (json!({ "dns": "example.org" }), "invalid", Some("name_not_borne")),
        (json!({ "ip": "127.0.0.1" }), "invalid", Some("name_not_borne")),
        (json!({ "email": "a@example.org" }), "invalid", Some("name_not_borne")),
        (json!({ "algorithms": "legacy", "all-paths": true, "inhibit-mapping": true }), "valid", None),
        (json!({ "inhibit-any-policy": true, "eku": "1.2.3" }), "valid", None),
    ];
    for (changes, outcome, reason) in cases {
        let answer = &ask(with(changes.clone()).as_bytes(), folder.path())[0];
        assert_eq!(answer["outcome"], outcome, "{changes}: {answer}");
        assert_eq!(answer["reason"].as_str(), reason, "{changes}");
    }
}

#[test]
fn every_line_gets_a_line_whatever_it_is() {
    let folder = folder();
    let lines = [
        question().to_string(),
        String::new(),
        "{".into(),
        "[]".into(),
        with(json!({ "cert": "missing.pem" })),
        with(json!({ "cert": "bad" })),
        with(json!({ "cert": "not-a-cert.pem" })),
        with(json!({ "anchor": ["bad"] })),
        with(json!({ "eku": "nonsense" })),
        with(json!({ "policy": ["x"] })),
        with(json!({ "at": "yesterday" })),
        with(json!({ "typo": true })),
        with(json!({ "dns": "a", "ip": "127.0.0.1" })),
        question().to_string(),
    ];
    let answers = ask(lines.join("\n").as_bytes(), folder.path());
    let got: Vec<_> = answers.iter().map(|answer| answer["reason"].as_str().unwrap_or("valid")).collect();
    let expected = [
        "valid",
        "question",
        "question",
        "question",
        "file",
        "unreadable",
        "unreadable",
        "no_path",
        "question",
        "question",
        "question",
        "question",
        "question",
        "valid",
    ];
    assert_eq!(got, expected);
    assert!(ask(b"", folder.path()).is_empty());
    assert_eq!(ask(b"\xff\xfe\n", folder.path()).len(), 1);
}
