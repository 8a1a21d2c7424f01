//! What a limit of the address space (`ulimit -v`) leaves, and how the program ends without memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use log::info;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::SIGABRT;

/// Enough for the stacks of the threads and for what is allocated before events come, in bytes: with 8 MiB and more left,
/// the demonstration and a replay worked. With less, Rust aborts where a small allocation fails.
const NEEDED: u64 = 16 << 20;

/// The stack of a small thread, and what the system and Rust allocate for it, in bytes.
const NEEDED_FOR_THREAD: u64 = 1 << 20;

/// Makes a failed allocation end the program with this status. Rust prints an error with the size, and aborts. Without a
/// limit of the address space allocations do not fail, and an abort is a fault of ours.
///
/// # Errors
/// The handler of SIGABRT cannot be installed.
pub fn exit_where_allocations_fail(status: u8) -> io::Result<()> {
    if limit().is_some() {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGABRT, status.into(), always)?;
    }
    Ok(())
}

/// Whether another small thread can be started. Rust panics in a thread that has no memory for its signal stack.
pub(crate) fn has_room_for_thread() -> bool {
    left().is_none_or(|left| left >= NEEDED_FOR_THREAD)
}

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

/// How much of `buffer` can be used for events, in bytes: under a limit half of what the program leaves, as what is printed
/// takes memory too.
#[must_use]
pub(crate) fn for_events(buffer: usize) -> usize {
    let left = left().map(|left| left.saturating_sub(NEEDED) / 2);
    match left.and_then(|left| usize::try_from(left).ok()) {
        Some(left) if left < buffer => {
            info!("--buffer: {} KiB, half of what the limit of virtual memory leaves", left >> 10);
            left
        }
        _ => buffer,
    }
}

/// The limit, in bytes.
fn limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// The limit without what is mapped (`VmSize` of `proc_pid_status(5)`), in bytes. `None` if there is no limit, or what is
/// mapped is unknown.
fn left() -> Option<u64> {
    let limit = limit()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mapped = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = mapped.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(limit.saturating_sub(kib << 10))
}
