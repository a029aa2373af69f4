//! The doors by which questions come: [`nats`] services, and [`http`]. Behind both stands the same
//! [`Judge`](crate::question::Judge). By [`acquire`] come requests for certificates, over both.

pub(crate) mod acquire;
pub(crate) mod http;
pub(crate) mod nats;
