//! Log out everywhere, the cap, and hosts whose clocks differ.

use super::*;

#[tokio::test]
async fn revoke_asks_whose_session_it_is_and_no_key_names_a_fence() {
    let life = Life::new();
    let (jar, key) = life.member().await;
    assert!(!life.store.revoke::<Visitor>(8, &key).await.unwrap());
    assert!(life.store.update::<Visitor, _>(Some(8), &key, |_| {}).await.unwrap().is_none());
    assert!(life.store.update::<Visitor, _>(None::<u64>, &key, |_| {}).await.unwrap().is_none());
    assert_eq!(life.load(&jar).await.user, Some(USER));
    assert!(life.store.revoke::<Visitor>(USER, &key).await.unwrap());
    assert!(!life.store.revoke::<Visitor>(USER, &key).await.unwrap());
    let (_, anonymous) = life.visitor().await;
    assert!(
        life.store.update::<Visitor, _>(None::<u64>, &anonymous, |_| {}).await.unwrap().is_some()
    );
    // What a fence is filed under is no store key.
    life.store.revoke_all::<Visitor>(USER).await.unwrap();
    let fences = fence_ids(&life).await;
    assert!(fences.iter().all(|id| id.parse::<StoreKey>().is_err()), "{fences:?}");
}

/// The ids of what the store saves for `revoke_all`.
async fn fence_ids(life: &Life) -> Vec<String> {
    let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let store = Store::new(Hooked::new(life.memory.clone(), Spy(ids.clone())));
    store.revoke_all::<Visitor>(USER).await.unwrap();
    let ids = ids.lock().unwrap();
    assert!(!ids.is_empty());
    ids.clone()
}

/// Notes the ids of what is saved.
struct Spy(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

#[sessions::provider::async_trait]
impl Hook for Spy {
    async fn before(&self, call: Call, id: &str) -> Result<(), sessions::provider::ProviderError> {
        if call == Call::Save {
            self.0.lock().unwrap().push(id.to_owned());
        }
        Ok(())
    }
}

#[tokio::test]
async fn with_begin_login_revoke_all_undoes_what_began_before_whatever_the_clocks_say() {
    for skew in [-600, -5, 0, 5, 90, 300, 600] {
        for before in [true, false] {
            let life = Life::new();
            let (old, _) = life.visitor().await;
            let (other, _) = life.host(skew);
            let begin = async || life.store.begin_login::<Visitor>(USER).await.unwrap();
            let attempt = if before { Some(begin().await) } else { None };
            other.revoke_all::<Visitor>(USER).await.unwrap();
            life.clock.advance(SECOND);
            let attempt = match attempt {
                Some(attempt) => attempt,
                None => begin().await,
            };
            let mut visitor = life.load(&old).await;
            visitor.user = Some(USER);
            visitor.log_in(attempt);
            let result = visitor.commit().await;
            assert_eq!(is_undone(&result), before, "{skew} s: {result:?}");
            assert_eq!(life.listed().await.len(), usize::from(!before));
        }
    }
}

#[tokio::test]
async fn without_begin_login_the_clocks_decide() {
    for skew in [-5, 0, 5] {
        let life = Life::new();
        let (old, _) = life.visitor().await;
        let (other, clock) = life.host(skew);
        let mut visitor = life.load(&old).await;
        visitor.user = Some(USER);
        // The request takes longer than the clocks differ.
        life.clock.advance(10 * SECOND);
        clock.advance(10 * SECOND);
        other.revoke_all::<Visitor>(USER).await.unwrap();
        let result = visitor.commit().await;
        assert!(is_undone(&result), "an error that the app sees: {skew}");
        assert!(life.listed().await.is_empty());
    }
}

#[tokio::test]
async fn a_fence_from_far_ahead_counts_as_raised_now_and_stops_nobody_for_long() {
    let life = Life::new();
    let (other, _) = life.host(24 * 60 * 60);
    other.revoke_all::<Visitor>(USER).await.unwrap();
    let (mut jar, _) = life.visitor().await;
    assert!(is_undone(&log_in(&life.store, &mut jar).await));
    life.clock.advance(SECOND);
    let (mut jar, _) = life.visitor().await;
    life.clock.advance(SECOND);
    log_in(&life.store, &mut jar).await.unwrap();
}

#[tokio::test]
async fn an_attempt_is_refused_for_another_owner_and_after_half_an_hour() {
    let life = Life::new();
    let (jar, _) = life.visitor().await;
    let attempt = life.store.begin_login::<Visitor>(8).await.unwrap();
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    visitor.log_in(attempt);
    let refused = visitor.commit().await.unwrap_err();
    assert!(matches!(refused.error(), Error::Misuse(text) if text.contains("begin_login()")));

    let attempt = life.store.begin_login::<Visitor>(USER).await.unwrap();
    let attempt = serde_json::to_string(&attempt).unwrap();
    life.clock.advance(30 * MINUTE + SECOND);
    let attempt: LoginAttempt = serde_json::from_str(&attempt).unwrap();
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    visitor.log_in(attempt);
    assert!(is_undone(&visitor.commit().await));
    assert!(life.listed().await.is_empty());
}

#[tokio::test]
async fn revoke_all_spares_what_began_with_its_own_mark_and_revoke_others_its_own() {
    let life = Life::new();
    let (jar, _) = life.member().await;
    let (_, _) = life.member().await;
    let visitor = life.load(&jar).await;
    assert_eq!(life.store.revoke_others(&visitor).await.unwrap(), 1);
    assert_eq!(life.load(&jar).await.user, Some(USER));
    assert_eq!(life.listed().await.len(), 1);
    let nobody = life.load(&Jar::new()).await;
    assert_eq!(life.store.revoke_others(&nobody).await.unwrap(), 0);
    assert_eq!(life.store.revoke_all::<Visitor>(USER).await.unwrap(), 1);
}

/// What another host does once a call of one kind has taken place.
#[derive(Clone)]
struct Meanwhile(Call, std::sync::Arc<std::sync::Mutex<Option<Other>>>);

type Other = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Meanwhile {
    fn new(call: Call) -> Self {
        Self(call, std::sync::Arc::default())
    }

    fn set(&self, other: impl Future<Output = ()> + Send + 'static) {
        *self.1.lock().unwrap() = Some(Box::pin(other));
    }
}

#[sessions::provider::async_trait]
impl Hook for Meanwhile {
    async fn after(
        &self,
        call: Call,
        _: &str,
        _: bool,
    ) -> Result<(), sessions::provider::ProviderError> {
        let other = if call == self.0 { self.1.lock().unwrap().take() } else { None };
        if let Some(other) = other {
            other.await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_login_that_begins_while_revoke_all_is_under_way_stands() {
    let (memory, meanwhile) = (MemoryProvider::new(), Meanwhile::new(Call::Save));
    let other = Store::new(memory.clone());
    let store = Store::new(Hooked::new(memory, meanwhile.clone()));
    log_in(&other, &mut Jar::new()).await.unwrap();
    let host = other.clone();
    // The fence has been raised, nothing is listed yet.
    meanwhile.set(async move {
        let attempt = host.begin_login::<Visitor>(USER).await.unwrap();
        let mut visitor = host.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(USER);
        visitor.log_in(attempt);
        let _ = visitor.commit().await.unwrap();
    });
    assert_eq!(store.revoke_all::<Visitor>(USER).await.unwrap(), 1);
    let left = other.list::<Visitor>(USER, Page::first(9)).await.unwrap().items;
    assert_eq!(left.len(), 1, "the one that began after it");
}

#[tokio::test]
async fn an_update_takes_back_no_expiry_that_a_touch_moved_meanwhile_and_is_no_activity() {
    let (memory, meanwhile) = (MemoryProvider::new(), Meanwhile::new(Call::Fetch));
    let clock = ManualClock::default();
    let host = |builder: StoreBuilder| builder.clock(clock.clone()).build().unwrap();
    let other = host(Store::builder(memory.clone()));
    let store = host(Store::builder(Hooked::new(memory, meanwhile.clone())));
    let mut jar = Jar::new();
    let mut visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.points = 1;
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    let key = visitor.key().unwrap().clone();
    let expires_at = visitor.expires_at();

    clock.advance(5 * 60 * MINUTE);
    let add = |visitor: &mut Visitor| visitor.points += 1;
    store.update_any::<Visitor, _>(&key, add).await.unwrap().unwrap();
    let visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.points, visitor.expires_at()), (2, expires_at), "no activity");

    meanwhile.set({
        let other = other.clone();
        let jar = jar.clone();
        async move {
            let mut visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
            let _ = visitor.commit().await.unwrap();
        }
    });
    store.update_any::<Visitor, _>(&key, add).await.unwrap().unwrap();
    let visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(visitor.points, 3);
    assert_eq!(visitor.expires_at(), expires_at.map(|at| at + 5 * 60 * MINUTE), "the touch holds");
}

/// The handler answers while a task still saves the login that it was given.
#[tokio::test]
async fn a_save_that_is_overtaken_by_the_end_of_its_request_still_sets_its_cookie() {
    use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

    let (memory, gate) = (MemoryProvider::new(), Gate::new(Call::Save));
    let store = Store::new(Hooked::new(memory, gate.clone()));
    let handler = service_fn(async |request: http::Request<()>| {
        let sessions =
            request.extensions().get::<sessions::request::RequestSessions>().unwrap().clone();
        let mut visitor = sessions.load::<Visitor>(request.headers()).await.unwrap();
        visitor.user = Some(USER);
        let (begun, begins) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut save = std::pin::pin!(visitor.save());
            {
                let waker = std::task::Waker::noop();
                let mut context = std::task::Context::from_waker(waker);
                assert!(save.as_mut().poll(&mut context).is_pending());
            }
            begun.send(()).unwrap();
            save.await.unwrap();
        });
        begins.await.unwrap();
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let mut service = sessions::axum::SessionLayer::new(store.clone()).layer(handler);
    gate.close();
    let response = service.ready().await.unwrap().call(http::Request::new(()));
    let opened = async {
        gate.arrived(1).await;
        tokio::task::yield_now().await;
        gate.open();
    };
    let (response, ()) = tokio::join!(response, opened);
    let response = response.unwrap();
    let cookie = response.headers()[http::header::SET_COOKIE].to_str().unwrap();
    let pair = cookie.split(';').next().unwrap();
    let headers = HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())]);
    assert_eq!(store.load::<Visitor>(&headers).await.unwrap().user, Some(USER));
}

#[tokio::test]
async fn a_login_restarts_the_lifetime_and_a_renewal_does_not() {
    let life = Life::new();
    let (mut jar, _) = life.visitor().await;
    life.clock.advance(20 * MINUTE);
    log_in(&life.store, &mut jar).await.unwrap();
    let began = life.clock.now();
    assert_eq!(life.load(&jar).await.created_at(), Some(began));
    life.clock.advance(20 * MINUTE);
    let mut visitor = life.load(&jar).await;
    visitor.renew();
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    assert_eq!(life.load(&jar).await.created_at(), Some(began));
}

#[tokio::test]
async fn a_change_of_role_beside_a_login_ends_no_device_under_the_cap() {
    let life = Life::with(|builder| builder.max_sessions_per_owner(2));
    let (phone, _) = life.member().await;
    let (mut laptop, _) = life.visitor().await;
    let (mut promoted, mut login) = (life.load(&phone).await, life.load(&laptop).await);
    promoted.role = 1;
    login.user = Some(USER);
    let mut phone = phone;
    let (one, two) = tokio::join!(promoted.commit(), login.commit());
    assert!(phone.keep(&one.unwrap()) && laptop.keep(&two.unwrap()));
    assert_eq!(life.load(&phone).await.user, Some(USER));
    assert_eq!(life.load(&laptop).await.user, Some(USER));
}

#[tokio::test(start_paused = true)]
async fn the_cap_holds_where_the_answer_to_a_login_was_lost() {
    let life = Life::with(|builder| builder.max_sessions_per_owner(3));
    for number in 1..6 {
        let mut jar = Jar::new();
        life.faults.set(Fault::Lost(Call::Save, 1));
        log_in(&life.store, &mut jar).await.unwrap();
        assert_eq!(life.listed().await.len(), number.min(3));
        assert_eq!(life.load(&jar).await.user, Some(USER));
    }
}

#[tokio::test]
async fn the_cap_ends_the_oldest_login_whatever_the_hosts_clocks_say() {
    let life = Life::new();
    let mut jars = Vec::new();
    for skew in [0, -300, 300, -600, 600] {
        let (_, clock) = life.host(skew);
        let store = Store::builder(life.memory.clone()).clock(clock);
        let store = store.max_sessions_per_owner(2).build().unwrap();
        let mut jar = Jar::new();
        log_in(&store, &mut jar).await.unwrap();
        jars.push(jar);
    }
    assert_eq!(life.listed().await.len(), 2);
    for (at, jar) in jars.iter().enumerate() {
        assert_eq!(life.load(jar).await.user.is_some(), at >= 3, "login {at}");
    }
}
