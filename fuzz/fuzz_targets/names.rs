//! Link names from any text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    twinring::fuzzing::name(&String::from_utf8_lossy(bytes));
});
