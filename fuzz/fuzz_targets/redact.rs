//! See `tests/support/claims/redact.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::redact(data));
