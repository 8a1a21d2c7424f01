//! Everything a user of the program could notice, in one test binary.

mod arbitrary;
mod complete;
mod faults;
mod generated;
mod golden;
mod live;
mod misuse;
mod pretty;
mod program;
mod properties;
mod reconnect;
mod replay;
mod standin;
mod stream;
mod tls;
