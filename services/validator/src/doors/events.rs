//! `GET /v1/events`: what happens in this validator, as it happens, as server-sent events.
//!
//! A hint for dashboards and caches, never a record: whoever was too slow is told so (`missed`), and looks at
//! `/v1/scopes`. The stream ends when the validator stops; a client that comes back with `Last-Event-ID` goes on.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use revocast_daemon::{Counter, Gauge, Metrics, refused};
use revocast_pki::identity::{CrlKind, IssuerId, ScopeId};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::http::{Doors, options};
use crate::events::feed::{About, EVENTS, Feed, Heard, Listener, Written};

/// How events are told over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Listeners at once; further ones are answered with 503. Each holds a connection.
    pub listeners: usize,
    /// A comment is sent after this long without an event, so that nobody in between hangs up.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
}

impl Default for EventsConfig {
    fn default() -> EventsConfig {
        EventsConfig { listeners: 64, keep_alive: Duration::from_secs(15) }
    }
}

/// The door by which events are told. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventDoor {
    feed: Feed,
    config: EventsConfig,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    /// Set under its lock, so that the last one to come or go has the last word.
    listening: Arc<Mutex<Gauge>>,
    missed: Counter,
}

impl EventDoor {
    /// Tells what `feed` brings, until `stop`.
    pub(crate) fn new(
        feed: Feed,
        config: EventsConfig,
        stop: CancellationToken,
        metrics: &Metrics,
    ) -> EventDoor {
        let listening = metrics.gauge("revocast_event_listeners", "who listens to events over HTTP");
        let missed = metrics.counter("revocast_events_missed", "events that a listener was too slow for");
        listening.set(&[], 0.0);
        missed.add(&[], 0);
        let places = Arc::new(Semaphore::new(config.listeners));
        EventDoor { feed, config, places, stop, listening: Arc::new(Mutex::new(listening)), missed }
    }

    fn count_listeners(&self) {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = self.config.listeners.saturating_sub(self.places.available_permits());
        listening.set(&[], listeners as f64);
    }

    fn stream(self, listening: Listening) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        let stopped = self.stop.clone().cancelled_owned();
        let told = futures::stream::unfold((self, listening), async |(door, mut listening)| {
            let event = listening.next(&door).await?;
            Some((Ok(event), (door, listening)))
        });
        told.take_until(stopped)
    }
}

/// Which events are wanted; all, if nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Names of events, separated by commas.
    event: Option<String>,
    issuer: Option<IssuerId>,
    scope: Option<ScopeId>,
    kind: Option<CrlKind>,
}

impl Wanted {
    /// The words of `event` that name no event.
    fn unknown(&self) -> Option<&str> {
        let mut words = self.event.iter().flat_map(|words| words.split(','));
        words.find(|word| !EVENTS.contains(word))
    }

    fn admits(&self, event: &str, about: &About) -> bool {
        self.event.as_ref().is_none_or(|words| words.split(',').any(|word| word == event))
            && (self.issuer.is_none() || self.issuer == about.issuer)
            && (self.scope.is_none() || self.scope == about.scope)
            && (self.kind.is_none() || self.kind == about.kind)
    }
}

/// `GET /v1/events`.
pub(crate) async fn events(doors: Arc<Doors>, head: Parts, _: Bytes) -> Response {
    let wanted: Wanted = match options(&head.uri) {
        Ok(wanted) => wanted,
        Err((status, why)) => return refused(status, &why),
    };
    if let Some(unknown) = wanted.unknown() {
        let why = format!("there is no event {unknown:?}; there are: {}", EVENTS.join(", "));
        return refused(StatusCode::BAD_REQUEST, &why);
    }
    let door = doors.events.clone();
    let Ok(place) = door.places.clone().try_acquire_owned() else {
        let why = format!("{} listen already, and no more are told", door.config.listeners);
        return refused(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let last = head.headers.get("last-event-id").map(|last| last.to_str().unwrap_or_default());
    let place = Place { place: Some(place), door: door.clone() };
    let listening = Listening { listener: door.feed.listen(last), wanted, _place: place };
    door.count_listeners();
    let keep_alive = KeepAlive::new().interval(door.config.keep_alive);
    Sse::new(door.stream(listening)).keep_alive(keep_alive).into_response()
}

/// A place among the listeners, counted until it is given back.
struct Place {
    place: Option<OwnedSemaphorePermit>,
    door: EventDoor,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.place.take());
        self.door.count_listeners();
    }
}

struct Listening {
    listener: Listener,
    wanted: Wanted,
    _place: Place,
}

impl Listening {
    /// The next event that is wanted; `None` when there will be none.
    async fn next(&mut self, door: &EventDoor) -> Option<sse::Event> {
        loop {
            match self.listener.next().await? {
                Heard::Told(told) => {
                    let Written { event, about, data } = told.written();
                    if self.wanted.admits(event, about) {
                        return Some(sse::Event::default().id(door.feed.id(&told)).event(event).data(data));
                    }
                }
                Heard::Missed(events) => {
                    door.missed.add(&[], events.unwrap_or(1));
                    let data = serde_json::json!({ "event": "missed", "events": events });
                    return Some(sse::Event::default().event("missed").data(data.to_string()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_admits_what_is_about_it_and_nothing_that_is_about_nothing() {
        let about = About {
            issuer: Some(IssuerId([1; 16])),
            scope: Some(ScopeId([2; 16])),
            kind: Some(CrlKind::Complete),
        };
        let wanted = |event: Option<&str>, issuer| Wanted {
            event: event.map(ToOwned::to_owned),
            issuer,
            ..Wanted::default()
        };
        assert!(Wanted::default().admits("notice", &About::default()));
        assert!(wanted(Some("applied,receipt"), None).admits("receipt", &about));
        assert!(!wanted(Some("applied,receipt"), None).admits("notice", &about));
        assert!(wanted(None, Some(IssuerId([1; 16]))).admits("notice", &about));
        assert!(!wanted(None, Some(IssuerId([2; 16]))).admits("notice", &about));
        assert!(!wanted(None, Some(IssuerId([1; 16]))).admits("notice", &About::default()));
        assert_eq!(wanted(Some("applied,gossip"), None).unknown(), Some("gossip"));
        assert_eq!(wanted(Some("applied,"), None).unknown(), Some(""));
    }
}
