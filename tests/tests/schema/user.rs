//! One session type as the builds of its versions have it; version 3 is the worked example of the
//! guide.

#![allow(clippy::needless_pass_by_value, reason = "converters take what they convert")]
#![allow(dead_code, reason = "not every test uses every build")]

use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Role {
    Editor,
    Admin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cents(pub(crate) u64);

impl Cents {
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        let (whole, part) = text.split_once('.').ok_or(format!("no amount: {text:?}"))?;
        let digits = format!("{whole}{part}");
        digits.parse().map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn print(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Appearance {
    pub(crate) theme: String,
    pub(crate) font_size: u8,
}

impl Appearance {
    pub(crate) fn from_parts(theme: String, font_size: u8) -> Self {
        Self { theme, font_size }
    }

    pub(crate) fn into_parts(self) -> (String, u8) {
        (self.theme, self.font_size)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rendered(String);

/// The build of version 1.
pub(crate) mod v1 {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Session)]
    #[session(name = "user", version = 1)]
    pub(crate) struct UserSession {
        #[session(owner)]
        pub(crate) user_id: Option<u64>,
        #[session(group = "owner")]
        pub(crate) roles: Vec<Role>,
        pub(crate) login: String,
        pub(crate) utm_source: Option<String>,
        pub(crate) theme: String,
        pub(crate) font_size: u8,
        pub(crate) cart_total: String,
        pub(crate) hits: u64,
    }
}

/// The build of version 2.
pub(crate) mod v2 {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Session)]
    #[session(name = "user", version = 2)]
    #[session(removed(utm_source: Option<String>, before = 2))]
    pub(crate) struct UserSession {
        #[session(owner)]
        pub(crate) user_id: Option<u64>,
        #[session(group = "owner")]
        pub(crate) roles: Vec<Role>,
        pub(crate) login: String,
        #[session(since = 2, default = String::from("en"))]
        pub(crate) locale: String,
        pub(crate) theme: String,
        pub(crate) font_size: u8,
        pub(crate) cart_total: String,
        #[session(was(before = 2, name = "hits"), merge = add)]
        pub(crate) visits: u64,
    }
}

/// The build of version 3, as the design has it.
pub(crate) mod v3 {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Session)]
    #[session(name = "user", version = 3)]
    #[session(removed(utm_source: Option<String>, before = 2))]
    #[session(removed(theme: String, before = 3), removed(font_size: u8, before = 3))]
    pub(crate) struct UserSession {
        #[session(owner)]
        pub(crate) user_id: Option<u64>,
        #[session(group = "owner")]
        pub(crate) roles: Vec<Role>,
        #[session(key = "login")] // free rename: no version
        pub(crate) username: String,
        #[session(since = 2, default = String::from("en"))] // added in version 2
        pub(crate) locale: String,
        #[session(was(before = 3, ty = String, try_with = Cents::parse))] // type changed, can fail
        pub(crate) cart_total: Cents,
        #[session(was(before = 2, name = "hits"), merge = add)] // renamed in version 2
        pub(crate) visits: u64,
        #[session(since = 3, from(theme, font_size), with = Appearance::from_parts)]
        pub(crate) appearance: Appearance, // made from removed fields
        #[session(skip)]
        pub(crate) cache: Option<Rendered>, // never stored
    }
}

/// Version 3 in the first of two deploys: reads it, still writes version 2.
pub(crate) mod v3_writes_2 {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Session)]
    #[session(name = "user", version = 3, write = 2, compat = 2)]
    #[session(removed(utm_source: Option<String>, before = 2))]
    #[session(removed(theme: String, before = 3), removed(font_size: u8, before = 3))]
    pub(crate) struct UserSession {
        #[session(owner)]
        pub(crate) user_id: Option<u64>,
        #[session(group = "owner")]
        pub(crate) roles: Vec<Role>,
        #[session(key = "login")]
        pub(crate) username: String,
        #[session(since = 2, default = String::from("en"))]
        pub(crate) locale: String,
        #[session(was(before = 3, ty = String, try_with = Cents::parse, back = Cents::print))]
        pub(crate) cart_total: Cents,
        #[session(was(before = 2, name = "hits"), merge = add)]
        pub(crate) visits: u64,
        #[session(since = 3, from(theme, font_size), with = Appearance::from_parts)]
        #[session(back = Appearance::into_parts)]
        pub(crate) appearance: Appearance,
    }
}

/// Version 4 adds a field, which version 3 carries along unknown.
pub(crate) mod v4 {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Session)]
    #[session(name = "user", version = 4, oldest = 3, compat = 3)]
    pub(crate) struct UserSession {
        #[session(owner)]
        pub(crate) user_id: Option<u64>,
        #[session(group = "owner")]
        pub(crate) roles: Vec<Role>,
        #[session(key = "login")]
        pub(crate) username: String,
        pub(crate) locale: String,
        pub(crate) cart_total: Cents,
        #[session(merge = add)]
        pub(crate) visits: u64,
        pub(crate) appearance: Appearance,
        #[session(since = 4)]
        pub(crate) wishes: Vec<String>,
    }
}

/// A value that version 1 wrote.
pub(crate) fn first() -> v1::UserSession {
    v1::UserSession {
        user_id: Some(7),
        roles: vec![Role::Editor, Role::Admin],
        login: "ada".into(),
        utm_source: Some("mail".into()),
        theme: "dark".into(),
        font_size: 12,
        cart_total: "12.50".into(),
        hits: 41,
    }
}

/// The same at version 3.
pub(crate) fn newest() -> v3::UserSession {
    v3::UserSession {
        user_id: Some(7),
        roles: vec![Role::Editor, Role::Admin],
        username: "ada".into(),
        locale: "en".into(),
        cart_total: Cents(1_250),
        visits: 41,
        appearance: Appearance { theme: "dark".into(), font_size: 12 },
        cache: None,
    }
}
