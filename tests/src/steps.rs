//! A login on a real database whose server is killed at each step of it: what must hold whichever
//! database it is.

use std::sync::{Arc, Mutex, PoisonError};

use sessions::provider::{Page, Provider, ProviderError, async_trait};
use sessions::{Session, Store};

use crate::hooked::{Call, Hook, Hooked};
use crate::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "owner")]
    role: u8,
    #[session(merge = add)]
    points: u64,
    cart: Vec<String>,
}

/// When the server is killed: so many calls later, before that call or after it took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    calls: u32,
    after: bool,
}

/// Kills the server at one step.
#[derive(Clone)]
struct Killer {
    step: Arc<Mutex<Option<Step>>>,
    kill: Arc<dyn Fn() + Send + Sync>,
}

impl Killer {
    fn reach(&self, after: bool) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *step {
            Some(Step { calls: 1, after: at }) if *at == after => {
                *step = None;
                (self.kill)();
            }
            Some(Step { calls, .. }) if after => *calls = calls.saturating_sub(1).max(1),
            _ => {}
        }
    }
}

#[async_trait]
impl Hook for Killer {
    async fn before(&self, _: Call, _: &str) -> Result<(), ProviderError> {
        self.reach(false);
        Ok(())
    }

    async fn after(&self, _: Call, _: &str, _: bool) -> Result<(), ProviderError> {
        self.reach(true);
        Ok(())
    }
}

/// What becomes of the request whose server was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The app calls `commit()` again on the same handle.
    CommitAgain,
    /// The request fails, and the browser sends it again with the cookie that it has.
    SendAgain,
    /// The app's process dies too: nothing that it knew is left.
    Die,
}

/// Logs in and changes a role, with the server killed at each step.
///
/// # Panics
/// When anything is lost: a session that was there, a login that was answered, or a list that
/// shows a session which no browser has, but for the one that a dying process may leave behind.
pub async fn logins_survive_a_killed_server(
    provider: impl Provider + Clone,
    kill: impl Fn() + Send + Sync + 'static,
    run: impl Fn(),
) {
    let kill = Arc::new(kill);
    let mut user = 0;
    for then in [Then::CommitAgain, Then::SendAgain, Then::Die] {
        for calls in 1..=2 {
            for after in [false, true] {
                user += 1;
                let killer = Killer { step: Arc::default(), kill: kill.clone() };
                let store = Store::new(Hooked::new(provider.clone(), killer.clone()));
                let case = (then, Step { calls, after });
                let jar = login(&store, &killer, &run, case, user).await;
                change_role(&store, &killer, &run, case, jar).await;
            }
        }
    }
}

async fn login(
    store: &Store,
    killer: &Killer,
    run: &impl Fn(),
    case: (Then, Step),
    user: u64,
) -> Jar {
    let (then, step) = case;
    let mut old = Jar::new();
    let mut visitor = store.load::<Visitor>(old.headers()).await.expect("the server is up");
    visitor.points = 100;
    visitor.cart.push("tea".to_owned());
    assert!(old.keep(&visitor.commit().await.expect("the server is up")));

    let mut visitor = store.load::<Visitor>(old.headers()).await.expect("the server is up");
    visitor.user = Some(user);
    *killer.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    let first = visitor.commit().await;
    *killer.step.lock().unwrap_or_else(PoisonError::into_inner) = None;
    run();
    let mut jar = old.clone();
    match (first, then) {
        (Ok(commit), _) => assert!(jar.keep(&commit), "{case:?}"),
        (Err(error), _) if !error.error().is_unavailable() => panic!("{case:?}: {error}"),
        (Err(error), Then::CommitAgain) => {
            assert!(error.set_cookie().is_none(), "{case:?}: a login that failed sets no cookie");
            assert!(jar.keep(&again(&mut visitor).await), "{case:?}");
        }
        (Err(_), Then::SendAgain) => {
            drop(visitor);
            log_in_again(store, &mut jar, user).await;
        }
        (Err(_), Then::Die) => {
            // Nothing of it runs any more.
            std::mem::forget(visitor);
            log_in_again(store, &mut jar, user).await;
        }
    }
    let visitor = loaded(store, &jar).await;
    assert_eq!(visitor.user, Some(user), "{case:?}");
    drop(visitor);
    // What goes on in the background comes to an end.
    let listed = settled(store, user, if then == Then::Die { 2 } else { 1 }).await;
    assert!(listed, "{case:?}: a session that no browser has stands in its owner's list");
    jar
}

/// A change of role renews the session of the same owner: it goes on, whatever happens.
async fn change_role(
    store: &Store,
    killer: &Killer,
    run: &impl Fn(),
    case: (Then, Step),
    mut jar: Jar,
) {
    let (then, step) = case;
    let mut visitor = loaded(store, &jar).await;
    let (user, points) = (visitor.user, visitor.points);
    visitor.role = 2;
    *killer.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    let first = visitor.commit().await;
    *killer.step.lock().unwrap_or_else(PoisonError::into_inner) = None;
    run();
    match (first, then) {
        (Ok(commit), _) => assert!(jar.keep(&commit), "{case:?}"),
        (Err(error), _) if !error.error().is_unavailable() => panic!("{case:?}: {error}"),
        (Err(_), Then::CommitAgain) => assert!(jar.keep(&again(&mut visitor).await), "{case:?}"),
        (Err(error), Then::SendAgain) => {
            jar.keep_error(&error);
        }
        // The one exception: a process that dies between a renewal's save and its answer.
        (Err(_), Then::Die) => return,
    }
    drop(visitor);
    let visitor = loaded(store, &jar).await;
    assert_eq!((visitor.user, visitor.points), (user, points), "{case:?}: the session goes on");
}

/// Commits until the server answers again.
async fn again(visitor: &mut Session<Visitor>) -> sessions::commit::Commit {
    for _ in 0..TRIES {
        match visitor.commit().await {
            Ok(commit) => return commit,
            Err(error) => assert!(error.error().is_unavailable(), "{error}"),
        }
    }
    panic!("the server has not answered after {TRIES} commits")
}

async fn log_in_again(store: &Store, jar: &mut Jar, user: u64) {
    let mut visitor = loaded(store, jar).await;
    visitor.user = Some(user);
    assert!(jar.keep(&again(&mut visitor).await));
}

async fn loaded(store: &Store, jar: &Jar) -> Session<Visitor> {
    for _ in 0..10 * TRIES {
        match store.load::<Visitor>(jar.headers()).await {
            Ok(visitor) => return visitor,
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the server does not answer")
}

/// Whether the owner's list comes to show at most so many sessions.
async fn settled(store: &Store, user: u64, most: usize) -> bool {
    for _ in 0..10 * TRIES {
        if let Ok(page) = store.list::<Visitor>(user, Page::first(9)).await
            && page.items.len() <= most
        {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    false
}

const TRIES: u32 = 60;
