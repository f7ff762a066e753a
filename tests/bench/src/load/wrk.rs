//! Rates, measured with `wrk`: each of its connections sends its next request as soon as it has
//! the answer.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How the requests take their cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// One at random.
    Random,
    /// One at random; every tenth request is a write.
    Mixed,
    /// Each once. The load ends with the last one.
    Once,
}

/// Panics unless `wrk` is installed.
pub fn require() {
    let found = Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok(), "wrk is missing: install it (Debian: apt-get install wrk)");
}

/// Requests a second over so many connections.
#[must_use]
pub fn rate(
    port: u16,
    connections: usize,
    time: Duration,
    path: &str,
    cookies: &[String],
    take: Take,
) -> Rate {
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(include_bytes!("load.lua")).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for cookie in cookies {
        writeln!(file, "{cookie}").unwrap();
    }
    let how = match take {
        Take::Random => "random",
        Take::Mixed => "mixed",
        Take::Once => "once",
    };
    let wrk = Command::new("wrk")
        // It takes whole seconds only. It is stopped before the end of these.
        .args(["-t", "1", "--timeout", "30s"])
        .args(["-d", &format!("{}s", time.as_secs() + 10), "-c"])
        .arg(connections.to_string())
        .arg("-s")
        .arg(script.path())
        .arg(format!("http://127.0.0.1:{port}"))
        .arg("--")
        .arg(file.path())
        .args([how, path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(time);
    // It stops at this signal, and reports.
    let stopped = Command::new("kill").args(["-s", "INT", &wrk.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()), "wrk ended before its time");
    let output = wrk.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("load "));
    let Some([requests, micros, failed]) = line.and_then(|line| {
        let numbers: Vec<f64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        <[f64; 3]>::try_from(numbers).ok()
    }) else {
        panic!("wrk fails: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    assert!(failed == 0.0, "{failed} requests of {requests} to {path} failed");
    assert!(requests > 0.0, "no request to {path} was answered");
    Rate { requests, a_second: requests / (micros / 1e6) }
}

/// What a run of `wrk` comes to.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many requests were answered.
    pub requests: f64,
    /// How many in a second.
    pub a_second: f64,
}
