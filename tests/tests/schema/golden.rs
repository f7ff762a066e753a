//! Records and schemas that are committed: every later build must read the ones and may not change
//! the others by accident.
//!
//! A new version needs new files; `GOLDEN=write` writes those that are missing, never over one.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use sessions::__private::{Header, Stored};
use sessions::provider::{Bytes, from_unix_millis};
use sessions::{Session, SessionData, schema::Schema};

use crate::user::{Appearance, Cents, Role, first, newest, v1, v2, v3, v4};

fn golden(name: &str, make: impl FnOnce() -> String) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if !path.exists() && env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, make()).unwrap();
    }
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; run with GOLDEN=write and commit it"))
}

fn to_hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| {
        let digits: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits + "\n"
    });
    lines.collect()
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<u8>>().into()
}

fn header() -> Header {
    let mut header = Header::new(from_unix_millis(1_767_225_600_123));
    header.saves = (1..=8).map(|n| 0x0123_4567_89ab_cdef * n).collect();
    header.summary.own.idle = Some(Duration::from_secs(86_400 * 30));
    header.label = Some("Firefox on Linux".into());
    header
}

/// The committed record of this version, which today's build of that version writes the same.
fn record<T: SessionData>(value: &T) -> Stored {
    let written = value.fields().unwrap().to_data(&header()).unwrap();
    let name = format!("user-{}.hex", T::SCHEMA.version);
    let committed = golden(&name, || to_hex(&written));
    assert_eq!(to_hex(&written), committed, "{name} is no longer what a build writes");
    Stored::parse("user", &from_hex(&committed)).unwrap()
}

#[test]
fn records_of_version_1_are_read_for_ever() {
    let stored = record(&first());
    assert_eq!(v1::UserSession::load(&stored).unwrap(), first());
    assert_eq!(v3::UserSession::load(&stored).unwrap(), newest());
}

#[test]
fn records_of_version_2_are_read_for_ever() {
    let second = v2::UserSession {
        user_id: Some(7),
        roles: vec![],
        login: "ada".into(),
        locale: "de".into(),
        theme: "light".into(),
        font_size: 9,
        cart_total: "0.99".into(),
        visits: u64::MAX,
    };
    let stored = record(&second);
    assert_eq!(v2::UserSession::load(&stored).unwrap(), second);
    let third = v3::UserSession {
        roles: vec![],
        locale: "de".into(),
        cart_total: Cents(99),
        visits: u64::MAX,
        appearance: Appearance { theme: "light".into(), font_size: 9 },
        ..newest()
    };
    assert_eq!(v3::UserSession::load(&stored).unwrap(), third);
}

#[test]
fn records_of_version_3_are_read_for_ever() {
    let stored = record(&newest());
    let mut expected = header();
    (expected.summary.schema_version, expected.summary.min_reader) = (3, 3);
    assert_eq!(stored.summary, expected.summary);
    assert_eq!(stored.header().unwrap(), expected);
    assert_eq!(v3::UserSession::load(&stored).unwrap(), newest());
    assert_eq!(v4::UserSession::load(&stored).unwrap().cart_total, Cents(1_250));
}

/// What a test of one's own session type looks like, too.
fn check_schema(schema: &Schema) -> Result<(), String> {
    let name = format!("{}-{}.schema", schema.name, schema.version);
    let committed = golden(&name, || schema.to_string());
    if schema.to_string() == committed {
        return Ok(());
    }
    Err(format!("the schema changed: bump `version`, this is still called {name}:\n{schema}"))
}

#[test]
fn schemas_do_not_change_without_a_new_version() {
    check_schema(v1::UserSession::SCHEMA).unwrap();
    check_schema(v2::UserSession::SCHEMA).unwrap();
    check_schema(v3::UserSession::SCHEMA).unwrap();
    check_schema(v4::UserSession::SCHEMA).unwrap();
}

#[test]
fn a_change_without_a_new_version_is_found() {
    /// Version 1, where somebody changed the type of `font_size` and told nobody.
    #[derive(Session)]
    #[session(name = "user", version = 1)]
    struct Changed {
        #[session(owner)]
        user_id: Option<u64>,
        #[session(group = "owner")]
        roles: Vec<Role>,
        login: String,
        utm_source: Option<String>,
        theme: String,
        font_size: u16,
        cart_total: String,
        hits: u64,
    }

    let error = check_schema(Changed::SCHEMA).unwrap_err();
    assert!(error.contains("bump `version`") && error.contains("font_size: u16"), "{error}");
}
