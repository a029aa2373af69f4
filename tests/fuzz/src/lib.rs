//! What must hold for any input: said once, fuzzed by the targets beside, and replayed on the seeds by
//! `tests/tests/fuzz_seeds.rs`.

pub mod crl;
pub mod difference;
