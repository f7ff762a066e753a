//! What a command prints, and how it ends.

use serde_json::Value;

use crate::error::Error;
use crate::provider::ProviderError;
use crate::telemetry::emit::chain;

/// What a command has found, for people and for programs.
pub(super) struct Report {
    pub(super) text: String,
    pub(super) json: Value,
    pub(super) found: bool,
}

impl Report {
    pub(super) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, found: true }
    }

    pub(super) fn nothing(text: impl Into<String>, json: Value) -> Self {
        Self { found: false, ..Self::new(text, json) }
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The arguments make no sense, or nobody has said that it is meant.
    Usage(String),
    Failed(String),
    /// Trying again later can help.
    Unavailable(String),
}

impl Failure {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::Unavailable(text) => text,
        }
    }

    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => FAILED,
            Self::Usage(_) => USAGE,
            Self::Unavailable(_) => UNAVAILABLE,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = chain(&error);
        if error.is_unavailable() { Self::Unavailable(text) } else { Self::Failed(text) }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        let text = chain(&error);
        if error.is_unavailable() { Self::Unavailable(text) } else { Self::Failed(text) }
    }
}

/// The lines of a table, its columns aligned. The last column may be of any width.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    line(&head) + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// Text from outside, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

pub(super) const DONE: u8 = 0;
const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
pub(super) const NOTHING: u8 = 3;
const UNAVAILABLE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_text() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["ONE", "TWO"], &rows), "ONE  TWO\na    long\nbcd\n");
    }

    #[test]
    fn a_label_cannot_command_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
