//! Subscribes by message, and renews (function 410 of the original). Whoever is responsible answers: the authority,
//! else the repository, else a watcher; until somebody does, the validator follows the streams all the same, but no
//! watermark waits for it.

use std::time::Duration;

use revocast_bus::{Bus, BusError};
use revocast_daemon::Health;
use revocast_messages::{
    Instance, Interest, Payload, SubscriptionAnswer, SubscriptionRequest, decode, encode,
};
use revocast_pki::identity::IssuerId;
use tracing::{debug, info, warn};

use crate::config::Subscribe;

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a refusal or silence it is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the subscriptions alive for as long as it is polled.
pub(crate) async fn subscribe(
    bus: &Bus,
    validator: &Instance,
    wish: &Subscribe,
    payload: Payload,
    lease: Duration,
    health: &Health,
) {
    let issuers: Vec<Option<IssuerId>> = match wish {
        Subscribe::All => vec![None],
        Subscribe::Issuers(issuers) => issuers.iter().copied().map(Some).collect(),
    };
    let lease_s = u32::try_from(lease.as_secs().max(1)).unwrap_or(u32::MAX);
    let mut known = false;
    loop {
        let mut settled = true;
        for issuer in &issuers {
            let interest = Interest::Start { payload, lease_s };
            let request = SubscriptionRequest {
                validator: validator.clone(),
                issuer: *issuer,
                interest,
                locations: Vec::new(),
            };
            match ask(bus, &request).await {
                Ok(SubscriptionAnswer::Accepted { role, instance, scopes }) => {
                    if !known {
                        info!(%role, %instance, scopes = scopes.len(), "subscribed");
                    }
                }
                Ok(SubscriptionAnswer::Refused { why }) => {
                    settled = false;
                    warn!(%why, "the subscription is refused");
                    health.degraded("subscription", why);
                }
                Ok(SubscriptionAnswer::Stopped) => settled = false,
                Err(error) => {
                    settled = false;
                    debug!(%error, "nobody answers subscriptions");
                    health.degraded("subscription", error.to_string());
                }
            }
        }
        if settled {
            health.well("subscription");
        }
        known = settled;
        tokio::time::sleep(if settled { lease / 3 } else { PAUSE }).await;
    }
}

async fn ask(bus: &Bus, request: &SubscriptionRequest) -> Result<SubscriptionAnswer, BusError> {
    let damaged = |error: revocast_messages::DecodeError| BusError::Damaged {
        what: "a subscription".into(),
        why: error.to_string(),
    };
    let body = encode(request).map_err(damaged)?;
    let answer = bus.ask(&request.subject().to_string(), &Vec::new(), body.into(), PATIENCE).await?;
    decode(&answer).map_err(damaged)
}
