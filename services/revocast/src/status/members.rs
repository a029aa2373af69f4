//! The fleet by validator, in words.

use revocast_fleet::MemberView;
use revocast_fleet::instances::{InstanceReason, InstanceView};

use crate::output::table;

pub(super) fn text(members: &[MemberView]) -> String {
    if members.is_empty() {
        return "No validator subscribed or runs.".into();
    }
    let heading = [
        "VALIDATOR",
        "VERSION",
        "STATE",
        "SUBSCRIBED",
        "ANSWERED BY",
        "LEASE UNTIL",
        "SCOPES",
        "BEHIND",
        "FRESH",
    ];
    table(heading, members.iter().map(row))
}

fn row(member: &MemberView) -> [String; 9] {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let running = member.running.as_ref();
    let joined = |words: Vec<String>| if words.is_empty() { "-".into() } else { words.join(", ") };
    let subscribed = member.subscriptions.iter().map(|one| match one.issuer {
        Some(issuer) => issuer.to_string().chars().take(8).collect(),
        None => "all".into(),
    });
    let mut responsible: Vec<String> =
        member.subscriptions.iter().map(|one| one.responsible.to_string()).collect();
    responsible.dedup();
    [
        member.validator.to_string(),
        or_nothing(running.map(|running| running.version.clone())),
        state(member),
        joined(subscribed.collect()),
        joined(responsible),
        or_nothing(member.subscriptions.iter().map(|one| one.lapses).min().map(|time| time.to_string())),
        member.scopes.to_string(),
        member.behind.to_string(),
        or_nothing(running.and_then(|running| running.freshness_s).map(|age| format!("{age} s"))),
    ]
}

fn state(member: &MemberView) -> String {
    match &member.running {
        None if member.unknown => "unknown: its lease lapsed, and it does not answer".into(),
        None => "does not answer".into(),
        Some(running) => running_state(running),
    }
}

fn running_state(running: &InstanceView) -> String {
    let word = match running.ready {
        Some(true) if running.reasons.is_empty() => "ready",
        Some(true) => "degraded",
        Some(false) => "NOT READY",
        None => "running",
    };
    let why = |reason: &InstanceReason| format!("{}: {}", reason.about, reason.why);
    let reasons: Vec<String> = running.reasons.iter().map(why).collect();
    if reasons.is_empty() { word.into() } else { format!("{word} ({})", reasons.join("; ")) }
}
