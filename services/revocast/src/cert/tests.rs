//! Questions as people and suites ask them, about certificates minted at run time.

use std::fs;
use std::path::Path;

use clap::{Args, Parser};
use revocast_pki::asn1::Time;
use revocast_pki::mint::{CertificateTemplate, CrlTemplate, GeneralName, KeyKind, SigningKey, name};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::CheckArgs;
use super::asked::Asked;
use super::batch::answers;
use crate::exit::Exit;

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

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: CheckArgs,
}

/// What is refused of these words, if anything is.
fn refused(words: &[&str]) -> Option<String> {
    let line = match Line::try_parse_from([&["check"], words].concat()) {
        Ok(line) => line,
        Err(error) => return Some(error.to_string()),
    };
    let failure = line.args.fit().err()?;
    assert_eq!(failure.exit(), Exit::Usage);
    Some(failure.why().to_owned())
}

/// Every option of a question, each with a value that can be read.
fn options() -> Vec<Vec<String>> {
    let command = Asked::augment_args(clap::Command::new("check"));
    let words = command.get_arguments().map(|option| {
        let name = option.get_long().unwrap();
        let value = match name {
            "at" => "2026-11-22T15:00:00Z",
            "policy" | "eku" => "1.2.3",
            "ip" => "127.0.0.1",
            "revocation" => "hard",
            "algorithms" => "default",
            "max-depth" => "1",
            _ => "a",
        };
        let value = option.get_action().takes_values().then(|| value.to_owned());
        [format!("--{name}")].into_iter().chain(value).collect()
    });
    words.collect()
}

#[test]
fn an_option_that_is_not_carried_to_a_validator_is_refused_by_its_name() {
    let carried = ["--cert", "--untrusted", "--eku", "--dns", "--all-paths"];
    assert_eq!(options().len(), 18);
    for option in options() {
        let option: Vec<&str> = option.iter().map(String::as_str).collect();
        let cert: &[&str] = if option[0] == "--cert" { &[] } else { &["--cert", "leaf.pem"] };
        let refused = refused(&[cert, &option, &["--validator", "any"]].concat());
        assert_eq!(refused.is_none(), carried.contains(&option[0]), "{option:?}: {refused:?}");
        let Some(why) = refused else { continue };
        assert!(why.starts_with(&format!("{} ", option[0])), "{why}");
        let decides = if ["--at", "--crl"].contains(&option[0]) { "--as-of" } else { "policy decides" };
        assert!(why.contains(decides), "{why}");
    }
}

#[test]
fn an_option_that_only_a_validator_understands_is_refused_by_its_name_where_it_is_judged_here() {
    let (here, batch) = (["--anchor", "root.pem", "--cert", "leaf.pem"], ["--batch", "questions"]);
    let asked = ["--cert", "leaf.pem", "--validator", "any"];
    let past = "2026-11-22T15:00:00Z";
    for option in [["--policy-name", "strict"], ["--as-of", past], ["--as-known-at", past]] {
        for judged in [&here[..], &batch] {
            let why = refused(&[judged, &option].concat()).unwrap();
            assert!(why.starts_with(&format!("{} ", option[0])) && why.contains("--at"), "{why}");
        }
        assert_eq!(refused(&[&asked[..], &option].concat()), None);
    }
    assert_eq!((refused(&here), refused(&batch)), (None, None));
}

#[test]
fn an_option_that_the_lines_of_a_batch_say_is_refused_beside_it_by_its_name() {
    for option in options() {
        let words: Vec<&str> =
            ["--batch", "questions"].into_iter().chain(option.iter().map(String::as_str)).collect();
        assert!(refused(&words).is_some_and(|why| why.contains(&option[0])), "{option:?}");
    }
}
