//! The report: each benchmark writes its part, and all parts there are make `target/bench/report.md`.

mod plot;

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use cookie::time::OffsetDateTime;

pub use self::plot::Plot;

/// A part of the report.
#[derive(Debug)]
pub struct Part {
    file: &'static str,
    text: String,
    plots: Vec<(String, String)>,
}

impl Part {
    /// A part whose place among the others is that of its file's name.
    #[must_use]
    pub fn new(file: &'static str, title: &str) -> Self {
        Self { file, text: format!("## {title}\n"), plots: Vec::new() }
    }

    /// A paragraph.
    pub fn say(&mut self, text: &str) {
        let _ = write!(self.text, "\n{text}\n");
    }

    /// A table; its rows have as many cells as it has columns.
    pub fn table(&mut self, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let _ = write!(
            self.text,
            "\n| {} |\n|---{}|\n",
            columns.join(" | "),
            "|---:".repeat(columns.len() - 1)
        );
        for row in rows {
            assert_eq!(row.len(), columns.len(), "{row:?}");
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
    }

    /// A picture.
    pub fn plot(&mut self, plot: &Plot) {
        let file = format!("{}-{}.svg", self.file, self.plots.len() + 1);
        let _ = write!(self.text, "\n![{}]({file})\n", plot.title());
        self.plots.push((file, plot.svg()));
    }

    /// Prints it, and writes it and the whole report.
    pub fn write(self) {
        println!("\n{}", self.text);
        let folder = folder();
        let parts = folder.join("parts");
        fs::create_dir_all(&parts).unwrap();
        fs::write(parts.join(self.file).with_extension("md"), self.text).unwrap();
        for (file, svg) in self.plots {
            fs::write(folder.join(file), svg).unwrap();
        }
        let mut files: Vec<_> =
            fs::read_dir(parts).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut report = format!("# Benchmarks\n\n{}.\n", conditions());
        for file in files {
            report = report + "\n" + &fs::read_to_string(file).unwrap();
        }
        let file = folder.join("report.md");
        fs::write(&file, report).unwrap();
        println!("The report is in {}.", file.display());
    }
}

/// The median of some figures, and their middle half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the figures are below it.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// A quarter of the figures are above it.
    pub high: f64,
}

impl Spread {
    /// Of one figure at least.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut all: Vec<_> = figures.collect();
        all.sort_by(f64::total_cmp);
        let last = all.len() - 1;
        Self { low: all[last / 4], median: all[all.len() / 2], high: all[last - last / 4] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}

/// A ratio, or a dash where the command line left out what it needs.
#[must_use]
pub fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Nanoseconds.
#[must_use]
pub fn nanos(time: Option<f64>) -> String {
    time.map_or("–".to_owned(), |time| format!("{time:.0} ns"))
}

/// What a ratio is not to exceed.
#[must_use]
pub fn goal(most: Option<f64>) -> String {
    most.map_or(String::new(), |most| format!("≤ {most}"))
}

/// When and on what this was measured.
fn conditions() -> String {
    let now = OffsetDateTime::now_utc();
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name"));
    let name =
        name.and_then(|rest| rest.split_once(": ")).map_or(std::env::consts::ARCH, |it| it.1);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Measured on {} with {processors} processors \"{name}\"", now.date())
}

/// Where cargo builds.
#[must_use]
pub fn target_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target =
        target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    target.canonicalize().unwrap_or(target)
}

fn folder() -> PathBuf {
    target_folder().join("bench")
}
