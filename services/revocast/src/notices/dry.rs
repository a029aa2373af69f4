//! `revocast notices replay --dry`: what a validator with these anchors would have enforced when.

use std::collections::BTreeMap;

use revocast_messages::subjects;
use revocast_pki::asn1::Time;
use revocast_recording::Record;
use revocast_validator::replay::{EnforcedScope, Played, Simulation};
use revocast_validator::{Policies, PolicyConfig};
use serde_json::json;

use super::replay::{ReplayArgs, next, open};
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

/// The only policy that there is.
const POLICY: &str = "default";

/// Plays a recording through the deciders of a validator; one line for each message that says something, then the state.
pub(super) async fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = tempfile::Builder::new().prefix("revocast-replay-").tempdir().map_err(Failure::io)?;
    let config = PolicyConfig { anchors: args.anchors.clone(), ..PolicyConfig::default() };
    let policies =
        Policies::read(&BTreeMap::from([(POLICY.to_owned(), config)]), POLICY).map_err(Failure::usage)?;
    let known = revocast_store::read_certificates(&args.certificates).map_err(Failure::usage)?;
    let mut simulation = Simulation::new(folder.path(), policies, known).map_err(Failure::io)?;
    let mut reader = open(&args.file)?;
    while let Some(record) = next(&mut reader, &args.file, args.cut_short)? {
        let is_heartbeat =
            matches!(&record, Record::Message(message) if message.subject.starts_with(subjects::HEARTBEATS));
        let played = simulation.play(record).await.map_err(Failure::io)?;
        if let Some(played) = played.filter(|_| !is_heartbeat) {
            output.record(&played, || line(&played));
        }
    }
    simulation.settle().await.map_err(Failure::io)?;
    let (scopes, owed) = (simulation.scopes(), simulation.debts().map_err(Failure::io)?);
    let end = json!({ "state": simulation.digest(), "owed": owed, "scopes": scopes });
    output.record(&end, || format!("\n{}\n\nowed: {owed}\nstate: {}", listed(&scopes), simulation.digest()));
    Ok(Exit::Ok)
}

fn line(played: &Played) -> String {
    let at = Time::from_unix(played.stored_at_ms.div_euclid(1_000));
    let mut words = format!("{at}  {} {}  {}", played.stream, played.sequence, played.outcome);
    if let Some(why) = &played.why {
        words.push_str(&format!(": {why}"));
    }
    for scope in &played.enforced {
        words.push_str(&format!("\n    enforces CRL {} of {}", number(scope), scope.issuer_name));
        if scope.crl_ids.len() > 1 {
            words.push_str(&format!(", joined with {} that CONFLICT with it", scope.crl_ids.len() - 1));
        }
    }
    words
}

fn number(scope: &EnforcedScope) -> String {
    scope.number.map_or_else(|| "without number".into(), |number| number.to_string())
}

fn listed(scopes: &[EnforcedScope]) -> String {
    let row = |scope: &EnforcedScope| {
        [
            scope.issuer_name.clone(),
            scope.scope.to_string().chars().take(8).collect(),
            scope.kind.to_string(),
            number(scope),
            scope.entries.to_string(),
            Time::from_unix(scope.applied_at_ms.div_euclid(1_000)).to_string(),
        ]
    };
    table(["ISSUER", "SCOPE", "KIND", "ENFORCED", "ENTRIES", "SINCE"], scopes.iter().map(row))
}
