//! [`Following`]: one notice stream from end to end. Each message goes to the walk, beside others; what is finished in
//! order moves the checkpoint and proves freshness; what our own disk did not take comes again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use revocast_bus::{Bus, Checkpoint, Followed, Follower, Stored};
use revocast_daemon::{Health, begin, blocking, caught};
use revocast_messages::{Incoming, subjects};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::disk::Work;
use crate::doors::statistics::Position;
use crate::freshness::Proofs;
use crate::notice::checkpoint::{Progress, Ticket};
use crate::notice::{Outcome, Walk, intake};

/// Checkpoints are written this often.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// Heads of CRLs are held back until the heads of certificates are told, up to this many.
const HELD_BACK: usize = 1_024;
/// Readiness waits this long for the heads to be worked on and for what is owed of them; the rest is on its way.
const HEADS_PATIENCE: Duration = Duration::from_secs(10);
/// After a fault of our own disk the stream is attached again this much later.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// Whoever waits for the heads, and the one that the next head is handed.
const HELD_BY_US: usize = 2;
/// How often it is looked whether the heads are worked on.
const SETTLED_LOOK: Duration = Duration::from_millis(20);

/// Follows one notice stream.
pub(crate) struct Following {
    stream: &'static str,
    walk: Arc<Walk>,
    bus: Bus,
    health: Health,
    proofs: Proofs,
    gate: Arc<Semaphore>,
    /// Told to whoever asks for the service's statistics.
    position: Arc<Position>,
    progress: Mutex<Progress>,
    failed: Notify,
    /// The heads of this attachment that are under way hold it.
    heads: Mutex<Arc<()>>,
}

impl Following {
    /// Of `stream`, with at most `places` messages under way; what is finished is told to `proofs`.
    pub(crate) fn new(
        stream: &'static str,
        walk: &Arc<Walk>,
        bus: &Bus,
        health: &Health,
        proofs: Proofs,
        places: usize,
    ) -> Following {
        let places = places.max(1);
        let gate = Arc::new(Semaphore::new(places));
        Following {
            stream,
            walk: walk.clone(),
            bus: bus.clone(),
            health: health.clone(),
            proofs,
            position: Arc::new(Position::new(stream, gate.clone(), places)),
            gate,
            progress: Mutex::default(),
            failed: Notify::new(),
            heads: Mutex::default(),
        }
    }

    /// How far it has come.
    pub(crate) fn position(&self) -> Arc<Position> {
        self.position.clone()
    }

    /// Follows for as long as it is polled.
    pub(crate) async fn run(self: Arc<Following>) {
        let mut writing = Writing::default();
        loop {
            writing.finish().await;
            let checkpoint = self.checkpoint().await;
            self.progress().restart();
            let follower = Follower::new(&self.bus, self.stream, subjects::ALL_NOTICES, checkpoint);
            // Ends only when the disk failed us: then the messages that were not finished come again.
            self.follow(follower, &mut writing).await;
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    async fn checkpoint(&self) -> Option<Checkpoint> {
        let (journal, stream) = (self.walk.journal.clone(), self.stream);
        blocking(move || journal.checkpoint(stream)).await.unwrap_or_else(|error| {
            warn!(%error, "without a checkpoint: reading from the heads");
            None
        })
    }

    async fn follow(self: &Arc<Following>, mut follower: Follower, writing: &mut Writing) {
        let mut ticking = tokio::time::interval(CHECKPOINT_INTERVAL);
        let mut held_back: Vec<Stored> = Vec::new();
        let mut attached = false;
        loop {
            tokio::select! {
                followed = follower.next() => match followed {
                    Followed::Head(head) => {
                        self.position.told(&head);
                        if held_back.len() < HELD_BACK && !attached && self.is_crl(&head) {
                            held_back.push(head);
                        } else {
                            self.take_head(head).await;
                        }
                    }
                    Followed::Attached { heads, resync, after } => {
                        attached = true;
                        self.position.attached(true);
                        if resync.is_some() {
                            // Sequences mean other messages now.
                            self.progress().resync();
                        }
                        let attachment = self.proofs.reading().attached(after);
                        info!(stream = self.stream, heads, ?resync, "following");
                        for head in held_back.drain(..) {
                            self.take_head(head).await;
                        }
                        self.is_attached(attachment);
                    }
                    Followed::Next(message) => {
                        self.position.told(&message);
                        let ticket = self.progress().begin(message.sequence);
                        self.take(message, ticket, None).await;
                    }
                    Followed::Detached { why } => {
                        attached = false;
                        self.position.attached(false);
                        held_back.clear();
                        *self.heads.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
                        self.proofs.reading().detached();
                        self.health.degraded(self.stream, why);
                    }
                },
                _ = ticking.tick() => self.write_checkpoint(writing),
                () = self.failed.notified() => return,
            }
        }
    }

    fn is_crl(&self, message: &Stored) -> bool {
        matches!(intake::read(self.stream, message), Ok(Incoming::Crl(_)))
    }

    /// Once the heads are worked on, the validator knows what the fleet knows. It is waited for beside the following,
    /// since one slow repository must not hold up the next notice. Readiness waits for so long and no longer; that nothing
    /// newer is known is not said before each head is finished or owed.
    fn is_attached(self: &Arc<Following>, attachment: u64) {
        let (this, ticket) = (self.clone(), self.progress().begin_head());
        let heads = self.heads_under_way();
        tokio::spawn(async move {
            let debts = &this.walk.debts;
            let settled = async {
                while Arc::strong_count(&heads) > HELD_BY_US || debts.are_pressing(this.walk.clock.now_ms()) {
                    tokio::time::sleep(SETTLED_LOOK).await;
                }
            };
            let _ = tokio::time::timeout(HEADS_PATIENCE, settled).await;
            let is_over = || !this.proofs.reading().is_current(attachment);
            if is_over() {
                // Contact was lost since, and the next attachment tells its own heads.
                return;
            }
            this.health.well(this.stream);
            if this.stream == subjects::NOTICES {
                this.health.well("broker");
            }
            while Arc::strong_count(&heads) > HELD_BY_US {
                tokio::time::sleep(SETTLED_LOOK).await;
                if is_over() {
                    return;
                }
            }
            let progress = this.progress();
            if progress.is_sound_since(ticket) {
                this.walk.disk.worked(Work::Notices(this.stream));
                this.proofs.reading().settled(attachment);
            }
        });
    }

    async fn take_head(self: &Arc<Following>, head: Stored) {
        let ticket = self.progress().begin_head();
        let under_way = self.heads_under_way();
        self.take(head, ticket, Some(under_way)).await;
    }

    fn heads_under_way(&self) -> Arc<()> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works on a message beside others; waits only when too many are under way. A head holds `under_way` until it is
    /// finished.
    async fn take(self: &Arc<Following>, message: Stored, ticket: Ticket, under_way: Option<Arc<()>>) {
        let Ok(permit) = self.gate.clone().acquire_owned().await else { return };
        let came = caught(async { self.walk.read(self.stream, &message) }).await;
        if came.as_ref().is_ok_and(|came| self.walk.is_old(came)) {
            self.walk.tell(&message.subject, &message.payload, &Outcome::Obsolete);
            return self.done(&message, ticket);
        }
        let this = self.clone();
        // What has come besides is taken up first; this takes arithmetic and the disk.
        begin(async move {
            let finished = async { caught(this.walk.finish(came?, &message)).await };
            let finished = match finished.await {
                Ok(finished) => finished,
                Err(why) => {
                    // It would end the same way every time, and never move the checkpoint.
                    let outcome = Outcome::Aside { word: "panic", why };
                    this.walk.tell(&message.subject, &message.payload, &outcome);
                    Ok(outcome)
                }
            };
            match finished {
                Ok(_) => this.done(&message, ticket),
                Err(error) => {
                    this.walk.disk.failed(Work::Notices(this.stream), &error);
                    this.fail(ticket);
                }
            }
            drop((permit, under_way));
        });
    }

    /// A message proves that all before it is known when all before it is finished.
    fn done(&self, message: &Stored, ticket: Ticket) {
        let mut progress = self.progress();
        if let Some(reached) = progress.done(ticket, message.checkpoint()) {
            self.proofs.taken(reached.sequence, reached.stored_at_ns / 1_000_000);
        }
    }

    /// Nothing is proven any more until the stream is begun anew.
    fn fail(&self, ticket: Ticket) {
        let mut progress = self.progress();
        if progress.failed(ticket) {
            self.proofs.reading().detached();
            self.failed.notify_one();
        }
    }

    fn write_checkpoint(&self, writing: &mut Writing) {
        if writing.is_under_way() {
            return;
        }
        let Some(position) = self.progress().take() else { return };
        let (walk, stream) = (self.walk.clone(), self.stream);
        writing.begin(move || match walk.journal.move_checkpoint(stream, &position) {
            Ok(()) => walk.disk.worked(Work::Checkpoint(stream)),
            Err(error) => walk.disk.failed(Work::Checkpoint(stream), &error),
        });
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write beside the runtime, one at a time.
#[derive(Default)]
struct Writing(Option<JoinHandle<()>>);

impl Writing {
    fn is_under_way(&self) -> bool {
        self.0.as_ref().is_some_and(|writing| !writing.is_finished())
    }

    fn begin(&mut self, write: impl FnOnce() + Send + 'static) {
        self.0 = Some(tokio::task::spawn_blocking(write));
    }

    async fn finish(&mut self) {
        if let Some(writing) = self.0.take() {
            let _ = writing.await;
        }
    }
}
