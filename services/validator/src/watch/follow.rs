//! What comes in: registrations from the registry's bucket, heads from the stream of verdicts, events of this validator,
//! and the time.

use std::sync::Arc;
use std::time::Duration;

use revocast_bus::{Followed, Follower, Stored};
use revocast_daemon::every;
use revocast_messages::{Instance, WatchRegistration, decode, subjects};
use revocast_pki::identity::WatchId;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::asked::Asked;
use super::keep::{WORKED_ON_AT_ONCE, Watches};
use super::tell;
use crate::events::{Event, Events};

/// How often it is looked whether a lease lapsed or an instant has come: a verdict of this second is told in this second.
const LOOK: Duration = Duration::from_millis(250);

/// The bucket, as the stream that it is.
const REGISTRY: &str = "KV_watches";
const REGISTRY_SUBJECTS: &str = "$KV.watches.>";

/// Keeps watched verdicts for as long as it is polled.
pub(crate) async fn run(watches: Watches, events: Events) {
    let mut tasks = JoinSet::new();
    for _ in 0..WORKED_ON_AT_ONCE {
        let watches = watches.clone();
        tasks.spawn(async move { watches.work().await });
    }
    tasks.spawn(listen(watches.clone(), events.clone()));
    tasks.spawn(follow(watches, events));
    while tasks.join_next().await.is_some() {}
}

/// Events of this validator, and the time.
async fn listen(watches: Watches, events: Events) {
    let (mut events, mut looking) = (events.changes(), every(LOOK));
    loop {
        let watching = watches.are_watched();
        tokio::select! {
            event = events.recv(), if watching => match event {
                Ok(event) => happened(&watches, &event),
                Err(RecvError::Lagged(missed)) => {
                    debug!(missed, "every watched verdict is judged anew: events were missed");
                    watches.change(super::registry::Registry::all_are_due);
                }
                Err(RecvError::Closed) => return,
            },
            // While nobody watches, nobody is woken by what happens.
            () = watches.begun(), if !watching => {}
            _ = looking.tick() => {
                watches.tick();
                let later = events.resubscribe();
                if !watches.are_watched() {
                    events = later;
                }
            }
        }
    }
}

fn happened(watches: &Watches, event: &Event) {
    let name = match event {
        Event::Applied { scope, .. } => {
            watches.judge().live.enforced(scope).map(|enforced| enforced.crl.issuer().clone())
        }
        Event::Learned(certificate) => Some(certificate.subject().clone()),
        _ => None,
    };
    if let Some(name) = name {
        watches.change(|registry| registry.concerned(&name));
    }
}

/// Registrations first: a head is of use only for what is watched.
async fn follow(watches: Watches, events: Events) {
    let mut registrations = Follower::new(watches.bus(), REGISTRY, REGISTRY_SUBJECTS, None);
    loop {
        match registrations.next().await {
            Followed::Head(entry) | Followed::Next(entry) => registered(&watches, &entry),
            Followed::Attached { heads, .. } => {
                info!(heads, "following the registry of watches");
                break;
            }
            Followed::Detached { .. } => {}
        }
    }
    let mut verdicts = Follower::new(watches.bus(), subjects::VERDICTS, subjects::ALL_VERDICTS, None);
    loop {
        tokio::select! {
            followed = registrations.next() => match followed {
                Followed::Head(entry) | Followed::Next(entry) => registered(&watches, &entry),
                Followed::Attached { .. } | Followed::Detached { .. } => {}
            },
            followed = verdicts.next() => match followed {
                Followed::Head(message) => told(&watches, &message, None),
                Followed::Next(message) => told(&watches, &message, Some(&events)),
                Followed::Attached { .. } => {
                    // While there was no contact, nothing could be told, and the broker may have lost something.
                    watches.change(super::registry::Registry::all_are_due);
                    watches.attached(true);
                }
                Followed::Detached { .. } => {
                    watches.attached(false);
                    watches.change(super::registry::Registry::forget_heads);
                }
            },
        }
    }
}

fn told(watches: &Watches, message: &Stored, events: Option<&Events>) {
    let Some(head) = tell::read(message) else { return };
    if let Some(events) = events {
        events.tell(Event::Verdict(head.told.clone()));
    }
    watches.change(|registry| registry.told(head));
}

/// An entry of the registry. What is not of this validator's making is read with the same care as a request.
fn registered(watches: &Watches, entry: &Stored) {
    let Some((id, client)) = key(&entry.subject) else { return watches.not_taken("key") };
    if entry.header("KV-Operation").is_some() || entry.header("Nats-Marker-Reason").is_some() {
        return watches.change(|registry| registry.leave(id, &client));
    }
    let registration: WatchRegistration = match decode(&entry.payload) {
        Ok(registration) => registration,
        Err(error) => {
            warn!(key = %entry.subject, %error, "a watch cannot be read");
            return watches.not_taken("undecodable");
        }
    };
    let WatchRegistration { certificate, intermediates, options, lapses_at_ms, .. } = &registration;
    if registration.client != client || *lapses_at_ms <= watches.now_ms() {
        return;
    }
    match Asked::read(certificate, intermediates, options, &watches.judge().policies) {
        // Of a validator whose policy of this name is another: it judges what it has promised to judge.
        Ok((here, _)) if here != id => watches.not_taken("policy"),
        Ok((id, asked)) => {
            if let Err(full) = watches.take(id, &Arc::new(asked), &client, *lapses_at_ms) {
                warn!(%full, "a watch is not kept here");
                watches.not_taken("full");
            }
        }
        Err(refusal) => {
            debug!(key = %entry.subject, %refusal, "a watch is not kept here");
            watches.not_taken("policy");
        }
    }
}

/// The parts of `$KV.watches.<watch>.<client>`.
fn key(subject: &str) -> Option<(WatchId, Instance)> {
    let (watch, client) = subject.strip_prefix("$KV.watches.")?.split_once('.')?;
    Some((watch.parse().ok()?, client.parse().ok()?))
}
