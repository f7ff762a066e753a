//! The shop's commands for operators: their output is that of the guide, and in a terminal they ask.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use sessions_tests::browser::Browser;
use sessions_tests::shop::{Shop, program, refuse};

use crate::shop::{login, sqlite};

/// What a command has printed to both of its outputs, and its exit code.
fn run(store: &str, line: &str) -> (String, i32) {
    let mut words = vec!["--store", store];
    words.extend(line.split_whitespace());
    let output = refuse(&words);
    let text = [&output.stdout[..], &output.stderr].concat();
    // What the library logs goes to the standard error too.
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| !line.contains(" INFO ") && !line.contains(" WARN "));
    (lines.map(|line| line.to_owned() + "\n").collect(), output.status.code().unwrap())
}

/// Types an answer into a terminal in which a command runs.
fn in_a_terminal(store: &str, line: &str, answer: &str) -> (String, i32) {
    let shop = program().display();
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("env -u DATABASE_URL '{shop}' --store '{store}' {line}"))
        .arg("/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of Debian's bsdutils, gives a command a terminal");
    terminal.stdin.take().unwrap().write_all(format!("{answer}\n").as_bytes()).unwrap();
    let output = terminal.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// The text without what differs from run to run: keys, times, ids, sizes, and the columns' widths.
fn normal(text: &str) -> String {
    let word = |word: &str| {
        let is_key = word.len() == 43 && !word.contains(' ');
        let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
        let is_id = word.len() == 8 && word.bytes().all(|it| it.is_ascii_hexdigit());
        let is_size = word.len() > 1 && word.bytes().all(|it| it.is_ascii_digit());
        match (is_key, is_time, is_id, is_size) {
            (true, ..) => "KEY".to_owned(),
            (_, true, ..) => "TIME".to_owned(),
            (_, _, true, _) => "ID".to_owned(),
            (.., true) => "N".to_owned(),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The commands of a chapter, each with what it prints.
fn shown() -> Vec<(String, String)> {
    let chapter = include_str!("../../../sessions/src/guide/operating.md");
    let blocks = chapter.split("```text\n$ shop ").skip(1);
    let blocks = blocks.map(|block| block.split("\n```").next().unwrap());
    blocks
        .map(|block| {
            let (line, printed) = block.split_once('\n').unwrap_or((block, ""));
            (line.to_owned(), printed.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_guide_shows_what_the_commands_print() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "ada", "lovelace").await;
    let (listed, code) = run(&store, "sessions list ada");
    assert_eq!(code, 0, "{listed}");
    let key = listed.lines().nth(1).unwrap().split(' ').next().unwrap();

    let shown = shown();
    assert!(shown.len() >= 5, "{shown:?}");
    for (line, expected) in shown {
        let line: Vec<_> =
            line.split(' ').map(|word| if word.len() == 43 { key } else { word }).collect();
        let (printed, _) = run(&store, &line.join(" "));
        assert_eq!(
            normal(&printed),
            normal(&expected),
            "`shop {}` prints otherwise than the guide shows; it printed:\n{printed}",
            line.join(" ")
        );
    }
}

#[tokio::test]
async fn a_terminal_is_asked_before_anything_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "ada", "lovelace").await;

    let (asked, code) = in_a_terminal(&store, "sessions revoke-owner ada", "no");
    assert!(asked.contains("Type \"yes\" to go on"), "{asked}");
    assert_eq!(code, 2, "{asked}");
    assert_eq!(run(&store, "sessions list ada").1, 0);

    let (asked, code) = in_a_terminal(&store, "sessions revoke-owner ada", "yes");
    assert!(asked.contains("ended 1 session"), "{asked}");
    assert_eq!(code, 0, "{asked}");
    assert_eq!(run(&store, "sessions list ada").1, 3);
    // The shop, which runs all the while, knows it too.
    let account = browser.get("/account").await;
    assert_ne!(account.status, axum::http::StatusCode::OK);
}

#[test]
fn help_names_the_commands() {
    let help = refuse(&["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("sessions --help"), "{help}");
    let (help, code) = run("memory:", "sessions --help");
    assert!(code == 0 && help.contains("revoke-owner"), "{help}");
    let (wrong, code) = run("memory:", "sessions revoke");
    assert!(code == 2 && wrong.contains("<KEY>"), "{wrong}");
}

#[test]
fn a_database_that_cannot_be_opened_is_said_so() {
    let (printed, code) = run("sqlite:/no/such/folder/shop.db", "sessions stats");
    assert!(code == 1 && printed.contains("create its folder"), "{printed}");
    assert!(!Path::new("/no/such/folder").exists());
}
