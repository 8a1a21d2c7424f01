//! What the program reports besides events: exit status, errors with hints, notices.

pub mod exit;
pub(crate) mod failure;
pub(crate) mod malformed;
pub mod notice;
pub(crate) mod ready;
pub(crate) mod suggest;
