//! [`Walk`]: one notice through all steps. The order of the steps is written in the types: each takes what only the
//! one before it gives.

use std::sync::Arc;
use std::time::Instant;

use revocast_bus::Stored;
use revocast_daemon::Clock;
use revocast_faults::fail_point;
use revocast_messages::{CrlNotice, Incoming};
use revocast_pki::identity::CrlOrder;
use tokio::sync::{Mutex, Semaphore};
use tracing::{info, warn};

use super::aside::Aside;
use super::certificates;
use super::dedup::{self, Standing};
use super::intake;
use super::owed;
use super::persist::{keep, persist};
use super::plan::{Repositories, plan};
use super::receipt::Receipts;
use super::sources::Sources;
use super::swap::swap;
use super::verify::{Verified, Verifier};
use crate::events::{Event, Events};
use crate::metrics::Counts;
use crate::state::live::MAX_SCOPES;
use crate::state::{Enforced, Journal, JournalError, Live, ScopeKey};

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its CRL is enforced.
    Applied,
    /// Its certificate is known from now on.
    Learned,
    /// It says nothing new.
    Obsolete,
    /// It cannot be finished now.
    Owed(String),
    /// It can never be finished.
    Aside { word: &'static str, why: String },
}

impl Outcome {
    /// One word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Learned => "learned",
            Outcome::Obsolete => "obsolete",
            Outcome::Owed(_) => "owed",
            Outcome::Aside { .. } => "aside",
        }
    }
}

/// What went wrong on the way to a CRL's bytes.
#[derive(Default)]
struct Failures {
    words: Vec<String>,
    /// A source may have it later.
    passing: bool,
    /// Bytes came that do not count.
    lies: bool,
    /// The signer is not known yet.
    unsigned: bool,
}

impl Failures {
    /// A notice that brought something that does not count is never retried: an honest publisher tells it again.
    fn outcome(self, told_on: &str) -> Outcome {
        let why = if self.words.is_empty() {
            "nothing says where the CRL is".into()
        } else {
            self.words.join("; ")
        };
        warn!(subject = told_on, %why, "a notice was not applied");
        if self.unsigned || (self.passing && !self.lies) {
            Outcome::Owed(why)
        } else {
            Outcome::Aside { word: "unverifiable", why }
        }
    }
}

/// What the walk needs. One per validator, shared by all notices under way.
pub(crate) struct Walk {
    pub live: Arc<Live>,
    pub journal: Arc<Journal>,
    pub verifier: Verifier,
    pub sources: Sources,
    pub repositories: Repositories,
    pub receipts: Receipts,
    pub aside: Aside,
    pub counts: Counts,
    pub events: Events,
    pub clock: Clock,
    /// Index building and signature checks that may run at once.
    pub gate: Semaphore,
    /// Persist and swap are one step at a time, so that marks and readers agree.
    pub applying: Mutex<()>,
}

impl Walk {
    /// Takes one message through all steps. An error is one of this validator's own disk: the message is not done
    /// with then, and comes again.
    pub(crate) async fn take(&self, stream: &str, message: &Stored) -> Result<Outcome, JournalError> {
        let arrived = Instant::now();
        let read = intake::read(stream, message);
        fail_point!("intake");
        let outcome = match read {
            Ok(Incoming::Heartbeat(_)) => return Ok(Outcome::Obsolete),
            Ok(Incoming::Certificate(notice)) => certificates::learn(self, &notice).await?,
            Ok(Incoming::Crl(notice)) => self.take_crl(*notice, &message.subject, arrived).await?,
            Err(unreadable) => Outcome::Aside { word: unreadable.word(), why: unreadable.to_string() },
        };
        self.counts.notices.add_one(&[("outcome", outcome.word())]);
        self.events.tell(Event::Notice { subject: message.subject.as_str().into(), outcome: outcome.word() });
        if let Outcome::Aside { word, why } = &outcome {
            self.aside.put(message, word, why);
        }
        Ok(outcome)
    }

    /// The same, with what cannot be finished now recorded as owed.
    pub(crate) async fn finish(&self, stream: &str, message: &Stored) -> Result<Outcome, JournalError> {
        let outcome = self.take(stream, message).await?;
        if let Outcome::Owed(why) = &outcome
            && !owed::record(self, &message.subject, message.payload.clone(), why.clone()).await?
        {
            self.aside.put(message, "limit", "too many notices are owed");
        }
        Ok(outcome)
    }

    /// The walk of a CRL notice, from the dedup on; also taken by what was owed.
    pub(crate) async fn take_crl(
        &self,
        notice: CrlNotice,
        told_on: &str,
        arrived: Instant,
    ) -> Result<Outcome, JournalError> {
        let scope = (notice.issuer, notice.scope, notice.kind);
        let standing = self.standing(&scope, self.live.enforced(&scope).as_ref(), &notice.order());
        if !standing.is_news() {
            return Ok(Outcome::Obsolete);
        }
        fail_point!("dedup");
        let mut failures = Failures::default();
        for step in plan(&notice, &self.live, &self.repositories) {
            fail_point!("plan");
            let source = step.source();
            let bytes = match self.sources.obtain(&notice, step).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    failures.passing |= error.is_passing();
                    failures.words.push(format!("{source:?}: {error}"));
                    continue;
                }
            };
            fail_point!("fetch");
            // Fetching holds no place: a slow repository must not keep other issuers' CRLs from being verified.
            let Ok(place) = self.gate.acquire().await else { return Ok(Outcome::Owed("stopping".into())) };
            let verified = self.verifier.verify(&notice, bytes, source, &self.live, self.clock.now_s()).await;
            drop(place);
            fail_point!("verify");
            match verified {
                Ok(verified) => return self.apply(verified, told_on, arrived).await,
                Err(error) => {
                    failures.words.push(format!("{source:?}: {error}"));
                    if error.is_passing() {
                        // Whatever else brings the bytes, nobody is known yet who could have signed them.
                        failures.unsigned = true;
                        break;
                    }
                    failures.lies = true;
                }
            }
        }
        Ok(failures.outcome(told_on))
    }

    /// Where a CRL stands to what is enforced; where nothing is, to the mark, whose file may have been damaged.
    fn standing(&self, scope: &ScopeKey, held: Option<&Enforced>, order: &CrlOrder) -> Standing {
        match (held, self.live.mark(scope)) {
            (None, Some(mark)) => dedup::standing_to_mark(&mark, order),
            (held, _) => dedup::standing(held, order),
        }
    }

    /// Persist, swap, receipt. Judged once more against what came to be enforced in the meantime.
    pub(crate) async fn apply(
        &self,
        verified: Verified,
        told_on: &str,
        arrived: Instant,
    ) -> Result<Outcome, JournalError> {
        let scope = verified.scope();
        keep(&self.journal, &verified).await?;
        let _one_at_a_time = self.applying.lock().await;
        let held = self.live.enforced(&scope);
        let standing = self.standing(&scope, held.as_ref(), &verified.crl().order());
        if !standing.is_news() {
            return Ok(Outcome::Obsolete);
        }
        if held.is_none() && self.live.scopes() >= MAX_SCOPES {
            let why = format!("{MAX_SCOPES} scopes are enforced, and no more are taken in");
            return Ok(Outcome::Aside { word: "limit", why });
        }
        if standing == Standing::Conflict {
            self.counts.conflicts.add_one(&[]);
            warn!(crl = %verified.crl().id(), "two CRLs of one number, or a lower number at a later time: what either revokes is revoked");
        }
        let persisted =
            persist(&self.journal, verified, held.as_ref(), told_on, arrived, &self.clock).await?;
        fail_point!("swap");
        let applied = swap(&self.live, persisted, &self.counts);
        fail_point!("swapped");
        self.events.tell(applied.event());
        let took = arrived.elapsed();
        self.counts.apply_seconds.observe(took.as_secs_f64());
        self.counts.applied.add_one(&[("source", &format!("{:?}", applied.source).to_lowercase())]);
        info!(
            issuer = %scope.0, scope = %scope.1, crl_number = applied.number.map(|number| number.to_string()),
            source = ?applied.source, took_us = took.as_micros() as u64, "enforced"
        );
        self.receipts.tell(applied.receipt(took));
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || {
            // The last hold on tens of megabytes is let go beside the runtime, too.
            drop(held);
            journal.forget(&applied.obsolete)
        });
        Ok(Outcome::Applied)
    }
}
