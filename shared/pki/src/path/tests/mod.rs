//! Paths in a world that is minted at run time.

mod explosion;
mod properties;
mod validation;
pub(crate) mod world;
