//! Records whose data is encrypted.

use std::time::Duration;

use http::header::HeaderMap;
use sessions::provider::{Expect, Page, Provider as _, Record};
use sessions::{
    Error, MemoryProvider, Session, Store, StoreKey,
    clock::{Clock as _, ManualClock},
    commit::Outcome,
    keys::LocalKey,
};
use sessions_tests::events::Events;
use sessions_tests::hooked::{Call, Fault, Faults, Hooked};
use sessions_tests::jar::Jar;
use tracing::Level;

#[derive(Debug, Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u64,
    secret: String,
}

const SECRET: &str = "the cat's name is Schrödinger";

struct Vault {
    memory: MemoryProvider,
    clock: ManualClock,
    store: Store,
}

fn vault() -> Vault {
    let memory = MemoryProvider::new();
    let clock = ManualClock::default();
    let store = Store::builder(memory.clone())
        .clock(clock.clone())
        .encrypt_records()
        .key_encryption(LocalKey::from_bytes([7; 32]))
        .build()
        .unwrap();
    Vault { memory, clock, store }
}

async fn saved(store: &Store, user: Option<u64>) -> (StoreKey, HeaderMap) {
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = user;
    visitor.secret = SECRET.to_owned();
    let commit = visitor.commit().await.unwrap();
    (visitor.key().unwrap().clone(), Jar::of(&commit).into_headers())
}

fn shows(record: &Record) -> bool {
    record.data.windows(7).any(|window| window == &SECRET.as_bytes()[4..11])
}

#[tokio::test]
async fn the_database_does_not_show_what_a_session_holds() {
    let Vault { memory, clock, store } = vault();
    let (key, cookies) = saved(&store, Some(7)).await;
    let record = memory.fetch(key.as_str(), clock.now()).await.unwrap().unwrap();
    assert!(!shows(&record));
    assert_eq!(store.load::<Visitor>(&cookies).await.unwrap().secret, SECRET);
    assert_eq!(store.list::<Visitor>(7, Page::first(9)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn what_shows_a_plain_record_shows_it() {
    let memory = MemoryProvider::new();
    let store = Store::new(memory.clone());
    let (key, _) = saved(&store, None).await;
    let now = std::time::SystemTime::now();
    assert!(shows(&memory.fetch(key.as_str(), now).await.unwrap().unwrap()));
}

#[tokio::test]
async fn merging_renewing_and_ending_work_as_without() {
    let Vault { store, .. } = vault();
    let (_, cookies) = saved(&store, None).await;
    let mut one = store.load::<Visitor>(&cookies).await.unwrap();
    let mut two = store.load::<Visitor>(&cookies).await.unwrap();
    let mut login = store.load::<Visitor>(&cookies).await.unwrap();
    one.count += 1;
    two.count += 1;
    login.user = Some(7);
    one.save().await.unwrap();
    two.save().await.unwrap();
    login.save().await.unwrap();
    assert_eq!(login.count, 2);
    assert!(store.load::<Visitor>(&cookies).await.unwrap().is_new());
    assert_eq!(store.revoke_all::<Visitor>(7).await.unwrap(), 1);
    login.count += 1;
    assert!(login.save().await.is_err());
}

#[tokio::test]
async fn data_in_another_records_place_is_refused() {
    let Vault { memory, clock, store } = vault();
    let (rich, _) = saved(&store, Some(1)).await;
    let (poor, cookies) = saved(&store, Some(2)).await;
    let now = clock.now();
    let of = async |key: &StoreKey| memory.fetch(key.as_str(), now).await.unwrap().unwrap();
    let swapped = Record { data: of(&rich).await.data, ..of(&poor).await };
    memory.save(&swapped, Expect::Any, now).await.unwrap();
    let error = store.load::<Visitor>(&cookies).await.unwrap_err();
    assert!(!error.is_unavailable());
    assert_eq!(of(&poor).await, swapped, "it stays as it was");
    // Logging out works all the same.
    assert!(store.revoke_any(&poor).await.is_ok());
}

#[tokio::test]
async fn every_flipped_bit_is_refused() {
    let Vault { memory, clock, store } = vault();
    let (key, cookies) = saved(&store, None).await;
    let whole = memory.fetch(key.as_str(), clock.now()).await.unwrap().unwrap();
    for bit in 0..whole.data.len() * 8 {
        let mut data = whole.data.to_vec();
        data[bit / 8] ^= 1 << (bit % 8);
        let record = Record { data: data.into(), ..whole.clone() };
        memory.save(&record, Expect::Any, clock.now()).await.unwrap();
        assert!(store.load::<Visitor>(&cookies).await.is_err(), "bit {bit}");
    }
}

#[tokio::test]
async fn records_from_before_are_read_where_that_is_allowed_and_encrypted_when_saved() {
    let memory = MemoryProvider::new();
    let clock = ManualClock::default();
    let builder = || {
        Store::builder(memory.clone())
            .clock(clock.clone())
            .key_encryption(LocalKey::from_bytes([7; 32]))
    };
    let (key, cookies) = saved(&builder().build().unwrap(), None).await;
    let strict = builder().encrypt_records().build().unwrap();
    let error = strict.load::<Visitor>(&cookies).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("accept_plain_records()"), "{source}");

    let lenient = builder().encrypt_records().accept_plain_records().build().unwrap();
    let mut visitor = lenient.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!(visitor.secret, SECRET);
    visitor.count += 1;
    visitor.save().await.unwrap();
    assert!(!shows(&memory.fetch(key.as_str(), clock.now()).await.unwrap().unwrap()));
    assert_eq!(strict.load::<Visitor>(&cookies).await.unwrap().count, 1);
}

#[tokio::test]
async fn keys_outlive_the_records_that_they_encrypt() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let Vault { clock, store, .. } = vault();
    let (_, cookies) = saved(&store, None).await;
    // Read every day, never saved again: rotations pass, the record stays readable.
    for day in 1..30 {
        clock.advance(DAY);
        let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
        assert_eq!(visitor.secret, SECRET, "day {day}");
        assert_eq!(visitor.commit().await.unwrap().outcome(), Outcome::Unchanged);
    }
    clock.advance(DAY);
    assert!(store.load::<Visitor>(&cookies).await.unwrap().is_new());
}

#[tokio::test]
async fn a_record_whose_key_was_erased_spoils_nothing_but_itself() {
    let Vault { memory, clock, .. } = vault();
    let builder = || {
        Store::builder(memory.clone())
            .clock(clock.clone())
            .encrypt_records()
            .key_encryption(LocalKey::from_bytes([7; 32]))
    };
    let store = builder().max_sessions_per_owner(2).build().unwrap();
    let (old, old_cookies) = saved(&store, Some(7)).await;
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.revoke_all::<Visitor>(8).await.unwrap(), 0, "a fence from before");
    clock.advance(Duration::from_secs(1));
    store.codec().rotate_now().await.unwrap();

    // Whoever is affected logs in again, whoever is not goes on.
    for user in [7, 8] {
        let attempt = store.begin_login::<Visitor>(user).await.unwrap();
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(user);
        visitor.log_in(attempt);
        let commit = visitor.commit().await.unwrap();
        let cookies = Jar::of(&commit).into_headers();
        assert_eq!(store.load::<Visitor>(&cookies).await.unwrap().user, Some(user));
    }
    assert!(store.load::<Visitor>(&old_cookies).await.unwrap().is_new(), "its cookie's key, too");
    // The list leaves out what nobody can read; ending reaches it.
    let listed = store.list::<Visitor>(7, Page::first(9)).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert!(memory.fetch(old.as_str(), clock.now()).await.unwrap().is_some());
    // The cap ends it first.
    clock.advance(Duration::from_secs(1));
    saved(&store, Some(7)).await;
    assert!(memory.fetch(old.as_str(), clock.now()).await.unwrap().is_none());
    assert_eq!(store.revoke_all::<Visitor>(7).await.unwrap(), 2);
}

#[tokio::test]
async fn log_out_everywhere_ends_records_that_nobody_can_read() {
    let Vault { memory, clock, store } = vault();
    let (erased, _) = saved(&store, Some(7)).await;
    let (damaged, cookies) = saved(&store, Some(7)).await;
    let (plain, _) = saved(&store, Some(7)).await;
    let now = clock.now();
    for (key, data) in [(&damaged, vec![2; 40]), (&plain, b"plain".to_vec())] {
        let record = memory.fetch(key.as_str(), now).await.unwrap().unwrap();
        memory.save(&Record { data: data.into(), ..record }, Expect::Any, now).await.unwrap();
    }
    // A record is a visitor's error, and says what to do.
    let error = store.load::<Visitor>(&cookies).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("decrypted"));
    assert!(store.load_or_new::<Visitor>(&cookies).await.unwrap().is_new());

    store.codec().rotate_now().await.unwrap();
    assert_eq!(store.revoke_all::<Visitor>(7).await.unwrap(), 3);
    for key in [erased, damaged, plain] {
        assert!(memory.fetch(key.as_str(), now).await.unwrap().is_none());
    }
}

/// A logout of a session that this build cannot read, on a database that fails in between.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_ended_whatever_becomes_of_the_answers() {
    let (memory, clock, faults) =
        (MemoryProvider::new(), ManualClock::default(), Faults::default());
    let store = Store::builder(Hooked::new(memory.clone(), faults.clone()))
        .clock(clock.clone())
        .build()
        .unwrap();
    for (fault, at_once) in [
        (Fault::Lost(Call::Fetch, 2), true),
        (Fault::Lost(Call::Delete, 1), true),
        (Fault::LostThenNext(Call::Delete, 1), true),
        (Fault::LostThenNext(Call::Delete, 2), false),
        (Fault::LostThenDown(Call::Delete), false),
        (Fault::LostThenDown(Call::Fetch), false),
        (Fault::Down, false),
    ] {
        let (key, cookies) = saved(&store, Some(7)).await;
        let now = clock.now();
        let record = memory.fetch(key.as_str(), now).await.unwrap().unwrap();
        let damaged = Record { data: vec![0xff; 40].into(), ..record };
        memory.save(&damaged, Expect::Any, now).await.unwrap();
        assert!(store.load::<Visitor>(&cookies).await.is_err());

        let events = Events::capture(Level::DEBUG);
        faults.set(fault);
        let ended = store.destroy::<Visitor>(&cookies).await;
        if !at_once {
            assert!(ended.unwrap_err().error().is_unavailable(), "{fault:?}");
            faults.set(Fault::None);
            let _ = store.destroy::<Visitor>(&cookies).await.unwrap();
        } else {
            let cookie = ended.unwrap().set_cookie().unwrap().to_str().unwrap().to_owned();
            assert!(cookie.contains("Max-Age=0"), "{fault:?}: {cookie}");
            let events = events.take();
            assert!(events.iter().any(|it| it.contains("destroyed")), "{fault:?}: {events:?}");
        }
        assert!(memory.fetch(key.as_str(), now).await.unwrap().is_none(), "{fault:?}");
        assert!(store.load::<Visitor>(&cookies).await.unwrap().is_new());
        // As is a second logout, of a session that is gone.
        let _ = store.destroy::<Visitor>(&cookies).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_only_read_is_read_for_its_whole_life() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let store = Store::builder(memory)
        .clock(clock.clone())
        .encrypt_records()
        .key_encryption(LocalKey::from_bytes([7; 32]))
        .idle_timeout(DAY)
        .lifetime(30 * DAY)
        .longest_remember(DAY)
        .build()
        .unwrap();
    let (_, mut cookies) = saved(&store, None).await;
    for half_day in 1..60 {
        clock.advance(DAY / 2);
        let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
        assert_eq!(visitor.secret, SECRET, "half day {half_day}");
        // The browser gets its token again; the record is never saved.
        let commit = visitor.commit().await.unwrap();
        if commit.set_cookie().is_some() {
            cookies = Jar::of(&commit).into_headers();
        }
    }
}
