//! How much memory the limit of the address space leaves.

use rustix::process::{Resource, getrlimit};

/// The bytes that can still be mapped: the limit (`ulimit -v`) without what is mapped (`VmSize` of
/// `proc_pid_status(5)`). `None` if there is no limit, or what is mapped is unknown.
#[must_use]
pub fn left() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mapped = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = mapped.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(limit.saturating_sub(kib << 10))
}
