//! See `tests/support/claims/envelope.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::envelope(data));
