//! lxmon follows the events of LXD and Incus servers.
//!
//! Data flows one way: source → event → filter → order → render → sink, a module per step.

pub mod event;
pub mod exit;
pub mod render;
