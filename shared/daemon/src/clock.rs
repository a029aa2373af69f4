//! [`Clock`]: what time it is, given to whoever may know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, by the system or by a test. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    held: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock { held: None }
    }

    /// A clock that stands still until it is set.
    pub fn held_at(now_ms: i64) -> Clock {
        Clock { held: Some(Arc::new(AtomicI64::new(now_ms))) }
    }

    /// Sets a clock that is held; the system's clock is left alone.
    pub fn set(&self, now_ms: i64) {
        if let Some(held) = &self.held {
            held.store(now_ms, Ordering::SeqCst);
        }
    }

    /// Now: milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match &self.held {
            Some(held) => held.load(Ordering::SeqCst),
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or_else(
                |before| -(before.duration().as_millis() as i64),
                |since| since.as_millis() as i64,
            ),
        }
    }

    /// Now: seconds since the Unix epoch.
    pub fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1_000)
    }
}
