//! Everything a user of the program could notice, in one test binary.

mod arbitrary;
mod claims;
mod complete;
mod corpus;
mod differential;
mod endurance;
mod faults;
mod frames;
mod generated;
mod golden;
mod growth;
mod limits;
mod live;
mod messages;
mod misuse;
mod output;
mod pretty;
mod program;
mod properties;
mod readers;
mod reconnect;
mod replay;
mod signals;
mod standin;
mod stream;
mod tls;
