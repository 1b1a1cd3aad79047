//! The handshake's messages from any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twinring::fuzzing::hello(bytes));
