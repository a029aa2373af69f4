//! [`Walk`]: one notice through all steps. The order of the steps is written in the types: each takes what only the
//! one before it gives.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bus::Stored;
use revocast_daemon::{Clock, LARGE, blocking, standing_back};
use revocast_faults::fail_point;
use revocast_messages::{CrlNotice, Incoming, Unreadable};
use revocast_pki::identity::CrlOrder;
use tokio::sync::Semaphore;
use tracing::debug;

use super::aside::Aside;
use super::certificates;
use super::failures::{Failures, left_to, stopping};
use super::intake;
use super::owed::{self, Debts, Missing};
use super::plan::{Repositories, Step, plan, plan_repositories};
use super::receipt::Receipts;
use super::sources::Sources;
use super::turn::{Done, Turn, standing};
use super::verify::{Unverified, Verified, Verifier};
use crate::disk::Disk;
use crate::events::{Event, Events};
use crate::metrics::Counts;
use crate::polling::{Board, Found, Telling, urls};
use crate::state::{Journal, JournalError, Live, ScopeKey};

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its CRL is enforced.
    Applied,
    /// Its certificate is known from now on.
    Learned,
    /// It says nothing new.
    Obsolete,
    /// Its CRL is kept; nothing is enforced until the one comes again that it is joined with, and that was lost.
    Withheld,
    /// It cannot be finished now.
    Owed(Missing),
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
            Outcome::Withheld => "withheld",
            Outcome::Owed(_) => "owed",
            Outcome::Aside { .. } => "aside",
        }
    }
}

/// How far a notice reaches for its CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To what it brings along and what the broker has. So does a message of the stream, which holds a place there.
    Broker,
    /// To repositories as well, however slow they are. So does a debt that was tried so often before.
    Repositories { tries: u32 },
}

/// What the first step made of a message.
pub(crate) struct Came {
    arrived: Instant,
    incoming: Result<Incoming, Unreadable>,
    /// How many certificates had become known by then.
    certificates: u64,
}

/// Whose CRL is being got, and how it came to that.
struct Way<'a> {
    notice: &'a CrlNotice,
    told_on: &'a str,
    arrived: Instant,
    /// For so long nobody asks a repository again that shows something else.
    rest: Duration,
}

/// What the walk needs. One per validator, shared by all notices under way.
pub(crate) struct Walk {
    pub live: Arc<Live>,
    pub journal: Arc<Journal>,
    pub verifier: Verifier,
    pub sources: Sources,
    pub repositories: Repositories,
    /// URLs that certificates name which lead to an anchor.
    pub board: Arc<Board>,
    /// What is to be finished yet.
    pub debts: Arc<Debts>,
    pub receipts: Receipts,
    /// Announces CRLs that nobody told of; nobody does in a replay.
    pub telling: Option<Telling>,
    pub aside: Aside,
    pub counts: Counts,
    pub events: Events,
    pub clock: Clock,
    /// What is known of our own disk.
    pub disk: Disk,
    /// Index building and signature checks that may run at once.
    pub gate: Semaphore,
    /// Persist and swap are one step at a time, so that marks and readers agree.
    pub applying: Arc<Mutex<()>>,
}

impl Walk {
    /// Reads a message of a stream: the first step, on the spot.
    pub(crate) fn read(&self, stream: &str, message: &Stored) -> Came {
        let arrived = Instant::now();
        let incoming = intake::read(stream, message);
        fail_point!("intake");
        debug!(stream, subject = message.subject, sequence = message.sequence, "a notice came");
        Came { arrived, incoming, certificates: self.debts.certificates() }
    }

    /// Whether a CRL notice tells of nothing new: then no further step is taken.
    pub(crate) fn is_old(&self, came: &Came) -> bool {
        let Ok(Incoming::Crl(notice)) = &came.incoming else { return false };
        !self.is_news(&(notice.issuer, notice.scope, notice.kind), &notice.order())
    }

    /// Takes what came through all further steps. What cannot be finished now is recorded as owed, and what waited for a
    /// certificate that came is made due. An error is one of this validator's own disk: the message is not done with then, and
    /// comes again.
    pub(crate) async fn finish(&self, came: Came, message: &Stored) -> Result<Outcome, JournalError> {
        let Came { arrived, incoming, certificates } = came;
        let (subject, body) = (&message.subject, &message.payload);
        let outcome = match incoming {
            Ok(Incoming::Heartbeat(_)) => return Ok(Outcome::Obsolete),
            Ok(Incoming::Certificate(notice)) => certificates::learn(self, &notice).await?,
            Ok(Incoming::Crl(notice)) => {
                // Apart, so that what holds it stays small.
                Box::pin(self.take_crl(*notice, subject, arrived, Reach::Broker)).await?
            }
            Err(unreadable) => Outcome::Aside { word: unreadable.word(), why: unreadable.to_string() },
        };
        self.tell(subject, body, &outcome);
        match &outcome {
            Outcome::Owed(missing) => {
                let owed = (subject.as_str(), body.clone());
                if !self.debts.record(self, owed, missing.clone(), certificates).await? {
                    self.aside.put(subject, body, "limit", "too many notices are owed");
                }
            }
            Outcome::Learned => self.debts.certificate_came(),
            Outcome::Applied | Outcome::Obsolete | Outcome::Withheld | Outcome::Aside { .. } => {}
        }
        Ok(outcome)
    }

    /// Counts and tells what became of a notice; of an owed one again when it is finished.
    pub(crate) fn tell(&self, subject: &str, payload: &Bytes, outcome: &Outcome) {
        self.counts.notice(outcome.word());
        self.events.tell(Event::Notice { subject: subject.into(), outcome: outcome.word() });
        if let Outcome::Aside { word, why } = outcome {
            self.aside.put(subject, payload, word, why);
        }
    }

    /// The walk of a CRL notice, from the dedup on; also taken by what was owed.
    pub(crate) async fn take_crl(
        &self,
        notice: CrlNotice,
        told_on: &str,
        arrived: Instant,
        reach: Reach,
    ) -> Result<Outcome, JournalError> {
        let scope = (notice.issuer, notice.scope, notice.kind);
        if !self.is_news(&scope, &notice.order()) {
            return Ok(Outcome::Obsolete);
        }
        fail_point!("dedup");
        let rest = match reach {
            Reach::Broker => Duration::ZERO,
            Reach::Repositories { tries } => owed::rest(tries),
        };
        let way = Way { notice: &notice, told_on, arrived, rest };
        let mut failures = Failures::default();
        let steps = plan(&notice, &self.live);
        if let Some(outcome) = self.go(&way, steps, &mut failures).await? {
            return Ok(outcome);
        }
        let steps = self.repository_steps(&notice, &mut failures).await;
        match steps.first() {
            Some(Step::Repository(url)) if reach == Reach::Broker => return Ok(left_to(url)),
            _ => {}
        }
        let outcome = self.go(&way, steps, &mut failures).await?;
        Ok(outcome.unwrap_or_else(|| failures.outcome(told_on)))
    }

    /// Carries steps out until one brings a CRL that counts; `None` if none does.
    async fn go(
        &self,
        way: &Way<'_>,
        steps: Vec<Step>,
        failures: &mut Failures,
    ) -> Result<Option<Outcome>, JournalError> {
        for step in steps {
            fail_point!("plan");
            if failures.unsigned {
                // Whatever else brings the bytes, nobody is known yet who could have signed them.
                break;
            }
            if matches!(step, Step::Object) && self.lacks_signer(way.notice, failures).await {
                // It may be large, and anybody can announce a CRL of an issuer of their own making.
                break;
            }
            let source = step.source();
            let bytes = match self.sources.obtain(way.notice, &step, way.rest).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    failures.unobtained(source, &error);
                    continue;
                }
            };
            fail_point!("fetch");
            // Fetching holds no place: a slow repository must not keep other issuers' CRLs from being verified.
            let Ok(place) = self.gate.acquire().await else { return Ok(Some(stopping())) };
            let now_s = self.clock.now_s();
            let verified = self.verifier.verify(way.notice, bytes, source, &self.live, now_s).await;
            drop(place);
            fail_point!("verify");
            match self.settle(way, &step, verified).await? {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(error) => failures.unverified(source, &error),
            }
        }
        Ok(None)
    }

    /// Applies what a step brought, if it counts and ends the notice. What a repository shows counts once its issuer has
    /// signed it, whatever was announced: it ends the notice only if that is no news then.
    async fn settle(
        &self,
        way: &Way<'_>,
        step: &Step,
        verified: Result<Verified, Unverified>,
    ) -> Result<Result<Outcome, Unverified>, JournalError> {
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(error)),
        };
        let Err(other) = verified.held_against(way.notice) else {
            return self.apply(verified, way.told_on, way.arrived).await.map(Ok);
        };
        let Step::Repository(url) = step else { return Ok(Err(other)) };
        let (scope, crl, signer) = (verified.scope(), verified.crl().clone(), verified.signer().to_vec());
        let before = self.live.enforced(&scope).map(|enforced| enforced.crl);
        let outcome = self.apply(verified, way.told_on, way.arrived).await?;
        if !matches!(outcome, Outcome::Aside { .. }) && self.is_news(&scope, &way.notice.order()) {
            // It is older, or in conflict: the announced one is still to come.
            return Ok(Err(other));
        }
        if outcome == Outcome::Applied
            && let Some(telling) = &self.telling
        {
            telling.found(Found { scope, crl, signer, before, url: url.clone(), for_all: true });
        }
        Ok(Ok(outcome))
    }

    /// The repositories to be asked; none while nobody is known who could have signed what they have.
    async fn repository_steps(&self, notice: &CrlNotice, failures: &mut Failures) -> Vec<Step> {
        if failures.unsigned || notice.locations.is_empty() {
            return Vec::new();
        }
        let named = self.named_locations(notice).await;
        let steps = plan_repositories(notice, &self.repositories, &named);
        if !steps.is_empty() && self.lacks_signer(notice, failures).await {
            return Vec::new();
        }
        steps
    }

    /// Of a notice's locations those that certificates name which lead to an anchor: it takes more than being in the
    /// notice to be asked.
    async fn named_locations(&self, notice: &CrlNotice) -> Vec<String> {
        let mut locations = notice.locations.clone();
        locations.retain(|location| !self.repositories.admit(location));
        if locations.iter().all(|location| self.board.knows(location)) {
            return locations;
        }
        let (verifier, live, board) = (self.verifier.clone(), self.live.clone(), self.board.clone());
        let (issuer, now_s) = (notice.issuer_name.0.clone(), self.clock.now_s());
        blocking(move || {
            let mut issued = live.issued_by(&issuer);
            issued.retain(|certificate| verifier.is_chained(certificate, &live, now_s));
            let named: Vec<String> = issued.iter().flat_map(urls::of_certificate).collect();
            locations.retain(|location| board.knows(location) || named.contains(location));
            locations
        })
        .await
    }

    /// Whether nobody is known who could have signed the CRL: then it is not worth a download, and the notice is owed for
    /// its signer.
    async fn lacks_signer(&self, notice: &CrlNotice, failures: &mut Failures) -> bool {
        let (verifier, live, now_s) = (self.verifier.clone(), self.live.clone(), self.clock.now_s());
        let (issuer, name) = (notice.issuer, notice.issuer_name.0.clone());
        if blocking(move || verifier.knows_signer(issuer, name, &live, now_s)).await {
            return false;
        }
        failures.words.push("no certificate of the signer is known".into());
        failures.unsigned = true;
        true
    }

    fn is_news(&self, scope: &ScopeKey, order: &CrlOrder) -> bool {
        standing(&self.live, scope, order).is_news()
    }

    /// Persist, swap, receipt.
    pub(crate) async fn apply(
        &self,
        verified: Verified,
        told_on: &str,
        arrived: Instant,
    ) -> Result<Outcome, JournalError> {
        let turn = Turn {
            live: self.live.clone(),
            journal: self.journal.clone(),
            counts: self.counts.clone(),
            events: self.events.clone(),
            receipts: self.receipts.clone(),
            applying: self.applying.clone(),
            at_ms: self.clock.now_ms(),
            told_on: told_on.to_owned(),
            arrived,
            writing: Duration::ZERO,
        };
        let done = match turn.take(verified).await? {
            Ok(done) => done,
            Err(outcome) => return Ok(outcome),
        };
        let (Done { applied, before }, took) = (done, arrived.elapsed());
        self.counts.apply_seconds.observe(took);
        self.counts.applied(applied.source);
        self.journal.forget_later(&applied.obsolete);
        let octets = before.held.as_ref().map_or(0, |held| held.crl.der().len());
        if octets >= LARGE {
            // The last hold on tens of megabytes is let go beside the runtime.
            tokio::spawn(standing_back(octets, move || drop(before)));
        }
        Ok(Outcome::Applied)
    }
}
