//! [`Demand`]: the question's side of asking repositories.
//!
//! A question that ended indeterminate for want of a CRL has it fetched and is judged once more, within its own deadline.
//! What is fetched is decided by the certificates of its path alone, once the path is known to lead to an anchor with
//! revocation left aside. One URL is fetched once however many questions want it, hosts that are slow hold places of
//! their own, and no more than a part of all questions waits here: the others are answered as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use revocast_daemon::{Clock, blocking};
use revocast_messages::{Answer, Outcome, Question};
use revocast_pki::asn1::Time;
use revocast_pki::certificate::Certificate;
use revocast_pki::crl::Crl;
use revocast_pki::identity::CrlKind;
use revocast_pki::path::{self, Requirements, RevocationMode, Sources};
use revocast_pki::revocation::CrlSet;
use tokio::sync::{Semaphore, watch};

use super::config::PollingConfig;
use super::poll::Poller;
use super::targets::{Board, Came, Kept};
use super::urls;
use crate::places::{Place, Places};
use crate::question::{Policies, intake};
use crate::state::{Enforced, Live};

/// Questions that wait for a CRL at once; a quarter of those that are worked on at once by default.
const MAX_WAITING: usize = 64;
/// URLs that one question has fetched.
const MAX_URLS: usize = 16;
/// Certificates of one question that have CRLs fetched.
const MAX_TARGETS: usize = 16;
/// Fetches for questions at once, and of those at one host.
const MAX_FLIGHTS: usize = 32;
const PER_HOST: usize = 2;
/// While another validator of the fleet fetches, it is looked this often whether the CRL has come ...
const LEASED_LOOK: Duration = Duration::from_millis(100);
/// ... and for no longer than this.
const LEASED_LOOKS: usize = 50;

/// A URL that was asked in vain is not asked for questions again for this long: they are answered as they are.
const IN_VAIN_PAUSE_MS: i64 = 10_000;
/// URLs that were asked in vain and are remembered; beyond, all are forgotten.
const MAX_IN_VAIN: usize = 4_096;

/// A URL, and who issued the certificate that names it.
type Wanted = Kept;

/// What questions want. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Demand {
    inner: Arc<Inner>,
}

struct Inner {
    config: PollingConfig,
    board: Arc<Board>,
    live: Arc<Live>,
    policies: Arc<Policies>,
    clock: Clock,
    /// Questions come before the fetcher is set up.
    poller: OnceLock<Poller>,
    waiting: Semaphore,
    flights: Mutex<Flights>,
}

/// Fetches under way.
struct Flights {
    /// By URL; `Some` when it is over: whether it brought a CRL.
    by_url: HashMap<String, watch::Receiver<Option<bool>>>,
    /// By URL: when it was asked in vain.
    in_vain: HashMap<String, i64>,
    places: Places,
}

impl Demand {
    pub(crate) fn new(
        config: &PollingConfig,
        board: Arc<Board>,
        live: Arc<Live>,
        policies: Arc<Policies>,
        clock: Clock,
    ) -> Demand {
        let flights = Flights {
            by_url: HashMap::new(),
            in_vain: HashMap::new(),
            places: Places::new(MAX_FLIGHTS, PER_HOST),
        };
        Demand {
            inner: Arc::new(Inner {
                config: config.clone(),
                board,
                live,
                policies,
                clock,
                poller: OnceLock::new(),
                waiting: Semaphore::new(MAX_WAITING),
                flights: Mutex::new(flights),
            }),
        }
    }

    /// From now on URLs can be asked.
    pub(crate) fn served_by(&self, poller: Poller) {
        // There is one poller; a second call would change nothing.
        let _ = self.inner.poller.set(poller);
    }

    /// A valid path tells which URLs serve what this validator is asked about.
    pub(crate) fn note(&self, certificates: &[Certificate]) {
        let now_ms = self.inner.clock.now_ms();
        for certificate in certificates {
            for (url, kind) in urls::named_by(certificate) {
                self.inner.needed((url, kind), certificate, now_ms);
            }
        }
    }

    /// Has the CRLs fetched for want of which `answer` is indeterminate, certificates that were `found` beside the
    /// question's included; `true` if one came, so that the question is worth another judgement.
    pub(crate) async fn bring(
        &self,
        question: &Arc<Question>,
        found: &[Certificate],
        answer: &Answer,
    ) -> bool {
        let in_doubt = answer.judgements.iter().any(|one| one.outcome == Outcome::Indeterminate);
        let Some(poller) = self.inner.poller.get().filter(|_| in_doubt && self.inner.config.on_demand) else {
            return false;
        };
        let Ok(_place) = self.inner.waiting.try_acquire() else { return false };
        let (inner, question, answer) = (self.inner.clone(), question.clone(), answer.clone());
        let found = found.to_vec();
        let wanted = blocking(move || inner.lacking(question, found, &answer)).await;
        let flights: Vec<_> =
            wanted.into_iter().filter_map(|wanted| self.inner.fly(poller, wanted)).collect();
        if flights.is_empty() {
            return false;
        }
        let landed = futures::future::join_all(flights.into_iter().map(landed));
        match tokio::time::timeout(self.inner.config.patience, landed).await {
            Ok(brought) => brought.contains(&true),
            // Some may have come all the same.
            Err(_) => true,
        }
    }
}

/// Whether a flight brought a CRL; one that broke off brought none.
async fn landed(mut flight: watch::Receiver<Option<bool>>) -> bool {
    flight.wait_for(Option::is_some).await.is_ok_and(|brought| *brought == Some(true))
}

impl Inner {
    fn needed(&self, (url, kind): (String, CrlKind), certificate: &Certificate, now_ms: i64) {
        if !self.board.touch(&url, now_ms) {
            let issuer = certificate.issuer().clone();
            self.board.insert(Kept { url, issuer, kind, used_ms: now_ms, gave: None }, &self.live, now_ms);
        }
    }

    /// The URLs of CRLs that the certificates in doubt lack.
    fn lacking(&self, question: Arc<Question>, found: Vec<Certificate>, answer: &Answer) -> Vec<Wanted> {
        let asked = intake::read(question, &self.policies, Instant::now());
        let Ok(mut asked) = asked else { return Vec::new() };
        asked.found = found;
        let now_ms = self.clock.now_ms();
        let at = Time::from_unix(now_ms.div_euclid(1_000));
        let requirements =
            Requirements { revocation: RevocationMode::None, ..asked.effective.requirements.clone() };
        let in_doubt = asked.certificates().iter().zip(&answer.judgements);
        let in_doubt = in_doubt.filter(|(_, judgement)| judgement.outcome == Outcome::Indeterminate);
        let candidates = asked.candidates();
        let known = (&candidates, &*self.live);
        let mut wanted: Vec<Wanted> = Vec::new();
        for (der, _) in in_doubt.take(MAX_TARGETS) {
            let Ok(certificate) = intake::decode(der) else { continue };
            let question = path::Question::new(certificate, at, &asked.policy.anchors, &requirements);
            let sources = Sources { certificates: &known, crls: &CrlSet::new(), memory: &self.live.memory };
            let verdict = path::judge(&question, sources);
            let Some(path) = verdict.path.as_ref().filter(|_| verdict.is_valid()) else { continue };
            let uncovered = path.certificates.iter().filter(|one| !self.is_covered(one, at));
            for certificate in uncovered {
                let issuer = certificate.issuer();
                wanted.extend(urls::named_by(certificate).into_iter().map(|(url, kind)| Wanted {
                    url,
                    issuer: issuer.clone(),
                    kind,
                    used_ms: now_ms,
                    gave: None,
                }));
            }
        }
        wanted.sort_by(|a, b| a.url.cmp(&b.url));
        wanted.dedup_by(|a, b| a.url == b.url);
        wanted.truncate(MAX_URLS);
        for one in &wanted {
            if !self.board.touch(&one.url, now_ms) {
                self.board.insert(one.clone(), &self.live, now_ms);
            }
        }
        wanted
    }

    /// Whether a CRL is held that is current, and that one of the certificate's URLs serves.
    fn is_covered(&self, certificate: &Certificate, at: Time) -> bool {
        let held = self.live.enforced_of(certificate.issuer());
        let current = held.iter().filter(|enforced| {
            enforced.crl.kind() == CrlKind::Complete
                && enforced.crl.next_update().is_some_and(|next_update| at <= next_update)
                && !is_behind(&enforced.crl, &held)
        });
        let named = urls::of_certificate(certificate);
        current
            .into_iter()
            .any(|enforced| named.iter().any(|url| urls::serves(url, certificate.issuer(), &enforced.crl)))
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the flight to a URL, or begins one; `None` if there is no place for it.
    fn fly(self: &Arc<Self>, poller: &Poller, wanted: Wanted) -> Option<watch::Receiver<Option<bool>>> {
        let mut flights = self.flights();
        if let Some(under_way) = flights.by_url.get(&wanted.url) {
            return Some(under_way.clone());
        }
        let in_vain = flights.in_vain.get(&wanted.url).copied();
        let now_ms = self.clock.now_ms();
        if in_vain.is_some_and(|at_ms| (0..IN_VAIN_PAUSE_MS).contains(&(now_ms - at_ms))) {
            return None;
        }
        let place = flights.places.take(&urls::host(&wanted.url), false)?;
        let (tell, told) = watch::channel(None);
        flights.by_url.insert(wanted.url.clone(), told.clone());
        let landing = Landing { inner: self.clone(), url: wanted.url.clone(), place };
        let (inner, poller) = (self.clone(), poller.clone());
        tokio::spawn(async move {
            let brought = inner.fetch(&poller, &wanted).await;
            inner.remember(&wanted);
            // Whoever comes now begins a flight of its own.
            drop(landing);
            tell.send_replace(Some(brought));
        });
        Some(told)
    }

    /// What was fetched and does not help is not fetched for the next question.
    fn remember(&self, wanted: &Wanted) {
        if self.is_served(wanted) {
            return;
        }
        let mut flights = self.flights();
        if flights.in_vain.len() >= MAX_IN_VAIN {
            flights.in_vain.clear();
        }
        flights.in_vain.insert(wanted.url.clone(), self.clock.now_ms());
    }

    async fn fetch(&self, poller: &Poller, wanted: &Wanted) -> bool {
        for _ in 0..LEASED_LOOKS {
            let validators = self.board.validators(&wanted.url, &self.live);
            let came = poller.poll(&wanted.url, &validators, self.board.contact()).await;
            let is_leased = matches!(came, Came::Leased);
            let brought = matches!(came, Came::Crl(..));
            self.board.answered(&wanted.url, came, self.clock.now_ms(), &self.live);
            if !is_leased {
                return brought;
            }
            tokio::time::sleep(LEASED_LOOK).await;
            if self.is_served(wanted) {
                return true;
            }
        }
        false
    }

    /// Whether what the URL serves has come in another way.
    fn is_served(&self, wanted: &Wanted) -> bool {
        let now = Time::from_unix(self.clock.now_s());
        let held = self.live.enforced_of(&wanted.issuer);
        held.iter().any(|enforced| {
            enforced.crl.next_update().is_some_and(|next_update| now <= next_update)
                && !is_behind(&enforced.crl, &held)
                && urls::serves(&wanted.url, &wanted.issuer, &enforced.crl)
        })
    }
}

/// Whether a delta that is held is based on a newer complete CRL than this one.
fn is_behind(complete: &Crl, held: &[Enforced]) -> bool {
    complete.kind() == CrlKind::Complete
        && held.iter().any(|other| {
            other.crl.kind() == CrlKind::Delta
                && other.crl.distribution_point() == complete.distribution_point()
                && other.crl.base_number() > complete.number()
        })
}

/// Gives the place back and ends the flight, however the fetch ended.
struct Landing {
    inner: Arc<Inner>,
    url: String,
    place: Place,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.inner.flights();
        flights.places.give(&self.place);
        flights.by_url.remove(&self.url);
    }
}
