//! A path that was newly found is told to the fleet: on `pki.path.<validator>.<policy>.<target>`, for as long as it holds.
//!
//! Only what a question made this validator find is told; what others told it, or what it built beforehand as everybody
//! does, is not. A certificate that a notice told to everybody goes by its identity alone. Telling is best effort: what
//! is above the rate, or what the broker does not take, the others find by themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use revocast_bus::Bus;
use revocast_messages::{Blob, Headers, Instance, PathElement, PathShare, encode, headers, subjects};
use revocast_pki::path::ProvenPath;
use tokio::sync::mpsc;
use tracing::debug;

use super::pace::Bucket;
use crate::question::Judge;
use crate::question::cache::Key;

/// The broker keeps no share for longer, whatever the certificates say: `max_age` of the stream.
const LONGEST_LIFE_S: i64 = 7 * 86_400;

/// A path to be told.
pub(crate) struct Offer {
    pub(crate) key: Key,
    pub(crate) path: Arc<ProvenPath>,
}

/// Publishes what is offered, at most `per_second`, for as long as it is polled.
pub(crate) async fn publish(mut offers: mpsc::Receiver<Offer>, bus: &Bus, judge: &Judge, per_second: u32) {
    let per_second = per_second.max(1);
    let mut bucket = Bucket::new(per_second, per_second, Instant::now());
    while let Some(offer) = offers.recv().await {
        tokio::time::sleep(bucket.wait(Instant::now())).await;
        bucket.take(Instant::now());
        let outcome = tell(&offer, bus, judge).await;
        judge.paths.counts.share(outcome).add_one();
    }
}

/// One word for counting.
async fn tell(offer: &Offer, bus: &Bus, judge: &Judge) -> &'static str {
    let life_s = offer.path.not_after().since(judge.now()).min(LONGEST_LIFE_S);
    // Under requirements that have no name nobody else could judge it.
    if judge.policies.by_id(offer.key.1).is_none() || life_s < 1 {
        return "dropped";
    }
    let share = share_of(offer, judge, &judge.instance);
    let Ok(body) = encode(&share) else { return "dropped" };
    let lines: Headers = vec![(headers::TTL, format!("{life_s}s"))];
    let subject = share.subject().to_string();
    let sent = bus.publish(subjects::PATHS, &subject, &lines, body.into());
    match tokio::time::timeout(PATIENCE, sent).await {
        Ok(Ok(_)) => "told",
        Ok(Err(error)) => {
            debug!(%error, "a path is not told");
            "untold"
        }
        Err(_) => "untold",
    }
}

/// The broker has this long to confirm; then the next one is told.
const PATIENCE: Duration = Duration::from_secs(5);

fn share_of(offer: &Offer, judge: &Judge, validator: &Instance) -> PathShare {
    let certificates = offer.path.certificates().iter().enumerate().map(|(index, certificate)| {
        match index > 0 && judge.live.told(certificate.id()).is_some() {
            true => PathElement::Id(certificate.id()),
            false => PathElement::Der(Blob(certificate.der().clone())),
        }
    });
    PathShare {
        validator: validator.clone(),
        policy: offer.key.1,
        target: offer.key.0,
        certificates: certificates.collect(),
        valid_until: offer.path.not_after(),
    }
}
