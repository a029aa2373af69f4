//! What a newer CRL or certificate makes of paths, done before anybody asks.
//!
//! A CRL that lists an issuer on kept paths evicts them, and their targets are searched for anew: another path may do.
//! A certificate of an issuer on kept paths, for the same name and key, replaces it: their targets are searched for
//! anew, too. And with each certificate that becomes known, those are tried again that were asked about in vain lately;
//! with each CRL those of them for which one may have been missing.
//! No verdict waits for any of this: a question looks every certificate up by itself. So it may lag, and goes slowly.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use revocast_daemon::{blocking, every};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Reason};
use revocast_pki::name::Name;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::wanted::Target;
use crate::events::Event;
use crate::question::Judge;
use crate::question::cache::Key;
use crate::question::policy::Policy;

/// At most this many events are worked on together.
const MAX_BATCH: usize = 1_024;
/// At most this many paths are built for one batch of events; what is evicted beyond is searched for when it is asked for.
const MAX_BUILT: usize = 1_024;
/// How often it is looked whether something has happened: first it is enforced everywhere.
const LOOK: Duration = Duration::from_millis(100);
/// Pause after each path that was built, so that questions come first.
const PAUSE: Duration = Duration::from_millis(2);
/// How often the number of kept paths is told.
const TELL: Duration = Duration::from_secs(5);

/// What has happened since the last look.
#[derive(Default)]
struct Happened {
    crls: Vec<Crl>,
    learned: Vec<Certificate>,
    /// Events were missed: anything may have happened.
    missed: bool,
}

/// Keeps paths up for as long as it is polled.
pub(crate) async fn keep(judge: Judge, mut events: broadcast::Receiver<Event>) {
    let (mut looking, mut telling) = (every(LOOK), every(TELL));
    loop {
        tokio::select! {
            _ = looking.tick() => work_off(gather(&mut events, &judge), &judge).await,
            _ = telling.tick() => judge.paths.counts.held.set(&[], judge.paths.cache.len() as f64),
        }
    }
}

/// What has happened since the last look.
fn gather(events: &mut broadcast::Receiver<Event>, judge: &Judge) -> Happened {
    let mut happened = Happened::default();
    for _ in 0..MAX_BATCH {
        match events.try_recv() {
            Ok(event) => happened.add(event, judge),
            Err(TryRecvError::Lagged(_)) => happened.missed = true,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    if happened.missed {
        happened.crls =
            judge.live.all().iter().flat_map(|(_, held)| held.crls().cloned().collect::<Vec<_>>()).collect();
    }
    happened
}

impl Happened {
    fn add(&mut self, event: Event, judge: &Judge) {
        match event {
            Event::Applied { scope, .. } => {
                let enforced = judge.live.enforced(&scope);
                self.crls.extend(enforced.iter().flat_map(|enforced| enforced.crls().cloned()));
            }
            Event::Learned(certificate) => self.learned.push(certificate),
            _ => {}
        }
    }
}

async fn work_off(happened: Happened, judge: &Judge) {
    if happened.crls.is_empty() && happened.learned.is_empty() {
        return;
    }
    let looking = judge.clone();
    let mut targets = blocking(move || affected(&happened, &looking)).await;
    targets.truncate(MAX_BUILT);
    for Target { certificate, policy, effective, .. } in targets {
        let building = judge.clone();
        let found = blocking(move || building.build(certificate, &policy, &effective)).await;
        judge.paths.counts.built(found).add_one();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Evicts paths through revoked issuers; whatever is to be searched for anew.
fn affected(happened: &Happened, judge: &Judge) -> Vec<Target> {
    let mut targets = Vec::new();
    let cache = &judge.paths.cache;
    let listed = Listed::of(&happened.crls);
    for (key, path) in cache.through(|issuer| listed.lists(issuer)) {
        if cache.remove(&key) {
            judge.paths.counts.evicted("revoked").add_one();
        }
        targets.extend(target_of(&key, path.certificates(), judge));
    }
    let learned = by_subject(&happened.learned);
    let replaced = |issuer: &Certificate| {
        let learned = learned.get(issuer.subject());
        learned.is_some_and(|learned| learned.iter().any(|learned| replaces(learned, issuer)))
    };
    if !learned.is_empty() {
        for (key, path) in cache.through(replaced) {
            judge.paths.counts.evicted("replaced").add_one();
            targets.extend(target_of(&key, path.certificates(), judge));
        }
    }
    let any = !happened.learned.is_empty() || happened.missed;
    targets.extend(judge.paths.wanted.all().into_iter().filter(|target| any || target.undecided));
    targets.extend(happened.learned.iter().flat_map(|learned| under_each_policy(learned, judge)));
    targets
}

/// A new certificate's own path: with it the signatures above it are known when the first certificate below it comes.
fn under_each_policy(learned: &Certificate, judge: &Judge) -> Vec<Target> {
    let target = |policy: &Arc<Policy>| Target {
        certificate: learned.clone(),
        policy: policy.clone(),
        effective: policy.plain.clone(),
        undecided: false,
    };
    judge.policies.all().map(target).collect()
}

fn target_of(key: &Key, path: &[Certificate], judge: &Judge) -> Option<Target> {
    let (policy, effective) = judge.policies.by_id(key.1)?.clone();
    Some(Target { certificate: path.first()?.clone(), policy, effective, undecided: false })
}

fn by_subject(certificates: &[Certificate]) -> HashMap<&Name, Vec<&Certificate>> {
    let mut by_subject: HashMap<&Name, Vec<&Certificate>> = HashMap::new();
    for certificate in certificates {
        by_subject.entry(certificate.subject()).or_default().push(certificate);
    }
    by_subject
}

/// Another certificate for the same name and key.
fn replaces(learned: &Certificate, issuer: &Certificate) -> bool {
    learned.subject() == issuer.subject() && learned.spki() == issuer.spki() && learned.id() != issuer.id()
}

/// Some CRLs, by whose certificates they list.
struct Listed<'a> {
    direct: HashMap<&'a Name, Vec<&'a Crl>>,
    indirect: Vec<&'a Crl>,
}

impl<'a> Listed<'a> {
    fn of(crls: &'a [Crl]) -> Listed<'a> {
        let mut listed = Listed { direct: HashMap::new(), indirect: Vec::new() };
        for crl in crls.iter().filter(|crl| crl.entries() > 0) {
            match crl.distribution_point() {
                Some(point) if point.indirect => listed.indirect.push(crl),
                _ => listed.direct.entry(crl.issuer()).or_default().push(crl),
            }
        }
        listed
    }

    /// Whether one of them says that the certificate is revoked. A hint: who signed it, and whether another CRL says
    /// otherwise, is for the search.
    fn lists(&self, certificate: &Certificate) -> bool {
        let direct = self.direct.get(certificate.issuer()).into_iter().flatten();
        let direct = direct.filter_map(|crl| crl.find(certificate.serial()));
        let indirect = self.indirect.iter();
        let indirect =
            indirect.filter_map(|crl| crl.find_issued_by(certificate.issuer(), certificate.serial()));
        direct.chain(indirect).any(|entry| entry.reason() != Reason::RemoveFromCrl)
    }
}
