//! Scopes of which nothing is enforced, since a CRL that belongs to what stands was lost: readiness names them.

use std::sync::Arc;
use std::time::Duration;

use revocast_daemon::{Health, every};

use crate::state::Live;

/// What readiness calls it.
const ABOUT: &str = "withheld";

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Tells `health`, for as long as it is polled.
pub(crate) async fn show(live: Arc<Live>, health: Health) {
    let mut looking = every(LOOK);
    loop {
        looking.tick().await;
        let scopes = live.withheld_scopes();
        match scopes.first() {
            None => health.well(ABOUT),
            Some((issuer, scope, kind)) => {
                let others = match scopes.len() - 1 {
                    0 => String::new(),
                    others => format!(", and of {others} others"),
                };
                health.degraded(
                    ABOUT,
                    format!("a CRL of issuer {issuer}, scope {scope}, {kind}, was lost on the disk, and nothing of it is enforced until it comes again{others}"),
                );
            }
        }
    }
}
