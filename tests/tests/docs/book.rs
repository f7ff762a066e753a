//! The folder `docs/`: the guide as a forge shows it, made from the same sources as rustdoc's.
//! `SESSIONS_DOCS=overwrite` writes the files again.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;

use crate::items::items;
use crate::pages::{Page, Part, pages, parts, prose, root};

/// The words that are read in a minute.
const WORDS: usize = 220;

/// The files of the folder by their names.
fn book() -> BTreeMap<String, String> {
    let pages = pages();
    let file = |page: &Page| {
        let text = render(&page.text, &page.name);
        let text = format!("{}# {}\n\n{text}", note(&page.name), page.title);
        (format!("{}.md", page.name), text)
    };
    let mut book: BTreeMap<_, _> = pages.iter().map(file).collect();
    book.insert("README.md".to_owned(), contents(&pages));
    book
}

/// What a reader of the source sees, who would change the wrong file.
fn note(name: &str) -> String {
    format!("<!-- Written from sessions/src/guide/{name}.md: see CONTRIBUTING.md. -->\n\n")
}

/// The list of all pages, and how long they take to read.
fn contents(pages: &[Page]) -> String {
    let minutes = |page: &Page| minutes(words(&page.text));
    let all: usize = pages.iter().map(|page| words(&page.text)).sum();
    let mut text =
        "<!-- Written from sessions/src/guide.rs: see CONTRIBUTING.md. -->\n\n".to_owned();
    let _ = writeln!(
        text,
        "# The guide\n\n\
         {} pages in reading order: {} {:03} words besides the code, about {:.1} hours.\n\
         The tests compile the examples of this package, and run those that end.\n\
         [docs.rs]({}) has\n\
         the same pages beside the documentation of each item.\n",
        pages.len(),
        all / 1_000,
        all % 1_000,
        all as f64 / WORDS as f64 / 60.0,
        items().address("guide").expect("the module"),
    );
    for page in pages {
        let (Page { name, title, about, .. }, minutes) = (page, minutes(page));
        let _ = writeln!(text, "- [{title}]({name}.md) ({minutes} min): {about}");
    }
    text
}

/// The words of a page, without its code and the marks of its tables.
fn words(text: &str) -> usize {
    let prose = prose(text);
    prose.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

fn minutes(words: usize) -> usize {
    words.div_ceil(WORDS)
}

/// A page's text as a forge shows it.
fn render(text: &str, page: &str) -> String {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Prose(prose) => {
                // What is empty, because a block before it was, is no paragraph.
                let prose =
                    if out.ends_with("\n\n") { prose.trim_start_matches('\n') } else { prose };
                out.push_str(&render_prose(prose, page));
            }
            Part::Code(language, code) => match rust(language) {
                false => {
                    assert!(!language.is_empty());
                    let _ = write!(out, "```{language}\n{code}```");
                }
                true => {
                    let code = shown(code);
                    if !code.is_empty() {
                        let _ = write!(out, "```rust\n{code}```");
                    }
                }
            },
        }
    }
    out
}

/// Whether rustdoc takes a block of this language for Rust.
fn rust(language: &str) -> bool {
    language.split(',').all(|word| {
        matches!(word, "" | "rust" | "no_run" | "ignore" | "should_panic" | "compile_fail")
    })
}

/// The lines of an example that rustdoc shows.
fn shown(code: &str) -> String {
    let mut out = String::new();
    for line in code.lines() {
        let text = line.trim_start();
        if text == "#" || text.starts_with("# ") {
            continue;
        }
        // What is hidden leaves no gap.
        if text.is_empty() && (out.is_empty() || out.ends_with("\n\n")) {
            continue;
        }
        out.push_str(&line.replacen("##", "#", usize::from(text.starts_with("##"))));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Prose with headings one level lower, and with links that lead somewhere.
fn render_prose(prose: &str, page: &str) -> String {
    let lower = |line: &str| match line.starts_with('#') {
        true => format!("#{line}"),
        false => line.to_owned(),
    };
    let prose: String = prose.split_inclusive('\n').map(lower).collect();
    let mut links = prose.split("](");
    let mut out = links.next().unwrap_or_default().to_owned();
    for link in links {
        let (target, rest) = link.split_once(')').expect("a target ends");
        let _ = write!(out, "]({}){rest}", address(target.trim(), page));
    }
    files(&out)
}

/// Where a link of rustdoc leads.
fn address(target: &str, page: &str) -> String {
    let Some(path) = target.strip_prefix("crate::") else { return target.to_owned() };
    if let Some(other) = path.strip_prefix("guide::") {
        let (name, heading) = other.split_once('#').map_or((other, None), |(a, b)| (a, Some(b)));
        return format!("{name}.md{}", heading.map(|it| format!("#{it}")).unwrap_or_default());
    }
    if path == "guide" {
        return "README.md".to_owned();
    }
    items().address(path).unwrap_or_else(|| panic!("{page}: no item has the path of {target}"))
}

/// Makes the names of the repository's files links, which the sources cannot: docs.rs has no such
/// file.
fn files(prose: &str) -> String {
    let mut out = String::new();
    for (number, part) in prose.split('`').enumerate() {
        let path = match part {
            _ if number % 2 == 0 => None,
            _ if part.ends_with(".md") => Some(part.to_owned()),
            _ if part.ends_with(".rs") && out.trim_end_matches('`').ends_with("example ") => {
                Some(format!("examples/{part}"))
            }
            _ => None,
        };
        match path.filter(|path| root().join(path).is_file()) {
            Some(path) => {
                let _ = write!(out, "[`{part}`](../{path})");
            }
            None if number % 2 == 1 => {
                let _ = write!(out, "`{part}`");
            }
            None => out.push_str(part),
        }
    }
    out
}

#[test]
fn the_folder_holds_what_the_sources_say() {
    let folder = root().join("docs");
    let book = book();
    if env::var("SESSIONS_DOCS").is_ok_and(|it| it == "overwrite") {
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if !book.contains_key(file.file_name().to_str().unwrap()) {
                fs::remove_file(file.path()).unwrap();
            }
        }
        for (name, text) in &book {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let files = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name());
    let mut files: Vec<_> = files.map(|it| it.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, book.keys().cloned().collect::<Vec<_>>(), "{AGAIN}");
    for (name, text) in &book {
        let stored = fs::read_to_string(folder.join(name)).unwrap();
        assert!(stored == *text, "docs/{name} is not what its source says: {AGAIN}");
    }
}

const AGAIN: &str = "run `SESSIONS_DOCS=overwrite cargo test -p sessions-tests --test docs`";

#[test]
fn a_page_is_as_rustdoc_shows_it() {
    let page = "One\n\n# Two\n\n```\n# hidden\n#[derive(A)]\n\n#\n\nlet a = 1;\n## b\n# let _ = a;\n```\n\n\
                [a](crate::Store::list), [b](crate::guide::caching#c), [c](#two), the example `api.rs` and \
                `api.rs`, `BENCHMARKS.md`, `nothing.md`.\n\n```no_run\n# a\n```\n\n```sh\n# b\n```\n";
    let expected = format!(
        "One\n\n## Two\n\n```rust\n#[derive(A)]\n\nlet a = 1;\n# b\n```\n\n\
         [a]({}struct.Store.html#method.list), [b](caching.md#c), [c](#two), the example \
         [`api.rs`](../examples/api.rs) and `api.rs`, [`BENCHMARKS.md`](../BENCHMARKS.md), \
         `nothing.md`.\n\n```sh\n# b\n```\n",
        crate::items::DOCS
    );
    assert_eq!(render(page, "page"), expected);
}
