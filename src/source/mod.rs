//! Where messages come from: servers, a file, or the built-in demonstration. Only this step touches the network.

pub mod backoff;
pub mod demo;
pub mod dial;
pub mod frames;
pub mod http;
pub mod replay;
pub mod server;
pub mod tls;
pub mod websocket;
