//! The header lines of a notice, for whoever looks at the broker (`nats stream view NOTICES`).
//!
//! They repeat what the body says, in words; a receiver compares them and refuses a message that says one thing to
//! the operator and another to the machine.

/// Header lines in the order in which they are written.
pub type Headers = Vec<(&'static str, String)>;

/// The issuer's distinguished name (RFC 4514).
pub const ISSUER: &str = "Revocast-Issuer";
/// The scope's identifier.
pub const SCOPE: &str = "Revocast-Scope";
/// `complete` or `delta`.
pub const KIND: &str = "Revocast-Kind";
/// The CRL number in decimal; absent when the CRL has none.
pub const NUMBER: &str = "Revocast-Crl-Number";
/// thisUpdate, RFC 3339.
pub const THIS_UPDATE: &str = "Revocast-This-Update";
/// nextUpdate, RFC 3339; absent when the CRL has none.
pub const NEXT_UPDATE: &str = "Revocast-Next-Update";
/// How many entries the CRL has.
pub const ENTRIES: &str = "Revocast-Entries";
/// How many entries the notice says are new.
pub const NEWLY_REVOKED: &str = "Revocast-Newly-Revoked";
/// `<role>/<instance>` of who published.
pub const ORIGIN: &str = "Revocast-Origin";
/// The broker domain from which a bridge carried the notice. For people: nothing is decided by it, since whoever may
/// write notices may write it.
pub const DOMAIN: &str = "Revocast-Domain";
/// A certificate's subject (RFC 4514).
pub const SUBJECT: &str = "Revocast-Subject";
/// A watched verdict, and what it was before.
pub const VERDICT: &str = "Revocast-Verdict";
/// JetStream's deduplication key: a hash of subject and content, since the broker's window spans the stream.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// How long the broker keeps a message: a Go duration. For streams that allow it.
pub const TTL: &str = "Nats-TTL";
/// Why a message was put aside.
pub const REASON: &str = "Revocast-Reason";
/// The subject that a message put aside came on.
pub const ORIGINAL_SUBJECT: &str = "Revocast-Subject-Was";
/// What a replayed message is: `<stream>/<its birth>/<sequence>` of the original.
pub const REPLAY_OF: &str = "Revocast-Replay-Of";
/// When the original of a replayed message was stored: nanoseconds since the Unix epoch.
pub const STORED_AT: &str = "Revocast-Stored-At";
/// `application/json` for clients in other languages; absent means the binary form.
pub const CONTENT_TYPE: &str = "Content-Type";

/// The media type of messages that clients in other languages write and read.
pub const JSON: &str = "application/json";

/// Whether a `Content-Type` says JSON, whatever its parameters (`; charset=utf-8`).
pub fn says_json(content_type: Option<&str>) -> bool {
    let media = content_type.and_then(|line| line.split(';').next()).unwrap_or_default();
    media.trim().eq_ignore_ascii_case(JSON)
}

/// At most this many characters of a name go into a header line.
pub const MAX_NAME: usize = 512;

/// A name for a header line: cut at [`MAX_NAME`] characters.
pub fn name_line(name: &impl ToString) -> String {
    let mut line = name.to_string();
    if let Some((end, _)) = line.char_indices().nth(MAX_NAME) {
        line.truncate(end);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_whatever_its_parameters() {
        for json in ["application/json", "Application/JSON; charset=utf-8", " application/json ;x"] {
            assert!(says_json(Some(json)), "{json}");
        }
        for other in [None, Some(""), Some("application/jsonl"), Some("text/plain; application/json")] {
            assert!(!says_json(other), "{other:?}");
        }
    }
}
