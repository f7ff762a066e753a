//! The shop's pages.

mod account;
mod devices;
mod operators;
mod shelf;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sessions::Session;

pub(crate) use self::account::{confirm, login, password};
pub(crate) use self::devices::{Devices, devices};
pub(crate) use self::operators::{Overview, operators};
pub(crate) use self::shelf::{browse, cart};
use crate::visitor::{Notice, Shopper, operates, whose};

/// What is around every page.
#[derive(Default)]
pub(crate) struct Frame {
    title: &'static str,
    /// Whose shop it shows.
    user: Option<String>,
    /// As whom the visitor acts.
    acting_as: Option<Arc<str>>,
    operator: bool,
    pieces: usize,
    notices: Vec<Notice>,
}

impl Frame {
    /// The frame of this visitor. It takes the messages that wait for them.
    pub(crate) fn new<V: Shopper>(title: &'static str, visitor: &mut Session<V>) -> Self {
        Self {
            title,
            user: whose(visitor),
            acting_as: visitor.acting_as(),
            operator: operates(visitor),
            pieces: visitor.cart().len(),
            notices: visitor.notices().take(),
        }
    }

    /// Adds a message of something that is wrong.
    pub(crate) fn warn(&mut self, text: &str) {
        self.notices.push(Notice { text: text.to_owned(), good: false });
    }

    fn around(&self, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Kettle & Leaf" }
                    link rel="icon" href="/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/style.css";
                    @if self.user.is_some() { script src="/ended.js" defer {} }
                }
                body {
                    a.skip href="#main" { "Skip to the page" }
                    header {
                        div.bar {
                            a.brand href="/" { (PreEscaped(include_str!("icon.svg"))) "Kettle & Leaf" }
                            nav aria-label="Shop" { (self.links()) }
                        }
                    }
                    @if let Some(whom) = &self.acting_as { (banner(whom)) }
                    main #main {
                        @if self.user.is_some() { (ended()) }
                        @for notice in &self.notices {
                            p.notice.warning[!notice.good] role="status" { (notice.text) }
                        }
                        (body)
                    }
                    footer {
                        p { "An example of sessionful. Nothing here is for sale." }
                    }
                }
            }
        }
    }

    fn links(&self) -> Markup {
        html! {
            @if self.operator { a href="/operators" { "Operators" } }
            a href="/cart" {
                "Cart"
                @if self.pieces > 0 {
                    " " span.count { (self.pieces) span.unseen { " pieces" } }
                }
            }
            @match &self.user {
                Some(user) => {
                    a href="/account" { span.face aria-hidden="true" { (first_letter(user)) } (user) }
                }
                None => a.button href="/login" { "Log in" },
            }
        }
    }
}

/// Says on every page that an operator acts as a customer.
fn banner(whom: &str) -> Markup {
    html! {
        div.banner {
            span { "You see the shop as " strong { (whom) } "." }
            form method="post" action="/operators/back" { button.quiet { "Back" } }
        }
    }
}

/// What the script shows when the session has ended.
fn ended() -> Markup {
    html! {
        p.notice.warning #ended role="alert" hidden {
            "Your session has ended. " a href="/login" { "Log in again" }
        }
    }
}

/// There is no such page.
pub(crate) fn not_found(frame: &Frame) -> Markup {
    frame.around(&html! {
        section.centred {
            h1 { "There is nothing here" }
            p { a href="/" { "Back to the shop" } }
        }
    })
}

/// The session cannot be had: a page that needs none.
pub(crate) fn failed(status: StatusCode) -> Markup {
    let (title, text) = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Back in a minute", "Your cart is safe. Try again soon.")
        }
        StatusCode::CONFLICT => ("That was twice at once", "Go back, and try once more."),
        _ => ("That is our fault", "It was noted."),
    };
    let frame = Frame { title, ..Frame::default() };
    frame.around(&html! {
        section.centred {
            h1 { (title) }
            p { (text) }
        }
    })
}

fn first_letter(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).collect()
}

fn price(cents: u32) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

/// A time that has passed, as people say it.
fn ago(now: SystemTime, time: SystemTime) -> String {
    match now.duration_since(time) {
        Ok(passed) if passed < Duration::from_secs(60) => "just now".to_owned(),
        Ok(passed) => format!("{} ago", length(passed)),
        Err(ahead) => format!("in {}", length(ahead.duration())),
    }
}

/// A length of time, rounded.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let in_units = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_569 => format!("{} min", in_units(60)),
        3_570..=172_799 => format!("{} h", in_units(3_600)),
        _ => format!("{} days", in_units(86_400)),
    }
}
