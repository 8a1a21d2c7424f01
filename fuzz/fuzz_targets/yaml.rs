//! See `tests/support/claims/yaml.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lxmon_fuzz::claims::yaml(data));
