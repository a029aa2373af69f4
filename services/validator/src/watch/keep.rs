//! [`Watches`]: judges watched certificates that are due, and tells what changed.
//!
//! Beside the questions and never before them: few at a time, each through the same [`Judge`]. What cannot be judged or
//! told now stays due; only *that* it is due is kept, so what is told later is what is true then.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use revocast_bus::{Bucket, Bus, BusError};
use revocast_messages::{
    Answer, Instance, Judgement, Outcome, Refusal, Seen, VerdictChanged, WatchAnswer, WatchInterest,
    WatchRegistration, WatchRequest, encode, subjects, watch_key,
};
use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlKind, WatchId};
use revocast_pki::path::Resource;
use revocast_pki::revocation::CrlSet;
use revocast_pki::verdict::Reason;
use tokio::sync::{Notify, OnceCell, Semaphore, watch};
use tracing::{info, warn};

use super::asked::Asked;
use super::config::WatchConfig;
use super::evidence::{Ours, Silence, Why, carried, decide, join};
use super::metrics::WatchCounts;
use super::reach::Reach;
use super::registry::{Full, Head, Registry};
use super::tell::{Telling, standing, tell};
use crate::question::Judge;

/// Watched certificates that are judged at once: questions have the other places.
const JUDGED_AT_ONCE: usize = 2;
/// Watched certificates that are worked on at once: most of them wait for the broker to confirm what is told.
pub(super) const WORKED_ON_AT_ONCE: usize = 16;
/// Heads that others set while this validator decides, before it waits a little.
const MAX_CONFLICTS: usize = 8;
/// What could not be judged or told is tried again after this.
const PAUSE_MS: i64 = 1_000;
/// A head of this age is told again, long before the stream forgets it (7 days).
const TOLD_AGAIN_MS: i64 = 86_400_000;

/// The watched verdicts of a validator. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watches(Arc<Inner>);

struct Inner {
    judge: Judge,
    bus: Bus,
    config: WatchConfig,
    counts: WatchCounts,
    registry: Mutex<Registry>,
    due: Notify,
    /// The first watch came, after there was none.
    begun: Notify,
    gate: Semaphore,
    bucket: OnceCell<Bucket>,
    /// Whether the heads are followed, so that what is known of them is what stands.
    attached: watch::Sender<bool>,
}

/// A verdict, judged now.
struct Judged {
    ours: Ours,
    judgement: Judgement,
    policy: String,
    judged_at_ms: i64,
    until: Option<Time>,
}

impl Watches {
    pub(crate) fn new(judge: Judge, bus: &Bus, config: WatchConfig, counts: WatchCounts) -> Watches {
        let registry = Mutex::new(Registry::new(config.max_watched));
        let (attached, _) = watch::channel(false);
        Watches(Arc::new(Inner {
            judge,
            bus: bus.clone(),
            config,
            counts,
            registry,
            due: Notify::new(),
            begun: Notify::new(),
            gate: Semaphore::new(JUDGED_AT_ONCE),
            bucket: OnceCell::new(),
            attached,
        }))
    }

    /// Answers a request for a watch.
    pub(crate) async fn answer(&self, request: &WatchRequest) -> WatchAnswer {
        let WatchRequest { client, certificate, intermediates, options, interest } = request;
        let (id, asked) = match Asked::read(certificate, intermediates, options, &self.0.judge.policies) {
            Ok(read) => read,
            Err(refusal) => return WatchAnswer::Refused(refusal),
        };
        let answered = match *interest {
            WatchInterest::Stop => self.stop(id, client).await,
            WatchInterest::Start { lease_s } => self.start(id, asked, client, lease_s).await,
        };
        answered.unwrap_or_else(|refusal| {
            self.0.counts.refused.add_one(&[("reason", word(&refusal))]);
            WatchAnswer::Refused(refusal)
        })
    }

    async fn stop(&self, id: WatchId, client: &Instance) -> Result<WatchAnswer, Refusal> {
        let bucket = self.bucket().await.map_err(unwritten)?;
        bucket.delete(&watch_key(id, client)).await.map_err(unwritten)?;
        self.registry().leave(id, client);
        Ok(WatchAnswer::Stopped)
    }

    async fn start(
        &self,
        id: WatchId,
        asked: Asked,
        client: &Instance,
        lease_s: u32,
    ) -> Result<WatchAnswer, Refusal> {
        let longest = self.0.config.longest_lease_s();
        if !(1..=longest).contains(&lease_s) {
            let why = format!("a lease of {lease_s} s: 1 to {longest} s are given");
            return Err(Refusal::Malformed { why });
        }
        let lapses_at_ms = self.now_ms() + i64::from(lease_s) * 1_000;
        let asked = Arc::new(asked);
        // Here first: what is beyond the limit is not written.
        self.take(id, &asked, client, lapses_at_ms)
            .map_err(|full| Refusal::Busy { why: full.to_string() })?;
        let registration = WatchRegistration {
            client: client.clone(),
            certificate: asked.target.der().clone().into(),
            intermediates: asked.offered.clone(),
            options: asked.options.clone(),
            lapses_at_ms,
            validator: self.0.judge.instance.clone(),
        };
        let body = encode(&registration).map_err(|error| Refusal::Malformed { why: error.to_string() })?;
        let bucket = self.bucket().await.map_err(unwritten)?;
        bucket.put(&watch_key(id, client), body.into()).await.map_err(unwritten)?;
        let head = self.standing(id, &asked).await?;
        Ok(WatchAnswer::Accepted {
            watch: id,
            lease_s,
            verdict: Box::new((*head.told).clone()),
            sequence: head.sequence,
        })
    }

    async fn bucket(&self) -> Result<&Bucket, BusError> {
        self.0.bucket.get_or_try_init(|| self.0.bus.bucket(subjects::WATCHES)).await
    }

    /// What stands as the verdict; judged and told now if nothing does.
    async fn standing(&self, id: WatchId, asked: &Asked) -> Result<Head, Refusal> {
        if let Some(head) = self.registry().head(id).filter(|_| *self.0.attached.borrow()) {
            return Ok(head);
        }
        self.look(id, asked).await;
        let why = "the verdict could not be judged or told in time".to_owned();
        self.registry().head(id).ok_or(Refusal::Busy { why })
    }

    /// Takes a registration in.
    pub(super) fn take(
        &self,
        id: WatchId,
        asked: &Arc<Asked>,
        client: &Instance,
        lapses_at_ms: i64,
    ) -> Result<(), Full> {
        self.change(|registry| registry.register(id, asked, client, lapses_at_ms))
    }

    /// Counts a registration that was not taken.
    pub(super) fn not_taken(&self, reason: &str) {
        self.0.counts.refused.add_one(&[("reason", reason)]);
    }

    /// Changes the registry, and wakes the workers: something may be due.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.registry();
        let before = registry.len();
        let changed = change(&mut registry);
        if before == 0 && registry.len() > 0 {
            self.0.begun.notify_one();
        }
        self.0.counts.watched.set(&[], registry.len() as f64);
        let due = registry.due();
        self.0.counts.due.set(&[], due as f64);
        drop(registry);
        if due > 0 {
            self.0.due.notify_waiters();
        }
        changed
    }

    /// Whether anybody watches anything.
    pub(super) fn are_watched(&self) -> bool {
        self.registry().len() > 0
    }

    /// Returns once somebody watches after nobody did.
    pub(super) async fn begun(&self) {
        self.0.begun.notified().await;
    }

    /// Whether the heads are followed.
    pub(super) fn attached(&self, attached: bool) {
        self.0.attached.send_replace(attached);
    }

    /// The validator's policies, state and clock.
    pub(super) fn judge(&self) -> &Judge {
        &self.0.judge
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.0.judge.clock.now_ms()
    }

    /// Time has passed.
    pub(super) fn tick(&self) {
        let now_ms = self.now_ms();
        self.change(|registry| {
            registry.tick(now_ms);
            registry.told_before(now_ms - TOLD_AGAIN_MS, now_ms);
        });
    }

    /// Judges what is due, for as long as it is polled and the heads are followed.
    pub(super) async fn work(&self) {
        let mut attached = self.0.attached.subscribe();
        loop {
            let woken = self.0.due.notified();
            if attached.wait_for(|attached| *attached).await.is_err() {
                return;
            }
            let taken = self.take_due();
            match taken {
                Some((id, asked)) => self.look(id, &asked).await,
                None => woken.await,
            }
        }
    }

    fn take_due(&self) -> Option<(WatchId, Arc<Asked>)> {
        let mut registry = self.registry();
        let taken = registry.take();
        self.0.counts.due.set(&[], registry.due() as f64);
        taken
    }

    /// Judges one, and tells what came of it if it may.
    async fn look(&self, id: WatchId, asked: &Asked) {
        let mut unread = None;
        for _ in 0..MAX_CONFLICTS {
            let head = self.registry().head(id);
            let Some(judged) = self.judge_one(id, asked, head.as_ref()).await else { break };
            let Some(why) = self.may_tell(id, head.as_ref(), &judged) else { return };
            let change = self.change_of(id, asked, head.as_ref(), judged, why);
            match tell(&self.0.bus, &change, head.map(|head| head.sequence).or(unread)).await {
                Telling::Done(sequence) => return self.was_told(change, sequence, why),
                Telling::Later => break,
                Telling::Another => {
                    self.0.counts.conflicts.add_one(&[]);
                    match standing(&self.0.bus, id).await {
                        Ok(Some((Some(head), _))) => self.registry().told(head),
                        Ok(found) => {
                            unread = found.map(|(_, sequence)| sequence);
                            self.registry().forget_head(id);
                        }
                        Err(_) => break,
                    }
                }
            }
        }
        let again_ms = self.now_ms() + PAUSE_MS;
        self.registry().later(id, again_ms);
    }

    /// The verdict of this moment; `None` if this validator cannot tell one now for reasons of its own.
    async fn judge_one(&self, id: WatchId, asked: &Asked, head: Option<&Head>) -> Option<Judged> {
        let live = &self.0.judge.live;
        let _place = self.0.gate.acquire().await.ok()?;
        // Before it is judged: what is claimed to be known is never more than what the verdict rests on.
        let enforced = head.map_or_else(Vec::new, |head| self.enforced(&head.told.seen, self.now_ms()));
        let revision = live.revision();
        let graph = asked.graph();
        let before = Reach::of(&asked.target, &(&graph, &**live), &CrlSet::new());
        let answer = self.0.judge.answer(asked.question()).await;
        self.0.counts.judged.add_one(&[]);
        let policy = self.0.judge.policies.get(asked.options.policy.as_deref())?;
        if lost_contact(&answer, policy.fresh_within) {
            return None;
        }
        let Answer { policy: name, judged_at_ms, mut judgements, .. } = answer;
        let judgement = judgements.pop().filter(|judgement| !is_our_own_trouble(judgement))?;
        let at = Time::from_unix(judged_at_ms.div_euclid(1_000));
        let reach = Reach::of(&asked.target, &(&graph, &**live), &**live);
        let oldest_s = policy.max_crl_age.and_then(|age| i64::try_from(age.as_secs()).ok());
        let until = reach.until(&judgement, at, oldest_s, policy.requirements.grace_s);
        let again = reach.next(at).into_iter().chain(until).min();
        let again_ms = again.map(|last| last.plus(1).unix().saturating_mul(1_000));
        let outdated = || live.revision() != revision;
        self.change(|registry| registry.judged(id, judgement.outcome, &reach, again_ms, outdated));
        let decided: Vec<Seen> = judgement.evidence.iter().map(Seen::from).collect();
        let waited = self.registry().has_waited(id, judged_at_ms);
        let known = before.known(&judgement).into_iter().take(VerdictChanged::MAX_KNOWN).collect();
        let ours = Ours { outcome: judgement.outcome, seen: join(&enforced, &decided), known, waited };
        // What is revoked does not become good by itself.
        let until = until.filter(|_| judgement.outcome != Outcome::Revoked);
        Some(Judged { ours, judgement, policy: name, judged_at_ms, until })
    }

    /// Whether it is told, and why.
    fn may_tell(&self, id: WatchId, head: Option<&Head>, judged: &Judged) -> Option<Why> {
        let at = Time::from_unix(judged.judged_at_ms.div_euclid(1_000));
        let decided = decide(head.map(|head| &*head.told), &judged.ours, at);
        self.registry().is_behind(id, decided == Err(Silence::Behind), judged.judged_at_ms);
        match decided {
            Ok(why) => Some(why),
            Err(Silence::Same) => {
                let old = head.is_some_and(|head| head.stored_at_ms < judged.judged_at_ms - TOLD_AGAIN_MS);
                old.then_some(Why::Again)
            }
            Err(silence) => {
                self.0.counts.silent.add_one(&[("reason", silence.word())]);
                None
            }
        }
    }

    /// What is told.
    fn change_of(
        &self,
        id: WatchId,
        asked: &Asked,
        head: Option<&Head>,
        judged: Judged,
        why: Why,
    ) -> VerdictChanged {
        let before = head.map(|head| &*head.told);
        let Judged { ours, judgement, policy, judged_at_ms, until } = judged;
        VerdictChanged {
            watch: id,
            certificate: asked.target.id(),
            policy,
            outcome: judgement.outcome,
            reason: judgement.reason,
            before: before.map(|before| before.outcome),
            evidence: judgement.evidence,
            until,
            judged_at_ms,
            validator: self.0.judge.instance.clone(),
            seen: carried(before, &ours.seen, why),
            known: ours.known.into_iter().collect(),
        }
    }

    fn was_told(&self, change: VerdictChanged, sequence: u64, why: Why) {
        self.0.counts.told.add_one(&[("outcome", &change.outcome.to_string())]);
        info!(
            watch = %change.watch, certificate = %change.certificate, outcome = %change.outcome,
            before = ?change.before, ?why, "a watched verdict was told"
        );
        let stored_at_ms = change.judged_at_ms;
        self.registry().told(Head { told: Arc::new(change), sequence, stored_at_ms });
    }

    /// The CRLs that this validator enforces in the scopes of `seen`, but for those whose time has not come yet.
    fn enforced(&self, seen: &[Seen], now_ms: i64) -> Vec<Seen> {
        let now = Time::from_unix(now_ms.div_euclid(1_000));
        let scopes: BTreeSet<_> = seen.iter().map(|seen| (seen.issuer, seen.scope)).collect();
        let mut found = Vec::new();
        for (issuer, scope) in scopes {
            let held = |kind| self.0.judge.live.enforced(&(issuer, scope, kind));
            let complete = held(CrlKind::Complete);
            let number = complete.as_ref().and_then(|complete| complete.crl.number());
            // A delta counts only on a base that is held.
            let delta = held(CrlKind::Delta).filter(|delta| {
                number.is_some() && delta.crl.base_number().is_some_and(|base| Some(base) <= number)
            });
            for enforced in complete.iter().chain(&delta) {
                let counting = enforced.crls().filter(|crl| crl.this_update() <= now);
                found.extend(counting.map(|crl| Seen {
                    issuer,
                    scope,
                    kind: crl.kind(),
                    number: crl.number(),
                    this_update: crl.this_update(),
                    crl_id: crl.id(),
                }));
            }
        }
        found
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Each change is whole; a panic elsewhere leaves some index entries at worst.
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the policy asks for contact with the broker, and this validator has none: then its doubts are its own.
fn lost_contact(answer: &Answer, fresh_within: Option<Duration>) -> bool {
    let silence = answer.freshness_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
    fresh_within.is_some_and(|limit| silence.is_none_or(|silence| silence > limit))
}

/// Whether a verdict says only that this validator had too much to do: nothing about the certificate.
fn is_our_own_trouble(judgement: &Judgement) -> bool {
    judgement.outcome == Outcome::Indeterminate
        && judgement.reason == Reason::Budget(Resource::Time).to_string()
}

fn unwritten(error: BusError) -> Refusal {
    warn!(%error, "a watch was not registered");
    Refusal::Busy { why: format!("the registry of watches cannot be written: {error}") }
}

fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed { .. } => "malformed",
        Refusal::Busy { .. } => "busy",
    }
}
