//! The check of a session type against committed files.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sessions::testing::schema_is;
use sessions::{Session, SessionData};

mod v1 {
    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 1)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        pub(super) cart: Vec<String>,
    }

    pub(super) fn sample() -> Visitor {
        Visitor { user: Some(7), cart: vec!["tea".to_owned()] }
    }
}

mod v2 {
    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 2)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        pub(super) cart: Vec<String>,
        #[session(since = 2)]
        pub(super) visits: u32,
    }

    pub(super) fn sample() -> Visitor {
        Visitor { user: Some(7), cart: vec!["tea".to_owned()], visits: 3 }
    }
}

/// Version 1 as somebody has changed it after its release.
#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Changed {
    #[session(owner)]
    user: Option<u64>,
    cart: Vec<u32>,
    coupon: Option<String>,
}

/// Version 2 whose cart is read as something else, without a word.
#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Unreadable {
    #[session(owner)]
    user: Option<u64>,
    cart: Cart,
    #[session(since = 2)]
    visits: u32,
}

type Cart = Vec<u32>;

fn problem<T: SessionData>(folder: &Path, sample: &T) -> Option<String> {
    let checked = catch_unwind(AssertUnwindSafe(|| schema_is(folder, sample)));
    checked.err().map(|panic| *panic.downcast::<String>().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// One test, because `CI` is a variable of the whole process: this program's others do not read it.
#[test]
fn released_versions_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("schemas");
    if std::env::var_os("CI").is_some() {
        // Nobody would commit what is written there.
        let missing = problem(&folder, &v1::sample()).unwrap();
        assert!(missing.contains("on your machine") && !folder.exists(), "{missing}");
        return;
    }
    assert_eq!(problem(&folder, &v1::sample()), None);
    assert_eq!(names(&folder), ["visitor-1.record", "visitor-1.schema"]);
    let first = fs::read_to_string(folder.join("visitor-1.schema")).unwrap();
    assert_eq!(
        first,
        "session visitor, version 1, read by 1 and later\n  user: Option<u64>\n  \
         cart: Vec<String>\n"
    );
    let record = fs::read(folder.join("visitor-1.record")).unwrap();
    assert_eq!(problem(&folder, &v1::sample()), None);

    let changed = problem(&folder, &Changed { user: None, cart: vec![], coupon: None }).unwrap();
    for part in [
        "-   cart: Vec<String>",
        "+   cart: Vec<u32>",
        "+   coupon: Option<String>",
        "version = 2",
        "visitor-1.schema",
    ] {
        assert!(changed.contains(part), "{part} is missing: {changed}");
    }

    // A new version adds its files, and leaves the others.
    assert_eq!(problem(&folder, &v2::sample()), None);
    assert_eq!(
        names(&folder),
        ["visitor-1.record", "visitor-1.schema", "visitor-2.record", "visitor-2.schema"]
    );
    assert_eq!(fs::read(folder.join("visitor-1.record")).unwrap(), record);

    // With other ends of lines, as some checkouts have them.
    fs::write(folder.join("visitor-1.schema"), first.replace('\n', "\r\n")).unwrap();
    assert_eq!(problem(&folder, &v2::sample()), None);

    // The text agrees, and the record of version 1 is not read any more.
    for version in [1, 2] {
        fs::remove_file(folder.join(format!("visitor-{version}.schema"))).unwrap();
    }
    let unreadable = problem(&folder, &Unreadable { user: None, cart: vec![1], visits: 1 });
    let unreadable = unreadable.unwrap();
    assert!(
        unreadable.contains("the record of version 1") && unreadable.contains("cart"),
        "{unreadable}"
    );

    // What is damaged says so.
    for (text, says) in [("xyz", "hexadecimal"), ("00", "cannot be read any more")] {
        fs::write(folder.join("visitor-1.record"), text).unwrap();
        fs::remove_file(folder.join("visitor-1.schema")).ok();
        fs::remove_file(folder.join("visitor-2.schema")).ok();
        let damaged = problem(&folder, &v2::sample()).unwrap();
        assert!(damaged.contains(says), "{damaged}");
    }
    fs::copy(folder.join("visitor-2.record"), folder.join("visitor-1.record")).unwrap();
    let renamed = problem(&folder, &v2::sample()).unwrap();
    assert!(renamed.contains("is a record of version 2"), "{renamed}");
}
