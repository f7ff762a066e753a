//! What the store keeps of an owner, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use sessions::clock::{Clock as _, ManualClock};
use sessions::keys::LocalKey;
use sessions::provider::{Expect, Provider as _, Record};
use sessions::{Device, Error, MemoryProvider, Proof, Session, Store};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    points: u64,
    balance: i64,
    rate: f64,
    #[session(key = "s")]
    seats: BTreeMap<u8, Option<String>>,
    picture: serde_bytes::ByteBuf,
}

/// A newer build.
mod newer {
    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 1)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<String>,
        pub(super) nickname: String,
    }
}

struct Site {
    memory: MemoryProvider,
    store: Store,
    clock: ManualClock,
}

impl Site {
    fn new() -> Self {
        let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
        let store = Store::builder(memory.clone()).app("shop").clock(clock.clone());
        Self { store: store.build().unwrap(), memory, clock }
    }

    async fn login(&self, user: &str, change: impl FnOnce(&mut Session<Visitor>)) -> String {
        let mut visitor = self.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(user.to_owned());
        change(&mut visitor);
        let _ = visitor.commit().await.unwrap();
        visitor.key().unwrap().as_str().to_owned()
    }

    async fn export(&self, user: &str) -> Value {
        let text = self.store.export_owner::<Visitor>(user.to_owned()).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn it_has_all_that_is_kept_of_an_owner_and_nothing_of_others() {
    let site = Site::new();
    let key = site
        .login("a/da", |visitor| {
            visitor.points = u64::MAX;
            visitor.balance = i64::MIN;
            visitor.rate = f64::NAN;
            visitor.seats = BTreeMap::from([(1, Some("1A".to_owned())), (2, None)]);
            visitor.picture = serde_bytes::ByteBuf::from([0, 255]);
            visitor.set_label("Firefox");
            visitor.act_as("bob");
            visitor.authenticated(Proof::new("hwk").level(2).credential("key"));
            visitor.seen_from(Device::default().address([203, 0, 113, 7].into()));
        })
        .await;
    site.login("a", |_| ()).await;
    site.login("da", |_| ()).await;
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(
        site.export("a/da").await,
        json!({
            "app": "shop",
            "session": "visitor",
            "owner": "a/da",
            "exported_at": "2026-01-01T00:01:00.000Z",
            "sessions": [{
                "key": key,
                "created_at": "2026-01-01T00:00:00.000Z",
                "device_bound": false,
                "last_seen": "2026-01-01T00:00:00.000Z",
                "expires_at": "2026-01-08T01:00:00.000Z",
                "label": "Firefox",
                "authentication": {
                    "at": "2026-01-01T00:00:00.000Z",
                    "level": 2,
                    "method": "hwk",
                    "credential": "key",
                    "opened_by": "key",
                },
                "devices": {
                    "first": { "user_agent": null, "network": "203.0.113.0/24" },
                    "last": { "user_agent": null, "network": "203.0.113.0/24" },
                },
                "acting_as": "bob",
                "locked": false,
                "token": "cookie",
                "ended": false,
                "version": 1,
                "fields": {
                    "user": "a/da",
                    "points": u64::MAX,
                    "balance": i64::MIN,
                    "rate": "NaN",
                    "s": [[1, "1A"], [2, null]],
                    "picture": "AP8=",
                },
            }],
        })
    );
}

#[tokio::test]
async fn an_owner_without_sessions_has_none() {
    let site = Site::new();
    site.login("ada", |_| ()).await;
    for owner in ["", "bob", "\"quoted\"\n", "x".repeat(300).as_str()] {
        let export = site.export(owner).await;
        assert_eq!((&export["owner"], &export["sessions"]), (&json!(owner), &json!([])));
    }
    site.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(site.export("ada").await["sessions"], json!([]), "expired");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_spoils_nothing() {
    let site = Site::new();
    let key = site.login("ada", |_| ()).await;
    let other = site.login("ada", |_| ()).await;
    let now = site.clock.now();
    let record = site.memory.fetch(&key, now).await.unwrap().unwrap();
    let damaged = Record { version: 2, data: vec![1, 2].into(), ..record };
    site.memory.save(&damaged, Expect::Version(1), now).await.unwrap();
    let export = site.export("ada").await;
    let sessions = export["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let find = |key: &str| sessions.iter().find(|it| it["key"] == *key).unwrap();
    assert!(find(&key)["unreadable"].as_str().unwrap().contains("visitor"), "{export}");
    assert_eq!(find(&key)["expires_at"], "2026-01-08T01:00:00.000Z");
    assert_eq!(find(&other)["fields"]["user"], "ada");
}

#[tokio::test]
async fn fields_of_another_build_are_in_it() {
    let site = Site::new();
    let mut visitor = site.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = Some("ada".to_owned());
    let _ = visitor.commit().await.unwrap();
    let store = Store::builder(site.memory.clone()).app("shop").clock(site.clock.clone());
    let store = store.build().unwrap();
    let mut visitor = store.load::<newer::Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = Some("ada".to_owned());
    visitor.nickname = "countess".to_owned();
    let _ = visitor.commit().await.unwrap();
    let export = site.export("ada").await;
    let names = export["sessions"].as_array().unwrap().iter();
    let nicknames: Vec<_> = names.filter_map(|it| it["fields"]["nickname"].as_str()).collect();
    assert_eq!(nicknames, ["countess"]);
}

#[tokio::test]
async fn it_goes_on_from_page_to_page_and_names_what_has_ended() {
    let site = Site::new();
    for _ in 0..45 {
        site.login("ada", |_| ()).await;
    }
    site.store.end_all().await.unwrap();
    site.login("ada", |_| ()).await;
    let export = site.export("ada").await;
    let sessions = export["sessions"].as_array().unwrap();
    let mut keys: Vec<_> = sessions.iter().map(|it| it["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 46);
    assert_eq!(sessions.iter().filter(|it| it["ended"] == true).count(), 45);
}

#[tokio::test]
async fn encrypted_records_are_opened_and_a_client_side_store_has_none() {
    let memory = MemoryProvider::new();
    let key = || LocalKey::from_bytes([7; 32]);
    let encrypted = Store::builder(memory.clone()).encrypt_records().key_encryption(key());
    let store = encrypted.build().unwrap();
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = Some("ada".to_owned());
    let _ = visitor.commit().await.unwrap();
    let text = store.export_owner::<Visitor>("ada").await.unwrap();
    assert!(text.contains(r#""user":"ada""#), "{text}");
    // Its key is gone.
    store.codec().rotate_now().await.unwrap();
    let text = store.export_owner::<Visitor>("ada").await.unwrap();
    assert!(text.contains("unreadable") && text.contains("cannot be decrypted"), "{text}");

    let client_side = Store::builder(memory).app("b").client_side().key_encryption(key());
    let error = client_side.build().unwrap().export_owner::<Visitor>("ada").await.unwrap_err();
    assert!(matches!(error, Error::Misuse(_)));
}

#[tokio::test]
async fn a_record_that_is_filed_under_somebody_else_shows_nothing() {
    let site = Site::new();
    let key = site.login("ada", |visitor| visitor.points = 7).await;
    let mut record = site.memory.fetch(&key, site.clock.now()).await.unwrap().unwrap();
    record.owner = Some("shop/visitor/eve".into());
    site.memory.save(&record, Expect::Any, site.clock.now()).await.unwrap();
    let export = site.export("eve").await;
    let session = &export["sessions"][0];
    assert!(session["unreadable"].as_str().unwrap().contains("filed"), "{session}");
    assert_eq!((&session["fields"], &session["label"]), (&Value::Null, &Value::Null));
}
