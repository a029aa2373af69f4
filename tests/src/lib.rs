//! What the tests stand on: a real nats-server and real processes, which die with the test that started them.
//!
//! Ports are ephemeral, state lives in temporary folders, and nothing sleeps for a fixed time: [`eventually`] polls
//! under a generous deadline.

#![allow(clippy::unwrap_used, reason = "a harness that cannot go on should stop the test where it stands")]

mod askers;
mod ca;
mod events;
mod fleet;
mod http;
mod load;
mod nats_cluster;
mod nats_server;
mod process;
mod proxy;
mod schema;
mod silent_ca;
mod stalling_server;
mod tls;
mod validator;
mod world;

pub use askers::{Asked, Askers, Tally};
pub use ca::TestCa;
pub use events::{EventStream, ServerEvent};
pub use fleet::{Fleet, program};
pub use http::{HttpAnswer, PlainServer, free_address, http, http_get};
pub use load::LoadedFleet;
pub use nats_cluster::NatsCluster;
pub use nats_server::{NatsServer, PASSWORD, nats_server};
pub use process::{Process, open_as_many_files_as_allowed, signal};
pub use proxy::Proxy;
pub use schema::Schemas;
pub use silent_ca::SilentCa;
pub use stalling_server::StallingServer;
pub use tls::TlsFiles;
pub use validator::{Said, ValidatorProcess, debts};
pub use world::{World, receipt};

use std::time::Duration;

/// Whatever should happen happens within this, on the slowest machine that runs the tests.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls until `probe` gives a value; panics with `what` at the deadline.
pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let polled = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, polled).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}

/// The root of the project's tree.
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// SHA-256 in lower-case hex: the name of an object.
pub fn sha256_hex(bytes: &[u8]) -> String {
    revocast_pki::identity::Digest::of(bytes).to_string()
}
