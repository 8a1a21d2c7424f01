//! Support for the tests: servers over unix sockets and TLS, the program as a process, arbitrary events, and the claims
//! that the fuzz targets check too.

pub(crate) mod arbitrary;
pub(crate) mod claims;
pub(crate) mod http;
pub(crate) mod machine;
pub(crate) mod oidc;
pub(crate) mod program;
pub(crate) mod screen;
pub(crate) mod shell;
pub(crate) mod standin;
pub(crate) mod tls;

use std::time::{Duration, Instant};

use self::program::PATIENCE;

/// Checks all cases at the same time: each of them mostly waits.
pub(crate) fn each_at_once<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| cases.into_iter().for_each(|case| _ = scope.spawn(move || check(case))));
}

/// Waits until the condition holds.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "the condition did not hold within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The fields of `/proc/PID/stat` after the program's name, which is in parentheses.
pub(crate) fn stat(id: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    text.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect()
}

/// How much processor time a process has used so far.
pub(crate) fn processor_time(id: u32) -> Duration {
    let fields = stat(id);
    // User and system time (proc_pid_stat(5)), in hundredths of a second on every Linux.
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The number of the event in a line that lxmon prints, in any format: the digits at the end of the instance's name,
/// which is a word of its own in pretty.
pub(crate) fn number_in(line: &[u8]) -> Option<u64> {
    const MARK: &[u8] = b"/1.0/instances/c";
    let name = match memchr::memmem::find(line, MARK) {
        Some(at) => &line[at + MARK.len()..],
        None => line.split(|byte| *byte == b' ').find_map(|word| {
            word.strip_prefix(b"c").filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        })?,
    };
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
