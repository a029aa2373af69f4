//! Forwards into the other domain what is enforced here (functions 406 and 408 of the original): drives the
//! [`Outbox`] by the other domain's registry, by what is applied here, and by time.
//!
//! Nothing is kept on the disk: whenever the other domain is reached anew, at start as after an outage on either side,
//! all heads are asserted, and what stands there already is left alone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::iter;
use std::time::Duration;

use revocast_bus::{BusError, Entry, Followed, Follower, Stored};
use revocast_daemon::every;
use revocast_messages::{Registration, decode, parse_registry_key, subjects};
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::IssuerId;
use revocast_pki::name::Name;
use revocast_pki::path::CertificateSource;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, info, warn};

use super::Bridge;
use super::carry::{Carrier, Load, Stands};
use super::decide::{Carried, Outbox};
use crate::events::Event;
use crate::state::{Live, ScopeKey};

/// How often what failed is tried again, and lapsed subscriptions are forgotten.
const LOOK: Duration = Duration::from_secs(1);

/// Forwards for as long as it is polled.
pub(super) async fn forward(bridge: &Bridge) -> Infallible {
    let mut events = bridge.home.events.changes();
    let mut registry = bridge.bus.follow_bucket(subjects::SUBSCRIPTIONS);
    let mut forwarding = Forwarding::new(bridge);
    let (mut asserting, mut looking) = (every(bridge.config.reassert), every(LOOK));
    bridge.home.health.degraded(&bridge.about(), "not reached yet");
    loop {
        forwarding.begin();
        tokio::select! {
            followed = next(&mut registry) => forwarding.hear(followed).await,
            event = events.recv() => forwarding.notice(event),
            Some(ended) = forwarding.under_way.join_next_with_id() => forwarding.end(ended),
            _ = asserting.tick() => forwarding.assert_all(),
            _ = looking.tick() => forwarding.look(),
        }
    }
}

/// What the registry of the other domain says.
enum Heard {
    Reached,
    Lost(String),
    Entry(Entry),
    Nothing,
}

async fn next(registry: &mut Follower) -> Heard {
    let entry =
        |message: Stored| Entry::of(subjects::SUBSCRIPTIONS, &message).map_or(Heard::Nothing, Heard::Entry);
    match registry.next().await {
        Followed::Head(message) | Followed::Next(message) => entry(message),
        Followed::Attached { .. } => Heard::Reached,
        Followed::Detached { why } => Heard::Lost(why),
    }
}

type Ended = (ScopeKey, Result<(Stands, Option<Crl>), BusError>);

struct Forwarding<'b> {
    bridge: &'b Bridge,
    outbox: Outbox,
    /// There while the other domain is reached.
    carrier: Option<Carrier>,
    /// What was carried last, as long as somebody wants it: mostly what is enforced, so it costs no memory of its own.
    carried: HashMap<ScopeKey, Crl>,
    under_way: JoinSet<Ended>,
    scopes: HashMap<Id, ScopeKey>,
}

impl Forwarding<'_> {
    fn new(bridge: &Bridge) -> Forwarding<'_> {
        Forwarding {
            bridge,
            outbox: Outbox::new(bridge.config.issuers.clone()),
            carrier: None,
            carried: HashMap::new(),
            under_way: JoinSet::new(),
            scopes: HashMap::new(),
        }
    }

    fn now_ms(&self) -> i64 {
        self.bridge.home.clock.now_ms()
    }

    /// Begins to carry what is due, as far as there is room.
    fn begin(&mut self) {
        let Some(carrier) = self.carrier.clone() else { return };
        let now_ms = self.now_ms();
        let live = &self.bridge.home.live;
        while let Some(scope) = self.outbox.next(now_ms, |scope| namesakes(live, scope)) {
            let payload = self.outbox.payload(&namesakes(live, &scope), self.bridge.config.payload, now_ms);
            let load = Load { scope, before: self.carried.get(&scope).cloned(), payload };
            let carrier = carrier.clone();
            let task = self.under_way.spawn(async move { (scope, carrier.carry(load).await) });
            self.scopes.insert(task.id(), scope);
        }
        self.show();
    }

    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Reached => self.reach().await,
            Heard::Lost(why) => self.lose(why),
            Heard::Entry(entry) => self.subscription(&entry),
            Heard::Nothing => {}
        }
    }

    async fn reach(&mut self) {
        info!(domain = %self.bridge.config.domain, "the bridge stands");
        self.cut_off();
        self.carrier = Some(Carrier::new(self.bridge).await);
        self.outbox.opened(self.bridge.home.live.scope_keys());
        self.bridge.home.health.well(&self.bridge.about());
    }

    fn lose(&mut self, why: String) {
        self.cut_off();
        self.bridge.home.health.degraded(&self.bridge.about(), why);
    }

    /// Publishing may be cut off anywhere: nothing half-done is left.
    fn cut_off(&mut self) {
        self.carrier = None;
        self.under_way = JoinSet::new();
        self.scopes.clear();
        self.outbox.closed();
    }

    fn subscription(&mut self, entry: &Entry) {
        let Some((issuer, validator)) = parse_registry_key(&entry.key) else { return };
        let registration = entry.value.as_ref().and_then(|value| decode::<Registration>(value).ok());
        match registration.filter(|registration| registration.key() == entry.key) {
            Some(registration) => {
                let now_ms = self.now_ms();
                if self.outbox.subscribed(&registration, now_ms) {
                    info!(domain = %self.bridge.config.domain, %validator, ?issuer, "forwarding");
                    self.outbox.assert(self.bridge.home.live.scope_keys());
                }
            }
            None => self.outbox.unsubscribed(issuer, &validator),
        }
    }

    fn notice(&mut self, event: Result<Event, RecvError>) {
        match event {
            Ok(Event::Applied { scope, .. }) => self.outbox.assert([scope]),
            Ok(Event::Learned(certificate)) => {
                // A further certificate of an issuer goes where its CRLs go, and tells that another key has its name.
                if let Some(carrier) = &self.carrier {
                    carrier.forget_certificates();
                }
                let live = &self.bridge.home.live;
                let scopes = live.scope_keys().into_iter();
                self.outbox.assert(scopes.filter(|scope| is_named(live, scope, certificate.subject())));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                debug!(missed, "events were missed: all heads are looked at");
                self.assert_all();
            }
            Err(RecvError::Closed) => {}
        }
    }

    fn end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, (_, ended))) => (id, ended),
            Err(failed) => {
                let interrupted = BusError::Unreachable { what: failed.to_string() };
                (failed.id(), Err(interrupted))
            }
        };
        let Some(scope) = self.scopes.remove(&id) else { return };
        let (word, carried) = match ended {
            Ok((stands, crl)) => {
                self.remember(scope, crl);
                (stands.word(), Carried::Settled)
            }
            Err(error) if error.is_passing() => {
                debug!(issuer = %scope.0, scope = %scope.1, %error, "carried later");
                ("failed", Carried::Failed)
            }
            Err(error) => {
                // Told again when all heads are asserted.
                warn!(issuer = %scope.0, scope = %scope.1, %error, "the other domain refuses a notice");
                self.bridge.home.health.degraded(&self.bridge.about(), error.to_string());
                ("refused", Carried::Settled)
            }
        };
        self.count(word);
        self.outbox.done(scope, carried);
    }

    fn remember(&mut self, scope: ScopeKey, crl: Option<Crl>) {
        match crl {
            Some(crl) => self.carried.insert(scope, crl),
            None => self.carried.remove(&scope),
        };
    }

    /// Asserts all heads.
    fn assert_all(&mut self) {
        if let Some(carrier) = &self.carrier {
            carrier.forget_certificates();
            // What was refused is tried again, and says so again.
            self.bridge.home.health.well(&self.bridge.about());
        }
        let now_ms = self.now_ms();
        let live = &self.bridge.home.live;
        self.carried.retain(|scope, _| self.outbox.is_wanted(&namesakes(live, scope), now_ms));
        self.outbox.assert(live.scope_keys());
    }

    fn look(&mut self) {
        self.outbox.forget_lapsed(self.now_ms());
        self.outbox.retry();
    }

    fn count(&self, word: &str) {
        let domain = self.bridge.config.domain.as_str();
        self.bridge.counts.carried.add_one(&[("domain", domain), ("outcome", word)]);
    }

    fn show(&self) {
        let labels = [("domain", self.bridge.config.domain.as_str())];
        self.bridge.counts.subscriptions.set(&labels, self.outbox.subscriptions() as f64);
        self.bridge.counts.waiting.set(&labels, self.outbox.waiting() as f64);
    }
}

/// Who is wished for with a scope: its signer, and every known key of the signer's name. An identity is a hash of both, so
/// no certificate can bring in an issuer of another name.
fn namesakes(live: &Live, scope: &ScopeKey) -> Vec<IssuerId> {
    let name = live.look(scope, |enforced, _| enforced.map(|enforced| enforced.crl.issuer().detached()));
    let certificates = name.map_or_else(Vec::new, |name| live.by_subject(&name));
    iter::once(scope.0).chain(certificates.iter().map(Certificate::as_issuer)).collect()
}

/// Whether the CRL of a scope bears this issuer's name.
fn is_named(live: &Live, scope: &ScopeKey, name: &Name) -> bool {
    live.look(scope, |enforced, _| enforced.is_some_and(|enforced| enforced.crl.issuer() == name))
}
