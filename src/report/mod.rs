//! What the program says beside its events: how it ends, errors and their hints, notices.

pub mod exit;
pub mod malformed;
pub mod notice;
pub(crate) mod suggest;
