//! Fail points: named places where a test lets the process die, as SIGKILL or a power cut would.
//!
//! They are there where debug assertions are: in the builds that the tests run. In a release build [`fail_point!`] is
//! nothing, neither a branch nor a name. `REVOCAST_FAIL_AT=marked` ends the process when it first comes by the point
//! `marked`, `REVOCAST_FAIL_AT=marked:3` when it does so for the third time. `REVOCAST_PANIC_AT` says in the same way
//! where the task that comes by panics.
//!
//! No crate feature turns them on: features unify, and one crate that asks for them would give them to all.

#[cfg(debug_assertions)]
mod armed;

#[cfg(debug_assertions)]
#[doc(hidden)]
pub use armed::reach;

/// The process dies here if it is told to by `REVOCAST_FAIL_AT`; nothing in a release build.
#[cfg(debug_assertions)]
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {
        $crate::reach($name)
    };
}

/// The process dies here if it is told to by `REVOCAST_FAIL_AT`; nothing in a release build.
#[cfg(not(debug_assertions))]
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {};
}
