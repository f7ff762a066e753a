//! A new owner never reads what was stored for the last one: not what an old build between them
//! did not know, and not what somebody saved while the owner changed.

use http::HeaderMap;
use sessions::provider::Provider as _;
use sessions::{
    Error, MemoryProvider, Session, Store, StoreKey,
    clock::{Clock as _, ManualClock},
    commit::Outcome,
};
use sessions_tests::events::Events;
use sessions_tests::jar::Jar;
use tracing::Level;

/// The build that is being deployed.
mod new {
    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 2)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        #[session(group = "owner")]
        pub(super) role: String,
        pub(super) cart: Vec<String>,
        #[session(since = 2)]
        pub(super) secrets: Vec<String>,
        #[session(since = 2, merge = add)]
        pub(super) balance: u64,
    }
}

/// The build that it replaces, still running beside it.
mod old {
    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 1)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        #[session(group = "owner")]
        pub(super) role: String,
        pub(super) cart: Vec<String>,
    }
}

const ADA: u64 = 1;
const BOB: u64 = 2;

struct Deploy {
    memory: MemoryProvider,
    clock: ManualClock,
    old: Store,
    new: Store,
    jar: Jar,
}

impl Deploy {
    fn new() -> Self {
        let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
        let store = || Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
        Self { old: store(), new: store(), jar: Jar::new(), memory, clock }
    }

    /// Ada has been here, with the new build.
    async fn with_ada() -> Self {
        let mut deploy = Self::new();
        deploy
            .in_new(|visitor| {
                visitor.user = Some(ADA);
                visitor.role = "admin".to_owned();
                visitor.secrets.push("ada's".to_owned());
                visitor.balance = 100;
            })
            .await;
        deploy
    }

    async fn load_new(&self) -> Session<new::Visitor> {
        self.new.load(self.jar.headers()).await.unwrap()
    }

    async fn load_old(&self) -> Session<old::Visitor> {
        self.old.load(self.jar.headers()).await.unwrap()
    }

    async fn in_new(&mut self, handler: impl FnOnce(&mut new::Visitor)) -> StoreKey {
        let mut session = self.load_new().await;
        handler(&mut session);
        let commit = session.commit().await.unwrap();
        assert_eq!(commit.outcome(), Outcome::Saved);
        self.jar.keep(&commit);
        session.key().unwrap().clone()
    }

    async fn in_old(&mut self, handler: impl FnOnce(&mut old::Visitor)) -> StoreKey {
        let mut session = self.load_old().await;
        handler(&mut session);
        let commit = session.commit().await.unwrap();
        assert_eq!(commit.outcome(), Outcome::Saved);
        self.jar.keep(&commit);
        session.key().unwrap().clone()
    }

    /// What the record holds, whoever reads it.
    async fn holds(&self, key: &StoreKey, text: &str) -> bool {
        let record = self.memory.fetch(key.as_str(), self.clock.now()).await.unwrap().unwrap();
        record.data.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

#[tokio::test]
async fn an_old_build_that_changes_the_owner_drops_what_it_does_not_know() {
    let mut deploy = Deploy::with_ada().await;
    let ada = deploy.load_new().await.key().unwrap().clone();
    assert!(deploy.holds(&ada, "ada's").await);
    let bob = deploy.in_old(|visitor| visitor.user = Some(BOB)).await;
    assert!(!deploy.holds(&bob, "ada's").await, "not even in the database");
    let session = deploy.load_new().await;
    assert_eq!((session.user, session.owner()), (Some(BOB), Some("2")));
    assert_eq!((&session.secrets[..], session.balance), (&[][..], 0));
}

#[tokio::test]
async fn an_old_build_that_logs_out_by_assignment_drops_it_too() {
    let mut deploy = Deploy::with_ada().await;
    let nobody = deploy.in_old(|visitor| visitor.user = None).await;
    assert!(!deploy.holds(&nobody, "ada's").await);
    deploy.in_new(|visitor| visitor.user = Some(BOB)).await;
    let session = deploy.load_new().await;
    assert_eq!((session.user, &session.secrets[..], session.balance), (Some(BOB), &[][..], 0));
}

#[tokio::test]
async fn an_old_build_that_logs_in_drops_what_it_does_not_know_of_the_visitor() {
    let mut deploy = Deploy::new();
    deploy.in_new(|visitor| visitor.secrets.push("whose?".to_owned())).await;
    let ada = deploy.in_old(|visitor| visitor.user = Some(ADA)).await;
    assert!(!deploy.holds(&ada, "whose?").await);
    assert_eq!(deploy.load_new().await.secrets, [""; 0]);
}

#[tokio::test]
async fn what_ada_saved_while_the_owner_changed_is_not_merged_into_bobs_session() {
    for from_old in [true, false] {
        let mut deploy = Deploy::with_ada().await;
        let before = deploy.jar.clone();
        let (mut from_old_build, mut from_new_build) =
            (deploy.load_old().await, deploy.load_new().await);
        // Ada's other tab, in the meantime.
        deploy
            .in_new(|visitor| {
                visitor.secrets.push("ada's last".to_owned());
                visitor.cart.push("ada's tea".to_owned());
                visitor.balance += 50;
            })
            .await;
        let (commit, bob) = if from_old {
            from_old_build.user = Some(BOB);
            let commit = from_old_build.commit().await.unwrap();
            (commit, from_old_build.key().unwrap().clone())
        } else {
            let visitor = &mut *from_new_build;
            *visitor = new::Visitor {
                user: Some(BOB),
                role: String::new(),
                cart: Vec::new(),
                secrets: Vec::new(),
                balance: 0,
            };
            let commit = from_new_build.commit().await.unwrap();
            (commit, from_new_build.key().unwrap().clone())
        };
        deploy.jar.keep(&commit);
        for text in ["ada's", "ada's last", "ada's tea"] {
            assert!(!deploy.holds(&bob, text).await, "{text}, old build: {from_old}");
        }
        let session = deploy.load_new().await;
        assert_eq!((session.user, session.balance), (Some(BOB), 0));
        assert_eq!((&session.secrets[..], &session.cart[..]), (&[][..], &[][..]));

        // And a request of Ada's that was under way reaches neither.
        deploy.jar = before;
        let late = deploy.load_new().await;
        assert!(late.is_new() && late.secrets.is_empty());
    }
}

#[tokio::test]
async fn a_write_of_adas_that_comes_after_the_change_of_owner_is_dropped() {
    let mut deploy = Deploy::with_ada().await;
    let mut slow = deploy.load_new().await;
    let bob = deploy.in_old(|visitor| visitor.user = Some(BOB)).await;
    slow.secrets.push("ada's last".to_owned());
    slow.balance += 50;
    let refused = slow.commit().await.unwrap_err();
    assert!(matches!(refused.error(), Error::Gone) && refused.set_cookie().is_none());
    assert!(!deploy.holds(&bob, "ada's").await);
}

/// What shows that the old build does carry unknown fields along where it may.
#[tokio::test]
async fn an_old_build_that_changes_anything_else_keeps_what_it_does_not_know() {
    let mut deploy = Deploy::with_ada().await;
    deploy.in_old(|visitor| visitor.cart.push("tea".to_owned())).await;
    // In the group of the owner: a new secret, for the same owner.
    deploy.in_old(|visitor| visitor.role = "reader".to_owned()).await;
    let session = deploy.load_new().await;
    assert_eq!((session.user, session.role.as_str()), (Some(ADA), "reader"));
    assert_eq!((&session.secrets[..], session.balance), (&["ada's".to_owned()][..], 100));
    assert_eq!(session.cart, ["tea"]);
}

#[tokio::test]
async fn remember_and_label_are_the_last_owners_too() {
    let mut deploy = Deploy::with_ada().await;
    let mut session = deploy.load_new().await;
    session.set_label("ada's phone");
    session.remember(std::time::Duration::from_secs(80 * 24 * 60 * 60));
    deploy.jar.keep(&session.commit().await.unwrap());
    let listed = async |deploy: &Deploy, user: u64| {
        let page = sessions::provider::Page::first(9);
        deploy.new.list::<new::Visitor>(user, page).await.unwrap().items
    };
    assert_eq!(listed(&deploy, ADA).await[0].label.as_deref(), Some("ada's phone"));
    deploy.in_old(|visitor| visitor.user = Some(BOB)).await;
    assert_eq!(listed(&deploy, ADA).await, []);
    let [bobs] = &listed(&deploy, BOB).await[..] else { panic!("one session") };
    assert_eq!(bobs.label, None);
    // Idle for longer than the store's 7 days.
    deploy.clock.advance(std::time::Duration::from_secs(8 * 24 * 60 * 60));
    assert!(deploy.load_new().await.is_new());
}

#[tokio::test]
async fn nobody_without_a_cookie_reads_anything() {
    let deploy = Deploy::with_ada().await;
    let session = deploy.new.load::<new::Visitor>(&HeaderMap::new()).await.unwrap();
    assert!(session.is_new() && session.secrets.is_empty() && session.user.is_none());
}

/// A build whose owner displays itself otherwise than the one before.
mod renamed {
    use std::fmt;

    #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) struct Account(pub(super) u64);

    impl fmt::Display for Account {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "account {}", self.0)
        }
    }

    #[derive(sessions::Session)]
    #[session(name = "visitor", version = 1)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<Account>,
        #[session(group = "owner")]
        pub(super) role: String,
        pub(super) cart: Vec<String>,
    }
}

#[tokio::test]
async fn who_is_not_who_the_record_is_filed_under_is_logged_out() {
    let deploy = Deploy::with_ada().await;
    let renamed =
        Store::builder(deploy.memory.clone()).clock(deploy.clock.clone()).build().unwrap();
    let events = Events::capture(Level::ERROR);

    // Read as it stands, nobody could ever log Ada out everywhere.
    let mut visitor = renamed.load::<renamed::Visitor>(deploy.jar.headers()).await.unwrap();
    assert_eq!((visitor.user, visitor.owner(), visitor.is_new()), (None, None, true));
    assert!(visitor.cart.is_empty());
    let told = events.take();
    assert!(told.iter().any(|event| event.contains("session.misfiled")), "{told:?}");
    let key = deploy.load_old().await.key().cloned().expect("the build before still reads it");
    let changed = |visitor: &mut renamed::Visitor| visitor.cart.clear();
    let account = renamed::Account(ADA);
    let updated = renamed.update::<renamed::Visitor, _>(Some(account), &key, changed).await;
    assert_eq!(updated.unwrap(), None, "another owner's");
    assert_eq!(renamed.update_any::<renamed::Visitor, _>(&key, changed).await.unwrap(), None);

    // A login begins a session that is filed as this build displays its owner.
    visitor.user = Some(account);
    let mut jar = Jar::new();
    jar.keep(&visitor.commit().await.unwrap());
    let visitor = renamed.load::<renamed::Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.user, visitor.owner()), (Some(account), Some("account 1")));
    assert_eq!(renamed.revoke_all::<renamed::Visitor>(account).await.unwrap(), 1);
}

/// A device's session, which is nobody's until the device is known.
#[derive(sessions::Session)]
#[session(name = "device", version = 1)]
struct Device {
    #[session(owner)]
    serial: String,
    pages: u32,
}

#[tokio::test]
async fn an_owner_that_is_no_option_owns_nothing_before_it_is_assigned() {
    let store = Store::new(MemoryProvider::new());
    let mut jar = Jar::new();
    for (pages, serial) in [(0, ""), (1, ""), (2, "A-17"), (3, "A-17"), (4, ""), (5, "")] {
        let mut device = store.load::<Device>(jar.headers()).await.unwrap();
        let fresh = pages == 4; // A record has at most one owner.
        assert_eq!(device.pages, if fresh { 4 } else { pages });
        device.serial = serial.to_owned();
        device.pages += 1;
        jar.keep(&device.commit().await.unwrap());
    }
}
