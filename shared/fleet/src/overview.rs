//! [`Overview`]: who enforces what, read from the registry, the heads of the notice streams and the receipts.
//!
//! The *watermark* of a scope is the lowest state over its subscribers. A subscriber whose lease lapsed is
//! *unknown*, not gone: only an explicit stop leaves the watermark.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use revocast_bus::{Bus, BusError, Followed, Follower};
use revocast_messages::{CrlNotice, Instance, Receipt, Registration, decode, subjects};
use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, CrlOrder, IssuerId, ScopeId};
use revocast_pki::name::Name;
use serde::Serialize;

/// One series of CRLs.
pub type ScopeKey = (IssuerId, ScopeId, CrlKind);

/// The fleet at one moment.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    newest: BTreeMap<ScopeKey, Newest>,
    receipts: BTreeMap<(ScopeKey, Instance), Told>,
    subscribers: BTreeMap<Instance, Vec<Registration>>,
    now_ms: i64,
}

/// The newest notice of a scope.
#[derive(Clone, Debug)]
struct Newest {
    notice: CrlNotice,
    stored_at_ms: i64,
}

/// A receipt, and when the broker had it.
#[derive(Clone, Debug)]
struct Told {
    receipt: Receipt,
    stored_at_ms: i64,
}

/// One scope, as shown.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeView {
    /// Who signs.
    pub issuer: IssuerId,
    /// Its name.
    pub issuer_name: String,
    /// What is covered.
    pub scope: ScopeId,
    /// Complete or delta.
    pub kind: CrlKind,
    /// Number of the newest CRL.
    pub number: Option<CrlNumber>,
    /// Its thisUpdate.
    pub this_update: Time,
    /// Its nextUpdate.
    pub next_update: Option<Time>,
    /// Seconds since thisUpdate.
    pub age_s: i64,
    /// The lowest number that a subscriber enforces; `None` when one enforces none, or there are no subscribers.
    pub watermark: Option<CrlNumber>,
    /// Whether every subscriber enforces the newest CRL.
    pub enforced: bool,
    /// Every subscriber.
    pub validators: Vec<ValidatorView>,
}

/// One subscriber of a scope, as shown.
#[derive(Clone, Debug, Serialize)]
pub struct ValidatorView {
    /// Which one.
    pub validator: Instance,
    /// What it enforces.
    pub number: Option<CrlNumber>,
    /// Whether that is the newest.
    pub current: bool,
    /// Milliseconds from the notice's arrival at the broker to the receipt's; `None` while there is no receipt for
    /// the newest CRL, or when the notice was told again after it.
    pub lag_ms: Option<i64>,
    /// How the bytes came.
    pub source: Option<revocast_messages::Source>,
    /// Whether its lease lapsed: what it does is unknown.
    pub unknown: bool,
}

impl Overview {
    /// Reads the fleet's state from the broker.
    pub async fn read(bus: &Bus, now_ms: i64) -> Result<Overview, BusError> {
        let mut overview = Overview { now_ms, ..Overview::default() };
        for entry in bus.bucket(subjects::SUBSCRIPTIONS).await?.entries(">").await? {
            let registration = entry.value.and_then(|value| decode::<Registration>(&value).ok());
            overview.register(registration);
        }
        for stream in [subjects::NOTICES, subjects::SIGHTINGS, subjects::RECEIPTS] {
            let mut follower = Follower::new(bus, stream, subjects::ALL_NOTICES, None);
            loop {
                match follower.next().await {
                    Followed::Head(head) => overview.take(&head),
                    Followed::Attached { .. } => break,
                    Followed::Detached { why } => return Err(BusError::Unreachable { what: why }),
                    Followed::Next(_) => {}
                }
            }
        }
        Ok(overview)
    }

    fn register(&mut self, registration: Option<Registration>) {
        if let Some(registration) = registration {
            self.subscribers.entry(registration.validator.clone()).or_default().push(registration);
        }
    }

    /// Takes in a notice or a receipt; whatever else it is, is passed over.
    pub fn take(&mut self, message: &revocast_bus::Stored) {
        if let Ok(notice) = decode::<CrlNotice>(&message.payload)
            && message.subject == notice.subject().to_string()
        {
            self.take_notice(notice, message.stored_at_ms());
        } else if let Ok(receipt) = decode::<Receipt>(&message.payload)
            && message.subject == receipt.subject().to_string()
        {
            let key = ((receipt.issuer, receipt.scope, receipt.kind), receipt.validator.clone());
            self.receipts.insert(key, Told { receipt, stored_at_ms: message.stored_at_ms() });
        }
    }

    fn take_notice(&mut self, notice: CrlNotice, stored_at_ms: i64) {
        let key = (notice.issuer, notice.scope, notice.kind);
        let known = self.newest.get(&key);
        let earlier = known
            .is_some_and(|known| known.notice.crl_id == notice.crl_id && known.stored_at_ms <= stored_at_ms);
        if !earlier && known.is_none_or(|known| known.notice.order() <= notice.order()) {
            self.newest.insert(key, Newest { notice, stored_at_ms });
        }
    }

    /// Every scope, by issuer.
    pub fn scopes(&self) -> Vec<ScopeView> {
        self.newest.iter().map(|(key, newest)| self.scope(*key, newest)).collect()
    }

    fn scope(&self, key: ScopeKey, newest: &Newest) -> ScopeView {
        let validators: Vec<ValidatorView> = self
            .subscribers_of(key.0)
            .iter()
            .map(|validator| self.validator(key, newest, validator))
            .collect();
        let notice = &newest.notice;
        ScopeView {
            issuer: key.0,
            issuer_name: Name::decode(notice.issuer_name.0.clone())
                .map_or_else(|_| "-".into(), |name| name.to_string()),
            scope: key.1,
            kind: key.2,
            number: notice.number,
            this_update: notice.this_update,
            next_update: notice.next_update,
            age_s: self.now_ms.div_euclid(1_000) - notice.this_update.unix(),
            watermark: validators.iter().map(|validator| validator.number).min().flatten(),
            enforced: !validators.is_empty() && validators.iter().all(|validator| validator.current),
            validators,
        }
    }

    /// Who subscribed to this issuer, or to all.
    fn subscribers_of(&self, issuer: IssuerId) -> BTreeSet<Instance> {
        let covers = |registration: &Registration| registration.issuer.is_none_or(|one| one == issuer);
        let subscribed =
            self.subscribers.iter().filter(|(_, registrations)| registrations.iter().any(covers));
        subscribed.map(|(validator, _)| validator.clone()).collect()
    }

    fn validator(&self, key: ScopeKey, newest: &Newest, validator: &Instance) -> ValidatorView {
        let told = self.receipts.get(&(key, validator.clone()));
        let lapsed = |registration: &Registration| registration.lapses_at_ms < self.now_ms;
        let current = told.is_some_and(|told| told.receipt.crl_id == newest.notice.crl_id);
        let lag_ms = told.filter(|_| current).map(|told| told.stored_at_ms - newest.stored_at_ms);
        ValidatorView {
            validator: validator.clone(),
            number: told.and_then(|told| told.receipt.number),
            current,
            lag_ms: lag_ms.filter(|lag| *lag >= 0),
            source: told.map(|told| told.receipt.source),
            unknown: self.subscribers.get(validator).is_some_and(|all| all.iter().all(lapsed)),
        }
    }
}

/// Waits until every subscriber of an issuer enforces a CRL.
pub struct Wait {
    follower: Follower,
    expected: BTreeSet<Instance>,
    unknown: BTreeSet<Instance>,
}

/// Who enforces it, and who does not yet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WaitReport {
    /// Who enforces it, and after how many milliseconds by the broker's clock.
    pub enforced: Vec<(Instance, i64)>,
    /// Who subscribed, but has not said that it enforces it.
    pub missing: Vec<Instance>,
    /// Whose lease lapsed: whether they enforce it is unknown.
    pub unknown: Vec<Instance>,
}

impl Wait {
    /// Begins before the notice is published, so that no receipt is missed.
    pub async fn begin(bus: &Bus, issuer: IssuerId, now_ms: i64) -> Result<Wait, BusError> {
        let mut overview = Overview { now_ms, ..Overview::default() };
        for entry in bus.bucket(subjects::SUBSCRIPTIONS).await?.entries(">").await? {
            overview.register(entry.value.and_then(|value| decode::<Registration>(&value).ok()));
        }
        let lapsed = |validator: &Instance| {
            let mut registrations = overview.subscribers.get(validator).into_iter().flatten();
            registrations.all(|registration| registration.lapses_at_ms < now_ms)
        };
        let (unknown, expected) = overview.subscribers_of(issuer).into_iter().partition(lapsed);
        let follower = Follower::new(bus, subjects::RECEIPTS, subjects::ALL_NOTICES, None);
        Ok(Wait { follower, expected, unknown })
    }

    /// Waits for the receipts of a CRL, or of one that stands above it, at most for `patience`.
    /// `stored_at_ms` is when the broker had the notice.
    pub async fn finish(
        mut self,
        scope: ScopeKey,
        order: CrlOrder,
        stored_at_ms: i64,
        patience: Duration,
    ) -> WaitReport {
        let mut enforced = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + patience;
        while !self.expected.iter().all(|validator| enforced.contains_key(validator)) {
            let Ok(followed) = tokio::time::timeout_at(deadline, self.follower.next()).await else { break };
            let (Followed::Head(message) | Followed::Next(message)) = followed else { continue };
            let Ok(receipt) = decode::<Receipt>(&message.payload) else { continue };
            let same_scope = (receipt.issuer, receipt.scope, receipt.kind) == scope;
            if same_scope && reaches(receipt.number, receipt.crl_id, &order) {
                let took = (message.stored_at_ms() - stored_at_ms).max(0);
                enforced.entry(receipt.validator).or_insert(took);
            }
        }
        let missing =
            self.expected.into_iter().filter(|validator| !enforced.contains_key(validator)).collect();
        let unknown =
            self.unknown.into_iter().filter(|validator| !enforced.contains_key(validator)).collect();
        WaitReport { enforced: enforced.into_iter().collect(), missing, unknown }
    }
}

/// Whether a receipt says that this CRL, or a later one, is enforced.
fn reaches(number: Option<CrlNumber>, id: CrlId, order: &CrlOrder) -> bool {
    id == order.id || number > order.number
}
