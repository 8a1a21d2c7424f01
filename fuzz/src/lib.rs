//! The claims that the fuzz targets share with the tests.

#[path = "../../tests/support/claims/mod.rs"]
pub mod claims;
