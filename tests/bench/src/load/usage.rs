//! What processes use: processor time and memory, as the system counts them.

use std::fs;

/// The processor time that these processes have used, user and system, in nanoseconds. Of a
/// process it is the sum of its threads that live.
#[must_use]
pub fn processor_time(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| process(*pid)).sum()
}

fn process(pid: u32) -> f64 {
    // Time is counted in nanoseconds only here, and only for each thread.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        })
        .sum()
}

/// The process and those that it has started: the backends of a PostgreSQL server.
#[must_use]
pub fn with_children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

/// The bytes of memory that a process holds.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn resident(pid: u32) -> f64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: f64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as f64
}
