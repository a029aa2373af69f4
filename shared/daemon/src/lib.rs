//! A service's birth and death.
//!
//! Begin with [`run`]: it starts the logs and the runtime, hands a service its [`Context`], passes SIGTERM and
//! SIGINT on as a stop, and returns when the service has ended. A service is a function that ends when its
//! [`Context::stop`] says so. [`open_door`] serves HTTP for as long. [`load`] reads a configuration that knows every key that it may contain.

mod clock;
mod config;
mod door;
mod health;
mod logs;
mod metrics;
mod operational;
mod run;
mod work;

pub use clock::Clock;
pub use config::{ConfigError, load, show};
pub use door::{
    Admitted, DoorConfig, DoorError, Limits, RequestLimits, Site, TlsConfig, listen, open_door, refused,
    with_refusals,
};
pub use health::{Health, Reason};
pub use logs::{LogFormat, start_logs};
pub use metrics::{Counter, Gauge, Histogram, Labels, Metrics, Series};
pub use operational::{OPERATIONAL, router};
pub use run::{Context, Ended, run};
pub use work::{LARGE, afterwards, begin, blocking, caught, every, short, standing_back};
