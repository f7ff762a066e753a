//! A change is applied once, whoever tries again; failures that are no outage, and outages.

use super::*;

/// Saves whose answers are lost, with the provider down until the commit has given up.
#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_applied_once_whoever_tries_again() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.points += 10;
    visitor.cart.push("milk".to_owned());
    life.faults.set(Fault::LostThenDown(Call::Save));
    assert!(visitor.save().await.unwrap_err().is_unavailable());
    assert!(visitor.save().await.unwrap_err().is_unavailable(), "nothing is sent meanwhile");
    life.faults.set(Fault::None);
    // Another change of the same handle, which is applied too.
    visitor.points += 1;
    assert_eq!(visitor.commit().await.unwrap().outcome(), Outcome::Saved);
    assert_eq!(visitor.commit().await.unwrap().outcome(), Outcome::Unchanged);
    let cart = vec!["tea".to_owned(), "milk".to_owned()];
    assert_eq!(life.stored(&key).await.unwrap(), (111, cart.clone()));
    assert_eq!((visitor.points, visitor.cart.clone()), (111, cart));
}

/// A visitor whose save of ten points lost its answer, before so many saves of a hundred by others.
async fn overtaken_by(saves: usize) -> (Life, StoreKey, Session<Visitor>) {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.points += 10;
    life.faults.set(Fault::LostThenDown(Call::Save));
    assert!(visitor.save().await.unwrap_err().is_unavailable());
    life.faults.set(Fault::None);
    for _ in 0..saves {
        let mut other = life.load(&jar).await;
        other.points += 100;
        let _ = other.commit().await.unwrap();
    }
    (life, key, visitor)
}

#[tokio::test(start_paused = true)]
async fn it_is_applied_once_also_where_others_saved_and_renewed_meanwhile() {
    let (life, key, mut visitor) = overtaken_by(5).await;
    visitor.points += 1;
    visitor.save().await.unwrap();
    assert_eq!(life.stored(&key).await.unwrap().0, 611);
}

#[tokio::test(start_paused = true)]
async fn after_more_than_eight_saves_nobody_can_tell_until_reload() {
    let (life, key, mut visitor) = overtaken_by(9).await;
    for _ in 0..2 {
        assert!(visitor.save().await.unwrap_err().is_unavailable());
    }
    visitor.reload().await.unwrap();
    assert_eq!(visitor.points, 1010);
    visitor.points += 1;
    visitor.save().await.unwrap();
    assert_eq!(life.stored(&key).await.unwrap().0, 1011);
}

#[tokio::test]
async fn a_save_whose_future_was_dropped_is_waited_for() {
    let (memory, gate) = (MemoryProvider::new(), Gate::new(Call::Save));
    let store = Store::new(Hooked::new(memory, gate.clone()));
    let mut jar = Jar::new();
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.points = 100;
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    gate.close();
    visitor.points += 10;
    {
        let mut save = std::pin::pin!(visitor.save());
        let waker = std::task::Waker::noop();
        assert!(save.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    visitor.points += 1;
    gate.open();
    visitor.save().await.unwrap();
    // Whatever still runs in the background ends.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let again = store.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.points, again.points), (111, 111));
}

#[tokio::test(start_paused = true)]
async fn a_new_visitors_login_that_is_redone_leaves_one_session() {
    for fault in [
        Fault::LostThenDown(Call::Save),
        Fault::LostThenNext(Call::Save, 3),
        Fault::Lost(Call::Save, 1),
        Fault::Next(4),
    ] {
        let life = Life::new();
        let mut jar = Jar::new();
        let mut visitor = life.load(&jar).await;
        visitor.user = Some(USER);
        life.faults.set(fault);
        let first = visitor.commit().await;
        life.faults.set(Fault::None);
        let commit = match first {
            Ok(commit) => commit,
            Err(error) => {
                assert!(error.error().is_unavailable() && error.set_cookie().is_none());
                visitor.commit().await.unwrap()
            }
        };
        assert!(jar.keep(&commit), "{fault:?}");
        assert_eq!(life.load(&jar).await.user, Some(USER));
        assert_eq!(life.listed().await.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_given_up_leaves_no_session_without_a_browser() {
    for had in [false, true] {
        for fault in [Fault::LostThenDown(Call::Save), Fault::Down] {
            let life = Life::new();
            let old = if had { life.visitor().await.0 } else { Jar::new() };
            let mut visitor = life.load(&old).await;
            visitor.user = Some(USER);
            life.faults.set(fault);
            let failed = visitor.commit().await;
            assert!(is_down(&failed));
            assert!(failed.unwrap_err().set_cookie().is_none(), "the 503 leaves the cookie alone");
            drop(visitor);
            life.faults.set(Fault::None);
            // The next try works at once.
            let mut jar = old.clone();
            log_in(&life.store, &mut jar).await.unwrap();
            life.store.shutdown().await;
            assert_eq!(life.load(&jar).await.user, Some(USER));
            assert_eq!(life.listed().await.len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_answer_is_lost_while_the_session_is_renewed_is_applied_once() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    let (store, mut jar) = (life.host(0).0, jar);
    // While the update waits for its next try, the visitor renews twice.
    let renewals = async move {
        for _ in 0..2 {
            let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
            visitor.renew();
            jar.keep(&visitor.commit().await.unwrap());
        }
    };
    let add = |visitor: &mut Visitor| visitor.points += 1;
    let (updated, ()) = tokio::join!(life.store.update_any::<Visitor, _>(&key, add), renewals);
    assert!(updated.unwrap().is_some());
    assert_eq!(life.stored(&key).await.unwrap().0, 101);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_took_place_and_was_ended_before_its_answer_came_is_not_begun_again() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    // While the commit waits for its next try, the owner logs out everywhere.
    let store = life.host(0).0;
    let (committed, ended) = tokio::join!(visitor.commit(), store.revoke::<Visitor>(USER, &key));
    assert!(ended.unwrap());
    assert!(is_gone(&committed));
    assert_eq!(life.listed().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_answer_was_lost_is_found_by_its_secret_after_many_saves() {
    let life = Life::new();
    let (mut jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    let store = life.host(0).0;
    // More saves than a record remembers.
    let updates = async {
        for _ in 0..9 {
            let add = |visitor: &mut Visitor| visitor.points += 1;
            assert!(store.update_any::<Visitor, _>(&key, add).await.unwrap().is_some());
        }
    };
    let (committed, ()) = tokio::join!(visitor.commit(), updates);
    assert!(jar.keep(&committed.unwrap()));
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, visitor.points), (Some(USER), 109));
    assert_eq!(life.listed().await, [key]);
}

// Failures that are no outage, and outages.

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_break_no_login_and_no_change_of_role() {
    for calls in 1..=6 {
        for fault in [Fault::Next(calls), Fault::LostThenNext(Call::Save, calls)] {
            let life = Life::new();
            let (mut jar, key) = life.visitor().await;
            let mut visitor = life.load(&jar).await;
            visitor.user = Some(USER);
            life.faults.set(fault);
            assert!(jar.keep(&visitor.commit().await.unwrap()), "{fault:?}");
            let mut visitor = life.load(&jar).await;
            assert_eq!((visitor.user, visitor.points), (Some(USER), 100));
            visitor.role = 2;
            life.faults.set(fault);
            assert!(jar.keep(&visitor.commit().await.unwrap()), "{fault:?}");
            assert_eq!(life.load(&jar).await.role, 2);
            assert_eq!(life.listed().await, [key]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_unknown_outcome_gives_a_cookie_that_opens_either_way() {
    for (fault, taken) in [(Fault::LostThenDown(Call::Save), true), (Fault::Down, false)] {
        let life = Life::new();
        let (mut jar, key) = life.member().await;
        let mut visitor = life.load(&jar).await;
        visitor.role = 2;
        life.faults.set(fault);
        let failed = visitor.commit().await.unwrap_err();
        assert!(failed.error().is_unavailable());
        assert!(jar.keep_error(&failed), "a cookie with both secrets");
        drop(visitor);
        life.faults.set(Fault::None);
        let visitor = life.load(&jar).await;
        assert_eq!((visitor.user, visitor.key()), (Some(USER), Some(&key)));
        assert_eq!(visitor.role == 2, taken);
        // It is one again once no renewal's cookie can be on its way.
        life.clock.advance(13 * MINUTE);
        let length = |jar: &Jar| jar.headers()[http::header::COOKIE].len();
        let both = length(&jar);
        let mut visitor = life.load(&jar).await;
        visitor.points += 1;
        assert!(jar.keep(&visitor.commit().await.unwrap()));
        assert!(length(&jar) < both);
        assert_eq!(life.load(&jar).await.key(), Some(&key));
    }
}

#[tokio::test(start_paused = true)]
async fn no_outage_during_a_renewal_ends_a_session() {
    for calls in 0..80 {
        let life = Life::new();
        let (mut jar, key) = life.member().await;
        let mut visitor = life.load(&jar).await;
        visitor.renew();
        life.faults.set(Fault::LostThenNext(Call::Save, calls));
        match visitor.commit().await {
            Ok(commit) => jar.keep(&commit),
            Err(error) => jar.keep_error(&error),
        };
        life.faults.set(Fault::None);
        assert_eq!(life.load(&jar).await.key(), Some(&key), "{calls}");
    }
}
