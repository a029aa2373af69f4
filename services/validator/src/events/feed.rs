//! [`Feed`]: what happens in this validator, numbered, and written down once for all who listen over HTTP.
//!
//! The last [`KEPT`] events are kept, so that a listener who was cut off goes on where it was. Numbers have no gaps: a
//! listener that sees one was too slow, and is told how many it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use revocast_messages::subjects::Subject;
use revocast_messages::{Instance, Outcome, Role};
use revocast_pki::identity::{CertId, CrlId, CrlKind, CrlNumber, IssuerId, ScopeId, WatchId};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::Event;

/// Events that are kept for listeners who come back, and that a slow listener may be behind before it misses some:
/// about 400 octets each, or a certificate.
const KEPT: usize = 1_024;

/// The names of the events that [`Told::event`] may be.
pub(crate) const EVENTS: [&str; 5] = ["notice", "applied", "learned", "receipt", "verdict"];

/// One event.
pub(crate) struct Told {
    /// Its number, from 1.
    pub sequence: u64,
    pub event: Event,
    at_ms: i64,
    written: OnceLock<Written>,
}

/// An event as it is told.
pub(crate) struct Written {
    /// Its name, one of [`EVENTS`].
    pub event: &'static str,
    /// What it is about, as far as it is about that.
    pub about: About,
    /// Its JSON.
    pub data: String,
}

impl Told {
    /// Written down when the first listener asks for it, and then for all.
    pub(crate) fn written(&self) -> &Written {
        self.written.get_or_init(|| written(&self.event, self.at_ms))
    }
}

/// What listeners filter by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub issuer: Option<IssuerId>,
    pub scope: Option<ScopeId>,
    pub kind: Option<CrlKind>,
}

/// Numbers events and hands them on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed {
    kept: Arc<Mutex<Kept>>,
    /// When this process began: numbers of another one mean other events.
    began_ms: i64,
}

struct Kept {
    last: u64,
    events: VecDeque<Arc<Told>>,
    listeners: broadcast::Sender<Arc<Told>>,
}

impl Feed {
    /// A feed that nothing was told to yet.
    pub(crate) fn new(began_ms: i64) -> Feed {
        let listeners = broadcast::Sender::new(KEPT);
        Feed { kept: Arc::new(Mutex::new(Kept { last: 0, events: VecDeque::new(), listeners })), began_ms }
    }

    /// Hands an event on, and waits for nobody.
    pub(super) fn tell(&self, event: Event, at_ms: i64) {
        let mut kept = self.lock();
        kept.last += 1;
        let told = Arc::new(Told { sequence: kept.last, event, at_ms, written: OnceLock::new() });
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(told.clone());
        // Nobody may be listening.
        let _ = kept.listeners.send(told);
    }

    /// The identifier by which a listener goes on after an event.
    pub(crate) fn id(&self, told: &Told) -> String {
        format!("{}-{}", self.began_ms, told.sequence)
    }

    /// Listens from now on, or from after the event with the identifier `last`.
    pub(crate) fn listen(&self, last: Option<&str>) -> Listener {
        let kept = self.lock();
        let listener =
            |backlog, next, lost| Listener { backlog, coming: kept.listeners.subscribe(), next, lost };
        let now = kept.last + 1;
        let Some(last) = last else { return listener(VecDeque::new(), now, false) };
        let of_ours = last
            .split_once('-')
            .filter(|(began, _)| *began == self.began_ms.to_string())
            .and_then(|(_, sequence)| sequence.parse::<u64>().ok())
            .filter(|sequence| *sequence < now);
        match of_ours {
            Some(heard) => {
                let missing = kept.events.iter().filter(|told| told.sequence > heard).cloned();
                listener(missing.collect(), heard + 1, false)
            }
            None => listener(VecDeque::new(), now, true),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a listener hears.
pub(crate) enum Heard {
    /// The next event.
    Told(Arc<Told>),
    /// So many events are gone; how many is not known if they were another process's.
    Missed(Option<u64>),
}

/// One who listens.
pub(crate) struct Listener {
    backlog: VecDeque<Arc<Told>>,
    coming: broadcast::Receiver<Arc<Told>>,
    next: u64,
    /// Events before the first one are gone, nobody knows how many.
    lost: bool,
}

impl Listener {
    /// What comes next; `None` when nothing will. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        if std::mem::take(&mut self.lost) {
            return Some(Heard::Missed(None));
        }
        loop {
            if self.backlog.is_empty() {
                match self.coming.recv().await {
                    Ok(told) => self.backlog.push_back(told),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return None,
                }
            }
            let Some(first) = self.backlog.front() else { continue };
            if first.sequence > self.next {
                let missed = first.sequence - self.next;
                self.next = first.sequence;
                return Some(Heard::Missed(Some(missed)));
            }
            self.next = first.sequence + 1;
            return self.backlog.pop_front().map(Heard::Told);
        }
    }
}

/// The JSON of an event. Names stay as they are: clients read them.
#[derive(Serialize)]
struct Data<'e> {
    event: &'static str,
    /// Milliseconds since the Unix epoch.
    at_ms: i64,
    #[serde(flatten)]
    words: Words<'e>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Words<'e> {
    Notice {
        subject: &'e str,
        outcome: &'static str,
        #[serde(flatten)]
        parts: Parts,
    },
    Applied {
        issuer: IssuerId,
        scope: ScopeId,
        kind: CrlKind,
        crl_id: CrlId,
        number: Option<CrlNumber>,
    },
    Learned {
        /// Who it is as a signer.
        issuer: IssuerId,
        certificate: CertId,
        subject: String,
        /// Name of who issued it.
        issued_by: String,
    },
    Receipt {
        issuer: IssuerId,
        scope: ScopeId,
        kind: CrlKind,
        crl_id: CrlId,
    },
    Verdict {
        watch: WatchId,
        certificate: CertId,
        policy: &'e str,
        outcome: Outcome,
        reason: &'e str,
        before: Option<Outcome>,
        /// Who told it.
        validator: &'e Instance,
    },
}

/// What the subject of a notice says; a foreign subject says nothing.
#[derive(Default, Serialize)]
struct Parts {
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<IssuerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ScopeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<CrlKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertId>,
}

impl Parts {
    fn of(subject: &str) -> Parts {
        match subject.parse() {
            Ok(Subject::CrlNotice { class, issuer, scope, kind }) => Parts {
                class: Some(class),
                issuer: Some(issuer),
                scope: Some(scope),
                kind: Some(kind),
                certificate: None,
            },
            Ok(Subject::CertificateNotice { class, issuer, certificate }) => Parts {
                class: Some(class),
                issuer: Some(issuer),
                certificate: Some(certificate),
                ..Parts::default()
            },
            _ => Parts::default(),
        }
    }
}

fn written(event: &Event, at_ms: i64) -> Written {
    let of_scope =
        |(issuer, scope, kind)| About { issuer: Some(issuer), scope: Some(scope), kind: Some(kind) };
    let (event, about, words) = match event {
        Event::Notice { subject, outcome } => {
            let parts = Parts::of(subject);
            let about = About { issuer: parts.issuer, scope: parts.scope, kind: parts.kind };
            ("notice", about, Words::Notice { subject, outcome, parts })
        }
        Event::Applied { scope: key, crl_id, number } => {
            let (issuer, scope, kind) = *key;
            let words = Words::Applied { issuer, scope, kind, crl_id: *crl_id, number: *number };
            ("applied", of_scope(*key), words)
        }
        Event::Learned(certificate) => {
            let issuer = certificate.as_issuer();
            let words = Words::Learned {
                issuer,
                certificate: certificate.id(),
                subject: certificate.subject().to_string(),
                issued_by: certificate.issuer().to_string(),
            };
            ("learned", About { issuer: Some(issuer), ..About::default() }, words)
        }
        Event::Receipt { scope: key, crl_id } => {
            let (issuer, scope, kind) = *key;
            ("receipt", of_scope(*key), Words::Receipt { issuer, scope, kind, crl_id: *crl_id })
        }
        Event::Verdict(changed) => {
            let words = Words::Verdict {
                watch: changed.watch,
                certificate: changed.certificate,
                policy: &changed.policy,
                outcome: changed.outcome,
                reason: &changed.reason,
                before: changed.before,
                validator: &changed.validator,
            };
            // The CRL about the target decides what it is about; a verdict without evidence is about no scope.
            let decided = changed.evidence.iter().find(|found| found.certificate == changed.certificate);
            let about = decided
                .map_or_else(About::default, |found| of_scope((found.issuer, found.scope, found.kind)));
            ("verdict", about, words)
        }
    };
    // Maps with text as keys always become JSON.
    let data = serde_json::to_string(&Data { event, at_ms, words }).unwrap_or_default();
    Written { event, about, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(scope: u8) -> Event {
        let key = (IssuerId([1; 16]), ScopeId([scope; 16]), CrlKind::Complete);
        Event::Receipt { scope: key, crl_id: CrlId([3; 32]) }
    }

    async fn heard(listener: &mut Listener, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(match listener.next().await.unwrap() {
                Heard::Told(told) => told.sequence.to_string(),
                Heard::Missed(missed) => format!("missed {missed:?}"),
            });
        }
        all
    }

    #[tokio::test]
    async fn a_listener_that_comes_back_goes_on_where_it_was() {
        let feed = Feed::new(7);
        (1..=5).for_each(|scope| feed.tell(receipt(scope), 0));
        let mut listener = feed.listen(Some("7-3"));
        feed.tell(receipt(6), 0);
        assert_eq!(heard(&mut listener, 3).await, ["4", "5", "6"]);
        let mut fresh = feed.listen(None);
        feed.tell(receipt(7), 0);
        assert_eq!(heard(&mut fresh, 1).await, ["7"]);
    }

    #[tokio::test]
    async fn a_listener_that_was_away_too_long_or_too_slow_is_told_how_many_it_missed() {
        let feed = Feed::new(7);
        let mut slow = feed.listen(None);
        (0..KEPT + 3).for_each(|_| feed.tell(receipt(1), 0));
        assert_eq!(heard(&mut slow, 2).await, ["missed Some(3)", "4"]);
        let mut away = feed.listen(Some("7-1"));
        assert_eq!(heard(&mut away, 2).await, ["missed Some(2)", "4"]);
    }

    #[tokio::test]
    async fn a_listener_of_another_process_is_told_that_it_missed_some() {
        let feed = Feed::new(7);
        feed.tell(receipt(1), 0);
        for foreign in ["6-1", "7-99", "nonsense", ""] {
            let mut listener = feed.listen(Some(foreign));
            feed.tell(receipt(2), 0);
            assert_eq!(heard(&mut listener, 1).await, ["missed None"], "{foreign}");
        }
    }

    #[test]
    fn an_event_is_json_under_names_that_stay() {
        let (issuer, scope) = ("01".repeat(16), "02".repeat(16));
        let subject = format!("pki.notice.crl.authority.{issuer}.{scope}.delta");
        let notice = Event::Notice { subject: subject.as_str().into(), outcome: "applied" };
        let told = written(&notice, 5);
        assert_eq!(
            told.data,
            format!(
                r#"{{"event":"notice","at_ms":5,"subject":"{subject}","outcome":"applied","class":"authority","issuer":"{issuer}","scope":"{scope}","kind":"delta"}}"#
            )
        );
        assert_eq!(told.about.kind, Some(CrlKind::Delta));
        let foreign = Event::Notice { subject: "x".into(), outcome: "aside" };
        let told = written(&foreign, 5);
        assert_eq!(told.data, r#"{"event":"notice","at_ms":5,"subject":"x","outcome":"aside"}"#);
        assert_eq!(told.about, About::default());
    }
}
