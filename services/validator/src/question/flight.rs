//! Single flight: equal questions that are asked at the same time share one search.
//!
//! Equal are questions about the same certificate, under the same effective policy and name, with the same candidates
//! along, *and* over the same state: the key has the revision of the live state, so that nobody is given what was
//! found before a CRL came that he has reason to know of. A flight that ends without a result, because the search
//! panicked or whoever led it went away, frees those who wait, and one of them leads the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use revocast_pki::identity::{CertId, Digest, PolicyId};
use revocast_pki::path::AskedName;
use revocast_pki::revocation::Revision;
use tokio::sync::watch;

/// What makes questions equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub target: CertId,
    pub policy: PolicyId,
    pub name: Option<AskedName>,
    /// Of the certificates that came along.
    pub candidates: Digest,
    /// Of the live state, read when the question came.
    pub revision: Revision,
    /// When it came: seconds since the Unix epoch. Nobody is given what held before he asked.
    pub at_s: i64,
}

/// The searches under way, by what they are for. Cheap to clone; bounded by the questions under way.
pub(crate) struct Flights<T>(Arc<Mutex<HashMap<FlightKey, Flight<T>>>>);

/// A search under way, for whoever waits.
pub(crate) struct Flight<T>(watch::Receiver<Option<Arc<T>>>);

/// The duty to end a flight. Dropped, it ends it without a result.
pub(crate) struct Landing<T> {
    flights: Flights<T>,
    key: Option<FlightKey>,
    tell: watch::Sender<Option<Arc<T>>>,
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Flights<T> {
        Flights(Arc::default())
    }

    /// Joins the flight for `key`; with the duty to search when there was none.
    pub(crate) fn join(&self, key: FlightKey) -> (Flight<T>, Option<Landing<T>>) {
        let mut under_way = self.lock();
        if let Some(flight) = under_way.get(&key) {
            return (flight.clone(), None);
        }
        let (flight, landing) = self.take_off(Some(key.clone()));
        under_way.insert(key, flight.clone());
        (flight, Some(landing))
    }

    /// A flight that nobody else joins.
    pub(crate) fn alone(&self) -> (Flight<T>, Landing<T>) {
        self.take_off(None)
    }

    fn take_off(&self, key: Option<FlightKey>) -> (Flight<T>, Landing<T>) {
        let (tell, told) = watch::channel(None);
        (Flight(told), Landing { flights: self.clone(), key, tell })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Flight<T> {
    /// What was found; `None` if the flight ended without a result.
    pub(crate) async fn landed(mut self) -> Option<Arc<T>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|found| found.clone())
    }
}

impl<T> Landing<T> {
    /// Ends the flight: all who wait are given what was found, and who comes later begins another.
    pub(crate) fn land(mut self, found: T) {
        self.close();
        self.tell.send_replace(Some(Arc::new(found)));
    }

    fn close(&mut self) {
        if let Some(key) = self.key.take() {
            self.flights.lock().remove(&key);
        }
    }
}

impl<T> Drop for Landing<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Flights<T> {
        Flights(self.0.clone())
    }
}

impl<T> Clone for Flight<T> {
    fn clone(&self) -> Flight<T> {
        Flight(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use revocast_pki::revocation::Revisions;

    use super::*;

    fn key(state: &Revisions) -> FlightKey {
        FlightKey {
            target: CertId([1; 32]),
            policy: PolicyId([2; 16]),
            name: None,
            candidates: Digest([3; 32]),
            revision: state.get(),
            at_s: 0,
        }
    }

    #[tokio::test]
    async fn who_joins_is_given_what_the_leader_found() {
        let (flights, state) = (Flights::new(), Revisions::default());
        let (led, landing) = flights.join(key(&state));
        let (joined, second) = flights.join(key(&state));
        assert!(second.is_none());
        landing.unwrap().land("found");
        assert_eq!((led.landed().await, joined.landed().await), (Some("found".into()), Some("found".into())));
        assert!(flights.join(key(&state)).1.is_some(), "a flight that landed is over");
    }

    #[tokio::test]
    async fn a_newer_state_is_another_flight() {
        let (flights, state) = (Flights::<()>::new(), Revisions::default());
        let _first = flights.join(key(&state));
        state.advance();
        assert!(flights.join(key(&state)).1.is_some());
    }

    #[tokio::test]
    async fn a_flight_that_ends_without_a_result_frees_those_who_wait() {
        let (flights, state) = (Flights::<()>::new(), Revisions::default());
        let (_, landing) = flights.join(key(&state));
        let (waiting, _) = flights.join(key(&state));
        let panicking = std::thread::spawn(move || {
            let _landing = landing;
            std::panic::resume_unwind(Box::new("the search"));
        });
        assert!(panicking.join().is_err());
        assert_eq!(waiting.landed().await, None);
        assert!(flights.join(key(&state)).1.is_some(), "one of them leads the next");
    }
}
