//! What the program reports besides events: exit status, errors with hints, notices, and what has happened in the end.

pub mod exit;
pub(crate) mod failure;
pub(crate) mod followed;
mod gap;
pub(crate) mod malformed;
pub mod notice;
pub(crate) mod ready;
pub mod service;
pub(crate) mod suggest;
pub(crate) mod summary;
