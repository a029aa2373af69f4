//! NATS JetStream as Revocast uses it. Knows the broker, and nothing of what is said over it.
//!
//! Begin with [`Bus`] (a connection). [`Bus::publish_head`] publishes once for ever, [`Follower`] follows a stream
//! through every fault of the broker, [`Objects`] keeps bytes by their hash, [`Bucket`] keeps leases and
//! registrations, [`serve`], [`Bus::ask`] and [`Bus::ask_all`] are questions and answers, [`Bus::listen`] hears what is
//! said now, [`declare`] compares what the broker has with what `nats/streams/*.json` declares. The broker is a courier:
//! nothing that it hands over is believed here.

mod bucket;
mod connect;
pub mod declare;
mod error;
mod follower;
mod listen;
mod message;
mod objects;
mod publish;
mod service;
mod survey;

pub use bucket::{Bucket, Entry, Lease};
pub use connect::{Bus, BusConfig, Credentials, check_server};
pub use error::BusError;
pub use follower::{Checkpoint, Contact, Followed, Follower, Resync};
pub use listen::{Heard, Listener};
pub use message::{Headers, Stored};
pub use objects::Objects;
pub use publish::{Published, Standing};
pub use service::{Answered, Call, Service, ServiceSpec, serve, serve_or_pass, serve_with};
