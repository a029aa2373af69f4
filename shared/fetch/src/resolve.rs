//! From a host to addresses that may be connected to: resolved once, each one judged.
//!
//! The addresses given here are the only ones that *connect* uses, so that a name service that answers
//! differently the next time (DNS rebinding, CVE-2022-40617) gains nothing.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::address::AddressRules;
use crate::error::FetchError;
use crate::target::{HostName, Target};

/// Further addresses of a host are not tried.
const MAX_ADDRESSES: usize = 8;

/// Look-ups at once. One occupies a thread until the system gives up, which no deadline of ours can hasten.
const MAX_LOOKUPS: usize = 64;

/// The addresses of a name, or why there are none.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;

/// A name service.
pub(crate) trait Resolver: Send + Sync {
    fn addresses(&self, name: &str) -> Answer;
}

/// The system's name service.
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Resolver for SystemResolver {
    fn addresses(&self, name: &str) -> Answer {
        let (lookups, name) = (self.lookups.clone(), name.to_owned());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(|error| error.to_string())?;
            let look_up = move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(permit);
                found.map(|addresses| addresses.map(|address| address.ip()).collect())
            };
            spawn_blocking(look_up)
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())
        })
    }
}

/// The addresses of `target` that `rules` admit, at most [`MAX_ADDRESSES`] and never none.
pub(crate) async fn resolve(
    target: &Target,
    resolver: &dyn Resolver,
    rules: &AddressRules,
) -> Result<Vec<SocketAddr>, FetchError> {
    let found = match &target.host {
        HostName::Address(address) => vec![*address],
        HostName::Name(name) => resolver
            .addresses(name)
            .await
            .map_err(|why| FetchError::Unresolved { host: target.host(), why })?,
    };
    judge(target, found, rules)
}

fn judge(target: &Target, found: Vec<IpAddr>, rules: &AddressRules) -> Result<Vec<SocketAddr>, FetchError> {
    let (admitted, refused): (Vec<IpAddr>, Vec<IpAddr>) =
        found.into_iter().map(|address| address.to_canonical()).partition(|address| rules.admits(*address));
    match (admitted.is_empty(), refused.first()) {
        (false, _) => {
            let admitted = admitted.into_iter().take(MAX_ADDRESSES);
            Ok(admitted.map(|address| SocketAddr::new(address, target.port)).collect())
        }
        (true, Some(address)) => Err(FetchError::ForbiddenAddress { host: target.host(), address: *address }),
        (true, None) => Err(FetchError::Unresolved { host: target.host(), why: "it has no address".into() }),
    }
}
