//! [`Watching`]: one verdict, followed through every fault of broker and validators.
//!
//! The client has no right at JetStream. It hears what the stream of verdicts has stored, as the broker says it again,
//! and renews its lease, whose answer tells what stands: so whatever it missed it learns with the next renewal, which it
//! asks for at once when its connection comes back.

use std::time::Duration;

use revocast_bus::{Bus, BusError, Heard, Listener};
use revocast_messages::{
    DecodeError, Instance, Refusal, VerdictChanged, WatchAnswer, WatchInterest, WatchRequest, decode, encode,
    subjects,
};
use revocast_pki::identity::WatchId;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// A renewal that failed is tried again after this.
const PAUSE: Duration = Duration::from_secs(1);

/// Whoever answers from an older head than was heard of is a laggard for so long: longer than a validator needs to
/// notice that it follows no more. After that the stream must have been made anew.
const LAGGARD: Duration = Duration::from_secs(15);

/// Why a verdict is not watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No validator, or no broker, answers; or this user may not watch.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The request is too large, or the answer cannot be read.
    #[error(transparent)]
    Codec(#[from] DecodeError),
    /// The validators refuse it.
    #[error("the validator refuses the watch: {0}")]
    Refused(Refusal),
    /// The answer is one to another question.
    #[error("the answer does not fit the request")]
    Unfit,
}

impl WatchError {
    /// Whether trying again later can help.
    fn is_passing(&self) -> bool {
        match self {
            WatchError::Bus(error) => !matches!(error, BusError::Denied { .. }),
            WatchError::Refused(refusal) => matches!(refusal, Refusal::Busy { .. }),
            WatchError::Codec(_) | WatchError::Unfit => false,
        }
    }
}

/// A verdict that is watched. Dropped without [`Watching::stop`], it lapses with its lease.
pub struct Watching {
    bus: Bus,
    request: WatchRequest,
    patience: Duration,
    watch: WatchId,
    listener: Listener,
    current: VerdictChanged,
    sequence: u64,
    /// Since when answers tell of nothing but an older head: either by a laggard, or the stream was made anew.
    overtaken: Option<Instant>,
    renew_at: Instant,
}

struct Accepted {
    watch: WatchId,
    lease_s: u32,
    verdict: VerdictChanged,
    sequence: u64,
}

/// A name for one watching client that no other has by chance.
pub fn client_name() -> Instance {
    let name: String = std::iter::once('c').chain((0..31).map(|_| fastrand::digit(16))).collect();
    name.parse().unwrap_or_else(|_| unreachable!("letters and digits name an instance"))
}

/// Takes a verdict under watch. `request` says for how long; it is renewed until it is stopped. Each answer is waited
/// for at most `patience`.
pub async fn watch(bus: &Bus, request: WatchRequest, patience: Duration) -> Result<Watching, WatchError> {
    let first = ask(bus, &request, patience).await?;
    let listener = bus.listen(&subjects::told(first.watch)).await?;
    // Asked again once it listens: nothing falls between the two.
    let now = ask(bus, &request, patience).await?;
    let mut watching = Watching {
        bus: bus.clone(),
        request,
        patience,
        watch: first.watch,
        listener,
        current: first.verdict.clone(),
        sequence: first.sequence,
        overtaken: None,
        renew_at: Instant::now(),
    };
    watching.renewed(now).await?;
    Ok(watching)
}

impl Watching {
    /// The verdict that stands, as far as it is known here.
    pub fn current(&self) -> &VerdictChanged {
        &self.current
    }

    /// Waits for the verdict to become another one. Fails only where trying again cannot help. Safe to cancel.
    pub async fn next(&mut self) -> Result<VerdictChanged, WatchError> {
        loop {
            let changed = tokio::select! {
                heard = self.listener.next() => match heard {
                    Heard::Message { payload, sequence } => self.heard(&payload, sequence),
                    Heard::Again => self.renew().await?,
                    Heard::Denied(error) => return Err(error.into()),
                },
                () = sleep_until(self.renew_at) => self.renew().await?,
            };
            if changed {
                return Ok(self.current.clone());
            }
        }
    }

    /// Ends this client's lease. What it costs the validators ends at once instead of with the lease.
    pub async fn stop(self) -> Result<(), WatchError> {
        let request = WatchRequest { interest: WatchInterest::Stop, ..self.request };
        match answer(&self.bus, &request, self.patience).await? {
            WatchAnswer::Stopped => Ok(()),
            WatchAnswer::Refused(refusal) => Err(WatchError::Refused(refusal)),
            WatchAnswer::Accepted { .. } => Err(WatchError::Unfit),
        }
    }

    /// Asks for the lease again; whether that brought another verdict.
    async fn renew(&mut self) -> Result<bool, WatchError> {
        match ask(&self.bus, &self.request, self.patience).await {
            Ok(accepted) => self.renewed(accepted).await,
            Err(error) if error.is_passing() => {
                debug!(%error, "the watch is not renewed yet");
                // Silence is no answer of a laggard: whoever answers next may be one yet.
                (self.overtaken, self.renew_at) = (None, Instant::now() + PAUSE);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn renewed(&mut self, accepted: Accepted) -> Result<bool, WatchError> {
        let Accepted { watch, lease_s, verdict, sequence } = accepted;
        self.renew_at = Instant::now() + Duration::from_secs(u64::from(lease_s)) / 3;
        if watch != self.watch {
            // The validators' policy is another from now on, and so is the watch.
            self.listener = self.bus.listen(&subjects::told(watch)).await?;
            (self.watch, self.renew_at) = (watch, Instant::now());
            return Ok(self.accept(verdict, sequence));
        }
        if sequence < self.sequence {
            let since = *self.overtaken.get_or_insert_with(Instant::now);
            if since.elapsed() < LAGGARD {
                self.renew_at = Instant::now() + PAUSE;
                return Ok(false);
            }
        }
        Ok(self.accept(verdict, sequence))
    }

    fn heard(&mut self, payload: &[u8], sequence: Option<u64>) -> bool {
        match (decode::<VerdictChanged>(payload), sequence) {
            (Ok(change), Some(sequence)) if change.watch == self.watch => self.accept(change, sequence),
            _ => {
                debug!(watch = %self.watch, "what was heard cannot be read");
                self.renew_at = Instant::now();
                false
            }
        }
    }

    /// Whether it is another verdict than the one that was told.
    fn accept(&mut self, change: VerdictChanged, sequence: u64) -> bool {
        let changed = change.outcome != self.current.outcome;
        (self.current, self.sequence, self.overtaken) = (change, sequence, None);
        changed
    }
}

async fn ask(bus: &Bus, request: &WatchRequest, patience: Duration) -> Result<Accepted, WatchError> {
    match answer(bus, request, patience).await? {
        WatchAnswer::Accepted { watch, lease_s, verdict, sequence } => {
            if verdict.watch != watch {
                return Err(WatchError::Unfit);
            }
            Ok(Accepted { watch, lease_s, verdict: *verdict, sequence })
        }
        WatchAnswer::Refused(refusal) => Err(WatchError::Refused(refusal)),
        WatchAnswer::Stopped => Err(WatchError::Unfit),
    }
}

async fn answer(bus: &Bus, request: &WatchRequest, patience: Duration) -> Result<WatchAnswer, WatchError> {
    let body = encode(request)?;
    let answer = bus.ask(subjects::WATCH, &Vec::new(), body.into(), patience).await?;
    Ok(decode(&answer)?)
}
