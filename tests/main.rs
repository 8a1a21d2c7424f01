//! Everything a user of the program could notice, in one test binary.

mod complete;
mod corpus;
mod differential;
mod endurance;
mod faults;
mod flow;
mod frames;
mod gaps;
mod generated;
mod golden;
mod growth;
mod limits;
mod live;
mod messages;
mod misuse;
mod order;
mod output;
mod pretty;
mod properties;
mod readers;
mod reconnect;
mod replay;
mod signals;
mod stream;
mod support;
mod tls;
