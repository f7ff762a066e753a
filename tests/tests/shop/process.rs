//! What runs the shop here, and the servers of the other tests: a process that ends with its handle.

use std::path::Path;

use sessions_tests::process::Process;

#[test]
fn a_process_ends_when_dropped_and_takes_its_folder_along() {
    let folder = tempfile::tempdir().unwrap().keep();
    let process =
        Process::start(&["sleep", "1000"], &folder.join("log"), "TERM", Some(folder.clone()));
    let exe = format!("/proc/{}/exe", process.pid());
    assert!(Path::new(&exe).exists());
    drop(process);
    assert!(!Path::new(&exe).exists());
    assert!(!folder.exists());
}

#[test]
fn a_killed_process_leaves_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_owned();
    let process =
        Process::start(&["sleep", "1000"], &place.join("log"), "TERM", Some(place.clone()));
    let exe = format!("/proc/{}/exe", process.pid());
    process.kill();
    assert!(!Path::new(&exe).exists());
    assert!(place.exists());
}
