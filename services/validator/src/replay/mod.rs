//! A recording, played through a validator's own deciders: the very walk of a notice that the service takes, with the
//! objects of the recording in the place of the fleet's and its time in the place of the clock. No broker, no network.
//!
//! Begin with [`Simulation`]. The same recording leads to the same states, bit for bit: messages are worked on one after
//! the other, time is what the broker stored them at, and what is owed is retried whenever something has come that may
//! settle it, and by that same time. A running validator works on many at once and retries by its own clock; that it
//! ends in the same state is what PROMISES calls a join (I4), and [`state_digest`] compares it.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use revocast_bus::Stored;
use revocast_daemon::{Clock, Metrics};
use revocast_messages::Source;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, Digest, IssuerId, ScopeId};
use revocast_recording::{Record, Recorded};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::config::ValidatorConfig;
use crate::disk::Disk;
use crate::events::{Event, Events};
use crate::metrics::Counts;
use crate::notice::aside::Aside;
use crate::notice::plan::Repositories;
use crate::notice::receipt::Receipts;
use crate::notice::sources::{RecordedObjects, Sources};
use crate::notice::verify::Verifier;
use crate::notice::{Outcome, Walk, owed};
use crate::polling::{Board, PollingConfig};
use crate::question::Policies;
use crate::state::{Enforced, Journal, JournalError, Live, ScopeKey};

/// Debts are looked at when this much time of the recording has passed: about the longest pause of a running validator.
const DEBTS_INTERVAL_MS: i64 = 60_000;

/// One look takes up so many debts ([`Journal::owed`]).
const DEBTS_AT_ONCE: i64 = 256;

/// Why a simulation cannot go on: its folder says no. What a recording says is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder, or the objects in it.
    #[error("the folder of the simulation: {0}")]
    Folder(#[from] std::io::Error),
}

/// What came of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Played {
    /// Of which stream.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// When the broker stored it: milliseconds since the Unix epoch.
    pub stored_at_ms: i64,
    /// `applied`, `learned`, `obsolete`, `withheld`, `owed` or `aside`.
    pub outcome: &'static str,
    /// Why it was not applied.
    pub why: Option<String>,
    /// What came to be enforced: by this message, or by what was owed and is settled by it.
    pub enforced: Vec<EnforcedScope>,
    /// The state after it: see [`state_digest`].
    pub state: Digest,
}

/// What is enforced for one scope and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnforcedScope {
    /// Who signed.
    pub issuer: IssuerId,
    /// Its name.
    pub issuer_name: String,
    /// What is covered.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// Number of the highest CRL.
    pub number: Option<CrlNumber>,
    /// The highest CRL, then those that conflict with it.
    pub crl_ids: Vec<CrlId>,
    /// How many certificates the highest CRL lists.
    pub entries: usize,
    /// How its bytes came.
    pub source: Source,
    /// When it came to be enforced: milliseconds since the Unix epoch.
    pub applied_at_ms: i64,
}

/// A validator without a fleet. What it holds is in a folder, and in memory what any validator has there.
pub struct Simulation {
    walk: Arc<Walk>,
    objects: RecordedObjects,
    clock: Clock,
    happened: Receiver<Event>,
    /// The CRLs of each scope as they were told last.
    told: BTreeMap<ScopeKey, Vec<CrlId>>,
    /// An object came since debts were looked at.
    brought: bool,
    looked_at_ms: i64,
}

impl Simulation {
    /// In an empty `folder`, with these policies, knowing these certificates besides the anchors'.
    pub fn new(
        folder: &Path,
        policies: Policies,
        certificates: impl IntoIterator<Item = Certificate>,
    ) -> Result<Simulation, SimulationError> {
        let journal = Journal::open(&folder.join("journal"))?;
        Simulation::over(journal, folder, policies, certificates)
    }

    fn over(
        journal: Journal,
        folder: &Path,
        policies: Policies,
        certificates: impl IntoIterator<Item = Certificate>,
    ) -> Result<Simulation, SimulationError> {
        let policies = Arc::new(policies);
        let live = Arc::new(Live::new());
        for certificate in policies.anchor_certificates().cloned().chain(certificates) {
            live.insert_certificate(certificate);
        }
        let objects =
            RecordedObjects::new(&folder.join("objects"), ValidatorConfig::default().max_crl_bytes)?;
        let clock = Clock::held_at(i64::MIN);
        let events = Events::new(clock.clone());
        let happened = events.changes();
        let counts = Counts::new(&Metrics::default());
        // What is put aside goes nowhere: it is told in what was played.
        let (aside, _) = Aside::new(counts.clone());
        let walk = Walk {
            live,
            journal: Arc::new(journal),
            verifier: Verifier::new(policies),
            sources: Sources::Recording(objects.clone()),
            repositories: Repositories::default(),
            board: Arc::new(Board::new(&PollingConfig::default())),
            debts: Arc::default(),
            receipts: Receipts::new(None, events.clone()),
            telling: None,
            aside,
            counts,
            events,
            clock: clock.clone(),
            disk: Disk::default(),
            gate: tokio::sync::Semaphore::new(1),
            applying: Arc::default(),
        };
        Ok(Simulation {
            walk: Arc::new(walk),
            objects,
            clock,
            happened,
            told: BTreeMap::new(),
            brought: false,
            looked_at_ms: i64::MIN,
        })
    }

    /// Plays a record; tells what came of it, if it is a message.
    pub async fn play(&mut self, record: Record) -> Result<Option<Played>, SimulationError> {
        match record {
            Record::Object(object) => self.hold(&object).map(|()| None),
            Record::Message(message) => self.take(&message).await.map(Some),
            Record::Beginning(_) | Record::Ending(_) => Ok(None),
        }
    }

    /// Takes in an object: from now on it can be had.
    pub fn hold(&mut self, object: &[u8]) -> Result<(), SimulationError> {
        self.brought = true;
        Ok(self.objects.hold(object)?)
    }

    /// Takes a message through the walk, at the time at which the broker stored it; time never goes back.
    pub async fn take(&mut self, message: &Recorded) -> Result<Played, SimulationError> {
        let now_ms = message.stored_at_ms().max(self.clock.now_ms());
        self.clock.set(now_ms);
        let stored = Stored::new(
            message.subject.clone(),
            message.payload.0.clone(),
            message.sequence,
            message.stored_at_ns.into(),
        )
        .with_header_lines(&message.headers);
        let came = self.walk.read(&message.stream, &stored);
        let outcome = self.walk.finish(came, &stored).await?;
        let learned = outcome == Outcome::Learned;
        if learned || self.brought || now_ms >= self.looked_at_ms.saturating_add(DEBTS_INTERVAL_MS) {
            self.settle().await?;
        }
        Ok(Played {
            stream: message.stream.clone(),
            sequence: message.sequence,
            stored_at_ms: message.stored_at_ms(),
            outcome: outcome.word(),
            why: match outcome {
                Outcome::Owed(missing) => Some(missing.why),
                Outcome::Aside { why, .. } => Some(why),
                Outcome::Applied | Outcome::Learned | Outcome::Obsolete | Outcome::Withheld => None,
            },
            enforced: self.news(),
            state: self.digest(),
        })
    }

    /// Retries everything that is owed, as a running validator does in time.
    pub async fn settle(&mut self) -> Result<(), SimulationError> {
        (self.brought, self.looked_at_ms) = (false, self.clock.now_ms());
        loop {
            let before = self.walk.journal.debts()?;
            for _ in 0..=before / DEBTS_AT_ONCE {
                owed::look(&self.walk).await?;
            }
            // What was settled may be the base of a difference that is still owed.
            if self.walk.journal.debts()? == before {
                return Ok(());
            }
        }
    }

    /// How many notices are owed.
    pub fn debts(&self) -> Result<u64, SimulationError> {
        Ok(u64::try_from(self.walk.journal.debts()?).unwrap_or(0))
    }

    /// What is enforced, by scope.
    pub fn scopes(&self) -> Vec<EnforcedScope> {
        let mut all = self.walk.live.all();
        all.sort_by_key(|(scope, _)| *scope);
        all.iter().map(|(scope, enforced)| told(*scope, enforced)).collect()
    }

    /// The state in 32 octets: see [`state_digest`].
    pub fn digest(&self) -> Digest {
        let all = self.walk.live.all();
        state_digest(all.iter().map(|(scope, enforced)| (*scope, crl_ids(enforced))))
    }

    /// The scopes that changed since the last call.
    fn news(&mut self) -> Vec<EnforcedScope> {
        let mut changed = BTreeSet::new();
        loop {
            match self.happened.try_recv() {
                Ok(Event::Applied { scope, .. }) => {
                    changed.insert(scope);
                }
                Ok(_) => {}
                // More was settled at once than events are kept: what they said is in what is enforced.
                Err(TryRecvError::Lagged(_)) => changed.extend(self.untold()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        changed.into_iter().filter_map(|scope| self.tell(scope)).collect()
    }

    /// The scopes of which other CRLs are enforced than were told last.
    fn untold(&self) -> Vec<ScopeKey> {
        let all = self.walk.live.all().into_iter();
        let changed = all.filter(|(scope, enforced)| self.told.get(scope) != Some(&crl_ids(enforced)));
        changed.map(|(scope, _)| scope).collect()
    }

    fn tell(&mut self, scope: ScopeKey) -> Option<EnforcedScope> {
        let enforced = self.walk.live.enforced(&scope)?;
        self.told.insert(scope, crl_ids(&enforced));
        Some(told(scope, &enforced))
    }
}

fn crl_ids(enforced: &Enforced) -> Vec<CrlId> {
    enforced.crls().map(Crl::id).collect()
}

fn told((issuer, scope, kind): ScopeKey, enforced: &Enforced) -> EnforcedScope {
    EnforcedScope {
        issuer,
        issuer_name: enforced.crl.issuer().to_string(),
        scope,
        kind,
        number: enforced.crl.number(),
        crl_ids: crl_ids(enforced),
        entries: enforced.crl.entries(),
        source: enforced.source,
        applied_at_ms: enforced.applied_at_ms,
    }
}

/// A validator's state in 32 octets: SHA-256 over its scopes in ascending order, each as issuer, scope, kind (`complete` or
/// `delta`, in ASCII), how many CRLs are enforced (one octet), and their CrlIds, the highest CRL first.
/// `GET /v1/scopes` tells all that goes in: two validators that enforce the same have the same digest.
pub fn state_digest(scopes: impl IntoIterator<Item = ((IssuerId, ScopeId, CrlKind), Vec<CrlId>)>) -> Digest {
    let scopes: BTreeMap<_, _> = scopes.into_iter().collect();
    let mut words = Vec::new();
    for ((issuer, scope, kind), crls) in scopes {
        words.extend_from_slice(&issuer.0);
        words.extend_from_slice(&scope.0);
        words.extend_from_slice(kind.to_string().as_bytes());
        // No more than one and those that may conflict with it.
        words.push(u8::try_from(crls.len()).unwrap_or(u8::MAX));
        crls.iter().for_each(|crl| words.extend_from_slice(&crl.0));
    }
    Digest::of(&words)
}
