//! What the program prints: tables and sentences for people, JSON for machines.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::exit::Failure;

/// Where results go.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether a machine reads along.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A result: `value` for machines, `text` for people.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string_pretty(value) {
                Ok(json) => line(&json),
                Err(error) => line(&format!("{{\"error\": \"unprintable: {error}\"}}")),
            }
        } else {
            line(&text());
        }
    }

    /// One of a stream of results: a line of JSON, or of text.
    pub(crate) fn record(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        match serde_json::to_string(value) {
            Ok(json) if self.json => line(&json),
            _ => line(&text()),
        }
    }

    /// A word on the way, for people at a terminal only; results are never mixed with it.
    pub(crate) fn progress(&self, text: &str) {
        if !self.json && std::io::stderr().is_terminal() {
            eprintln!("{text}");
        }
    }

    /// Why nothing came of it, to standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": failure.why() }));
        } else {
            eprintln!("revocast: {}", failure.why());
        }
    }
}

/// A table with a heading; plain enough for a pipe.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A closed pipe ends the program quietly, as it does for every other filter.
fn line(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}
