//! Everything a user of the program could notice, in one test binary.

mod faults;
mod generated;
mod golden;
mod misuse;
mod program;
mod replay;
mod standin;
mod stream;
