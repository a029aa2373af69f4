//! The doors by which questions come: [`nats`] services, and [`http`]. Behind both stands the same
//! [`Judge`](crate::question::Judge). By [`acquire`] come requests for certificates, over both.

pub(crate) mod acquire;
pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod issuers;
pub(crate) mod nats;
pub(crate) mod openapi;
pub(crate) mod statistics;
pub(crate) mod watch;
