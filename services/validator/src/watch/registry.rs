//! [`Registry`]: which certificates are watched, by whom for how long, and which of them are to be judged anew. Pure:
//! events and the time go in, and what is due comes out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use revocast_messages::{Instance, Outcome, VerdictChanged};
use revocast_pki::identity::WatchId;
use revocast_pki::name::Name;

use super::asked::Asked;
use super::reach::Reach;

/// Clients that may watch one verdict; each costs the length of its name.
const MAX_CLIENTS: usize = 1_024;

/// A fleet converges within this. A validator that is behind a head for longer lacks something that cannot be had.
const CONVERGED_MS: i64 = 30_000;

/// A head that has grown old and could not be told again is looked at again after this: its stream keeps it for days.
const OLD_PAUSE_MS: i64 = 3_600_000;

/// No more certificates, or clients of one, are taken under watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} {what}, and no more are taken")]
pub(crate) struct Full {
    what: &'static str,
    limit: usize,
}

/// What was told last of a watch, and where it stands in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub told: Arc<VerdictChanged>,
    /// Its sequence.
    pub sequence: u64,
    pub stored_at_ms: i64,
}

/// One watched verdict.
struct Watched {
    asked: Arc<Asked>,
    /// When each client's lease lapses.
    leases: HashMap<Instance, i64>,
    head: Option<Head>,
    /// What this validator found last.
    ours: Option<Outcome>,
    names: HashSet<Name>,
    wide: bool,
    /// When it is judged anew although nothing happens.
    timer_ms: Option<i64>,
    behind_since_ms: Option<i64>,
    /// When it was due last because its head had grown old, by this validator's clock.
    old_since_ms: Option<i64>,
}

/// The watched verdicts. Of those that are due, any comes first: many validators at work on the same ones share them
/// out by chance.
pub(crate) struct Registry {
    limit: usize,
    watches: HashMap<WatchId, Watched>,
    by_name: HashMap<Name, HashSet<WatchId>>,
    wide: HashSet<WatchId>,
    timers: BTreeSet<(i64, WatchId)>,
    due: Vec<WatchId>,
    is_due: HashSet<WatchId>,
}

impl Registry {
    /// For at most `limit` verdicts.
    pub(crate) fn new(limit: usize) -> Registry {
        Registry {
            limit,
            watches: HashMap::new(),
            by_name: HashMap::new(),
            wide: HashSet::new(),
            timers: BTreeSet::new(),
            due: Vec::new(),
            is_due: HashSet::new(),
        }
    }

    /// A client watches, for longer if it did before. What is watched newly, or with other certificates offered, is due.
    pub(crate) fn register(
        &mut self,
        id: WatchId,
        asked: &Arc<Asked>,
        client: &Instance,
        lapses_at_ms: i64,
    ) -> Result<(), Full> {
        if !self.watches.contains_key(&id) {
            if self.watches.len() >= self.limit {
                return Err(Full { what: "certificates are watched", limit: self.limit });
            }
            self.watches.insert(id, Watched::new(asked.clone()));
            self.mark(id);
        }
        let Some(watched) = self.watches.get_mut(&id) else { return Ok(()) };
        if watched.leases.len() >= MAX_CLIENTS && !watched.leases.contains_key(client) {
            return Err(Full { what: "clients watch this certificate", limit: MAX_CLIENTS });
        }
        watched.leases.insert(client.clone(), lapses_at_ms);
        if let Some(more) = watched.asked.with(asked) {
            watched.asked = Arc::new(more);
            self.mark(id);
        }
        Ok(())
    }

    /// A client watches no longer.
    pub(crate) fn leave(&mut self, id: WatchId, client: &Instance) {
        let Some(watched) = self.watches.get_mut(&id) else { return };
        watched.leases.remove(client);
        if watched.leases.is_empty() {
            self.forget(id);
        }
    }

    /// Time has passed: lapsed leases end, and what has waited for this instant is due.
    pub(crate) fn tick(&mut self, now_ms: i64) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.timers.remove(&(at, id));
            if let Some(watched) = self.watches.get_mut(&id) {
                watched.timer_ms = None;
            }
            self.mark(id);
        }
        let mut ended = Vec::new();
        for (id, watched) in &mut self.watches {
            watched.leases.retain(|_, lapses_at_ms| *lapses_at_ms > now_ms);
            if watched.leases.is_empty() {
                ended.push(*id);
            }
        }
        ended.into_iter().for_each(|id| self.forget(id));
    }

    /// CRLs or certificates of this name came to be known.
    pub(crate) fn concerned(&mut self, name: &Name) {
        let named = self.by_name.get(name).into_iter().flatten();
        let concerned: Vec<WatchId> = named.chain(&self.wide).copied().collect();
        concerned.into_iter().for_each(|id| self.mark(id));
    }

    /// Events were missed: everything is due.
    pub(crate) fn all_are_due(&mut self) {
        let all: Vec<WatchId> = self.watches.keys().copied().collect();
        all.into_iter().for_each(|id| self.mark(id));
    }

    /// Takes one that is due; `None` if none is.
    pub(crate) fn take(&mut self) -> Option<(WatchId, Arc<Asked>)> {
        while !self.due.is_empty() {
            let id = self.due.swap_remove(fastrand::usize(..self.due.len()));
            self.is_due.remove(&id);
            if let Some(watched) = self.watches.get(&id) {
                return Some((id, watched.asked.clone()));
            }
        }
        None
    }

    /// It was judged: what it depends on from now on, and when it is judged again at the latest. An event finds a watch
    /// by the names that are listed: where names are listed only now, `outdated` says, once they are, whether something
    /// happened while it was judged, and then it is due.
    pub(crate) fn judged(
        &mut self,
        id: WatchId,
        ours: Outcome,
        reach: &Reach,
        again_ms: Option<i64>,
        outdated: impl FnOnce() -> bool,
    ) {
        let Some(watched) = self.watches.get_mut(&id) else { return };
        watched.ours = Some(ours);
        let was_wide = watched.wide;
        let gone: Vec<Name> = watched.names.difference(&reach.names).cloned().collect();
        let come: Vec<Name> = reach.names.difference(&watched.names).cloned().collect();
        gone.iter().for_each(|name| {
            watched.names.remove(name);
        });
        watched.names.extend(come.iter().cloned());
        watched.wide = reach.wide;
        if reach.wide {
            self.wide.insert(id);
        } else {
            self.wide.remove(&id);
        }
        gone.iter().for_each(|name| self.unlist(name, id));
        let is_wider = !was_wide && (reach.wide || !come.is_empty());
        come.into_iter().for_each(|name| {
            self.by_name.entry(name).or_default().insert(id);
        });
        self.set_timer(id, again_ms);
        if is_wider && outdated() {
            self.mark(id);
        }
    }

    /// It is judged again at this instant, if nothing makes it due before.
    pub(crate) fn later(&mut self, id: WatchId, at_ms: i64) {
        let earlier =
            self.watches.get(&id).and_then(|watched| watched.timer_ms).filter(|timer| *timer <= at_ms);
        if earlier.is_none() {
            self.set_timer(id, Some(at_ms));
        }
    }

    /// It was found to be behind its head, or not; tells whether it is for longer than a fleet takes to converge.
    pub(crate) fn is_behind(&mut self, id: WatchId, behind: bool, now_ms: i64) {
        let Some(watched) = self.watches.get_mut(&id) else { return };
        if !behind {
            watched.behind_since_ms = None;
        } else if watched.behind_since_ms.is_none() {
            watched.behind_since_ms = Some(now_ms);
            self.later(id, now_ms + CONVERGED_MS);
        }
    }

    /// Whether it is behind its head for longer than a fleet takes to converge.
    pub(crate) fn has_waited(&self, id: WatchId, now_ms: i64) -> bool {
        let since = self.watches.get(&id).and_then(|watched| watched.behind_since_ms);
        since.is_some_and(|since| now_ms - since >= CONVERGED_MS)
    }

    /// Something was told. Whoever found otherwise looks again. What is told late of a head before this one, or once more
    /// of this one, is nothing new: its teller's own clock says when it told it, so that whoever's clock is ahead does
    /// not find it old at once.
    pub(crate) fn told(&mut self, head: Head) {
        let id = head.told.watch;
        let Some(watched) = self.watches.get_mut(&id) else { return };
        if watched.head.as_ref().is_some_and(|known| known.sequence >= head.sequence) {
            return;
        }
        let differs = watched.ours.is_some_and(|ours| ours != head.told.outcome);
        watched.head = Some(head);
        if differs {
            self.mark(id);
        }
    }

    /// Contact with the stream is lost: what stands there is not known any more.
    pub(crate) fn forget_heads(&mut self) {
        self.watches.values_mut().for_each(|watched| watched.head = None);
    }

    /// The head of one watch is not there.
    pub(crate) fn forget_head(&mut self, id: WatchId) {
        if let Some(watched) = self.watches.get_mut(&id) {
            watched.head = None;
        }
    }

    /// What was told last, as far as it is known here.
    pub(crate) fn head(&self, id: WatchId) -> Option<Head> {
        self.watches.get(&id)?.head.clone()
    }

    /// Heads that were told before this instant are due: they would lapse with their stream's age. They are not due again
    /// for a while: another validator may tell what this one may not.
    pub(crate) fn told_before(&mut self, before_ms: i64, now_ms: i64) {
        let mut due = Vec::new();
        for (id, watched) in &mut self.watches {
            let is_old = watched.head.as_ref().is_some_and(|head| head.stored_at_ms < before_ms);
            let lately = |since: i64| (0..OLD_PAUSE_MS).contains(&now_ms.saturating_sub(since));
            if is_old && !watched.old_since_ms.is_some_and(lately) {
                watched.old_since_ms = Some(now_ms);
                due.push(*id);
            }
        }
        due.into_iter().for_each(|id| self.mark(id));
    }

    /// How many verdicts are watched.
    pub(crate) fn len(&self) -> usize {
        self.watches.len()
    }

    /// How many wait to be judged.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }

    fn mark(&mut self, id: WatchId) {
        if self.is_due.insert(id) {
            self.due.push(id);
        }
    }

    fn set_timer(&mut self, id: WatchId, at_ms: Option<i64>) {
        let Some(watched) = self.watches.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut watched.timer_ms, at_ms) {
            self.timers.remove(&(before, id));
        }
        if let Some(at_ms) = at_ms {
            self.timers.insert((at_ms, id));
        }
    }

    fn forget(&mut self, id: WatchId) {
        self.set_timer(id, None);
        let Some(watched) = self.watches.remove(&id) else { return };
        watched.names.iter().for_each(|name| self.unlist(name, id));
        self.wide.remove(&id);
    }

    fn unlist(&mut self, name: &Name, id: WatchId) {
        if let Some(listed) = self.by_name.get_mut(name) {
            listed.remove(&id);
            if listed.is_empty() {
                self.by_name.remove(name);
            }
        }
    }
}

impl Watched {
    fn new(asked: Arc<Asked>) -> Watched {
        Watched {
            asked,
            leases: HashMap::new(),
            head: None,
            ours: None,
            names: HashSet::new(),
            wide: false,
            timer_ms: None,
            behind_since_ms: None,
            old_since_ms: None,
        }
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
