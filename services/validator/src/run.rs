//! The validator as a service: its beginning, the tasks that carry the walks, and its end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use revocast_bus::{Bus, BusError, Service};
use revocast_daemon::{Context, DoorError, open_door};
use revocast_fetch::{Fetcher, SetupError};
use revocast_messages::subjects;
use revocast_store::read_certificates;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

use crate::acquire::{Acquirer, Find};
use crate::bridge::{self, Bridge, Home};
use crate::config::{Subscribe, ValidatorConfig};
use crate::disk::Disk;
use crate::doors;
use crate::doors::events::EventDoor;
use crate::doors::http::{Doors, Porter};
use crate::doors::nats::Questions;
use crate::doors::statistics::Position;
use crate::elsewhere::Elsewhere;
use crate::events::Events;
use crate::following::Following;
use crate::freshness::{self, Freshness, FreshnessCounts, Proofs};
use crate::metrics::Counts;
use crate::notice::aside::{Aside, Rejected};
use crate::notice::fetch::Fetch;
use crate::notice::owed::Debts;
use crate::notice::plan::Repositories;
use crate::notice::receipt::{Audience, Receipts};
use crate::notice::sources::Sources;
use crate::notice::verify::Verifier;
use crate::notice::{Walk, aside, owed, persist};
use crate::paths::{self, Offer, Paths};
use crate::polling::{self, Board, Demand, Found, Telling};
use crate::question::discover::{Discover, DiscoverParts, DiscoveryCounts, Learner};
use crate::question::{Judge, Policies, PolicyError, history};
use crate::recall::recall;
use crate::required::Required;
use crate::state::{Journal, JournalError, Live};
use crate::subscribe::Subscriber;
use crate::watch::{self, WatchCounts, Watches};
use crate::{stale, withheld};

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

/// How often it is looked whether the validator is ready.
const READINESS_LOOK: Duration = Duration::from_millis(20);
/// Answers over HTTP that are under way get this long at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(300);
/// Receipts that are still to be told get this long at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// With goodbyes to be said, this long.
const GOODBYES: Duration = Duration::from_secs(1);

/// Runs the service until `context.stop`.
pub async fn run(config: ValidatorConfig, context: Context) -> Result<(), RunError> {
    let core = Core::begin(config, context).await?;
    let (judge, demand, offers) = core.judge();
    let mut tasks = JoinSet::new();
    let (acquirer, serving) = core.open_http(&judge).await?;
    let bridges = core.bridges().await?;
    let (walk, waiting, findings) = core.walk();
    core.start_polling(&walk, findings, &demand, &mut tasks);
    let positions = core.start_following(&walk, &mut tasks);
    core.start_upkeep(&walk, waiting, &mut tasks);
    paths::start(&mut tasks, &core.bus, &judge, &walk.events, offers, &core.config.paths);
    let (subscriber, mut subscribing) = core.start_subscribing(walk);
    core.start_doors(&judge, acquirer, bridges, &mut tasks);
    let questions = Questions {
        judge,
        config: Arc::new(core.config.clone()),
        positions,
        health: core.context.health.clone(),
    };
    let opening = open_nats_door(core.bus.clone(), questions, core.context.clone());
    let door = AbortOnDropHandle::new(tokio::spawn(opening));
    loop {
        // Whatever goes on in a validator goes on until it is stopped. The rest is of use without a part that fails.
        let ended = tokio::select! {
            biased;
            () = core.context.stop.cancelled() => break,
            Some(ended) = tasks.join_next() => ended,
            ended = &mut subscribing => {
                subscribing = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
                ended
            }
        };
        if let Err(error) = ended {
            let why =
                format!("a part of the validator has failed, and is missing until it is restarted: {error}");
            error!("{why}");
            core.context.health.degraded("failed", why);
        }
    }
    if let Ok(Some(service)) = door.await {
        service.stop().await;
    }
    // Questions over HTTP that are under way get as long as those over NATS.
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    tasks.shutdown().await;
    core.say_last_words(&subscriber, subscribing).await;
    core.bus.close().await;
    Ok(())
}

/// Where CRLs are handed over that the fleet is to be told of, and where they come out.
type Findings = (Telling, Receiver<Found>);

/// What all tasks share.
struct Core {
    config: ValidatorConfig,
    context: Context,
    policies: Arc<Policies>,
    counts: Counts,
    live: Arc<Live>,
    journal: Arc<Journal>,
    verifier: Verifier,
    events: Events,
    receipts: Receipts,
    bus: Bus,
    fetcher: Fetcher,
    elsewhere: Elsewhere,
    debts: Arc<Debts>,
    required: Required,
    /// A question brought a certificate that debts may wait for.
    adopted: Arc<Notify>,
    freshness: Freshness,
    board: Arc<Board>,
}

impl Core {
    /// Begins with what was enforced before, and with a connection that comes to stand whenever it can.
    async fn begin(config: ValidatorConfig, context: Context) -> Result<Core, RunError> {
        std::fs::create_dir_all(&config.state)?;
        let policies = Arc::new(Policies::read(&config.policies, &config.default_policy)?);
        let counts = Counts::new(&context.metrics);
        let live = Arc::new(Live::new());
        let mut journal = Journal::open(&config.state)?;
        journal.keep_in_database(config.small_crl_bytes);
        journal.keep_history(&config.history, context.clock.now_ms())?;
        let journal = Arc::new(journal);
        let verifier = Verifier::new(policies.clone());
        let events = Events::new(context.clock.clone());
        let receipts = Receipts::new(audience(&config.subscribe), events.clone());
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
            let why = "answering from the store; the notice streams were not read yet";
            context.health.degraded("broker", why);
        }
        let required = Required::new(&config.required, &policies, &live, &context.health, &context.clock);
        required.look();
        let bus =
            Bus::connect_eventually(&config.bus, &format!("revocast/validator/{}", config.instance)).await?;
        let fetcher = Fetcher::new(config.fetch.clone())?;
        Ok(Core {
            elsewhere: Elsewhere::new(&bus, fetcher.clone()),
            debts: Arc::default(),
            required,
            adopted: Arc::default(),
            freshness: Freshness::new(&config.freshness),
            board: Arc::new(Board::new(&config.polling)),
            config,
            context,
            policies,
            counts,
            live,
            journal,
            verifier,
            events,
            receipts,
            bus,
            fetcher,
        })
    }

    /// Whoever answers questions, what they make wanted, and the paths that they find and offer.
    fn judge(&self) -> (Judge, Demand, Receiver<Offer>) {
        let (config, context) = (&self.config, &self.context);
        let discover = Discover::new(DiscoverParts {
            elsewhere: self.elsewhere.clone(),
            live: self.live.clone(),
            policies: self.policies.clone(),
            verifier: self.verifier.clone(),
            learner: Learner {
                live: self.live.clone(),
                journal: self.journal.clone(),
                events: self.events.clone(),
                clock: context.clock.clone(),
                debts: self.debts.clone(),
            },
            clock: context.clock.clone(),
            config: config.discovery.clone(),
            counts: DiscoveryCounts::new(&context.metrics),
        });
        let (live, policies, clock) = (self.live.clone(), self.policies.clone(), context.clock.clone());
        let demand = Demand::new(&config.polling, self.board.clone(), live, policies, clock);
        let (known_paths, offers) = Paths::new(&config.paths, &context.metrics);
        let judge = Judge {
            live: self.live.clone(),
            journal: Some(self.journal.clone()),
            policies: self.policies.clone(),
            paths: known_paths,
            freshness: self.freshness.clone(),
            demand: Some(demand.clone()),
            clock: context.clock.clone(),
            counts: self.counts.clone(),
            adopted: self.adopted.clone(),
            instance: config.instance.clone(),
            deadline: config.question_deadline,
            discover: Some(discover),
            gate: Arc::new(Semaphore::new(config.concurrent_questions.max(1))),
            past_gate: Arc::new(Semaphore::new(history::WORKED_ON_AT_ONCE)),
        };
        (judge, demand, offers)
    }

    /// Opens the HTTP door: what was enforced before is answered from at once.
    async fn open_http(&self, judge: &Judge) -> Result<(Arc<Acquirer>, JoinHandle<()>), RunError> {
        let (config, context) = (&self.config, &self.context);
        let find =
            Find::new(self.live.clone(), self.elsewhere.clone(), &config.acquire, &config.repositories);
        let acquirer =
            Arc::new(Acquirer::new(judge.clone(), find, config.acquire.concurrent, &context.metrics));
        let feed = self.events.feed.clone();
        let told = EventDoor::new(feed, config.events.clone(), context.stop.clone(), &context.metrics);
        let http =
            Doors { judge: judge.clone(), acquirer: acquirer.clone(), live: self.live.clone(), events: told };
        let site = doors::http::site(http, &Porter::new(&config.requests, &context.metrics), context);
        let (_, serving) = open_door(config.listen, &config.http, site, context).await?;
        Ok((acquirer, serving))
    }

    async fn bridges(&self) -> Result<Vec<Bridge>, RunError> {
        let home = Home {
            live: self.live.clone(),
            verifier: self.verifier.clone(),
            events: self.events.clone(),
            instance: self.config.instance.clone(),
            clock: self.context.clock.clone(),
            health: self.context.health.clone(),
        };
        Ok(bridge::open(&self.config.bridges, &home, &self.context.metrics).await?)
    }

    /// The walk of notices, what it puts aside, and what it finds for the fleet.
    fn walk(&self) -> (Arc<Walk>, Receiver<Rejected>, Findings) {
        let config = &self.config;
        let (instance, clock) = (config.instance.clone(), self.context.clock.clone());
        let fetch = Fetch::new(&self.bus, self.fetcher.clone(), instance, config.max_crl_bytes, clock);
        let (aside, waiting) = Aside::new(self.counts.clone());
        let (telling, found) = Telling::new();
        let walk = Arc::new(Walk {
            live: self.live.clone(),
            journal: self.journal.clone(),
            verifier: self.verifier.clone(),
            sources: Sources::Fleet(Box::new(fetch)),
            repositories: Repositories { prefixes: config.repositories.clone() },
            board: self.board.clone(),
            debts: self.debts.clone(),
            receipts: self.receipts.clone(),
            telling: Some(telling.clone()),
            aside,
            counts: self.counts.clone(),
            events: self.events.clone(),
            clock: self.context.clock.clone(),
            disk: Disk::new(self.context.health.clone()),
            gate: Semaphore::new(std::thread::available_parallelism().map_or(2, |cores| cores.get() + 1)),
            applying: Arc::default(),
        });
        (walk, waiting, (telling, found))
    }

    fn start_polling(
        &self,
        walk: &Arc<Walk>,
        (telling, found): Findings,
        demand: &Demand,
        tasks: &mut JoinSet<()>,
    ) {
        let asking = polling::Needs {
            walk,
            fetcher: self.fetcher.clone(),
            bus: &self.bus,
            freshness: &self.freshness,
            config: &self.config,
            telling,
            found,
        };
        asking.start(demand, &self.context.metrics, tasks);
    }

    /// Follows both notice streams; tells how far each has come.
    fn start_following(&self, walk: &Arc<Walk>, tasks: &mut JoinSet<()>) -> Vec<Arc<Position>> {
        let mut positions = Vec::new();
        for stream in [subjects::NOTICES, subjects::SIGHTINGS] {
            let proofs = Proofs::new(stream, self.freshness.clone(), self.context.clock.clone());
            let (health, places) = (&self.context.health, self.config.concurrent_notices);
            let following = Arc::new(Following::new(stream, walk, &self.bus, health, proofs.clone(), places));
            positions.push(following.position());
            tasks.spawn(following.run());
            let (bus, interval) = (self.bus.clone(), self.config.freshness.probe);
            tasks.spawn(async move { proofs.probe(&bus, interval).await });
        }
        let (freshness, context) = (self.freshness.clone(), self.context.clone());
        let counts = FreshnessCounts::new(&context.metrics);
        tasks.spawn(async move {
            freshness::show(&freshness, &counts, &context.health, &context.clock).await;
        });
        positions
    }

    /// What goes on beside the streams: debts, history, what is put aside, receipts.
    fn start_upkeep(&self, walk: &Arc<Walk>, waiting: Receiver<Rejected>, tasks: &mut JoinSet<()>) {
        tasks.spawn(owed::work(walk.clone()));
        let (adopted, debts) = (self.adopted.clone(), self.debts.clone());
        tasks.spawn(async move {
            loop {
                adopted.notified().await;
                debts.certificate_came();
            }
        });
        tasks.spawn(history::sweep(self.journal.clone(), self.context.clock.clone()));
        tasks.spawn(persist::forget(self.journal.clone()));
        tasks.spawn(self.required.clone().show());
        tasks.spawn(stale::show(self.live.clone(), self.counts.clone(), self.context.clock.clone()));
        tasks.spawn(withheld::show(self.live.clone(), self.context.health.clone()));
        let (bus, instance) = (self.bus.clone(), self.config.instance.clone());
        tasks.spawn(async move { aside::publish(waiting, &bus, &instance).await });
        let (bus, instance) = (self.bus.clone(), self.config.instance.clone());
        let receipts = self.receipts.clone();
        tasks.spawn(async move { receipts.publish(&bus, &instance).await });
    }

    fn start_subscribing(&self, walk: Arc<Walk>) -> (Arc<Subscriber>, AbortOnDropHandle<()>) {
        let subscriber = Arc::new(Subscriber {
            bus: self.bus.clone(),
            walk,
            validator: self.config.instance.clone(),
            wish: self.config.subscribe.clone(),
            payload: self.config.payload,
            lease: self.config.lease,
            health: self.context.health.clone(),
            states: Mutex::default(),
        });
        let (working, stop) = (subscriber.clone(), self.context.stop.clone());
        let subscribing = tokio::spawn(async move { working.work(&stop).await });
        (subscriber, AbortOnDropHandle::new(subscribing))
    }

    /// The doors for acquisition and watching, and those of other domains.
    fn start_doors(
        &self,
        judge: &Judge,
        acquirer: Arc<Acquirer>,
        bridges: Vec<Bridge>,
        tasks: &mut JoinSet<()>,
    ) {
        let (bus, requests) = (self.bus.clone(), self.config.acquire.concurrent);
        tasks.spawn(async move { match doors::acquire::keep_open(&bus, &acquirer, requests).await {} });
        for bridge in bridges {
            tasks.spawn(async move { match bridge.run().await {} });
        }
        let counts = WatchCounts::new(&self.context.metrics);
        let watches = Watches::new(judge.clone(), &self.bus, self.config.watch.clone(), counts);
        tasks.spawn(watch::run(watches.clone(), self.events.clone()));
        let (bus, instance) = (self.bus.clone(), self.config.instance.clone());
        tasks.spawn(async move { match doors::watch::keep_open(&bus, &watches, &instance).await {} });
    }

    /// Receipts that are still to be told, and goodbyes where they are wished for.
    async fn say_last_words(&self, subscriber: &Subscriber, subscribing: AbortOnDropHandle<()>) {
        let receipts = self.receipts.flush(&self.bus, &self.config.instance);
        if self.config.unsubscribe_on_stop {
            // After the goodbye nothing is told any more.
            let last_words = async {
                receipts.await;
                subscriber.leave(subscribing).await;
            };
            let _ = tokio::time::timeout(GOODBYES, last_words).await;
        } else {
            drop(subscribing);
            let _ = tokio::time::timeout(LAST_WORDS, receipts).await;
        }
    }
}

/// Of whom receipts are told until it is known which issuers the anchors lead to.
fn audience(subscribe: &Subscribe) -> Audience {
    match subscribe {
        Subscribe::All => None,
        Subscribe::Anchors => Some(BTreeSet::new()),
        Subscribe::Issuers(issuers) => Some(issuers.iter().copied().collect()),
    }
}

/// Opens the NATS door as soon as there is something to answer from and the broker can be reached: whoever asks the
/// queue group gets a verdict from a validator that is ready, and not a shrug from one that has just come.
async fn open_nats_door(bus: Bus, questions: Questions, context: Context) -> Option<Service> {
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
