//! Subscriptions, received and answered (functions 104 and 105 of the original): the registry is the list of
//! destinations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use revocast_bus::{Bucket, Bus, BusError, Call, Service, ServiceSpec, serve};
use revocast_daemon::Clock;
use revocast_messages::subjects;
use revocast_messages::{
    Headers, Instance, Interest, Registration, Role, ScopeState, SubscriptionAnswer, SubscriptionRequest,
    codec, decode, encode, headers, registry_key,
};
use revocast_pki::identity::IssuerId;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::authority::{Authority, AuthorityError};

/// Requests that are answered at once; further ones wait.
const CONCURRENCY: usize = 16;

pub(crate) struct Registrar {
    authority: Arc<Mutex<Authority>>,
    registry: Bucket,
    instance: Instance,
    longest_lease: Duration,
    clock: Clock,
}

impl Registrar {
    /// Answers requests for this authority's issuers, and for all of them.
    pub(crate) async fn start(
        bus: &Bus,
        authority: Arc<Mutex<Authority>>,
        instance: Instance,
        longest_lease: Duration,
        clock: Clock,
    ) -> Result<Service, RegistrarError> {
        let issuers: Vec<IssuerId> =
            authority.lock().await.summaries()?.into_iter().map(|summary| summary.issuer).collect();
        let mut endpoints = vec![("pki.subscribe.all.*".to_owned(), None)];
        endpoints
            .extend(issuers.iter().map(|issuer| (format!("pki.subscribe.{issuer}.*"), Some("authorities"))));
        let registry = bus.bucket(subjects::SUBSCRIPTIONS).await?;
        let registrar = Arc::new(Registrar { authority, registry, instance, longest_lease, clock });
        let spec = ServiceSpec {
            name: "revocast-authority".into(),
            description: "answers subscriptions to the CRLs of its CAs".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            metadata: [("instance".to_owned(), registrar.instance.to_string())].into(),
            concurrency: CONCURRENCY,
        };
        let service = serve(bus, spec, &endpoints, move |call| {
            let registrar = registrar.clone();
            async move { registrar.answer(&call).await }
        })
        .await?;
        Ok(service)
    }

    async fn answer(&self, call: &Call) -> Result<(Headers, Bytes), String> {
        let json = call.header(headers::CONTENT_TYPE) == Some("application/json");
        let request: SubscriptionRequest =
            if json { codec::from_json(&call.payload) } else { decode(&call.payload) }
                .map_err(|error| error.to_string())?;
        let answer = self.decide(call, &request).await;
        let body = if json { codec::to_json(&answer) } else { encode(&answer) };
        let body = body.map_err(|error| error.to_string())?;
        let kind =
            if json { vec![(headers::CONTENT_TYPE, "application/json".to_owned())] } else { Vec::new() };
        Ok((kind, body.into()))
    }

    async fn decide(&self, call: &Call, request: &SubscriptionRequest) -> SubscriptionAnswer {
        let refused = |why: String| SubscriptionAnswer::Refused { why };
        // The broker's permissions bind the validator's name to the subject: the body must not say another.
        if call.subject != request.subject().to_string() {
            return refused(format!("the subject {} is another validator's or issuer's", call.subject));
        }
        let registered = match request.interest {
            Interest::Stop => self
                .registry
                .delete(&registry_key(request.issuer, &request.validator))
                .await
                .map(|()| SubscriptionAnswer::Stopped),
            Interest::Start { payload, lease_s } => {
                let longest = self.longest_lease.as_secs().min(u64::from(SubscriptionRequest::MAX_LEASE_S));
                if lease_s == 0 || u64::from(lease_s) > longest {
                    return refused(format!("a lease of {lease_s} s: 1 to {longest} s are given"));
                }
                let registration = Registration {
                    validator: request.validator.clone(),
                    issuer: request.issuer,
                    payload,
                    lapses_at_ms: self.clock.now_ms() + i64::from(lease_s) * 1_000,
                    locations: request.locations.clone(),
                    responsible: self.instance.clone(),
                };
                self.register(&registration).await
            }
        };
        registered.unwrap_or_else(|error| {
            warn!(%error, validator = %request.validator, "a subscription was not registered");
            refused(format!("the registry cannot be written: {error}"))
        })
    }

    async fn register(&self, registration: &Registration) -> Result<SubscriptionAnswer, BusError> {
        let body = encode(registration)
            .map_err(|error| BusError::Damaged { what: "a registration".into(), why: error.to_string() })?;
        self.registry.put(&registration.key(), body.into()).await?;
        info!(validator = %registration.validator, issuer = ?registration.issuer, "subscription");
        let scopes = self.scopes(registration.issuer).await.unwrap_or_default();
        Ok(SubscriptionAnswer::Accepted { role: Role::Authority, instance: self.instance.clone(), scopes })
    }

    async fn scopes(&self, issuer: Option<IssuerId>) -> Result<Vec<ScopeState>, AuthorityError> {
        let authority = self.authority.lock().await;
        let mut scopes = Vec::new();
        for summary in authority.summaries()? {
            if issuer.is_some_and(|issuer| issuer != summary.issuer) {
                continue;
            }
            if let Some(crl) = authority.newest_crl(&summary.label)? {
                scopes.push(ScopeState {
                    issuer: summary.issuer,
                    scope: crl.scope(summary.issuer),
                    kind: crl.kind(),
                    number: crl.number(),
                });
            }
        }
        Ok(scopes)
    }
}

/// Subscriptions cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrarError {
    /// The broker says no.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}
