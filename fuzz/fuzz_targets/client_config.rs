//! See `tests/support/claims/client_config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::client_config(data));
