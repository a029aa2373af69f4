//! `revocast cert check --validator`: the same question, put to the fleet instead of to files.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use revocast_client::{AskError, ask};
use revocast_messages::{
    Answer, Blob, DecodeError, Instance, Judgement, Outcome, Question, QuestionOptions, Refusal, instant,
};
use revocast_pki::asn1::Time;
use revocast_pki::bundle::{self, Item};

use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Options of a question to the fleet.
#[derive(Args)]
pub(super) struct FleetArgs {
    /// Ask the fleet: `any` validator that is free, or one by its name. Its policy says who is believed, and what else is
    /// required: options that say so here are refused.
    #[arg(long, value_name = "any|NAME", conflicts_with = "batch")]
    validator: Option<String>,
    /// The fleet's policy by name; its default if absent.
    #[arg(long, value_name = "NAME")]
    policy_name: Option<String>,
    /// Ask what was true at this instant, as far as it is known now: RFC 3339, or seconds since the Unix epoch. The
    /// validator must keep history that reaches back so far.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    as_of: Option<Time>,
    /// Ask what the validator knew at this instant; without --as-of of that very instant.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    as_known_at: Option<Time>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    #[command(flatten)]
    bus: BusArgs,
}

/// What of an offline question goes along.
pub(super) struct Carried<'a> {
    pub(super) certificate: Option<&'a Path>,
    pub(super) untrusted: &'a [std::path::PathBuf],
    pub(super) dns: Option<&'a str>,
    pub(super) eku: Option<String>,
    pub(super) explain: bool,
}

impl FleetArgs {
    /// Whether the fleet is asked at all.
    pub(super) fn is_asked(&self) -> bool {
        self.validator.is_some()
    }

    /// The options of a question to the fleet that were given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("--policy-name", self.policy_name.is_some()),
            ("--as-of", self.as_of.is_some()),
            ("--as-known-at", self.as_known_at.is_some()),
        ];
        options.into_iter().filter_map(|(option, is_given)| is_given.then_some(option))
    }

    /// Asks, and prints the verdict.
    pub(super) fn run(&self, carried: &Carried<'_>, output: &Output) -> Result<Exit, Failure> {
        let validator = match self.validator.as_deref() {
            None | Some("any") => None,
            Some(name) => Some(name.parse::<Instance>().map_err(Failure::usage)?),
        };
        let question = self.question(carried)?;
        let answer = block_on(async {
            let bus = self.bus.connect().await?;
            ask(&bus, &question, validator.as_ref(), self.patience).await.map_err(|error| match error {
                AskError::Refused(Refusal::Malformed { .. })
                | AskError::Codec(DecodeError::TooLarge { .. }) => Failure::usage(error),
                AskError::Refused(Refusal::Busy { .. })
                | AskError::Codec(_)
                | AskError::Bus(_)
                | AskError::Incomplete { .. }
                | AskError::Other => Failure::io(error),
            })
        })?;
        output.result(&answer, || text(&answer));
        Ok(exit(&answer.judgements))
    }

    fn question(&self, carried: &Carried<'_>) -> Result<Question, Failure> {
        let file = carried.certificate.ok_or_else(|| Failure::usage("name the certificate: --cert FILE"))?;
        let mut certificates = certificates(file)?.into_iter();
        let target = certificates
            .next()
            .ok_or_else(|| Failure::usage(format!("{}: no certificate is in it", file.display())))?;
        let mut intermediates: Vec<Blob> = certificates.collect();
        for path in carried.untrusted {
            intermediates.extend(self::certificates(path)?);
        }
        let options = QuestionOptions {
            policy: self.policy_name.clone(),
            dns: carried.dns.map(str::to_owned),
            eku: carried.eku.clone(),
            explain: carried.explain,
            as_of: self.as_of,
            as_known_at: self.as_known_at,
        };
        Ok(Question { certificates: vec![target], intermediates, options })
    }
}

/// Of a question about the past a CRL may be later.
fn age(age_s: i64) -> String {
    if age_s < 0 { format!("{} s later", -age_s) } else { format!("{age_s} s ago") }
}

/// The certificates in a file, unread and in their order.
pub(super) fn certificates(file: &Path) -> Result<Vec<Blob>, Failure> {
    let content = std::fs::read(file).map_err(|error| Failure::io(format!("{}: {error}", file.display())))?;
    let items =
        bundle::items(content).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok(items.into_iter().filter_map(certificate).collect())
}

fn certificate(item: Item) -> Option<Blob> {
    match item {
        Item::Certificate(der) => Some(der.into()),
        Item::Crl(_) => None,
    }
}

fn exit(judgements: &[Judgement]) -> Exit {
    match judgements.first().map(|judgement| judgement.outcome) {
        Some(Outcome::Valid) => Exit::Ok,
        Some(Outcome::Revoked | Outcome::Invalid) => Exit::Invalid,
        Some(Outcome::Indeterminate) | None => Exit::Indeterminate,
    }
}

/// The verdicts, for people.
pub(super) fn text(answer: &Answer) -> String {
    let mut lines = Vec::new();
    lines.extend(
        answer.past.map(|past| format!("as of {}, by what was known at {}:", past.as_of, past.as_known_at)),
    );
    for judgement in &answer.judgements {
        // "Valid" and "revoked" say it all.
        let plain = matches!(judgement.outcome, Outcome::Valid | Outcome::Revoked);
        let why = if plain { String::new() } else { format!(": {}", judgement.reason) };
        lines.push(format!(
            "{}{why}, says {} under policy {}",
            judgement.outcome, answer.validator, answer.policy
        ));
        for found in &judgement.evidence {
            let number = found.number.map_or_else(|| "without number".into(), |number| number.to_string());
            lines.push(format!(
                "  by CRL {number} of issuer {}, issued {}, {}",
                found.issuer,
                found.this_update,
                age(found.age_s)
            ));
        }
        lines.extend(judgement.explanation.clone());
    }
    lines.join("\n")
}
