//! The rings: an evil producer, an evil consumer, and two honest ends.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twinring::fuzzing::frames(bytes));
