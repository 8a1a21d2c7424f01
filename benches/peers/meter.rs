//! The CPU time and context switches of a process, as counted by the kernel.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// CPU time (user and system), and context switches.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
}

/// Sums up the usage of a process's threads. `wait4(2)` returns these sums only at the end and includes the start, and
/// `/proc/PID/stat` has the CPU time only in steps of 10 ms.
pub(crate) struct Meter {
    directory: String,
    /// The file `schedstat` of each thread, and its last known usage, which is kept after the thread has ended.
    threads: BTreeMap<String, (File, Usage)>,
}

impl Meter {
    /// A meter for the process with this id.
    pub(crate) fn new(id: u32) -> Self {
        Self { directory: format!("/proc/{id}/task"), threads: BTreeMap::new() }
    }

    /// Looks for new threads.
    pub(crate) fn find_threads(&mut self) {
        for thread in fs::read_dir(&self.directory).into_iter().flatten().map_while(Result::ok) {
            let name = thread.file_name().into_string().unwrap();
            if !self.threads.contains_key(&name)
                && let Ok(file) = File::open(thread.path().join("schedstat"))
            {
                self.threads.insert(name, (file, Usage::default()));
            }
        }
    }

    /// The CPU time of the threads found so far.
    pub(crate) fn cpu(&mut self) -> Duration {
        let mut text = [0; 64];
        for (file, usage) in self.threads.values_mut() {
            if let Ok(length @ 1..) = file.read_at(&mut text, 0) {
                let digits = text[..length].iter().take_while(|byte| byte.is_ascii_digit());
                let nanoseconds = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
                usage.cpu = usage.cpu.max(Duration::from_nanos(nanoseconds));
            }
        }
        self.threads.values().map(|(_, usage)| usage.cpu).sum()
    }

    /// The usage of all threads.
    pub(crate) fn usage(&mut self) -> Usage {
        self.find_threads();
        let mut total = Usage { cpu: self.cpu(), ..Usage::default() };
        for (name, (_, usage)) in &mut self.threads {
            let status = fs::read_to_string(format!("{}/{name}/status", self.directory)).unwrap_or_default();
            let count = |key| status.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
            usage.voluntary = count("voluntary_ctxt_switches:").unwrap_or(usage.voluntary);
            usage.involuntary = count("nonvoluntary_ctxt_switches:").unwrap_or(usage.involuntary);
            total.voluntary += usage.voluntary;
            total.involuntary += usage.involuntary;
        }
        total
    }
}
