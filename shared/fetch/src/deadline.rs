//! How long each stage may take: [`Deadlines`] for waiting, [`Pace`] for a body that comes too slowly.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::config::FetchConfig;
use crate::error::FetchError;
use crate::meter::Meter;

/// What a deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Resolving, connecting, the TLS handshake.
    Connect,
    /// From the request to the end of the answer's head.
    FirstByte,
    /// Between two bytes of the body.
    Idle,
    /// The whole, the wait for one of the host's places included.
    Total,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Connect => "to connect",
            Stage::FirstByte => "to begin its answer",
            Stage::Idle => "between two bytes",
            Stage::Total => "in all",
        })
    }
}

/// The deadlines of one fetch, which all end with the total one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    connect: Duration,
    first_byte: Duration,
    total: Duration,
    end: Instant,
}

impl Deadlines {
    pub(crate) fn new(config: &FetchConfig, now: Instant) -> Deadlines {
        Deadlines {
            connect: config.connect_deadline,
            first_byte: config.first_byte_deadline,
            total: config.total_deadline,
            end: now + config.total_deadline,
        }
    }

    /// When `stage`, begun at `now`, has to be over, and which deadline says so.
    fn of(&self, stage: Stage, now: Instant) -> (Instant, Stage, Duration) {
        let limit = match stage {
            Stage::Connect => self.connect,
            Stage::FirstByte => self.first_byte,
            Stage::Idle | Stage::Total => self.total,
        };
        if now + limit < self.end {
            (now + limit, stage, limit)
        } else {
            (self.end, Stage::Total, self.total)
        }
    }

    /// Runs `work` as `stage` of the exchange with `host`.
    pub(crate) async fn keep<T>(
        &self,
        stage: Stage,
        host: &str,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let (end, stage, limit) = self.of(stage, Instant::now());
        timeout_at(end.into(), work)
            .await
            .unwrap_or_else(|_| Err(FetchError::Deadline { host: host.into(), stage, limit }))
    }
}

/// Judges the flow of a body by the count of received bytes: never idle for long, and in each window enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    idle: Duration,
    window: Duration,
    minimum_rate: u64,
    progress: (Instant, u64),
    window_start: (Instant, u64),
}

/// In which way a body is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    Idle,
    Rate,
}

impl Pace {
    /// A body that begins at `now`, when `received` bytes were counted.
    pub(crate) fn new(config: &FetchConfig, now: Instant, received: u64) -> Pace {
        Pace {
            idle: config.idle_deadline,
            window: config.rate_window,
            minimum_rate: config.minimum_rate,
            progress: (now, received),
            window_start: (now, received),
        }
    }

    /// When to judge next, if nothing happens before.
    pub(crate) fn due(&self) -> Instant {
        (self.progress.0 + self.idle).min(self.window_start.0 + self.window)
    }

    /// Judges at `now`, when `received` bytes are counted.
    pub(crate) fn judge(&mut self, now: Instant, received: u64) -> Result<(), Slow> {
        if received > self.progress.1 {
            self.progress = (now, received);
        } else if now >= self.progress.0 + self.idle {
            return Err(Slow::Idle);
        }
        let elapsed = now.saturating_duration_since(self.window_start.0);
        if elapsed >= self.window {
            let enough = self.minimum_rate as f64 * elapsed.as_secs_f64();
            if ((received - self.window_start.1) as f64) < enough {
                return Err(Slow::Rate);
            }
            self.window_start = (now, received);
        }
        Ok(())
    }

    /// Lets `work`, which may be given up and taken up again, go on until it is done or it is time to judge.
    pub(crate) async fn watch<T>(
        &mut self,
        host: &str,
        meter: &Meter,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, FetchError> {
        let done = timeout_at(self.due().into(), work).await.ok();
        self.judge(Instant::now(), meter.received()).map_err(|slow| self.error(slow, host))?;
        Ok(done)
    }

    fn error(&self, slow: Slow, host: &str) -> FetchError {
        let host = host.to_owned();
        match slow {
            Slow::Idle => FetchError::Deadline { host, stage: Stage::Idle, limit: self.idle },
            Slow::Rate => FetchError::TooSlow { host, minimum: self.minimum_rate },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> FetchConfig {
        FetchConfig {
            idle_deadline: Duration::from_secs(3),
            rate_window: Duration::from_secs(10),
            minimum_rate: 100,
            ..FetchConfig::default()
        }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_body_that_stands_still_is_idle() {
        let start = Instant::now();
        let mut pace = Pace::new(&config(), start, 500);
        assert_eq!(pace.due(), at(start, 3));
        assert_eq!(pace.judge(at(start, 2), 501), Ok(()));
        assert_eq!(pace.judge(at(start, 4), 501), Ok(()));
        assert_eq!(pace.judge(at(start, 5), 501), Err(Slow::Idle));
    }

    #[test]
    fn a_body_that_drips_falls_below_the_minimum_rate_at_the_end_of_a_window() {
        let start = Instant::now();
        let mut pace = Pace::new(&config(), start, 0);
        for second in 1..10 {
            assert_eq!(pace.judge(at(start, second), second), Ok(()));
        }
        assert_eq!(pace.judge(at(start, 10), 10), Err(Slow::Rate));
    }

    #[test]
    fn a_fast_window_does_not_pay_for_a_slow_one() {
        let start = Instant::now();
        let mut pace = Pace::new(&config(), start, 0);
        assert_eq!(pace.judge(at(start, 2), 1_000_000), Ok(()));
        for second in (4..=10).step_by(2) {
            assert_eq!(pace.judge(at(start, second), 1_000_000 + second), Ok(()));
        }
        for second in (12..20).step_by(2) {
            assert_eq!(pace.judge(at(start, second), 1_000_000 + second), Ok(()));
        }
        assert_eq!(pace.judge(at(start, 20), 1_000_020), Err(Slow::Rate));
    }

    #[test]
    fn the_total_deadline_ends_every_stage() {
        let start = Instant::now();
        let config = FetchConfig {
            connect_deadline: Duration::from_secs(5),
            total_deadline: Duration::from_secs(8),
            ..FetchConfig::default()
        };
        let deadlines = Deadlines::new(&config, start);
        assert_eq!(
            deadlines.of(Stage::Connect, start),
            (at(start, 5), Stage::Connect, Duration::from_secs(5))
        );
        assert_eq!(
            deadlines.of(Stage::Connect, at(start, 4)),
            (at(start, 8), Stage::Total, Duration::from_secs(8))
        );
    }
}
