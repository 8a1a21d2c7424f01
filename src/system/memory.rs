//! Whether the limit of the address space leaves enough memory.

use std::io;

use rustix::process::{Resource, getrlimit};

/// Enough for the stacks of the threads and for what is allocated before events come, in bytes: with 8 MiB and more left,
/// the demonstration and a replay worked. With less, Rust aborts where a small allocation fails.
const NEEDED: u64 = 16 << 20;

/// Compares what can still be mapped with what the program needs.
///
/// # Errors
/// The limit (`ulimit -v`) leaves too little.
pub(crate) fn check_supply() -> io::Result<()> {
    match left() {
        Some(left) if left < NEEDED => Err(io::Error::other(format!(
            "the limit of virtual memory leaves {} KiB, and at least {} are needed",
            left >> 10,
            NEEDED >> 10
        ))),
        _ => Ok(()),
    }
}

/// The limit without what is mapped (`VmSize` of `proc_pid_status(5)`), in bytes. `None` if there is no limit, or what is
/// mapped is unknown.
fn left() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mapped = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = mapped.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(limit.saturating_sub(kib << 10))
}
