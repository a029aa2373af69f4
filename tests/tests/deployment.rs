//! The files that deploy it name only what is there.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use revocast_tests::{program, root};

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Words of letters, digits and underscores that begin with `prefix`.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(prefix))
        .map(ToOwned::to_owned)
        .collect()
}

/// Every Rust source below a folder, in one text.
fn sources(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_file_that_compose_mounts_exists() {
    let compose = text("compose.yaml");
    let mounted: Vec<&str> = compose
        .split(['"', ' ', '\n'])
        .filter(|word| word.starts_with("./"))
        .filter_map(|word| word.split(':').next())
        .collect();
    assert!(mounted.len() >= 8, "{mounted:?}");
    for path in mounted {
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn every_password_that_the_broker_reads_is_made_and_handed_over() {
    let read = words(&text("nats/accounts.conf"), "REVOCAST_NATS_");
    assert_eq!(read.len(), 9, "{read:?}");
    let (compose, made) = (text("compose.yaml"), text("ops/passwords.sh"));
    for name in read {
        assert!(
            compose.contains(&format!("      {name}: ${{{name}"))
                || compose.contains(&format!("    {name}: ${{{name}")),
            "{name}"
        );
        assert!(words(&made, "").contains(name.trim_start_matches("REVOCAST_NATS_")), "{name}");
    }
}

#[test]
fn alerts_and_dashboard_ask_for_series_that_are_counted() {
    let mut all = String::new();
    for counting in ["services", "shared/daemon"] {
        sources(&root().join(counting), &mut all);
    }
    let asked = text("ops/alerts.yml") + &text("ops/grafana/revocast.json");
    for prefix in ["revocast_", "x509_"] {
        for series in words(&asked, prefix) {
            let name = ["_total", "_bucket"]
                .iter()
                .fold(series.as_str(), |name, end| name.strip_suffix(end).unwrap_or(name));
            assert!(all.contains(&format!("\"{name}\"")), "nobody counts {series}");
        }
    }
}

#[test]
fn every_alert_has_its_chapter_in_the_runbook() {
    let runbook = text("ops/RUNBOOK.md");
    let chapters: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| {
            let kept = title.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-'));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        })
        .collect();
    let alerts = text("ops/alerts.yml");
    let named: Vec<&str> =
        alerts.lines().filter_map(|line| line.split_once("RUNBOOK.md#")).map(|(_, to)| to).collect();
    assert_eq!(named.len(), alerts.matches("- alert:").count());
    for chapter in named {
        assert!(chapters.contains(chapter), "{chapter} is not among {chapters:?}");
    }
}

#[test]
fn a_wrong_configuration_ends_a_validator_with_3_and_its_last_line_names_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("validator.toml");
    for (text, key) in [
        ("", "policies"),
        ("[policies.default]\nanchors = []", "policies.default.anchors"),
        ("[policies.default]\nanchors = ['missing.crt']", "policies.default.anchors: missing.crt"),
        ("certificates = 7", "certificates"),
        ("leese = '1m'", "leese"),
    ] {
        std::fs::write(&file, text).unwrap();
        for more in [&[][..], &["--show-config"]] {
            let words = ["validator", "run", "--config", "validator.toml"];
            let mut command = Command::new(program());
            let ended = command.args(words).args(more).current_dir(folder.path()).output().unwrap();
            let said = String::from_utf8(ended.stderr).unwrap();
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(ended.status.code(), Some(3), "{text:?}: {said}");
            assert!(last.contains("validator.toml") && last.contains(key), "{text:?}: {said}");
            assert!(ended.stdout.is_empty(), "{text:?}");
        }
    }
}

#[test]
fn a_file_that_is_missing_ends_a_verb_with_4_and_a_word_that_is_wrong_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
    for path in ["empty", "wrong", "unreadable/a.json"] {
        std::fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    write("wrong/a.json", "{");
    write("file", "");
    // Nobody listens there: whoever gets as far as asking the broker ends with 4, too.
    let nowhere = "nats://127.0.0.1:1";
    for (words, code, said) in [
        (&["nats", "apply", "--streams", "missing", "--nats", nowhere][..], 4, "missing: "),
        (&["nats", "check", "--streams", "file", "--nats", nowhere], 4, "file: "),
        (&["nats", "check", "--streams", "unreadable", "--nats", nowhere], 4, "unreadable/a.json: "),
        (&["nats", "apply", "--streams", "empty", "--nats", nowhere], 3, "empty: "),
        (&["nats", "apply", "--streams", "wrong", "--nats", nowhere], 3, "a.json"),
        (&["nats", "apply", "--nats", nowhere], 4, nowhere),
        (&["nats", "apply", "--nats", "http://x"], 3, "http://x"),
        (&["nats", "check", "--nats", "nats://n1,nats://"], 3, "nats://"),
        (&["status", "--nats", "http://x"], 3, "http://x"),
        (&["notices", "replay", "file", "--into", "http://x"], 3, "http://x"),
        (&["cert", "check", "--cert", "missing", "--validator", "any", "--nats", "http://x"], 3, "http://x"),
        (&["cert", "check", "--cert", "missing", "--validator", "any", "--nats", nowhere], 4, "missing: "),
    ] {
        let ended = Command::new(program()).args(words).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {printed}");
        assert!(printed.contains(said), "{words:?}: {printed}");
    }
}
