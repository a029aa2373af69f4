//! [`Overview`]: who enforces what, read from the registry, the heads of the notice streams and the receipts.
//!
//! The *watermark* of a scope is the lowest state over its subscribers. A subscriber whose lease lapsed is
//! *unknown*, not gone: only an explicit stop leaves the watermark. What is told without proof makes nobody lag
//! ([`crate::heads`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use revocast_bus::{Bus, BusError, Followed, Follower};
use revocast_messages::{
    CertificateNotice, CrlNotice, Instance, Receipt, Registration, Role, decode, subjects,
};
use revocast_pki::asn1::Time;
use revocast_pki::identity::{CrlId, CrlKind, CrlNumber, CrlOrder, IssuerId, ScopeId};
use revocast_pki::name::Name;
use serde::Serialize;

use crate::heads::{Evidence, Head, Heads, look};

/// One series of CRLs.
pub type ScopeKey = (IssuerId, ScopeId, CrlKind);

/// The fleet at one moment.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    told: BTreeMap<ScopeKey, Heads>,
    evidence: Evidence,
    receipts: BTreeMap<(ScopeKey, Instance), Told>,
    pub(crate) subscribers: BTreeMap<Instance, Vec<Registration>>,
    pub(crate) now_ms: i64,
    /// Who had subscribed then is not known any more: whoever had told a receipt counts.
    is_past: bool,
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
    /// Its thisUpdate; `None` while nothing that is told is proven.
    pub this_update: Option<Time>,
    /// Its nextUpdate.
    pub next_update: Option<Time>,
    /// Seconds since thisUpdate.
    pub age_s: Option<i64>,
    /// The lowest number that a subscriber enforces; `None` when one enforces none, or there are no subscribers.
    pub watermark: Option<CrlNumber>,
    /// Whether every subscriber enforces the newest CRL.
    pub enforced: bool,
    /// The subscribers that do not.
    pub behind: Vec<Instance>,
    /// How long those that do took.
    pub lag: Option<LagView>,
    /// Every subscriber.
    pub validators: Vec<ValidatorView>,
    /// What is told to be newer, and is not proven: it makes nobody lag.
    pub unproven: Vec<UnprovenView>,
}

/// A CRL that is told without proof, as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnprovenView {
    /// The number that it is said to have.
    pub number: Option<CrlNumber>,
    /// The thisUpdate that it is said to have.
    pub this_update: Time,
    /// In which role it is told.
    pub role: Role,
    /// Who tells it.
    pub instance: Instance,
}

impl UnprovenView {
    fn of(notice: &CrlNotice) -> UnprovenView {
        UnprovenView {
            number: notice.number,
            this_update: notice.this_update,
            role: notice.origin.role,
            instance: notice.origin.instance.clone(),
        }
    }
}

/// How long the subscribers of a scope took to enforce its newest CRL: milliseconds from the notice's arrival at the broker to
/// the receipt's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LagView {
    /// The first of them.
    pub least_ms: i64,
    /// Half of them were as fast.
    pub half_ms: i64,
    /// Nine of ten were as fast.
    pub nine_of_ten_ms: i64,
    /// The last of them.
    pub most_ms: i64,
}

impl LagView {
    fn of(mut lags: Vec<i64>) -> Option<LagView> {
        lags.sort_unstable();
        // The least that so many percent do not exceed.
        let share = |percent: usize| lags.get((lags.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(LagView {
            least_ms: *lags.first()?,
            half_ms: share(50)?,
            nine_of_ten_ms: share(90)?,
            most_ms: *lags.last()?,
        })
    }
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
        overview.look(bus).await;
        Ok(overview)
    }

    /// The fleet as it was at an instant, by what the streams still hold: notices up to 16 of each subject, receipts as long as
    /// they are kept. The registry has no past, so whoever had told a receipt of an issuer by then counts as a subscriber.
    pub async fn read_at(bus: &Bus, at_ms: i64) -> Result<Overview, BusError> {
        let mut overview = Overview { now_ms: at_ms, is_past: true, ..Overview::default() };
        for stream in [subjects::NOTICES, subjects::SIGHTINGS, subjects::RECEIPTS] {
            overview.take_all(bus, stream).await?;
        }
        overview.look(bus).await;
        Ok(overview)
    }

    async fn look(&mut self, bus: &Bus) {
        look(bus, self.told.values_mut(), &self.evidence).await;
    }

    /// Takes in what a stream had stored by now.
    async fn take_all(&mut self, bus: &Bus, stream: &str) -> Result<(), BusError> {
        let state = bus.stream_state(stream).await?;
        if state.messages == 0 {
            return Ok(());
        }
        let mut follower = Follower::from_sequence(bus, stream, subjects::ALL_NOTICES, &state.created, 1);
        loop {
            match follower.next().await {
                Followed::Next(message) if message.stored_at_ms() > self.now_ms => return Ok(()),
                Followed::Next(message) => {
                    self.take(&message);
                    if message.sequence >= state.last_sequence {
                        return Ok(());
                    }
                }
                Followed::Detached { why } => return Err(BusError::Unreachable { what: why }),
                Followed::Head(_) | Followed::Attached { .. } => {}
            }
        }
    }

    fn register(&mut self, registration: Option<Registration>) {
        if let Some(registration) = registration {
            self.subscribers.entry(registration.validator.clone()).or_default().push(registration);
        }
    }

    /// Takes in a notice or a receipt; whatever else it is, is passed over. Bytes are not looked at.
    pub fn take(&mut self, message: &revocast_bus::Stored) {
        if let Ok(notice) = decode::<CrlNotice>(&message.payload)
            && message.subject == notice.subject().to_string()
        {
            self.take_notice(notice, message.stored_at_ms());
        } else if let Ok(receipt) = decode::<Receipt>(&message.payload)
            && message.subject == receipt.subject().to_string()
        {
            self.take_receipt(receipt, message.stored_at_ms());
        } else if let Ok(notice) = decode::<CertificateNotice>(&message.payload)
            && message.subject == notice.subject().to_string()
        {
            self.evidence.take_certificate(&notice);
        }
    }

    fn take_receipt(&mut self, receipt: Receipt, stored_at_ms: i64) {
        self.evidence.take_receipt(&receipt);
        let key = ((receipt.issuer, receipt.scope, receipt.kind), receipt.validator.clone());
        self.receipts.insert(key, Told { receipt, stored_at_ms });
    }

    fn take_notice(&mut self, notice: CrlNotice, stored_at_ms: i64) {
        self.evidence.take_notice(&notice);
        let key = (notice.issuer, notice.scope, notice.kind);
        self.told.entry(key).or_default().take(notice, stored_at_ms);
    }

    /// Every scope, by issuer.
    pub fn scopes(&self) -> Vec<ScopeView> {
        self.told.iter().map(|(key, heads)| self.scope(*key, heads)).collect()
    }

    fn scope(&self, key: ScopeKey, heads: &Heads) -> ScopeView {
        let newest = heads.newest(&self.evidence);
        let validators: Vec<ValidatorView> = self
            .subscribers_of(key.0)
            .iter()
            .map(|validator| self.validator(key, newest.as_ref(), validator))
            .collect();
        let notice = newest.as_ref().map(|newest| &newest.notice);
        let unproven = || heads.unproven(notice);
        let lagging = validators.iter().filter(|one| notice.is_some() && !one.current);
        ScopeView {
            issuer: key.0,
            issuer_name: notice
                .or_else(|| unproven().next())
                .and_then(|notice| Name::decode(notice.issuer_name.0.clone()).ok())
                .map_or_else(|| "-".into(), |name| name.to_string()),
            scope: key.1,
            kind: key.2,
            number: notice.and_then(|notice| notice.number),
            this_update: notice.map(|notice| notice.this_update),
            next_update: notice.and_then(|notice| notice.next_update),
            age_s: notice.map(|notice| self.now_ms.div_euclid(1_000) - notice.this_update.unix()),
            watermark: validators.iter().map(|validator| validator.number).min().flatten(),
            enforced: !validators.is_empty() && validators.iter().all(|validator| validator.current),
            behind: lagging.map(|one| one.validator.clone()).collect(),
            lag: LagView::of(validators.iter().filter_map(|validator| validator.lag_ms).collect()),
            unproven: unproven().map(UnprovenView::of).collect(),
            validators,
        }
    }

    /// Who subscribed to this issuer, or to all.
    fn subscribers_of(&self, issuer: IssuerId) -> BTreeSet<Instance> {
        if self.is_past {
            let told = self.receipts.keys().filter(|((of, ..), _)| *of == issuer);
            return told.map(|(_, validator)| validator.clone()).collect();
        }
        let covers = |registration: &Registration| registration.issuer.is_none_or(|one| one == issuer);
        let subscribed =
            self.subscribers.iter().filter(|(_, registrations)| registrations.iter().any(covers));
        subscribed.map(|(validator, _)| validator.clone()).collect()
    }

    fn validator(&self, key: ScopeKey, newest: Option<&Head>, validator: &Instance) -> ValidatorView {
        let told = self.receipts.get(&(key, validator.clone()));
        let lapsed = |registration: &Registration| registration.lapses_at_ms < self.now_ms;
        let current = told.zip(newest).filter(|(told, newest)| told.receipt.crl_id == newest.notice.crl_id);
        let lag_ms = current.map(|(told, newest)| told.stored_at_ms - newest.stored_at_ms);
        ValidatorView {
            validator: validator.clone(),
            number: told.and_then(|told| told.receipt.number),
            current: current.is_some(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_told_by_their_shares() {
        let of = |lags: &[i64]| LagView::of(lags.to_vec());
        let view = |least_ms, half_ms, nine_of_ten_ms, most_ms| {
            Some(LagView { least_ms, half_ms, nine_of_ten_ms, most_ms })
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), view(7, 7, 7, 7));
        assert_eq!(of(&[4, 1, 3, 2]), view(1, 2, 4, 4));
        assert_eq!(of(&(1..=20).collect::<Vec<_>>()), view(1, 10, 18, 20));
    }
}
