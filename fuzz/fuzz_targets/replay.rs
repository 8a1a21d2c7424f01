//! See `tests/support/claims/replay.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::replay(data));
