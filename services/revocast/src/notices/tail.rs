//! `revocast notices tail`: what travels, as it travels.

use clap::Args;
use revocast_bus::{Followed, Follower, Stored};
use revocast_messages::{Incoming, subjects};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::name::Name;
use serde_json::json;

use crate::bus::{BusArgs, block_on};
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    bus: BusArgs,
    /// Print first what stands: the last notice of every subject.
    #[arg(long)]
    heads: bool,
    /// Print heartbeats, too.
    #[arg(long)]
    heartbeats: bool,
    /// End after this many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) fn run(args: &TailArgs, output: &Output) -> Result<Exit, Failure> {
    block_on(tail(args, output))
}

async fn tail(args: &TailArgs, output: &Output) -> Result<Exit, Failure> {
    let bus = args.bus.connect().await?;
    let mut notices = Follower::new(&bus, subjects::NOTICES, subjects::ALL_NOTICES, None);
    let mut sightings = Follower::new(&bus, subjects::SIGHTINGS, subjects::ALL_NOTICES, None);
    let mut printed = 0;
    while args.limit.is_none_or(|limit| printed < limit) {
        let (stream, followed) = tokio::select! {
            followed = notices.next() => (subjects::NOTICES, followed),
            followed = sightings.next() => (subjects::SIGHTINGS, followed),
            _ = tokio::signal::ctrl_c() => break,
        };
        printed += match followed {
            Followed::Head(message) if args.heads => print(stream, &message, args.heartbeats, output),
            Followed::Next(message) => print(stream, &message, args.heartbeats, output),
            Followed::Detached { why } => {
                output.progress(&format!("{stream}: contact is lost ({why}), trying again"));
                0
            }
            Followed::Head(_) | Followed::Attached { .. } => 0,
        };
    }
    Ok(Exit::Ok)
}

/// Prints a message; tells how many lines that were.
fn print(stream: &str, message: &Stored, heartbeats: bool, output: &Output) -> u64 {
    let at = Time::from_unix(message.stored_at_ms().div_euclid(1_000));
    let read = Incoming::read(stream, &message.subject, |name| message.header(name), &message.payload);
    let (kind, body, text) = match read {
        Ok(Incoming::Crl(notice)) => {
            let name = Name::decode(notice.issuer_name.0.clone())
                .map_or_else(|_| "-".into(), |name| name.to_string());
            let number = notice.number.map_or_else(|| "without number".into(), |number| number.to_string());
            let text = format!(
                "CRL {number} ({}) of {name}, {} entries, {} new, told by {}/{}",
                notice.kind,
                notice.entries,
                notice.newly_revoked.len(),
                notice.origin.role,
                notice.origin.instance
            );
            ("crl", json!(notice), text)
        }
        Ok(Incoming::Certificate(notice)) => {
            let subject = Certificate::decode(notice.certificate.0.clone())
                .map_or_else(|_| "-".into(), |certificate| certificate.subject().to_string());
            let text = format!(
                "certificate of {subject}, told by {}/{}",
                notice.origin.role, notice.origin.instance
            );
            ("certificate", json!(notice), text)
        }
        Ok(Incoming::Heartbeat(_)) if !heartbeats => return 0,
        Ok(Incoming::Heartbeat(heartbeat)) => {
            let text = format!("{}/{} is alive", heartbeat.origin.role, heartbeat.origin.instance);
            ("heartbeat", json!(heartbeat), text)
        }
        Err(error) => ("unreadable", json!({ "why": error.to_string() }), format!("unreadable: {error}")),
    };
    let record = json!({
        "stream": stream, "sequence": message.sequence, "stored_at_ms": message.stored_at_ms(),
        "subject": message.subject, "kind": kind, "body": body,
    });
    output.record(&record, || format!("{at}  {stream} {}  {text}", message.sequence));
    1
}
