//! The commands for operators.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use sessions::admin::Admin;
use sessions::clock::ManualClock;
use sessions::moving::Moving;
use sessions::provider::ProviderError;
use sessions::testing::{Call, TestStore};
use sessions::{MemoryProvider, Session, Store};
use sessions_tests::hooked::{Hooked, Watch};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    cart: Vec<String>,
}

#[derive(Session)]
#[session(name = "staff", version = 1)]
struct Staff {
    #[session(owner)]
    user: Option<u64>,
}

struct Site {
    store: Store,
    admin: Admin,
    watch: Watch,
}

/// What a command has printed, and its exit code.
struct Done {
    out: String,
    err: String,
    code: u8,
}

impl Done {
    fn json(&self) -> Value {
        assert_eq!(self.err, "");
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Site {
    fn new() -> Self {
        let watch = Watch::default();
        let provider = Hooked::new(MemoryProvider::new(), watch.clone());
        let clock = ManualClock::default();
        let store = Store::builder(provider).app("shop").clock(clock).build().unwrap();
        let admin = Admin::new(&store).session::<Visitor>();
        Self { store, admin, watch }
    }

    async fn run(&self, line: &str) -> Done {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = line.split_whitespace().map(str::to_owned);
        let code = self.admin.run_to(args, &mut out, &mut err).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { out: text(out), err: text(err), code }
    }

    /// Logs somebody in and returns the key of the session.
    async fn log_in(&self, user: &str, label: &str) -> String {
        let mut visitor = self.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(user.to_owned());
        visitor.cart = vec!["tea".to_owned()];
        visitor.set_label(label);
        let _ = visitor.commit().await.unwrap();
        visitor.key().unwrap().to_string()
    }
}

#[tokio::test]
async fn an_owners_sessions_are_listed_and_ended() {
    let site = Site::new();
    let (phone, laptop) =
        (site.log_in("ada/1", "phone").await, site.log_in("ada/1", "laptop").await);
    site.log_in("grace", "").await;

    let listed = site.run("list ada/1").await;
    assert_eq!((listed.code, &*listed.err), (0, ""));
    assert!(listed.out.starts_with("KEY "), "{}", listed.out);
    for part in [&phone, &laptop, "phone", "laptop", "2026-01-01T00:00:00.000Z"] {
        assert!(listed.out.contains(part), "{part}: {}", listed.out);
    }
    let json = site.run("list ada/1 --json").await.json();
    assert_eq!(json.as_array().unwrap().len(), 2);

    let revoked = site.run(&format!("revoke {phone} --yes")).await;
    assert_eq!((revoked.code, &*revoked.out), (0, "ended 1 session\n"));
    assert_eq!(site.run(&format!("revoke {phone} --yes")).await.code, 3);
    let all = site.run("revoke-owner ada/1 --yes").await;
    assert_eq!((all.code, &*all.out), (0, "ended 1 session\n"));
    let none = site.run("list ada/1").await;
    assert_eq!((none.code, &*none.out), (3, "no sessions\n"));
    assert_eq!(site.run("list ada/1 --json").await.out, "[]\n");
    assert_eq!(site.run("list grace").await.code, 0);
}

#[tokio::test]
async fn a_session_shows_its_fields_only_when_asked_for() {
    let site = Site::new();
    let key = site.log_in("ada", "\u{1b}[31mred").await;
    let shown = site.run(&format!("show {key}")).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(!shown.out.contains("tea") && shown.out.contains("visitor"), "{}", shown.out);
    assert!(!shown.out.contains('\u{1b}') && shown.out.contains("[31mred"), "{}", shown.out);
    let data = site.run(&format!("show {key} --data")).await;
    assert!(data.out.contains("fields.cart") && data.out.contains("tea"), "{}", data.out);
    let json = site.run(&format!("--json show {key} --data")).await.json();
    assert_eq!(json["fields"]["cart"][0], "tea");
    assert_eq!(json["session"], "visitor");
    assert_eq!(site.run("show rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k").await.code, 3);
}

#[tokio::test]
async fn what_cannot_be_undone_needs_yes() {
    let site = Site::new();
    let key = site.log_in("ada", "").await;
    for line in [
        format!("revoke {key}"),
        "revoke-owner ada".to_owned(),
        "end-all".to_owned(),
        "end-all --before 1h".to_owned(),
        "keys rotate".to_owned(),
        "upgrade --refile-owners".to_owned(),
    ] {
        // The tests have no terminal.
        let refused = site.run(&line).await;
        assert_eq!(refused.code, 2, "{line}");
        assert!(refused.err.contains("add --yes"), "{line}: {}", refused.err);
    }
    assert_eq!(site.run("list ada").await.code, 0);
    let ended = site.run("end-all --before 1h --yes").await;
    assert_eq!(
        (ended.code, &*ended.out),
        (
            0,
            "ended every session from before 2025-12-31T23:00:00.000Z; running hosts refuse them \
             within ten minutes, or at once if you restart them\n"
        )
    );
    assert_eq!(site.run("end-all --yes").await.code, 0);
    assert_eq!(site.run("list ada").await.code, 3);
}

#[tokio::test]
async fn the_key_ring_is_shown_and_changed() {
    let site = Site::new();
    let ring = site.run("keys").await;
    assert!(ring.out.starts_with("generation 1\n") && ring.out.contains("sealing"), "{}", ring.out);
    let rotated = site.run("keys rotate --yes --json").await.json();
    let states: Vec<_> =
        rotated["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["sealing", "erased"]);
    let again = site.run("keys rotate --yes").await.out;
    assert!(again.ends_with(" within ten minutes, or at once if you restart them\n"), "{again}");
    let rewrapped = site.run("keys rewrap").await;
    assert_eq!(rewrapped.code, 1);
    assert!(rewrapped.err.starts_with("error: "), "{}", rewrapped.err);
}

#[tokio::test]
async fn what_is_stored_is_counted_purged_and_exported() {
    let site = Site::new();
    site.log_in("ada", "").await;
    site.log_in("grace", "").await;
    let stats = site.run("stats").await;
    assert!(stats.out.contains("visitor  1        2      0"), "{}", stats.out);
    let json = site.run("stats --json").await.json();
    assert_eq!(json["sessions"][0]["owned"], 2);

    let upgraded = site.run("upgrade").await;
    assert_eq!(upgraded.out, "read 2, saved 0, unreadable 0, misfiled 0\n");
    assert_eq!(site.run("purge").await.out, "removed 0 sessions\n");

    let all = site.run("export").await;
    let lines: Vec<Value> =
        all.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["fields"]["cart"][0] == "tea"), "{}", all.out);
    let owner = site.run("export --owner ada").await.json();
    assert_eq!(owner["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(site.run("export --session staff").await.out, "");
}

#[tokio::test]
async fn a_type_is_named_where_there_are_several() {
    let mut site = Site::new();
    site.log_in("ada", "").await;
    site.admin = site.admin.clone().session::<Staff>();
    let unnamed = site.run("list ada").await;
    assert_eq!(
        (unnamed.code, &*unnamed.err),
        (2, "error: name the session type with --session: visitor, staff\n")
    );
    assert_eq!(site.run("list ada --session visitor").await.code, 0);
    assert_eq!(site.run("list 7 --session staff").await.code, 3);
    let wrong = site.run("list 7 --session guest").await;
    assert!(wrong.code == 2 && wrong.err.contains("visitor, staff"), "{}", wrong.err);
    site.admin = Admin::new(&site.store);
    let none = site.run("list ada").await;
    assert!(none.code == 2 && none.err.contains("session::<T>()"), "{}", none.err);
    // Without a type, what needs none works.
    assert_eq!(site.run("stats").await.code, 0);
}

#[tokio::test]
async fn wrong_arguments_say_what_to_write() {
    let site = Site::new();
    for (line, says) in [
        ("", "Usage"),
        ("lst ada", "list"),
        ("show", "<KEY>"),
        ("show tooshort", "is no key"),
        ("revoke a/b --yes", "is no key"),
        ("end-all --before yesterday --yes", "2h for two hours ago"),
        ("upgrade --per-second many", "many"),
        ("move --yes", "moving()"),
        ("completions klingon", "klingon"),
    ] {
        let wrong = site.run(line).await;
        assert_eq!(wrong.code, 2, "{line}");
        assert!(wrong.err.contains(says), "{line}: {}", wrong.err);
        assert_eq!(wrong.out, "", "{line}");
    }
    let help = site.run("--help").await;
    assert!(help.code == 0 && help.out.contains("revoke-owner"), "{}", help.out);
    let script = site.run("completions bash --command shop").await;
    assert!(script.code == 0 && script.out.contains("complete"), "{}", script.out);
}

#[tokio::test]
async fn a_database_that_is_down_is_told_from_a_failure() {
    let site = Site::new();
    site.log_in("ada", "").await;
    site.watch.set_down(true);
    for line in ["list ada", "stats", "export", "purge"] {
        let down = site.run(line).await;
        assert_eq!(down.code, 4, "{line}: {}", down.err);
        assert!(down.err.contains("switched off"), "{line}: {}", down.err);
    }
    let test = TestStore::new();
    test.fail_next(Call::Scan, ProviderError::permanent("no such table"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(Admin::new(&test.store()).run_to(["stats"], &mut out, &mut err).await, 1);
    assert_eq!(String::from_utf8(err).unwrap(), "error: the session store failed: no such table\n");
}

#[tokio::test(start_paused = true)]
async fn a_move_is_run_and_finished() {
    let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    let store = Store::new(moving.clone());
    let admin = Admin::new(&store).session::<Visitor>().moving(moving);
    let site = Site { store, admin, watch: Watch::default() };
    site.log_in("ada", "").await;
    let moved = site.run("move --yes --per-second 1000").await;
    assert_eq!((moved.code, &*moved.out), (0, "moved 2 records, left 0\n"), "{}", moved.err);
    assert_eq!(site.run("list ada").await.code, 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    let finished = site.run("move --finish --yes --json").await.json();
    assert_eq!(finished["finished"], true);
}
