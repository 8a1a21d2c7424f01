//! Everything a user of the program could notice, in one test binary.

mod arbitrary;
mod claims;
mod complete;
mod corpus;
mod faults;
mod generated;
mod golden;
mod live;
mod misuse;
mod pretty;
mod program;
mod properties;
mod replay;
mod standin;
mod stream;
mod tls;
