//! Everything a user of the program could notice, in one test binary.

mod golden;
