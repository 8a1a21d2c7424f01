//! The `lxmon` program.

fn main() {}
