//! Rolling deploys: two builds of one struct, each with a store of its own, on one database.

use sessions::Error;

use crate::browser::Browser;
use crate::user::{Appearance, Cents, v1, v2, v3, v3_writes_2, v4};

#[tokio::test]
async fn an_additive_change_survives_the_old_build() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v4::UserSession| user.wishes.push("a pony".into())).await;
    assert_eq!(browser.record().await.format, "user/4");
    browser.request(|user: &mut v3::UserSession| user.visits += 1).await;
    // The old build carries a newer record on, and calls it so.
    assert_eq!(browser.record().await.format, "user/4");
    browser
        .request(|user: &mut v4::UserSession| {
            assert_eq!((user.visits, user.wishes.as_slice()), (1, &["a pony".to_owned()][..]));
        })
        .await;
}

#[tokio::test]
async fn a_breaking_change_leaves_the_record_to_the_new_build() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v2::UserSession| user.cart_total = "12.50".into()).await;
    browser.request(|user: &mut v3::UserSession| user.visits += 1).await;
    let before = browser.record().await;
    let refused = browser.try_request(|user: &mut v2::UserSession| user.visits += 1).await;
    let error = refused.unwrap_err();
    assert!(error.is_unavailable());
    assert!(matches!(error, Error::NewerSchema { found: 3, min_reader: 3, supported: 2, .. }));
    assert_eq!(browser.record().await, before);
    browser.request(|user: &mut v3::UserSession| assert_eq!(user.cart_total, Cents(1_250))).await;
}

#[tokio::test]
async fn reading_upgrades_nothing_and_changing_does() {
    let mut browser = Browser::new();
    browser
        .request(|user: &mut v1::UserSession| {
            user.hits = 41;
            user.cart_total = "0.99".into();
        })
        .await;
    let before = browser.record().await;
    browser.request(|user: &mut v3::UserSession| assert_eq!(user.visits, 41)).await;
    assert_eq!(browser.record().await, before);
    browser.request(|user: &mut v3::UserSession| user.visits += 1).await;
    assert_eq!(browser.record().await.format, "user/3");
}

#[tokio::test]
async fn a_failed_migration_leaves_the_record_as_it_was() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v1::UserSession| user.cart_total = "a lot".into()).await;
    let before = browser.record().await;
    let refused = browser.try_request(|user: &mut v3::UserSession| user.visits += 1).await;
    let Error::Decode { field, version, .. } = refused.unwrap_err() else { panic!() };
    assert_eq!((field.as_deref(), version), (Some("cart_total"), 1));
    assert_eq!(browser.record().await, before);
}

#[tokio::test]
async fn two_deploys_let_every_build_read_every_record() {
    let mut browser = Browser::new();
    browser
        .request(|user: &mut v2::UserSession| {
            user.cart_total = "12.50".into();
            (user.theme, user.font_size) = ("dark".into(), 12);
        })
        .await;
    // The first deploy, with builds of version 2 beside it.
    browser
        .request(|user: &mut v3_writes_2::UserSession| {
            assert_eq!(user.cart_total, Cents(1_250));
            user.cart_total = Cents(99);
            user.appearance.theme = "light".into();
        })
        .await;
    assert_eq!(browser.record().await.format, "user/2");
    browser
        .request(|user: &mut v2::UserSession| {
            assert_eq!((user.cart_total.as_str(), user.theme.as_str()), ("0.99", "light"));
            user.font_size = 14;
        })
        .await;
    // The second, with builds of the first beside it.
    browser.request(|user: &mut v3::UserSession| user.visits += 1).await;
    assert_eq!(browser.record().await.format, "user/3");
    browser.request(|user: &mut v3_writes_2::UserSession| user.visits += 1).await;
    assert_eq!(browser.record().await.format, "user/3");
    browser
        .request(|user: &mut v3::UserSession| {
            let appearance = Appearance { theme: "light".into(), font_size: 14 };
            assert_eq!((user.visits, &user.appearance), (2, &appearance));
        })
        .await;
}

#[tokio::test]
async fn a_build_behind_the_retired_history_refuses() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v4::UserSession| user.visits = 1).await;
    let before = browser.record().await;
    let refused = browser.try_request(|user: &mut v2::UserSession| user.visits += 1).await;
    assert!(matches!(refused.unwrap_err(), Error::NewerSchema { min_reader: 3, .. }));
    assert_eq!(browser.record().await, before);
}

#[tokio::test]
async fn a_new_owner_reads_nothing_that_an_unknown_build_stored() {
    let mut browser = Browser::new();
    browser
        .request(|user: &mut v4::UserSession| {
            user.user_id = Some(1);
            user.wishes.push("secret".into());
        })
        .await;
    browser.request(|user: &mut v3::UserSession| user.user_id = Some(2)).await;
    browser
        .request(|user: &mut v4::UserSession| {
            assert_eq!((user.user_id, user.wishes.len()), (Some(2), 0));
        })
        .await;
}
