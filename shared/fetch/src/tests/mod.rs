//! Against real servers on loopback that misbehave. Deadlines are small where they must pass and large where
//! they must not; nothing here measures time.

mod faults;
mod flow;
mod guards;
mod other_schemes;
mod server;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::resolve::{Answer, Resolver};
use crate::{FetchConfig, FetchError, Fetched, Fetcher, Validators};

/// The limit of most fetches here, bytes.
const LIMIT: usize = 1_000;

/// A deadline that a test waits for.
const SOON: Duration = Duration::from_millis(50);

/// Loopback allowed, and no memory of failures.
fn config() -> FetchConfig {
    FetchConfig {
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        negative_ttl: Duration::ZERO,
        backoff_base: Duration::ZERO,
        ..FetchConfig::default()
    }
}

fn fetcher(config: FetchConfig) -> Fetcher {
    Fetcher::new(config).unwrap()
}

async fn get(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.get(url, &Validators::default(), LIMIT).await
}

/// The document's bytes.
fn bytes(fetched: Result<Fetched, FetchError>) -> Vec<u8> {
    match fetched.unwrap() {
        Fetched::Body { bytes, .. } => bytes.to_vec(),
        Fetched::NotModified => panic!("not modified"),
    }
}

/// A name service that gives one answer after the other, the last one again and again.
#[derive(Clone, Default)]
struct Names {
    answers: Vec<Vec<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Names {
        let addresses = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Names { answers: answers.iter().map(addresses).collect(), asked: Arc::default() }
    }
}

impl Resolver for Names {
    fn addresses(&self, _name: &str) -> Answer {
        let index = self.asked.fetch_add(1, Ordering::Relaxed).min(self.answers.len() - 1);
        let answer = self.answers[index].clone();
        Box::pin(async move { Ok(answer) })
    }
}
