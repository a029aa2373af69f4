//! [`Intake`]: from the notice streams to the shelf.
//!
//! A certificate goes on the shelf as it is: it is believed by nobody before a signature says so. A CRL's notice is a
//! hint; what goes on the shelf is what the issuer's key signed. Whatever is wrong with one is counted and logged, and
//! delays no other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use revocast_bus::{Bus, BusError, Followed, Follower, Stored};
use revocast_daemon::{Context, Counter, Gauge, blocking};
use revocast_fleet::Announcer;
use revocast_messages::{CertificateNotice, CrlNotice, Incoming, subjects};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::{Crl, Difference};
use revocast_pki::identity::Digest;
use revocast_pki::signature::AlgorithmPolicy;
use revocast_store::{Kept, Shelf, ShelfError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::owed::Owed;
use crate::plan::{Plan, Way, plan};

/// How often it is looked for notices that can be finished now.
const DEBT_INTERVAL: Duration = Duration::from_millis(250);

/// Takes in what the streams bring.
pub(crate) struct Intake {
    shelf: Arc<Shelf>,
    announcer: Announcer,
    context: Context,
    owed: Mutex<Owed>,
    gate: Arc<Semaphore>,
    max_crl_bytes: usize,
    notices: Counter,
    aside: Counter,
    debts: Gauge,
}

/// What became of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The CRL is on the shelf.
    Kept,
    /// It was there, or a higher one.
    Held,
    /// To be tried again, because of this.
    Owed(String),
    /// Nothing can come of it.
    Refused(String),
}

impl Intake {
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        announcer: Announcer,
        context: &Context,
        concurrent_notices: usize,
        max_crl_bytes: usize,
    ) -> Intake {
        let metrics = &context.metrics;
        Intake {
            shelf,
            announcer,
            owed: Mutex::default(),
            gate: Arc::new(Semaphore::new(concurrent_notices.max(1))),
            max_crl_bytes,
            notices: metrics.counter("revocast_notices", "notices by what became of them"),
            aside: metrics.counter("revocast_put_aside", "messages put aside, by reason"),
            debts: metrics.gauge("revocast_notices_owed", "notices that are still to be finished"),
            context: context.clone(),
        }
    }

    /// Takes in one stream, for as long as it is polled.
    pub(crate) async fn follow(self: Arc<Self>, bus: Bus, stream: &'static str) -> std::convert::Infallible {
        let mut follower = Follower::new(&bus, stream, subjects::ALL_NOTICES, None);
        let mut under_way = JoinSet::new();
        let about = format!("stream {stream}");
        self.context.health.degraded(&about, "not attached yet");
        loop {
            match follower.next().await {
                Followed::Head(message) | Followed::Next(message) => {
                    self.take(stream, &message, &mut under_way).await;
                }
                Followed::Attached { .. } => self.context.health.well(&about),
                Followed::Detached { why } => self.context.health.degraded(&about, why),
            }
            while under_way.try_join_next().is_some() {}
        }
    }

    /// Tries again what could not be finished, for as long as it is polled.
    pub(crate) async fn pay_debts(self: Arc<Self>) -> std::convert::Infallible {
        let mut looking = tokio::time::interval(DEBT_INTERVAL);
        let mut under_way = JoinSet::new();
        loop {
            looking.tick().await;
            let due = self.owed().due(Instant::now());
            for debt in due {
                self.finish_beside(debt.notice, debt.attempts, &mut under_way).await;
            }
            self.debts.set(&[], self.owed().len() as f64);
            while under_way.try_join_next().is_some() {}
        }
    }

    async fn take(self: &Arc<Self>, stream: &str, message: &Stored, under_way: &mut JoinSet<()>) {
        match Incoming::read(stream, &message.subject, |name| message.header(name), &message.payload) {
            Ok(Incoming::Crl(notice)) => self.finish_beside(notice, 0, under_way).await,
            Ok(Incoming::Certificate(notice)) => self.take_certificate(notice).await,
            Ok(Incoming::Heartbeat(_)) => {}
            Err(error) => {
                self.aside.add_one(&[("reason", error.word())]);
                warn!(subject = %message.subject, %error, "passed over a message");
            }
        }
    }

    async fn take_certificate(&self, notice: CertificateNotice) {
        let certificate = match Certificate::decode(notice.certificate.0) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.aside.add_one(&[("reason", "certificate")]);
                return warn!(%error, "passed over a notice of what is no certificate");
            }
        };
        let (shelf, kept) = (self.shelf.clone(), certificate.clone());
        match blocking(move || shelf.keep_certificate(kept)).await {
            Ok(true) => {
                info!(subject = %certificate.subject(), id = %certificate.id(), "a certificate");
                self.owed().wake(certificate.as_issuer(), Instant::now());
            }
            Ok(false) => {}
            Err(error) => self.trouble(&error),
        }
    }

    /// Works on a notice beside others, as many as may be at once.
    async fn finish_beside(
        self: &Arc<Self>,
        notice: Box<CrlNotice>,
        attempts: u32,
        under_way: &mut JoinSet<()>,
    ) {
        let Ok(permit) = self.gate.clone().acquire_owned().await else { return };
        let intake = self.clone();
        under_way.spawn(async move {
            let outcome = intake.finish(&notice).await;
            intake.record(notice, attempts, outcome);
            drop(permit);
        });
    }

    fn record(&self, notice: Box<CrlNotice>, attempts: u32, outcome: Outcome) {
        let (subject, number) = (notice.subject(), notice.number.map(|number| number.to_string()));
        let word = match outcome {
            Outcome::Kept => {
                info!(%subject, number, "a CRL");
                "kept"
            }
            Outcome::Held => "held",
            Outcome::Owed(why) => {
                let kept = self.owed().add(notice, attempts + 1, Instant::now());
                if attempts == 0 || !kept {
                    warn!(%subject, number, %why, kept, "a notice cannot be finished yet");
                }
                if kept { "owed" } else { "dropped" }
            }
            Outcome::Refused(why) => {
                warn!(%subject, number, %why, "refused a notice");
                "refused"
            }
        };
        self.notices.add_one(&[("outcome", word)]);
    }

    async fn finish(&self, notice: &CrlNotice) -> Outcome {
        let (signer, ways) = match self.shelf.read(|holdings| plan(notice, holdings)) {
            Plan::Held => return Outcome::Held,
            Plan::UnknownIssuer => return Outcome::Owed("no certificate of its issuer is known".into()),
            Plan::Take { signer, ways } => (signer, ways),
        };
        if notice.size_bytes > self.max_crl_bytes as u64 {
            return Outcome::Refused(format!("a CRL of {} bytes", notice.size_bytes));
        }
        let mut outcome = Outcome::Refused("it says no way to the CRL".into());
        for way in ways {
            let bytes = match self.bring(way).await {
                Ok(bytes) => bytes,
                Err(failed) => {
                    outcome = worse(outcome, failed);
                    continue;
                }
            };
            // If these are the very bytes that the notice names, no other way brings better ones.
            let named = Digest::of(&bytes) == notice.digest;
            match self.keep(notice, bytes, &signer).await {
                Outcome::Refused(why) if !named => outcome = worse(outcome, Outcome::Refused(why)),
                done => return done,
            }
        }
        outcome
    }

    /// The bytes, not believed yet.
    async fn bring(&self, way: Way) -> Result<Bytes, Outcome> {
        match way {
            Way::Inline(bytes) => Ok(bytes),
            Way::Difference { encoded, base } => {
                let applied = blocking(move || Difference::decode(encoded)?.apply(&base)).await;
                applied.map_err(|error| Outcome::Refused(error.to_string()))
            }
            Way::Object(digest) => {
                let Some(objects) = self.announcer.objects().await else {
                    return Err(Outcome::Owed("the object store is not reached yet".into()));
                };
                let got = objects.get(&digest.to_string(), self.max_crl_bytes).await;
                got.map_err(|error| match error {
                    BusError::Damaged { .. } | BusError::Denied { .. } => Outcome::Refused(error.to_string()),
                    _ => Outcome::Owed(error.to_string()),
                })
            }
        }
    }

    async fn keep(&self, notice: &CrlNotice, bytes: Bytes, signer: &Certificate) -> Outcome {
        let (shelf, signer, named) = (self.shelf.clone(), signer.clone(), notice.crl_id);
        blocking(move || {
            let crl = match Crl::decode_and_verify(bytes, signer.spki(), &AlgorithmPolicy::default()) {
                Ok(crl) => crl,
                Err(error) => return Outcome::Refused(error.to_string()),
            };
            if crl.issuer() != signer.subject() {
                // A key may bear several names; the notice is about one of them.
                return Outcome::Refused(format!("a CRL of {}", crl.issuer()));
            }
            if crl.id() != named {
                return Outcome::Refused(format!("what came is the CRL {}, not {named}", crl.id()));
            }
            match shelf.keep_crl(&crl, &signer, false) {
                Ok(Kept::Highest { .. }) => Outcome::Kept,
                Ok(Kept::Same(_) | Kept::Lower(_)) => Outcome::Held,
                Err(error) => Outcome::Owed(error.to_string()),
            }
        })
        .await
    }

    fn trouble(&self, error: &ShelfError) {
        warn!(%error, "a certificate was not kept");
        self.context.health.degraded("shelf", error.to_string());
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        // A panic elsewhere leaves at worst a debt uncounted.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of two failures the one that may pass counts: trying again may help then.
fn worse(before: Outcome, now: Outcome) -> Outcome {
    if matches!(before, Outcome::Owed(_)) { before } else { now }
}
