//! The tables of the guide's chapter.

use std::collections::BTreeSet;

const CHAPTER: &str = include_str!("../../../sessions/src/guide/observability.md");

/// The chapter's text.
pub(crate) fn text() -> &'static str {
    CHAPTER
}

/// The rows of the first table under a heading, without its head.
pub(crate) fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = CHAPTER.split_once(&format!("\n# {heading}\n")).expect("the heading");
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words in backticks.
pub(crate) fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
