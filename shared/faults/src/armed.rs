//! The fail points at which this process is to die, or a task of it to panic, if there are any.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Each says where: `name` or `name:nth`.
const DIE: &str = "REVOCAST_FAIL_AT";
const PANIC: &str = "REVOCAST_PANIC_AT";

struct Armed {
    name: String,
    /// How often the process comes by until it happens.
    left: AtomicU64,
}

impl Armed {
    fn is_now(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Comes by a fail point.
pub fn reach(name: &str) {
    static ARMED: OnceLock<[Option<Armed>; 2]> = OnceLock::new();
    let [die, panic] = ARMED.get_or_init(|| [DIE, PANIC].map(read));
    if die.as_ref().is_some_and(|armed| armed.is_now(name)) {
        eprintln!("fail point {name}: the process dies here");
        std::process::abort();
    }
    assert!(!panic.as_ref().is_some_and(|armed| armed.is_now(name)), "fail point {name}: a panic");
}

fn read(variable: &str) -> Option<Armed> {
    let said = std::env::var(variable).ok()?;
    let (name, nth) = said.split_once(':').unwrap_or((&said, "1"));
    match nth.parse() {
        Ok(nth) if nth > 0 => Some(Armed { name: name.to_owned(), left: AtomicU64::new(nth) }),
        _ => {
            eprintln!("{variable}={said}: a name, or a name and how often it is passed (from 1)");
            None
        }
    }
}
