//! The guide's sources: its pages in reading order, which `guide.rs` states, and the parts of their
//! Markdown.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A page of the guide.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) title: String,
    /// What the index says of it, with line breaks.
    pub(crate) about: String,
    pub(crate) text: String,
}

/// The pages in the order of the index.
pub(crate) fn pages() -> Vec<Page> {
    let index = read("sessions/src/guide.rs");
    let lines = index.lines().map_while(|line| line.strip_prefix("//!"));
    let index: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let index = index.join("\n");
    let list = index.split("\n\n").find(|part| part.starts_with("- [")).expect("the list of pages");
    let entries = format!("\n{list}");
    let page = |entry: &str| {
        let (title, rest) = entry.split_once("](").expect("a link");
        let (name, about) = rest.split_once("): ").expect("what the page is about");
        Page {
            name: name.to_owned(),
            title: title.to_owned(),
            about: about.trim().to_owned(),
            text: read(format!("sessions/src/guide/{name}.md")),
        }
    };
    entries.split("\n- [").skip(1).map(page).collect()
}

/// A stretch of Markdown.
pub(crate) enum Part<'t> {
    Prose(&'t str),
    /// What follows the fence on its line, and the lines between the fences.
    Code(&'t str, &'t str),
}

/// The prose and the blocks of code of a text, in turn.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    text.split("```").enumerate().map(|(number, part)| {
        if number % 2 == 0 {
            return Part::Prose(part);
        }
        let (language, code) = part.split_once('\n').expect("a block of lines");
        Part::Code(language, code)
    })
}

/// A text without its blocks of code.
pub(crate) fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The targets of all links.
pub(crate) fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().trim())
}

/// The anchor that rustdoc and forges give a heading.
fn anchor(heading: &str) -> String {
    let keep = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    };
    heading.chars().filter_map(keep).collect()
}

/// Whether a text without code has a heading of this anchor.
pub(crate) fn has_heading(prose: &str, wanted: &str) -> bool {
    let mut headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.any(|line| anchor(line.trim_start_matches(['#', ' '])) == wanted)
}
