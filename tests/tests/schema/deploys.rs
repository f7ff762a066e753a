//! What builds beside each other make of a type that changed inside, and of `write = N`.

#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use serde::{Deserialize, Serialize};
use sessions::{Error, Session, SessionData};

use crate::browser::Browser;

/// Two builds of a shop whose order has a new variant.
mod before {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Order {
        #[default]
        Open,
        Paid,
    }

    #[derive(Session)]
    #[session(name = "shop", version = 1)]
    pub(crate) struct Shop {
        pub(crate) order: Order,
        pub(crate) visits: u64,
    }
}

mod after {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Order {
        #[default]
        Open,
        Paid,
        Refunded,
    }

    #[derive(Session)]
    #[session(name = "shop", version = 2, changed(order, 2))]
    pub(crate) struct Shop {
        pub(crate) order: Order,
        pub(crate) visits: u64,
    }
}

/// The same, by two deploys of which the first makes no such order.
mod after_unchanged {
    #[derive(sessions::Session)]
    #[session(name = "shop", version = 2, unchanged(2))]
    pub(crate) struct Shop {
        pub(crate) order: super::after::Order,
        pub(crate) visits: u64,
    }
}

#[tokio::test]
async fn a_type_that_changed_inside_shuts_older_builds_out() {
    assert_eq!(after::Shop::SCHEMA.versions[1].min_reader, 2);
    let mut browser = Browser::new();
    browser.request(|shop: &mut before::Shop| shop.order = before::Order::Paid).await;
    browser
        .request(|shop: &mut after::Shop| {
            assert_eq!(shop.order, after::Order::Paid);
            shop.order = after::Order::Refunded;
        })
        .await;
    let record = browser.record().await;
    let refused = browser.try_request(|shop: &mut before::Shop| shop.visits += 1).await;
    let error = refused.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(matches!(error, Error::NewerSchema { found: 2, min_reader: 2, supported: 1, .. }));
    assert_eq!(browser.record().await, record);
}

#[tokio::test]
async fn a_new_variant_that_no_build_makes_yet_shuts_nobody_out() {
    let mut browser = Browser::new();
    browser.request(|shop: &mut after_unchanged::Shop| shop.order = after::Order::Paid).await;
    browser.request(|shop: &mut before::Shop| shop.visits += 1).await;
    browser
        .request(|shop: &mut after_unchanged::Shop| {
            assert_eq!((&shop.order, shop.visits), (&after::Order::Paid, 1));
        })
        .await;
}

/// The oldest of the builds below.
mod v1 {
    #[derive(sessions::Session)]
    #[session(name = "user", version = 1)]
    pub(crate) struct User {
        pub(crate) name: String,
        pub(crate) visits: u64,
    }
}

fn first_word(name: String) -> String {
    name.split(' ').next().unwrap_or_default().to_owned()
}

fn last_word(name: String) -> String {
    name.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// The safe way to split a field while older builds run: it stays, for one deploy more.
mod v2_writes_1 {
    use super::{first_word, last_word};

    #[derive(sessions::Session)]
    #[session(name = "user", version = 2, write = 1, compat = 1)]
    pub(crate) struct User {
        pub(crate) name: String,
        pub(crate) visits: u64,
        #[session(since = 2, from(name), with = first_word)]
        pub(crate) first_name: String,
        #[session(since = 2, from(name), with = last_word)]
        pub(crate) last_name: String,
        #[session(since = 2, default = 80)]
        pub(crate) width: u32,
    }
}

/// The deploy after it, which also changes what was new in it.
mod v3 {
    use super::{first_word, last_word};

    #[derive(sessions::Session)]
    #[session(name = "user", version = 3)]
    #[session(removed(name: String, before = 3))]
    pub(crate) struct User {
        pub(crate) visits: u64,
        #[session(since = 2, from(name), with = first_word)]
        pub(crate) first_name: String,
        #[session(since = 2, from(name), with = last_word)]
        pub(crate) last_name: String,
        #[session(key = "w", was(before = 3, name = "width", ty = u32, with = u64::from))]
        #[session(since = 2, default = 80)]
        pub(crate) width: u64,
    }
}

#[tokio::test]
async fn a_split_field_that_stays_for_a_deploy_loses_nothing_anywhere() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v1::User| user.name = "Ada Lovelace".into()).await;
    browser
        .request(|user: &mut v2_writes_1::User| {
            assert_eq!((&*user.first_name, &*user.last_name, user.width), ("Ada", "Lovelace", 80));
            user.last_name = "King".into();
            user.name = "Ada King".into();
            user.width = 120;
        })
        .await;
    assert_eq!(browser.record().await.format, "user/1");
    browser
        .request(|user: &mut v1::User| {
            assert_eq!(user.name, "Ada King");
            user.visits += 1;
        })
        .await;
    browser
        .request(|user: &mut v2_writes_1::User| {
            assert_eq!((&*user.first_name, &*user.last_name, user.width), ("Ada", "King", 120));
            user.visits += 1;
        })
        .await;
    browser
        .request(|user: &mut v3::User| {
            assert_eq!((&*user.first_name, &*user.last_name), ("Ada", "King"));
            assert_eq!((user.width, user.visits), (120, 2));
            user.width = 121;
        })
        .await;
    assert_eq!(browser.record().await.format, "user/3");
    browser.request(|user: &mut v3::User| assert_eq!(user.width, 121)).await;
}

/// Takes over a key that another field had until then.
mod takes_a_key_over {
    #[derive(sessions::Session)]
    #[session(name = "user", version = 2)]
    pub(crate) struct User {
        #[session(key = "full_name", was(before = 2, name = "name"))]
        pub(crate) full_name: String,
        pub(crate) visits: u64,
        #[session(since = 2, default = String::from("none"))]
        pub(crate) name: String,
    }
}

#[tokio::test]
async fn what_another_field_left_under_a_key_is_not_read() {
    let mut browser = Browser::new();
    browser.request(|user: &mut v1::User| user.name = "Ada".into()).await;
    browser
        .request(|user: &mut takes_a_key_over::User| {
            assert_eq!((&*user.full_name, &*user.name), ("Ada", "none"));
        })
        .await;
}
