//! See `tests/support/claims/pretty.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::pretty(data));
