#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| revocast_fuzz::message::holds(octets));
