//! Follows what others tell of paths, one at a time and in nobody's way.
//!
//! A path that cannot be decided yet, since a certificate or a CRL is not here, is put off until one comes; right after
//! a start that is most of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use revocast_bus::{Bus, Followed, Follower, Stored};
use revocast_daemon::{blocking, every};
use revocast_messages::subjects::Subject;
use revocast_messages::{PathShare, subjects};
use tracing::debug;

use super::offered::{self, Offered, Word};
use super::pace::Pace;
use crate::question::Judge;

/// At most this many paths wait for something else to become known; the oldest go first.
const MAX_PUT_OFF: usize = 1_024;
/// A path is put off at most this often: whoever tells what never becomes valid costs no more.
const MAX_ATTEMPTS: u32 = 16;
/// Paths that were put off are looked at within this time after something has become known; what comes in the meantime is
/// looked at together.
const LOOK: Duration = Duration::from_millis(250);

/// A path that is to be judged once more.
struct PutOff {
    share: PathShare,
    attempts: u32,
}

/// Follows the stream for as long as it is polled.
pub(crate) async fn follow(judge: Judge, bus: &Bus, judged_per_second: u32) {
    let mut follower = Follower::new(bus, subjects::PATHS, subjects::ALL_NOTICES, None);
    let mut receiving = Receiving {
        pace: Pace::new(judged_per_second.max(1), Instant::now()),
        put_off: VecDeque::new(),
        judge,
    };
    let (mut ticking, mut looked_at) = (every(LOOK), None);
    loop {
        tokio::select! {
            followed = follower.next() => match followed {
                Followed::Head(message) | Followed::Next(message) => receiving.take(&message).await,
                Followed::Attached { heads, .. } => debug!(heads, "following the paths that others find"),
                Followed::Detached { .. } => {}
            },
            _ = ticking.tick() => {
                let revision = receiving.judge.live.revision();
                if looked_at.replace(revision) != Some(revision) {
                    receiving.look_again().await;
                }
            }
        }
    }
}

struct Receiving {
    judge: Judge,
    pace: Pace,
    put_off: VecDeque<PutOff>,
}

impl Receiving {
    async fn take(&mut self, message: &Stored) {
        let outcome = match self.read(message) {
            Ok(share) => self.judge(PutOff { share, attempts: 1 }).await,
            Err(word) => word,
        };
        self.judge.paths.counts.share(outcome).add_one();
    }

    /// What is skipped is skipped before it costs anything.
    fn read(&mut self, message: &Stored) -> Result<PathShare, Word> {
        let subject: Subject = message.subject.parse().map_err(|_| "foreign")?;
        offered::look_at(&subject, &self.judge)?;
        if let Subject::PathShare { validator, .. } = &subject
            && !self.pace.admits(validator, Instant::now())
        {
            return Err("flood");
        }
        offered::read(&subject, &message.payload)
    }

    async fn judge(&mut self, candidate: PutOff) -> Word {
        let outcome = match Offered::new(&candidate.share, &self.judge) {
            Ok(offered) => {
                let judge = self.judge.clone();
                blocking(move || offered.judged(&judge)).await
            }
            Err(word) => word,
        };
        if matches!(outcome, "unknown" | "undecided") && candidate.attempts < MAX_ATTEMPTS {
            self.put_off.push_back(candidate);
            if self.put_off.len() > MAX_PUT_OFF {
                self.put_off.pop_front();
            }
        }
        outcome
    }

    async fn look_again(&mut self) {
        for mut candidate in std::mem::take(&mut self.put_off) {
            candidate.attempts += 1;
            if !self.judge.paths.cache.holds(&(candidate.share.target, candidate.share.policy)) {
                let outcome = self.judge(candidate).await;
                self.judge.paths.counts.share(outcome).add_one();
            }
        }
    }
}
