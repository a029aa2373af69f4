//! [`Places`]: how many connections there may be, to one host and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::FetchConfig;

/// Hosts that nobody connects to any more are swept out of the table when it has grown to this size.
const SWEEP_AT: usize = 1_024;

/// The places at all hosts.
#[derive(Debug)]
pub(crate) struct Places {
    /// A host's places live as long as somebody holds or awaits one.
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
    all: Arc<Semaphore>,
    per_host: usize,
}

/// The right to one connection, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Place {
    _of_host: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(crate) fn new(config: &FetchConfig) -> Places {
        Places {
            hosts: Mutex::default(),
            all: Arc::new(Semaphore::new(config.connections.get().min(Semaphore::MAX_PERMITS))),
            per_host: config.connections_per_host.get().min(Semaphore::MAX_PERMITS),
        }
    }

    /// Waits for a place at `host`. Whoever waits for a crowded host takes none of the places in all.
    pub(crate) async fn take(&self, host: &str) -> Place {
        // The semaphores are never closed, so a permit always comes.
        let of_host = self.of(host).acquire_owned().await.ok();
        let of_all = self.all.clone().acquire_owned().await.ok();
        Place { _of_host: of_host, _of_all: of_all }
    }

    fn of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get(host).and_then(Weak::upgrade) {
            return places;
        }
        if hosts.len() >= SWEEP_AT {
            hosts.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.per_host));
        hosts.insert(host.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(&FetchConfig {
            connections_per_host: 2.try_into().unwrap(),
            connections: 3.try_into().unwrap(),
            ..FetchConfig::default()
        })
    }

    #[tokio::test]
    async fn a_crowded_host_keeps_nobody_from_another() {
        let places = places();
        let held = [places.take("a").await, places.take("a").await];
        let mut third = Box::pin(places.take("a"));
        assert!(now_or_never(&mut third).await.is_none());
        drop(places.take("b").await);
        drop(held);
        assert!(now_or_never(&mut third).await.is_some());
    }

    #[tokio::test]
    async fn all_places_together_are_bounded() {
        let places = places();
        let _held = [places.take("a").await, places.take("a").await, places.take("b").await];
        assert!(now_or_never(&mut Box::pin(places.take("c"))).await.is_none());
    }

    #[tokio::test]
    async fn hosts_of_the_past_are_swept_out() {
        let places = places();
        for host in 0..3 * SWEEP_AT {
            drop(places.take(&host.to_string()).await);
        }
        assert!(places.hosts.lock().unwrap().len() <= SWEEP_AT);
    }

    /// What the future gives if it is ready.
    async fn now_or_never<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
