//! What must hold for any input: said once, fuzzed by the targets beside, and replayed on the seeds by
//! `tests/tests/fuzz_seeds.rs`.

pub mod certificate;
pub mod crl;
pub mod difference;
pub mod message;
pub mod name;
pub mod question;
