//! A check that released schema versions stay as they are, and that their records are read.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::clock::from_unix_millis;
use crate::data::SessionData;
use crate::schema::describe::{Schema, SchemaVersion};
use crate::schema::header::Header;
use crate::schema::stored::Stored;

/// Checks a session type against the files of a folder, which you commit: no version that was
/// released has changed, and a record of each version is still read.
///
/// The folder gets two files for each version of the type: `visitor-1.schema`, the fields as text, and
/// `visitor-1.record`, a record in hexadecimal digits. A missing file is written, so a new version
/// needs only a test run and a commit. Where the environment has the variable `CI`, a missing file is
/// a failure instead, because nobody would commit it.
///
/// `sample` becomes the record of the newest version. Fill every field, also lists and options, so that
/// the record has a value of each type. The records of older versions are those of earlier runs.
/// Files of versions that the type reads no more are ignored.
///
/// A relative path begins at the package's folder, where `cargo test` runs tests.
///
/// # Panics
/// Panics if a version has changed, if a record cannot be read, or if a file is missing in CI or cannot
/// be read or written.
///
/// ```no_run
/// use sessions::Session;
/// use sessions::testing::schema_is;
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(owner)]
///     user: Option<u64>,
///     cart: Vec<String>,
/// }
///
/// // In a test of yours:
/// schema_is("tests/schemas", &Visitor { user: Some(7), cart: vec!["tea".to_owned()] });
/// ```
#[track_caller]
pub fn schema_is<T: SessionData>(folder: impl AsRef<Path>, sample: &T) {
    let writes = std::env::var_os("CI").is_none();
    if let Err(problem) = check::<T>(&Folder { path: folder.as_ref(), writes }, sample) {
        panic!("{problem}");
    }
}

fn check<T: SessionData>(folder: &Folder<'_>, sample: &T) -> Result<(), String> {
    let Schema { name, version: newest, versions, .. } = T::SCHEMA;
    for version in *versions {
        let number = version.version;
        let file = format!("{name}-{number}.schema");
        let text = describe(name, version);
        let committed = folder.read_or(&file, || Ok(text.clone()))?;
        // Git may have changed the ends of lines.
        if committed.replace("\r\n", "\n") != text {
            return Err(format!(
                "version {number} of the session \"{name}\" is not what {} has:\n\n{}\n\
                 If version {number} was released, records of it exist: take the change back, and make \
                 it in version {} with `version = {}`. If it was never released, delete the file and \
                 run the test again.",
                folder.path.join(&file).display(),
                difference(&committed, &text),
                newest + 1,
                newest + 1,
            ));
        }
    }
    for version in *versions {
        let number = version.version;
        let file = format!("{name}-{number}.record");
        let is_newest = number == *newest;
        if !is_newest && !folder.path.join(&file).exists() {
            // From before there was this test. Nobody can write such a record any more.
            continue;
        }
        let record = folder.read_or(&file, || to_hex(sample))?;
        let at = folder.path.join(&file);
        let data = from_hex(&record)
            .ok_or_else(|| format!("{} is not hexadecimal digits", at.display()))?;
        let stored = Stored::parse(name, &data);
        let loaded = stored.and_then(|stored| {
            T::load(&stored)?.fields()?;
            Ok(stored.summary.schema_version)
        });
        match loaded {
            Ok(found) if found == number => {}
            Ok(found) => {
                return Err(format!(
                    "{} is a record of version {found}: rename or delete it",
                    at.display()
                ));
            }
            Err(error) => {
                let error = crate::telemetry::emit::chain(&error);
                return Err(format!(
                    "the record of version {number} of the session \"{name}\" in {} cannot be read \
                     any more: {error}\nSessions of that version would be lost.",
                    at.display()
                ));
            }
        }
    }
    Ok(())
}

struct Folder<'p> {
    path: &'p Path,
    /// Whether missing files are written.
    writes: bool,
}

impl Folder<'_> {
    fn read_or(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, String>,
    ) -> Result<String, String> {
        let path: PathBuf = self.path.join(name);
        let failed = |done: &str, error| format!("{} cannot be {done}: {error}", path.display());
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == ErrorKind::NotFound && self.writes => {
                let text = make()?;
                fs::create_dir_all(self.path).map_err(|error| failed("created", error))?;
                fs::write(&path, &text).map_err(|error| failed("written", error))?;
                Ok(text)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
                "{} is missing: run this test on your machine, which writes it, and commit it",
                path.display()
            )),
            Err(error) => Err(failed("read", error)),
        }
    }
}

fn describe(name: &str, version: &SchemaVersion) -> String {
    let SchemaVersion { version, min_reader, fields } = version;
    let mut text = format!("session {name}, version {version}, read by {min_reader} and later\n");
    for field in *fields {
        text.push_str(&format!("  {}: {}\n", field.key, field.ty));
    }
    text
}

/// The lines that are only in one of the two texts.
fn difference(was: &str, is: &str) -> String {
    let missing = |of: &str, from: &str, sign: char| -> String {
        let from: Vec<_> = from.lines().collect();
        let lines = of.lines().filter(|line| !from.contains(line));
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    let lines = missing(was, is, '-') + &missing(is, was, '+');
    if lines.is_empty() { "The fields have another order.\n".to_owned() } else { lines }
}

fn to_hex<T: SessionData>(sample: &T) -> Result<String, String> {
    let header = Header::new(from_unix_millis(MADE_AT));
    let data = sample.fields().and_then(|mut fields| {
        // A type that still writes an older version is asked for this one all the same.
        fields.version = T::SCHEMA.version;
        fields.to_data(&header)
    });
    let data = data.map_err(|error| format!("the sample cannot be encoded: {error}"))?;
    let lines = data.chunks(32).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    Ok(lines.collect())
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty()).map(Bytes::from)
}

/// 2026-01-01T00:00:00Z, so that a sample is written the same in each run.
const MADE_AT: u64 = 1_767_225_600_000;
