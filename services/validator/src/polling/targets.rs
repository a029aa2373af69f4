//! [`Board`]: the URLs that may be asked, with what each gave last; and whose turn it is. Pure but for its lock.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use revocast_fetch::Validators;
use revocast_pki::identity::CrlKind;
use revocast_pki::name::Name;

use super::config::PollingConfig;
use super::decide::{Contact, Facts, Held, due_ms};
use super::urls;
use crate::places::{Place, Places};
use crate::state::{Enforced, Live, ScopeKey};

/// At most this many URLs are known; beyond, the one that was used least lately goes. About 500 octets each.
pub(crate) const MAX_TARGETS: usize = 10_000;

/// Requests under way at once, and of those at one host: what the fetcher connects to it.
const CONCURRENCY: usize = 32;
const PER_HOST: usize = 2;

/// A URL that another validator asks is looked at again this much later, up to as much again by chance.
const LEASED_PAUSE_MS: i64 = 5_000;

/// What is kept of a URL over a restart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// The URL.
    pub url: String,
    /// Who issued the certificate that names it.
    pub issuer: Name,
    /// What it serves, by that certificate.
    pub kind: CrlKind,
    /// When a question last needed it: milliseconds since the Unix epoch.
    pub used_ms: i64,
    /// What it gave last, and how to ask whether that is still so.
    pub gave: Option<(ScopeKey, Validators)>,
}

/// A turn: one URL is to be asked now. Whoever has it gives it back by [`Board::done`].
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Which URL.
    pub url: String,
    /// To ask only for what is new; without validators where nothing is held.
    pub validators: Validators,
    /// Whether it is asked for the whole fleet.
    pub contact: Contact,
    place: Place,
}

/// What came of a request, as far as the next one depends on it.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    /// A CRL of this series, whether it was news or not; how to ask whether it is still the one.
    Crl(ScopeKey, Validators),
    /// It is the one it was.
    Same,
    /// Nothing that counts.
    Nothing,
    /// Another validator of the fleet asks.
    Leased,
}

struct Target {
    issuer: Name,
    kind: CrlKind,
    host: String,
    since_ms: i64,
    asked_ms: Option<i64>,
    gave: Option<(ScopeKey, Validators)>,
    chance: f64,
    failed: bool,
    busy: bool,
    next_ms: i64,
}

/// All targets, and since when each was used last.
pub(crate) struct Board {
    targets: Mutex<Targets>,
    /// By URL: when a question last needed it. Beside the lock, since questions touch it.
    used: DashMap<String, i64>,
    /// After so long without a question a URL no longer counts as used.
    lately_ms: i64,
    /// URLs that count as used again since it was looked last for what is due.
    roused: Mutex<HashSet<String>>,
}

/// The table.
struct Targets {
    config: PollingConfig,
    by_url: HashMap<String, Target>,
    /// When a host may be asked next.
    free_at_ms: HashMap<String, i64>,
    places: Places,
    contact: Contact,
    /// When it was looked last for what is due.
    looked_ms: i64,
    /// URLs that are not written down yet.
    unkept: Vec<String>,
}

impl Board {
    pub(crate) fn new(config: &PollingConfig) -> Board {
        let targets = Targets {
            config: config.clone(),
            by_url: HashMap::new(),
            free_at_ms: HashMap::new(),
            places: Places::new(CONCURRENCY, PER_HOST),
            contact: Contact::Kept,
            looked_ms: i64::MIN,
            unkept: Vec::new(),
        };
        let lately_ms = i64::try_from(config.lately.as_millis()).unwrap_or(i64::MAX);
        Board { targets: Mutex::new(targets), used: DashMap::new(), lately_ms, roused: Mutex::default() }
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question needed what this URL serves; `false` if the URL is not known.
    pub(crate) fn touch(&self, url: &str, now_ms: i64) -> bool {
        let before_ms = self.used.get_mut(url).map(|mut used| std::mem::replace(&mut *used, now_ms));
        if before_ms.is_some_and(|before_ms| now_ms.saturating_sub(before_ms) > self.lately_ms) {
            self.roused().insert(url.to_owned());
        }
        before_ms.is_some()
    }

    fn roused(&self) -> MutexGuard<'_, HashSet<String>> {
        self.roused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the URL is known.
    pub(crate) fn knows(&self, url: &str) -> bool {
        self.used.contains_key(url)
    }

    /// Takes in a URL, which a certificate names that leads to an anchor; tells whether it was new.
    pub(crate) fn insert(&self, kept: Kept, live: &Live, now_ms: i64) -> bool {
        let mut targets = self.targets();
        if targets.by_url.contains_key(&kept.url) {
            return false;
        }
        if targets.by_url.len() >= MAX_TARGETS {
            self.forget_least_used(&mut targets);
        }
        let Kept { url, issuer, kind, used_ms, gave } = kept;
        targets.unkept.push(url.clone());
        let (host, chance) = (urls::host(&url), fastrand::f64());
        let target = Target {
            issuer,
            kind,
            host,
            since_ms: now_ms,
            asked_ms: None,
            gave,
            chance,
            failed: false,
            busy: false,
            next_ms: 0,
        };
        self.used.insert(url.clone(), used_ms);
        targets.by_url.insert(url.clone(), target);
        self.reckon(&mut targets, &url, live);
        true
    }

    fn forget_least_used(&self, targets: &mut Targets) {
        let idle = targets.by_url.iter().filter(|(_, target)| !target.busy);
        let least = idle.min_by_key(|(url, _)| self.used_ms(url)).map(|(url, _)| url.clone());
        if let Some(url) = least {
            targets.by_url.remove(&url);
            self.used.remove(&url);
        }
    }

    /// What is held has changed for URLs that name `issuer`, or for all.
    pub(crate) fn held_changed(&self, issuer: Option<&Name>, live: &Live) {
        let mut targets = self.targets();
        let concerned = |target: &Target| issuer.is_none_or(|issuer| target.issuer == *issuer);
        let urls: Vec<String> = targets
            .by_url
            .iter()
            .filter(|(_, target)| concerned(target))
            .map(|(url, _)| url.clone())
            .collect();
        for url in urls {
            self.reckon(&mut targets, &url, live);
        }
    }

    /// Contact with the fleet was lost, or is kept again.
    pub(crate) fn contact_is(&self, contact: Contact, live: &Live) {
        let before = std::mem::replace(&mut self.targets().contact, contact);
        if before != contact {
            self.held_changed(None, live);
        }
    }

    /// The turns that may be taken at `now_ms`: what is due, the longest due first, as far as places and hosts allow.
    pub(crate) fn begin(&self, now_ms: i64, live: &Live) -> Vec<Turn> {
        let mut targets = self.targets();
        if now_ms < std::mem::replace(&mut targets.looked_ms, now_ms) {
            self.set_right(&mut targets, now_ms, live);
        }
        // What was idle may be due at once now that it is used.
        let roused = std::mem::take(&mut *self.roused());
        roused.iter().for_each(|url| self.reckon(&mut targets, url, live));
        let mut due: Vec<(i64, String)> = targets
            .by_url
            .iter()
            .filter(|(_, target)| !target.busy && target.next_ms <= now_ms)
            .map(|(url, target)| (target.next_ms, url.clone()))
            .collect();
        due.sort_unstable();
        let mut turns = Vec::new();
        for (_, url) in due {
            // It may have been used since it was reckoned.
            self.reckon(&mut targets, &url, live);
            turns.extend(targets.begin_one(&url, now_ms, live));
        }
        turns
    }

    /// The clock was ahead, and what happened then would lie in the future: it counts as having happened now.
    fn set_right(&self, targets: &mut Targets, now_ms: i64, live: &Live) {
        self.used.iter_mut().for_each(|mut used| *used = now_ms.min(*used));
        let latest_ms = now_ms + targets.gap_ms();
        targets.free_at_ms.values_mut().for_each(|free_at_ms| *free_at_ms = latest_ms.min(*free_at_ms));
        let urls: Vec<String> = targets.by_url.keys().cloned().collect();
        for url in urls {
            if let Some(target) = targets.by_url.get_mut(&url) {
                target.since_ms = now_ms.min(target.since_ms);
                target.asked_ms = target.asked_ms.map(|asked_ms| now_ms.min(asked_ms));
            }
            self.reckon(targets, &url, live);
        }
    }

    /// What came of a turn.
    pub(crate) fn done(&self, turn: &Turn, came: Came, now_ms: i64, live: &Live) {
        let mut targets = self.targets();
        targets.places.give(&turn.place);
        if let Some(target) = targets.by_url.get_mut(&turn.url) {
            target.busy = false;
        }
        self.came(&mut targets, &turn.url, came, now_ms, live);
    }

    /// How to ask a URL only for what is new.
    pub(crate) fn validators(&self, url: &str, live: &Live) -> Validators {
        self.targets().by_url.get(url).map(|target| target.validators(url, live)).unwrap_or_default()
    }

    /// Whether contact with the fleet is kept.
    pub(crate) fn contact(&self) -> Contact {
        self.targets().contact
    }

    /// What came of a request that took no turn, since a question waited for it.
    pub(crate) fn answered(&self, url: &str, came: Came, now_ms: i64, live: &Live) {
        self.came(&mut self.targets(), url, came, now_ms, live);
    }

    fn came(&self, targets: &mut Targets, url: &str, came: Came, now_ms: i64, live: &Live) {
        let Some(target) = targets.by_url.get_mut(url) else { return };
        target.chance = fastrand::f64();
        let is_leased = matches!(came, Came::Leased);
        if !is_leased {
            target.asked_ms = Some(now_ms);
            target.failed = matches!(came, Came::Nothing);
        }
        if let Came::Crl(scope, validators) = came {
            target.gave = Some((scope, validators));
            targets.unkept.push(url.to_owned());
        }
        self.reckon(targets, url, live);
        if is_leased && let Some(target) = targets.by_url.get_mut(url) {
            let pause_ms = LEASED_PAUSE_MS + (target.chance * LEASED_PAUSE_MS as f64) as i64;
            target.next_ms = target.next_ms.max(now_ms + pause_ms);
        }
    }

    /// The URLs that came, or gave a CRL, since the last call: to be written down.
    pub(crate) fn take_unkept(&self) -> Vec<Kept> {
        let urls = std::mem::take(&mut self.targets().unkept);
        urls.iter().filter_map(|url| self.kept(url)).collect()
    }

    fn kept(&self, url: &str) -> Option<Kept> {
        let targets = self.targets();
        let target = targets.by_url.get(url)?;
        Some(Kept {
            url: url.to_owned(),
            issuer: target.issuer.clone(),
            kind: target.kind,
            used_ms: self.used_ms(url),
            gave: target.gave.clone(),
        })
    }

    /// The URLs that certificates of an issuer name, at most `limit`; of all issuers without one.
    pub(crate) fn urls_of(&self, issuer: Option<&Name>, limit: usize) -> Vec<String> {
        let targets = self.targets();
        let named =
            targets.by_url.iter().filter(|(_, target)| issuer.is_none_or(|issuer| target.issuer == *issuer));
        let mut urls: Vec<String> = named.map(|(url, _)| url.clone()).collect();
        urls.sort();
        urls.truncate(limit);
        urls
    }

    /// How many URLs are known.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    fn used_ms(&self, url: &str) -> i64 {
        self.used.get(url).map_or(0, |used| *used)
    }

    fn reckon(&self, targets: &mut Targets, url: &str, live: &Live) {
        let (used_ms, contact) = (self.used_ms(url), targets.contact);
        let Some(target) = targets.by_url.get_mut(url) else { return };
        let facts = Facts {
            since_ms: target.since_ms,
            asked_ms: target.asked_ms,
            used_ms,
            held: target.held(url, live),
            chance: target.chance,
        };
        target.next_ms = due_ms(&targets.config, &facts, contact);
    }
}

impl Targets {
    fn begin_one(&mut self, url: &str, now_ms: i64, live: &Live) -> Option<Turn> {
        let free_at_ms = now_ms + self.gap_ms();
        let target = self.by_url.get_mut(url).filter(|target| target.next_ms <= now_ms)?;
        if self.free_at_ms.get(&target.host).is_some_and(|free_at_ms| *free_at_ms > now_ms) {
            return None;
        }
        let place = self.places.take(&target.host, target.failed)?;
        // Hosts of URLs that are known no more are few, and go with the next change of the table's size.
        if self.free_at_ms.len() > MAX_TARGETS {
            self.free_at_ms.retain(|_, free_at_ms| *free_at_ms > now_ms);
        }
        self.free_at_ms.insert(target.host.clone(), free_at_ms);
        target.busy = true;
        let validators = target.validators(url, live);
        Some(Turn { url: url.to_owned(), validators, contact: self.contact, place })
    }

    fn gap_ms(&self) -> i64 {
        i64::try_from(self.config.host_gap.as_millis()).unwrap_or(i64::MAX / 2)
    }
}

impl Target {
    /// How to ask only for what is new. "Not modified" must never be the answer about a CRL that is lost: only where
    /// something of the series is enforced, which never goes back, is the host told what is known of its document.
    ///
    /// A CRL that came in another way was never fetched here. Repositories of ours tag a document by its hash, so that
    /// they need not send it; to others the tag says nothing.
    fn validators(&self, url: &str, live: &Live) -> Validators {
        let Some(enforced) = self.served(url, live) else { return Validators::default() };
        let gave = self.gave.as_ref().filter(|(scope, _)| live.enforced(scope).is_some());
        let gave = gave.map(|(_, validators)| validators.clone()).unwrap_or_default();
        if gave.etag.is_none() && gave.last_modified.is_some() {
            // Beside a tag the time would not be looked at (RFC 9110 13.1.3).
            return gave;
        }
        let by_hash = format!("\"{}\"", enforced.crl.digest());
        let etag = match &gave.etag {
            Some(tag) if *tag != by_hash => format!("{tag}, {by_hash}"),
            _ => by_hash,
        };
        let asked = if gave.url.is_empty() { url.to_owned() } else { gave.url };
        Validators { url: asked, etag: Some(etag), last_modified: gave.last_modified }
    }

    /// What is held of that which the URL serves.
    fn held(&self, url: &str, live: &Live) -> Held {
        self.served(url, live).as_ref().map_or(Held::Nothing, life)
    }

    /// What is enforced of the series that the URL gave last; of several that it may serve, the one that ends first. A
    /// complete CRL says nothing of when a delta to it comes.
    fn served(&self, url: &str, live: &Live) -> Option<Enforced> {
        if let Some(enforced) = self.gave.as_ref().and_then(|(scope, _)| live.enforced(scope)) {
            return Some(enforced);
        }
        let listed = live.enforced_of(&self.issuer).into_iter();
        let served = listed.filter(|enforced| {
            enforced.crl.kind() == self.kind && urls::serves(url, &self.issuer, &enforced.crl)
        });
        served.min_by_key(|enforced| end_ms(&life(enforced)))
    }
}

fn life(enforced: &Enforced) -> Held {
    let from_ms = enforced.crl.this_update().unix().saturating_mul(1_000);
    enforced
        .crl
        .next_update()
        .map_or(Held::Endless, |to| Held::Until { from_ms, to_ms: to.unix().saturating_mul(1_000) })
}

fn end_ms(held: &Held) -> i64 {
    match held {
        Held::Until { to_ms, .. } => *to_ms,
        Held::Nothing | Held::Endless => i64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use revocast_messages::Source;
    use revocast_pki::asn1::Time;
    use revocast_pki::crl::Crl;
    use revocast_pki::identity::IssuerId;
    use revocast_pki::mint::{CrlTemplate, KeyKind, SigningKey, name};

    use super::*;

    fn kept(url: &str, used_ms: i64) -> Kept {
        let issuer = name("CN=CA").unwrap();
        Kept { url: url.into(), issuer, kind: CrlKind::Complete, used_ms, gave: None }
    }

    /// Has the first CRL of the issuer enforced, or a delta to it, with an hour to live.
    fn enforce(live: &Live, kind: CrlKind) {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let begin = Time::from_unix(0);
        let template = CrlTemplate {
            base: (kind == CrlKind::Delta).then(|| 1u64.into()),
            ..CrlTemplate::new(name("CN=CA").unwrap(), 2u64, begin, begin.plus(3_600))
        };
        let crl = Crl::decode(template.sign([], &key).unwrap()).unwrap();
        let issuer = IssuerId::of(crl.issuer(), key.spki());
        let scope = (issuer, crl.scope(issuer), crl.kind());
        let (conflicting, signer) = (Vec::new(), key.spki().to_vec());
        live.swap(scope, Enforced { crl, conflicting, signer, applied_at_ms: 0, source: Source::Inline });
    }

    fn board() -> (Board, Live) {
        let config = PollingConfig { host_gap: Duration::from_secs(1), ..PollingConfig::default() };
        (Board::new(&config), Live::new())
    }

    #[test]
    fn a_host_with_many_urls_is_asked_one_by_one_and_keeps_nobody_from_another() {
        let (board, live) = board();
        for n in 0..50 {
            board.insert(kept(&format!("http://dead/{n}"), 0), &live, 0);
        }
        board.insert(kept("http://sound/x", 0), &live, 0);
        let turns = board.begin(3_000, &live);
        let hosts: Vec<String> = turns.iter().map(|turn| urls::host(&turn.url)).collect();
        assert_eq!((hosts.len(), hosts.contains(&"sound".to_owned())), (2, true));
        assert_eq!(board.begin(4_000, &live).len(), 1);
        // Two are under way there.
        assert_eq!(board.begin(5_000, &live).len(), 0);
    }

    #[test]
    fn the_table_is_bounded_and_what_was_used_least_lately_goes() {
        let (board, live) = board();
        for n in 0..=MAX_TARGETS {
            board.insert(kept(&format!("http://h/{n}"), n as i64), &live, 0);
        }
        assert_eq!(board.len(), MAX_TARGETS);
        assert!(!board.knows("http://h/0") && board.knows("http://h/1"));
    }

    #[test]
    fn a_turn_without_contact_is_taken_for_oneself_and_so_is_what_a_question_has_fetched() {
        let (board, live) = board();
        board.insert(kept("http://h/x", 0), &live, 0);
        let lost = Contact::Lost { since_ms: 0 };
        board.contact_is(lost, &live);
        assert_eq!((board.begin(600_000, &live)[0].contact, board.contact()), (lost, lost));
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_set_right_leaves_no_url_alone_until_it_has_caught_up() {
        let (board, live) = board();
        let ahead_ms = 360_000_000;
        board.insert(kept("http://h/asked", 0), &live, ahead_ms);
        let turn = board.begin(ahead_ms + 3_000, &live).remove(0);
        board.done(&turn, Came::Nothing, ahead_ms + 3_000, &live);
        board.insert(kept("http://h/new", ahead_ms), &live, ahead_ms + 3_000);
        // Set right to the beginning: the one that was never asked is looked for, and the other one in ten minutes.
        assert!(board.begin(0, &live).is_empty());
        let turns = board.begin(3_000, &live);
        assert_eq!(turns.iter().map(|turn| turn.url.as_str()).collect::<Vec<_>>(), ["http://h/new"]);
        assert_eq!(board.begin(660_000, &live).len(), 1);
        assert_eq!(board.used_ms("http://h/new"), 0);
    }

    #[test]
    fn an_idle_url_that_a_question_needs_is_asked_within_the_interval_of_used_ones() {
        let (board, live) = board();
        board.insert(kept("http://h/x", -7_200_000), &live, 0);
        board.contact_is(Contact::Lost { since_ms: 0 }, &live);
        let turn = board.begin(600_000, &live).remove(0);
        board.done(&turn, Came::Nothing, 600_000, &live);
        assert!(board.begin(670_000, &live).is_empty());
        assert!(board.touch("http://h/x", 670_000) && !board.touch("http://h/y", 670_000));
        assert_eq!(board.begin(670_000, &live).len(), 1);
    }

    #[test]
    fn where_deltas_are_it_is_looked_for_one_however_long_the_complete_crl_lives() {
        let (board, live) = board();
        enforce(&live, CrlKind::Complete);
        board.insert(kept("http://h/complete", 0), &live, 0);
        board.insert(Kept { kind: CrlKind::Delta, ..kept("http://h/delta", 0) }, &live, 0);
        let turns = board.begin(3_000, &live);
        assert_eq!(turns.iter().map(|turn| turn.url.as_str()).collect::<Vec<_>>(), ["http://h/delta"]);
        assert_eq!(turns[0].validators, Validators::default());
        // The delta that is held then says when the next one is looked for.
        enforce(&live, CrlKind::Delta);
        board.done(&turns[0], Came::Nothing, 3_000, &live);
        assert!(board.begin(700_000, &live).is_empty());
    }

    #[test]
    fn a_leased_url_is_left_to_the_one_who_asks_it() {
        let (board, live) = board();
        board.insert(kept("http://h/x", 0), &live, 0);
        let turn = board.begin(3_000, &live).remove(0);
        board.done(&turn, Came::Leased, 3_000, &live);
        assert!(board.begin(7_999, &live).is_empty());
        assert_eq!(board.begin(13_001, &live).len(), 1);
    }
}
