//! The properties that the fuzz targets check. The tests check them too.

#[path = "../../tests/support/claims/mod.rs"]
pub mod claims;
