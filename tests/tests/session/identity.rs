//! What a session knows of its owner: when they proved who they are, and for whom they act.

use std::time::Duration;

use http::HeaderMap;
use sessions::provider::{Expect, Provider as _};
use sessions::{
    Error, MemoryProvider, Page, Proof, Session, SessionInfo, Store, StoreBuilder,
    clock::{Clock as _, ManualClock},
};
use sessions_tests::hooked::{Call, Fault, Faults, Hooked};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u32,
}

/// An owner with a name of any length.
#[derive(Session)]
#[session(name = "guest", version = 1)]
struct Guest {
    #[session(owner)]
    name: Option<String>,
}

const ADA: u64 = 1;
const BOB: u64 = 2;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct App {
    store: Store,
    clock: ManualClock,
}

impl App {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let clock = ManualClock::default();
        let builder = Store::builder(MemoryProvider::new()).clock(clock.clone());
        Self { store: settings(builder).build().unwrap(), clock }
    }

    async fn load(&self, jar: &Jar) -> Session<Visitor> {
        self.store.load(jar.headers()).await.unwrap()
    }

    /// One request; its jar keeps what the response sets.
    async fn request(&self, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) {
        let mut visitor = self.load(jar).await;
        change(&mut visitor);
        jar.keep(&visitor.commit().await.unwrap());
    }

    async fn logged_in(&self, user: u64) -> Jar {
        let mut jar = Jar::new();
        self.request(&mut jar, |visitor| visitor.user = Some(user)).await;
        jar
    }

    async fn list(&self, user: u64) -> Vec<SessionInfo> {
        self.store.list::<Visitor>(user, Page::first(100)).await.unwrap().items
    }
}

#[tokio::test]
async fn a_login_is_a_proof_and_ages_to_the_millisecond() {
    let app = App::new();
    let anonymous = app.load(&Jar::new()).await;
    assert_eq!(anonymous.authentication(), None);
    assert!(!anonymous.authenticated_within(Duration::MAX));

    let jar = app.logged_in(ADA).await;
    let at = app.clock.now();
    let proof = app.load(&jar).await.authentication().unwrap();
    assert_eq!((proof.at, proof.level, proof.method), (at, 1, None));
    app.clock.advance(5 * MINUTE);
    assert!(app.load(&jar).await.authenticated_within(5 * MINUTE));
    app.clock.advance(Duration::from_millis(1));
    assert!(!app.load(&jar).await.authenticated_within(5 * MINUTE));
    assert_eq!(app.list(ADA).await[0].authentication.at, at);
}

#[tokio::test]
async fn a_new_proof_renews_and_keeps_what_the_visitor_chose() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    app.request(&mut jar, |visitor| {
        visitor.count = 5;
        visitor.remember(60 * DAY);
        visitor.set_label("phone");
    })
    .await;
    app.clock.advance(DAY);
    assert!(!app.load(&jar).await.authenticated_within(MINUTE), "remembered is not fresh");
    let (old, key) = (jar.clone(), app.load(&jar).await.key().cloned());
    app.request(&mut jar, |visitor| {
        visitor.authenticated(Proof::new("hwk").level(2).credential("key-1"));
    })
    .await;
    assert!(app.load(&old).await.is_new(), "the token from before is dead");
    let visitor = app.load(&jar).await;
    let proof = visitor.authentication().unwrap();
    assert_eq!((proof.level, proof.method.as_deref()), (2, Some("hwk")));
    assert_eq!(proof.credential.as_deref(), Some("key-1"));
    assert_eq!(proof.at, app.clock.now());
    assert_eq!((visitor.key(), visitor.count), (key.as_ref(), 5));
    assert_eq!(visitor.label().as_deref(), Some("phone"));
    app.clock.advance(50 * DAY);
    assert!(!app.load(&jar).await.is_new(), "it is still remembered");
}

#[tokio::test]
async fn a_login_of_the_same_owner_is_a_plain_proof() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    app.request(&mut jar, |visitor| visitor.authenticated(Proof::new("mfa").level(2))).await;
    app.clock.advance(DAY);
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| visitor.log_in(attempt)).await;
    let proof = app.load(&jar).await.authentication().unwrap();
    assert_eq!((proof.level, proof.at), (1, app.clock.now()), "two factors are not one");
    // Both at once.
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| {
        visitor.log_in(attempt);
        visitor.authenticated(Proof::new("mfa").level(2));
    })
    .await;
    assert_eq!(app.load(&jar).await.authentication().unwrap().level, 2);
}

#[tokio::test]
async fn nobody_else_raises_a_proof_or_writes_an_old_one_back() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    let mut before = app.load(&jar).await;
    app.request(&mut jar, |visitor| visitor.authenticated(Proof::new("mfa").level(2))).await;
    before.count = 9;
    assert!(matches!(before.commit().await, Err(error) if matches!(error.error(), Error::Gone)));
    assert_eq!(app.load(&jar).await.authentication().unwrap().level, 2);

    app.clock.advance(DAY);
    let since = app.load(&jar).await.authentication().unwrap();
    let key = app.load(&jar).await.key().unwrap().clone();
    let updated = app.store.update::<Visitor, _>(Some(ADA), &key, |it| it.count = 1).await;
    assert_eq!(updated.unwrap(), Some(()));
    app.request(&mut jar, |visitor| visitor.count = 2).await;
    app.request(&mut jar, Session::renew).await;
    assert_eq!(app.load(&jar).await.authentication(), Some(since));
}

#[tokio::test]
async fn a_proof_and_an_acting_do_not_outlive_their_owner() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    app.request(&mut jar, |visitor| {
        visitor.authenticated(Proof::new("mfa").level(2));
        visitor.act_as(BOB);
    })
    .await;
    assert_eq!(app.load(&jar).await.acting_as().as_deref(), Some("2"));
    app.clock.advance(MINUTE);
    app.request(&mut jar, |visitor| visitor.user = Some(BOB)).await;
    let visitor = app.load(&jar).await;
    let proof = visitor.authentication().unwrap();
    assert_eq!((proof.level, proof.at, proof.method), (1, app.clock.now(), None));
    assert_eq!(visitor.acting_as(), None);
    app.request(&mut jar, |visitor| visitor.user = None).await;
    assert_eq!(app.load(&jar).await.authentication(), None);
}

#[tokio::test]
async fn a_proof_needs_an_owner_and_short_texts() {
    let app = App::new();
    for ask in [
        (|visitor| visitor.authenticated(Proof::new("pwd"))) as fn(&mut Session<Visitor>),
        |visitor| visitor.act_as(BOB),
        |visitor| {
            visitor.count = 1;
            visitor.act_as(BOB);
        },
    ] {
        let mut visitor = app.load(&Jar::new()).await;
        ask(&mut visitor);
        let error = visitor.commit().await.unwrap_err().into_error();
        assert!(matches!(&error, Error::Misuse(text) if text.contains("assign the owner")));
        visitor.user = Some(ADA);
        let _ = visitor.commit().await.unwrap();
    }
    for (proof, field) in [
        (Proof::new("x".repeat(65)), "method"),
        (Proof::new("pwd").credential("x".repeat(256)), "credential"),
    ] {
        let mut visitor = app.load(&Jar::new()).await;
        visitor.user = Some(ADA);
        visitor.authenticated(proof);
        let error = visitor.commit().await.unwrap_err().into_error();
        assert!(matches!(&error, Error::Encode { field: at, .. } if at == field), "{error}");
    }
}

#[tokio::test]
async fn a_step_up_on_a_cookie_from_before_a_renewal_changes_nothing() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    let old = jar.clone();
    app.request(&mut jar, Session::renew).await;
    let mut visitor = app.load(&old).await;
    visitor.authenticated(Proof::new("mfa").level(2));
    assert!(visitor.commit().await.is_err(), "it reads as nobody's session");
    // A login there carries its own proof.
    let mut visitor = app.load(&old).await;
    visitor.user = Some(ADA);
    visitor.authenticated(Proof::new("mfa").level(2));
    let jar = Jar::of(&visitor.commit().await.unwrap());
    assert_eq!(app.load(&jar).await.authentication().unwrap().level, 2);
    assert_eq!(app.list(ADA).await.len(), 2);
}

#[tokio::test]
async fn a_step_up_that_revoke_all_overtakes_ends_the_session() {
    let app = App::new();
    let jar = app.logged_in(ADA).await;
    let mut visitor = app.load(&jar).await;
    assert_eq!(app.store.revoke_all::<Visitor>(ADA).await.unwrap(), 1);
    visitor.authenticated(Proof::new("mfa").level(2));
    assert!(visitor.commit().await.is_err());
    assert_eq!(app.list(ADA).await, []);
}

#[tokio::test]
async fn a_clock_that_is_behind_does_not_ask_again() {
    let clock = ManualClock::default();
    let memory = MemoryProvider::new();
    let behind = ManualClock::new(clock.now() - 5 * MINUTE);
    let store =
        |clock: &ManualClock| Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
    let mut visitor = store(&clock).load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = Some(ADA);
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let there = store(&behind).load::<Visitor>(jar.headers()).await.unwrap();
    assert!(there.authenticated_within(Duration::ZERO));
}

#[tokio::test]
async fn acting_as_another_stays_the_acting_persons_session() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    let own = app.logged_in(BOB).await;
    let old = jar.clone();
    app.request(&mut jar, |visitor| visitor.act_as(BOB)).await;
    assert!(app.load(&old).await.is_new(), "it renews");
    let visitor = app.load(&jar).await;
    assert_eq!((visitor.owner(), visitor.acting_as().as_deref()), (Some("1"), Some("2")));
    assert_eq!(app.list(ADA).await[0].acting_as.as_deref(), Some("2"));
    assert_eq!(app.list(BOB).await.len(), 1, "the other's list does not show it");
    assert_eq!(app.list(BOB).await[0].acting_as, None);
    // A write, a step-up and a renewal go on with it.
    app.request(&mut jar, |visitor| visitor.count = 1).await;
    app.request(&mut jar, |visitor| visitor.authenticated(Proof::new("pwd"))).await;
    assert_eq!(app.load(&jar).await.acting_as().as_deref(), Some("2"));
    // Back without a login.
    let old = jar.clone();
    app.request(&mut jar, Session::act_as_oneself).await;
    assert!(app.load(&old).await.is_new());
    assert_eq!(app.load(&jar).await.acting_as(), None);
    // A login ends it, too, and so does the acting person's "log out everywhere".
    app.request(&mut jar, |visitor| visitor.act_as(BOB)).await;
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| visitor.log_in(attempt)).await;
    assert_eq!(app.load(&jar).await.acting_as(), None);
    app.request(&mut jar, |visitor| visitor.act_as(BOB)).await;
    assert_eq!(app.store.revoke_all::<Visitor>(ADA).await.unwrap(), 1);
    assert!(app.load(&jar).await.is_new());
    assert!(!app.load(&own).await.is_new());
}

#[tokio::test]
async fn acting_as_somebody_does_not_count_for_their_limit() {
    let app = App::with(|builder| builder.max_sessions_per_owner(1));
    let mut jar = app.logged_in(ADA).await;
    app.request(&mut jar, |visitor| visitor.act_as(BOB)).await;
    let own = app.logged_in(BOB).await;
    assert_eq!(app.load(&jar).await.acting_as().as_deref(), Some("2"));
    assert_eq!(app.load(&own).await.owner(), Some("2"));
    // The acting person's own next login does.
    let next = app.logged_in(ADA).await;
    assert!(app.load(&jar).await.is_new());
    assert!(!app.load(&next).await.is_new());
}

#[tokio::test]
async fn an_owner_may_be_named_by_nothing() {
    let app = App::new();
    let mut guest = app.store.load::<Guest>(&HeaderMap::new()).await.unwrap();
    guest.name = Some("ada".to_owned());
    guest.act_as("");
    let jar = Jar::of(&guest.commit().await.unwrap());
    let guest = app.store.load::<Guest>(jar.headers()).await.unwrap();
    assert_eq!(guest.acting_as().as_deref(), Some(""));
}

#[tokio::test]
async fn a_client_side_session_knows_its_owner_too() {
    let app = App::with(|builder| builder.client_side().danger_plain_keys());
    let mut jar = app.logged_in(ADA).await;
    assert_eq!(app.load(&jar).await.authentication().unwrap().level, 1);
    app.clock.advance(MINUTE);
    app.request(&mut jar, |visitor| visitor.authenticated(Proof::new("mfa").level(2))).await;
    assert_eq!(app.load(&jar).await.authentication().unwrap().level, 2);
    // The cookie from before would go on unlocked, or acting.
    for ask in [Session::lock as fn(&mut Session<Visitor>), |visitor| visitor.act_as(BOB)] {
        let mut visitor = app.load(&jar).await;
        ask(&mut visitor);
        let error = visitor.commit().await.unwrap_err().into_error();
        assert!(matches!(&error, Error::Misuse(text) if text.contains("lock()")), "{error}");
    }
}

#[tokio::test]
async fn revoke_credential_ends_what_it_opened_and_what_was_last_used_with_it() {
    let app = App::new();
    let with = async |credential: &str| {
        let mut jar = Jar::new();
        app.request(&mut jar, |visitor| {
            visitor.user = Some(ADA);
            visitor.authenticated(Proof::new("hwk").credential(credential));
        })
        .await;
        jar
    };
    let (lost, other, mut stepped, plain) =
        (with("lost").await, with("other").await, with("lost").await, app.logged_in(ADA).await);
    // Opened with the lost one, and gone on with another.
    app.request(&mut stepped, |visitor| {
        visitor.authenticated(Proof::new("hwk").credential("other"));
    })
    .await;
    // The reverse.
    let mut reverse = with("other").await;
    app.request(&mut reverse, |visitor| {
        visitor.authenticated(Proof::new("hwk").credential("lost"));
    })
    .await;
    assert_eq!(app.store.revoke_credential::<Visitor>(BOB, "lost").await.unwrap(), 0);
    assert_eq!(app.store.revoke_credential::<Visitor>(ADA, "lost").await.unwrap(), 3);
    for (jar, ended) in
        [(&lost, true), (&stepped, true), (&reverse, true), (&other, false), (&plain, false)]
    {
        assert_eq!(app.load(jar).await.is_new(), ended);
    }
}

#[tokio::test]
async fn a_login_with_a_revoked_credential_is_undone_and_no_other() {
    let app = App::new();
    let login = async |credential: Option<&str>, attempt: bool| {
        let attempt = match attempt {
            true => Some(app.store.begin_login::<Visitor>(ADA).await.unwrap()),
            false => None,
        };
        let mut visitor = app.load(&Jar::new()).await;
        app.clock.advance(Duration::from_secs(1));
        app.store.revoke_credential::<Visitor>(ADA, "lost").await.unwrap();
        app.clock.advance(Duration::from_secs(1));
        visitor.user = Some(ADA);
        if let Some(credential) = credential {
            visitor.authenticated(Proof::new("hwk").credential(credential));
        }
        if let Some(attempt) = attempt {
            visitor.log_in(attempt);
        }
        match visitor.commit().await {
            Ok(_) => true,
            Err(error) => {
                assert!(matches!(error.error(), Error::LoginUndone), "{error}");
                false
            }
        }
    };
    for attempt in [false, true] {
        assert!(!login(Some("lost"), attempt).await);
        assert!(login(Some("other"), attempt).await);
        assert!(login(None, attempt).await);
    }
    assert_eq!(app.list(ADA).await.len(), 4);
    // Begun after it, a login stands: the app has let the credential in again.
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    let mut visitor = app.load(&Jar::new()).await;
    visitor.user = Some(ADA);
    visitor.authenticated(Proof::new("hwk").credential("lost"));
    visitor.log_in(attempt);
    let _ = visitor.commit().await.unwrap();
}

#[tokio::test]
async fn a_return_path_stays_on_the_site_and_with_the_store() {
    let app = App::new();
    let jar = app.logged_in(ADA).await;
    app.clock.advance(DAY);
    let visitor = app.load(&jar).await;
    let asked = async |path: Option<&str>| {
        let error = visitor.require_authentication(MINUTE, path).await.unwrap_err();
        assert!(error.is_not_authenticated());
        error.return_path().map(str::to_owned)
    };
    let sealed = asked(Some("/keys?tab=2")).await.unwrap();
    assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(app.store.open_return_path(&sealed).await.unwrap(), "/keys?tab=2");
    let long = format!("/{}", "a".repeat(2_000));
    for path in ["//evil.example", "https://evil.example/", "/\\evil.example", "", &long] {
        assert_eq!(asked(Some(path)).await, None, "{path}");
        let error = app.store.seal_return_path(path).await.unwrap_err();
        assert!(matches!(error, Error::Misuse(_)));
    }
    assert_eq!(asked(None).await, None);
    // A token of the app's own, or another store's.
    let own = sessions::codec::Purpose::new("return path");
    let own = app.store.codec().seal(&own, b"/x").await.unwrap();
    for text in [own, "/keys".to_owned(), String::new(), "x".repeat(9_000)] {
        let error = app.store.open_return_path(&text).await.unwrap_err();
        assert!(matches!(error, Error::InvalidToken), "{error}");
    }
    let error = App::new().store.open_return_path(&sealed).await.unwrap_err();
    assert!(!matches!(error, Error::Misuse(_)));
    visitor.require_authentication(2 * DAY, None).await.unwrap();
}

#[tokio::test]
async fn an_outage_in_a_step_up_ends_nobodys_session() {
    let faults = Faults::default();
    let provider = std::sync::Arc::new(Hooked::new(MemoryProvider::new(), faults.clone()));
    let clock = ManualClock::default();
    for fault in [
        Fault::Lost(Call::Save, 1),
        Fault::Lost(Call::Save, 3),
        Fault::LostThenDown(Call::Save),
        Fault::Next(3),
    ] {
        let store = Store::builder(provider.clone()).clock(clock.clone()).build().unwrap();
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(ADA);
        let mut jar = Jar::of(&visitor.commit().await.unwrap());
        let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
        visitor.authenticated(Proof::new("hwk").level(2).credential("key"));
        faults.set(fault);
        match visitor.commit().await {
            Ok(commit) => jar.keep(&commit),
            Err(error) => jar.keep_error(&error),
        };
        faults.heal();
        drop(visitor);
        store.shutdown().await;
        let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
        assert_eq!(visitor.owner(), Some("1"), "{fault:?}");
        let items = store.list::<Visitor>(ADA, Page::first(9)).await.unwrap().items;
        assert_eq!(items.len(), 1, "{fault:?}");
        assert_eq!(store.revoke_all::<Visitor>(ADA).await.unwrap(), 1);
        clock.advance(MINUTE);
    }
}

#[tokio::test]
async fn a_step_up_beside_the_end_of_the_others_stays() {
    let app = App::new();
    let (mut jar, other) = (app.logged_in(ADA).await, app.logged_in(ADA).await);
    let mut visitor = app.load(&jar).await;
    visitor.authenticated(Proof::new("pwd").credential("key"));
    assert_eq!(app.store.revoke_others(&visitor).await.unwrap(), 1);
    jar.keep(&visitor.commit().await.unwrap());
    assert!(app.load(&jar).await.authenticated_within(MINUTE));
    assert!(app.load(&other).await.is_new());
}

#[tokio::test]
async fn a_step_up_with_a_credential_that_is_revoked_meanwhile_ends() {
    let app = App::new();
    for (credential, ends) in [("lost", true), ("other", false)] {
        let mut jar = app.logged_in(ADA).await;
        let mut visitor = app.load(&jar).await;
        visitor.authenticated(Proof::new("hwk").credential(credential));
        app.store.revoke_credential::<Visitor>(ADA, "lost").await.unwrap();
        match visitor.commit().await {
            Ok(commit) => {
                jar.keep(&commit);
                assert!(!ends && !app.load(&jar).await.is_new());
            }
            Err(error) => assert!(ends && matches!(error.error(), Error::LoginUndone), "{error}"),
        }
        app.clock.advance(DAY);
    }
    assert_eq!(app.list(ADA).await.len(), 1);
}

#[tokio::test]
async fn a_login_ends_what_the_last_one_set_whatever_its_proof() {
    let app = App::new();
    let mut jar = app.logged_in(ADA).await;
    app.request(&mut jar, |visitor| {
        visitor.act_as(BOB);
        visitor.set_label("phone");
        visitor.remember(60 * DAY);
    })
    .await;
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| {
        visitor.log_in(attempt);
        visitor.authenticated(Proof::new("mfa").level(2).credential("key"));
    })
    .await;
    let visitor = app.load(&jar).await;
    assert_eq!((visitor.acting_as(), visitor.label()), (None, None));
    assert_eq!(app.store.revoke_credential::<Visitor>(ADA, "key").await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_cookie_from_before_a_renewal_asks_for_is_never_ok() {
    let app = App::new();
    for ask in [
        Session::lock as fn(&mut Session<Visitor>),
        |visitor| visitor.set_label("phone"),
        |visitor| visitor.remember(DAY),
    ] {
        let mut jar = app.logged_in(ADA).await;
        let old = jar.clone();
        app.request(&mut jar, Session::renew).await;
        let mut visitor = app.load(&old).await;
        ask(&mut visitor);
        assert!(
            matches!(visitor.commit().await, Err(error) if matches!(error.error(), Error::Gone))
        );
    }
}

#[tokio::test]
async fn a_proof_of_a_clock_far_ahead_is_none() {
    let clock = ManualClock::default();
    let memory = MemoryProvider::new();
    for (ahead, fresh) in [(10 * MINUTE, true), (10 * MINUTE + Duration::from_millis(1), false)] {
        let host =
            |clock: ManualClock| Store::builder(memory.clone()).clock(clock).build().unwrap();
        let there = host(ManualClock::new(clock.now() + ahead));
        let mut visitor = there.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(ADA);
        let jar = Jar::of(&visitor.commit().await.unwrap());
        let here = host(clock.clone()).load::<Visitor>(jar.headers()).await.unwrap();
        assert_eq!(here.authenticated_within(DAY), fresh, "{ahead:?}");
    }
}

#[tokio::test]
async fn the_person_acted_for_has_a_short_name() {
    let app = App::new();
    let mut guest = app.store.load::<Guest>(&HeaderMap::new()).await.unwrap();
    guest.name = Some("ada".to_owned());
    guest.act_as("x".repeat(256));
    let error = guest.commit().await.unwrap_err().into_error();
    assert!(matches!(&error, Error::Encode { field, .. } if field == "acting_as"), "{error}");
}

/// As a build sees `act_as` that does not know it: an extra of an odd number is critical.
#[tokio::test]
async fn a_build_that_does_not_know_a_critical_extra_reads_no_such_session() {
    let memory = MemoryProvider::new();
    let clock = ManualClock::default();
    let store = Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = Some(ADA);
    visitor.act_as(BOB);
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let key = visitor.key().unwrap().as_str();
    let mut record = memory.fetch(key, clock.now()).await.unwrap().unwrap();
    // The key 7 and the text "2": now the key 23.
    let mut data = record.data.to_vec();
    let at = data.windows(3).position(|bytes| bytes == [0x07, 0x61, b'2']).unwrap();
    data[at] = 0x17;
    record.data = data.into();
    record.version += 1;
    memory.save(&record, Expect::Any, clock.now()).await.unwrap();
    let error = store.load::<Visitor>(jar.headers()).await.err().unwrap();
    assert!(matches!(error, Error::NewerSchema { .. }), "{error}");
    let stays = memory.fetch(key, clock.now()).await.unwrap().unwrap();
    assert_eq!(stays.data, record.data, "neither overwritten nor deleted");
}
