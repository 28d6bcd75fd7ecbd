//! How much memory a process holds.

use std::fs;

/// What `/proc/PID/status` says of a process in these lines, in MiB (proc_pid_status(5)): `VmRSS` is resident,
/// `RssAnon` of that its own, without pages of files, and `VmHWM` the most that was resident.
pub(crate) fn mib<const N: usize>(process: u32, lines: [&str; N]) -> [f64; N] {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs, on Linux");
    lines.map(|name| {
        let mut pairs = status.lines().filter_map(|line| line.split_once(':'));
        let (_, size) = pairs.find(|(line, _)| *line == name).expect("a line");
        let kib = size.trim().trim_end_matches(" kB").parse::<f64>();
        kib.expect("a number of kB") / 1024.0
    })
}
