//! Where messages come from: servers, a file, or the built-in demonstration. Only this step touches the network.

pub mod backoff;
pub mod demo;
pub mod dial;
pub mod http;
pub mod replay;
pub mod request;
pub mod server;
pub mod subscription;
pub mod tls;
