//! The one fail point at which this process is to die, if there is one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Says where the process dies: `name` or `name:nth`.
const VARIABLE: &str = "REVOCAST_FAIL_AT";

struct Armed {
    name: String,
    /// How often the process comes by until it dies.
    left: AtomicU64,
}

/// Comes by a fail point.
pub fn reach(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let Some(armed) = ARMED.get_or_init(read) else { return };
    if armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("fail point {name}: the process dies here");
        std::process::abort();
    }
}

fn read() -> Option<Armed> {
    let said = std::env::var(VARIABLE).ok()?;
    let (name, nth) = said.split_once(':').unwrap_or((&said, "1"));
    match nth.parse() {
        Ok(nth) if nth > 0 => Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth) }),
        _ => {
            eprintln!("{VARIABLE}={said}: a name, or a name and how often it is passed (from 1)");
            None
        }
    }
}
