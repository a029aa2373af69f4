//! [`Announcer`]: carries announcements to the broker, each until it is confirmed, none in the way of another.
//!
//! Nothing here is durable. Whoever announces keeps its heads durably and announces them again at start and every few
//! minutes; publishing is idempotent, so what was lost here is made good then.

use std::sync::Arc;
use std::time::Duration;

use revocast_bus::{Bus, BusError, Objects, Published};
use revocast_messages::{Instance, Role};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::{debug, warn};

use crate::announcement::Announcement;
use crate::publisher::Publisher;

/// Announcements under way at once; further ones wait. Each may hold a CRL.
const CONCURRENCY: usize = 16;
/// Announcements that wait; more are dropped, to be announced again with their heads.
const WAITING: usize = 256;
/// How often it is looked whether JetStream answers, before the first announcement.
const READINESS_INTERVAL: Duration = Duration::from_millis(250);

/// What came of an announcement.
pub type Announced = Result<Published, BusError>;

/// Carries announcements. Cheap to clone; the work ends with the last clone.
#[derive(Clone)]
pub struct Announcer {
    queue: mpsc::Sender<(Announcement, oneshot::Sender<Announced>)>,
    publisher: watch::Receiver<Option<Publisher>>,
}

impl Announcer {
    /// Starts carrying, as soon as the stream of `role` can be reached; `told` hears what came of each announcement.
    pub fn start(
        bus: &Bus,
        role: Role,
        instance: &Instance,
        told: impl Fn(&Announced) + Send + Sync + 'static,
    ) -> Announcer {
        let (queue, waiting) = mpsc::channel(WAITING);
        let (ready, publisher) = watch::channel(None);
        tokio::spawn(carry(bus.clone(), role, instance.clone(), waiting, ready, Arc::new(told)));
        Announcer { queue, publisher }
    }

    /// Hands an announcement over. What comes of it is received when the broker has confirmed or refused it; an
    /// error in receiving means that it was dropped.
    pub fn announce(&self, announcement: Announcement) -> oneshot::Receiver<Announced> {
        let (tell, told) = oneshot::channel();
        if self.queue.try_send((announcement, tell)).is_err() {
            warn!("too many announcements wait; one is left to the next assertion of heads");
        }
        told
    }

    /// Like [`Announcer::announce`], but waits until there is room: for heads that are asserted again, however many.
    pub async fn announce_in_turn(&self, announcement: Announcement) {
        let (tell, _) = oneshot::channel();
        if self.queue.send((announcement, tell)).await.is_err() {
            debug!("the announcer has ended");
        }
    }

    /// The broker's object store, once it could be reached and if there is one.
    pub async fn objects(&self) -> Option<Objects> {
        let publisher = self.publisher.borrow().clone()?;
        publisher.objects().await.cloned()
    }
}

async fn carry(
    bus: Bus,
    role: Role,
    instance: Instance,
    mut waiting: mpsc::Receiver<(Announcement, oneshot::Sender<Announced>)>,
    ready: watch::Sender<Option<Publisher>>,
    told: Arc<dyn Fn(&Announced) + Send + Sync>,
) {
    let publisher = tokio::select! {
        publisher = publisher(&bus, role, &instance) => publisher,
        () = ready.closed() => return,
    };
    ready.send_replace(Some(publisher.clone()));
    let gate = Arc::new(Semaphore::new(CONCURRENCY));
    let mut under_way = tokio::task::JoinSet::new();
    while let Some((announcement, tell)) = waiting.recv().await {
        let Ok(permit) = gate.clone().acquire_owned().await else { return };
        let (publisher, told) = (publisher.clone(), told.clone());
        under_way.spawn(async move {
            let announced = publish(&publisher, &announcement).await;
            told(&announced);
            if tell.send(announced).is_err() {
                debug!("nobody waits for this announcement any more");
            }
            drop(permit);
        });
        while under_way.try_join_next().is_some() {}
    }
}

/// Waits for the stream: before it answers, nothing can be announced.
async fn publisher(bus: &Bus, role: Role, instance: &Instance) -> Publisher {
    let mut waiting = tokio::time::interval(READINESS_INTERVAL);
    loop {
        waiting.tick().await;
        if bus.stream_state(role.stream()).await.is_ok() {
            return Publisher::new(bus, instance.as_str()).await;
        }
    }
}

async fn publish(publisher: &Publisher, announcement: &Announcement) -> Announced {
    match announcement {
        Announcement::Crl { notice, crl, signer } => publisher.publish_crl(notice, crl.der(), signer).await,
        Announcement::Certificate(notice) => publisher.publish_certificate(notice).await,
    }
}
