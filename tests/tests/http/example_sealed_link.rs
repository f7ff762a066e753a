//! The example of a password-reset link: it works once, in time, unchanged, and for its user.

#[path = "../../../examples/sealed_link.rs"]
#[allow(dead_code)] // Its `main` prints.
mod example;

use std::time::Duration;

use example::{Resets, User};
use sessions::clock::ManualClock;

fn user(id: u64) -> User {
    User { id, password: "forgotten".to_owned(), changes: 0 }
}

#[tokio::test]
async fn a_link_works_once() {
    let resets = Resets::new(ManualClock::default()).unwrap();
    let mut ada = user(7);
    let [first, second] = [resets.link(&ada).await.unwrap(), resets.link(&ada).await.unwrap()];
    assert!(resets.follow(&first, &mut ada, "correct horse").await.unwrap());
    for link in [first, second] {
        assert!(!resets.follow(&link, &mut ada, "battery staple").await.unwrap(), "{link}");
    }
    assert_eq!((ada.password.as_str(), ada.changes), ("correct horse", 1));
}

#[tokio::test]
async fn a_link_that_is_late_changed_or_anothers_does_nothing() {
    let clock = ManualClock::default();
    let resets = Resets::new(clock.clone()).unwrap();
    let (mut ada, mut bob) = (user(7), user(8));
    let link = resets.link(&ada).await.unwrap();
    assert!(!resets.follow(&link, &mut bob, "mine now").await.unwrap());
    for forged in [&link[..link.len() - 1], "https://example.com/reset/", "", "/", "reset"] {
        assert!(!resets.follow(forged, &mut ada, "forged").await.unwrap(), "{forged}");
    }
    clock.advance(Duration::from_secs(15 * 60 + 1));
    assert!(!resets.follow(&link, &mut ada, "late").await.unwrap());
    assert_eq!((ada.password.as_str(), bob.password.as_str()), ("forgotten", "forgotten"));
}
