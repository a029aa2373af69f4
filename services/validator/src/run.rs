//! The validator as a service: its beginning, the tasks that carry the walks, and its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use revocast_bus::{Bus, BusError, Followed, Follower, Stored};
use revocast_daemon::{Context, DoorError, open_door};
use revocast_fetch::{Fetcher, SetupError};
use revocast_messages::{Incoming, subjects};
use revocast_store::read_certificates;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::acquire::{Acquirer, Find};
use crate::bridge::{self, Home};
use crate::config::ValidatorConfig;
use crate::doors;
use crate::doors::events::EventDoor;
use crate::doors::feed::Feed;
use crate::doors::http::{Doors, Porter};
use crate::doors::nats::Questions;
use crate::doors::statistics::Position;
use crate::elsewhere::Elsewhere;
use crate::events::Events;
use crate::freshness::{self, Freshness, FreshnessCounts, Proofs};
use crate::metrics::Counts;
use crate::notice::aside::Aside;
use crate::notice::checkpoint::Progress;
use crate::notice::fetch::Fetch;
use crate::notice::owed::Debts;
use crate::notice::plan::Repositories;
use crate::notice::receipt::Receipts;
use crate::notice::sources::Sources;
use crate::notice::verify::Verifier;
use crate::notice::{Walk, aside, intake, owed};
use crate::paths::{self, Paths};
use crate::polling::{self, Board, Demand};
use crate::question::discover::{Discover, DiscoverParts, DiscoveryCounts, Learner};
use crate::question::{Judge, Policies, PolicyError, history};
use crate::recall::recall;
use crate::state::{Journal, JournalError, Live};
use crate::subscribe::Subscriber;
use crate::watch::{self, WatchCounts, Watches};

/// Why the service ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A policy or a file of certificates.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The fetcher cannot be set up.
    #[error(transparent)]
    Fetch(#[from] SetupError),
    /// The broker connection cannot be set up.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The HTTP door does not open.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The state folder.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Checkpoints are written this often.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// Heads of CRLs are held back until the heads of certificates are told, up to this many.
const HELD_BACK: usize = 1_024;
/// Readiness waits this long for the heads to be worked on and for what is owed of them; the rest is on its way.
const HEADS_PATIENCE: Duration = Duration::from_secs(10);
/// After a fault of our own disk the stream is attached again this much later.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the validator is ready.
const READINESS_LOOK: Duration = Duration::from_millis(20);
/// Answers over HTTP that are under way get this long at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(300);
/// Receipts that are still to be told, and goodbyes, get this long at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs the service until `context.stop`.
pub async fn run(config: ValidatorConfig, context: Context) -> Result<(), RunError> {
    std::fs::create_dir_all(&config.state)?;
    let policies = Arc::new(Policies::read(&config.policies, &config.default_policy)?);
    let counts = Counts::new(&context.metrics);
    let live = Arc::new(Live::new());
    let mut journal = Journal::open(&config.state)?;
    journal.keep_history(&config.history, context.clock.now_ms())?;
    let journal = Arc::new(journal);
    let verifier = Verifier::new(policies.clone());
    let events = Events::default();
    let receipts = Receipts::new(events.clone());
    for certificate in policies
        .anchor_certificates()
        .cloned()
        .chain(read_certificates(&config.certificates).map_err(PolicyError::from)?)
    {
        live.insert_certificate(certificate);
    }
    recall(&journal, &live, &verifier, &receipts, &counts)?;
    context.health.not_ready("broker", "the notice streams were not read yet");
    if live.scopes() > 0 {
        context.health.degraded("broker", "answering from the store; the notice streams were not read yet");
    }

    let name = format!("revocast/validator/{}", config.instance);
    let bus = Bus::connect_eventually(&config.bus, &name).await?;
    let fetcher = Fetcher::new(config.fetch.clone())?;
    let elsewhere = Elsewhere::new(&bus, fetcher.clone());
    let debts = Arc::new(Debts::default());
    let discover = Discover::new(DiscoverParts {
        elsewhere: elsewhere.clone(),
        live: live.clone(),
        policies: policies.clone(),
        verifier: verifier.clone(),
        learner: Learner {
            live: live.clone(),
            journal: journal.clone(),
            events: events.clone(),
            clock: context.clock.clone(),
            debts: debts.clone(),
        },
        clock: context.clock.clone(),
        config: config.discovery.clone(),
        counts: DiscoveryCounts::new(&context.metrics),
    });
    let adopted = Arc::new(Notify::new());
    let freshness = Freshness::new(&config.freshness);
    let board = Arc::new(Board::new(&config.polling));
    let clock = context.clock.clone();
    let demand = Demand::new(&config.polling, board.clone(), live.clone(), policies.clone(), clock);
    let (known_paths, offers) = Paths::new(&config.paths, &context.metrics);
    let judge = Judge {
        live: live.clone(),
        journal: Some(journal.clone()),
        policies,
        paths: known_paths,
        freshness: freshness.clone(),
        demand: Some(demand.clone()),
        clock: context.clock.clone(),
        counts: counts.clone(),
        adopted: adopted.clone(),
        instance: config.instance.clone(),
        deadline: config.question_deadline,
        discover: Some(discover),
        gate: Arc::new(Semaphore::new(config.concurrent_questions.max(1))),
    };
    let find = Find::new(live.clone(), elsewhere, &config.acquire, &config.repositories);
    let acquirer = Arc::new(Acquirer::new(judge.clone(), find, config.acquire.concurrent, &context.metrics));
    let mut tasks = JoinSet::new();
    let feed = Feed::new(context.clock.now_ms());
    tasks.spawn(feed.clone().run(events.listen(), context.clock.clone()));
    let told = EventDoor::new(feed, config.events.clone(), context.stop.clone(), &context.metrics);
    let http = Doors { judge: judge.clone(), acquirer: acquirer.clone(), live: live.clone(), events: told };
    let routes = doors::http::routes(http, &Porter::new(&config.requests, &context.metrics), &context);
    let (_, serving) = open_door(config.listen, &config.http, routes, &context).await?;

    let home = Home {
        live: live.clone(),
        verifier: verifier.clone(),
        events: events.clone(),
        instance: config.instance.clone(),
        clock: context.clock.clone(),
        health: context.health.clone(),
    };
    let bridges = bridge::open(&config.bridges, &home, &context.metrics).await?;
    let (aside, waiting) = Aside::new(counts.clone());
    let walk = Arc::new(Walk {
        live,
        journal,
        verifier,
        sources: Sources::Fleet(Box::new(Fetch::new(
            &bus,
            fetcher.clone(),
            config.instance.clone(),
            config.max_crl_bytes,
        ))),
        repositories: Repositories { prefixes: config.repositories.clone() },
        board,
        debts,
        receipts: receipts.clone(),
        aside,
        counts,
        events: events.clone(),
        clock: context.clock.clone(),
        gate: Semaphore::new(std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1)),
        applying: tokio::sync::Mutex::new(()),
    });

    let asking = polling::Needs { walk: &walk, fetcher, bus: &bus, freshness: &freshness, config: &config };
    asking.start(&demand, &context.metrics, &mut tasks);
    let mut positions = Vec::new();
    for stream in [subjects::NOTICES, subjects::SIGHTINGS] {
        let places = config.concurrent_notices.max(1);
        let gate = Arc::new(Semaphore::new(places));
        let position = Arc::new(Position::new(stream, gate.clone(), places));
        positions.push(position.clone());
        let proofs = Proofs::new(stream, freshness.clone(), context.clock.clone());
        let following = Following {
            stream,
            walk: walk.clone(),
            bus: bus.clone(),
            context: context.clone(),
            proofs: proofs.clone(),
            gate,
            places,
            position,
            progress: Arc::default(),
            failed: Arc::default(),
        };
        tasks.spawn(following.run());
        let (bus, interval) = (bus.clone(), config.freshness.probe);
        tasks.spawn(async move { proofs.probe(&bus, interval).await });
    }
    tasks.spawn({
        let (context, counts) = (context.clone(), FreshnessCounts::new(&context.metrics));
        async move { freshness::show(&freshness, &counts, &context.health, &context.clock).await }
    });
    tasks.spawn(owed::work(walk.clone()));
    tasks.spawn({
        let debts = walk.debts.clone();
        async move {
            loop {
                adopted.notified().await;
                debts.certificate_came();
            }
        }
    });
    paths::start(&mut tasks, &bus, &judge, &walk.events, offers, &config.paths);
    tasks.spawn(history::sweep(walk.journal.clone(), context.clock.clone()));
    tasks.spawn({
        let (bus, instance) = (bus.clone(), config.instance.clone());
        async move { aside::publish(waiting, &bus, &instance).await }
    });
    tasks.spawn({
        let (bus, instance, receipts) = (bus.clone(), config.instance.clone(), receipts.clone());
        async move { receipts.publish(&bus, &instance).await }
    });
    let subscriber = Arc::new(Subscriber {
        bus: bus.clone(),
        walk,
        validator: config.instance.clone(),
        wish: config.subscribe.clone(),
        payload: config.payload,
        lease: config.lease,
        health: context.health.clone(),
        states: Mutex::default(),
    });
    tasks.spawn({
        let subscriber = subscriber.clone();
        async move { subscriber.work().await }
    });
    let requests = config.acquire.concurrent;
    tasks.spawn({
        let bus = bus.clone();
        async move { match doors::acquire::keep_open(&bus, &acquirer, requests).await {} }
    });
    for bridge in bridges {
        tasks.spawn(async move { match bridge.run().await {} });
    }
    let watches = Watches::new(judge.clone(), &bus, config.watch.clone(), WatchCounts::new(&context.metrics));
    tasks.spawn(watch::run(watches.clone(), events));
    tasks.spawn({
        let (bus, instance) = (bus.clone(), config.instance.clone());
        async move {
            doors::watch::keep_open(&bus, &watches, &instance).await;
        }
    });
    let questions =
        Questions { judge, config: Arc::new(config.clone()), positions, health: context.health.clone() };
    let door = AbortOnDropHandle::new(tokio::spawn(open_nats_door(bus.clone(), questions, context.clone())));
    context.stop.cancelled().await;
    if let Ok(Some(service)) = door.await {
        service.stop().await;
    }
    // Questions over HTTP that are under way get as long as those over NATS.
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    tasks.shutdown().await;
    let leave = async {
        if config.unsubscribe_on_stop {
            subscriber.leave().await;
        }
    };
    let last_words = futures::future::join(receipts.flush(&bus, &config.instance), leave);
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    bus.close().await;
    Ok(())
}

/// Opens the NATS door as soon as there is something to answer from and the broker can be reached: whoever asks the
/// queue group gets a verdict from a validator that is ready, and not a shrug from one that has just come.
async fn open_nats_door(bus: Bus, questions: Questions, context: Context) -> Option<revocast_bus::Service> {
    loop {
        if !context.health.is_ready() && !context.stop.is_cancelled() {
            tokio::time::sleep(READINESS_LOOK).await;
            continue;
        }
        tokio::select! {
            () = context.stop.cancelled() => return None,
            opened = doors::nats::open(&bus, &questions) => match opened {
                Ok(service) => {
                    context.stop.cancelled().await;
                    return Some(service);
                }
                Err(error) => {
                    warn!(%error, "questions over NATS cannot be answered yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
        }
    }
}

/// Follows one notice stream, and hands each message to the walk.
struct Following {
    stream: &'static str,
    walk: Arc<Walk>,
    bus: Bus,
    context: Context,
    proofs: Proofs,
    gate: Arc<Semaphore>,
    /// How many permits the gate has in all.
    places: usize,
    /// Told to whoever asks for the service's statistics.
    position: Arc<Position>,
    progress: Arc<Mutex<Progress>>,
    failed: Arc<Notify>,
}

impl Following {
    async fn run(self) {
        loop {
            let checkpoint = match self.walk.journal.checkpoint(self.stream) {
                Ok(checkpoint) => checkpoint,
                Err(error) => {
                    warn!(%error, "without a checkpoint: reading from the heads");
                    None
                }
            };
            self.progress().restart();
            let follower = Follower::new(&self.bus, self.stream, subjects::ALL_NOTICES, checkpoint);
            // Ends only when the disk failed us: then the messages that were not finished come again.
            self.follow(follower).await;
            tokio::time::sleep(DISK_PAUSE).await;
        }
    }

    async fn follow(&self, mut follower: Follower) {
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
                            self.take(head, false).await;
                        }
                    }
                    Followed::Attached { heads, resync, after } => {
                        attached = true;
                        self.position.attached(true);
                        let attachment = self.proofs.reading().attached(after);
                        info!(stream = self.stream, heads, ?resync, "following");
                        for head in held_back.drain(..) {
                            self.take(head, false).await;
                        }
                        self.is_attached(attachment);
                    }
                    Followed::Next(message) => {
                        self.position.told(&message);
                        let (sequence, stored_at_ms) = (message.sequence, message.stored_at_ms());
                        self.progress().begin(sequence);
                        self.take(message, true).await;
                        self.proofs.taken(sequence, stored_at_ms);
                    }
                    Followed::Detached { why } => {
                        attached = false;
                        self.position.attached(false);
                        held_back.clear();
                        self.proofs.reading().detached();
                        self.context.health.degraded(self.stream, why);
                    }
                },
                _ = ticking.tick() => self.write_checkpoint(),
                () = self.failed.notified() => return,
            }
        }
    }

    fn is_crl(&self, message: &Stored) -> bool {
        matches!(intake::read(self.stream, message), Ok(Incoming::Crl(_)))
    }

    /// Once the heads are worked on, the validator knows what the fleet knows. It is waited for beside the following,
    /// since one slow repository must not hold up the next notice.
    fn is_attached(&self, attachment: u64) {
        let (gate, places, stream, walk) = (self.gate.clone(), self.places, self.stream, self.walk.clone());
        let (health, proofs) = (self.context.health.clone(), self.proofs.clone());
        tokio::spawn(async move {
            let settled = async {
                while gate.available_permits() < places || walk.debts.are_pressing(walk.clock.now_ms()) {
                    tokio::time::sleep(READINESS_LOOK).await;
                }
            };
            let _ = tokio::time::timeout(HEADS_PATIENCE, settled).await;
            health.well(stream);
            if stream == subjects::NOTICES {
                health.well("broker");
            }
            proofs.reading().settled(attachment);
        });
    }

    /// Works on a message beside others; waits only when too many are under way.
    async fn take(&self, message: Stored, counted: bool) {
        let Ok(permit) = self.gate.clone().acquire_owned().await else { return };
        let (walk, failed) = (self.walk.clone(), self.failed.clone());
        let (progress, stream) = (self.progress.clone(), self.stream);
        tokio::spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            match walk.finish(stream, &message).await {
                Ok(_) if counted => {
                    progress.lock().unwrap_or_else(PoisonError::into_inner).done(message.checkpoint());
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "a notice is not finished: our own disk failed");
                    failed.notify_one();
                }
            }
        });
    }

    fn write_checkpoint(&self) {
        let reached = self.progress().take();
        if let Some(position) = reached
            && let Err(error) = self.walk.journal.move_checkpoint(self.stream, &position)
        {
            warn!(%error, "the checkpoint was not written; the same notices will come again");
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
