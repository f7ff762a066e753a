//! The page for operators.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use sessions::Stats;
use sessions::keys::{KeyInfo, KeyRingInfo, KeyState};
use sessions::schema::Schema;

use super::{Frame, ago};
use crate::accounts::ACCOUNTS;

/// What the page tells. There is no secret in it.
pub(crate) struct Overview<'a> {
    pub(crate) database: &'static str,
    pub(crate) url: &'a str,
    /// How many sessions are stored, or why that is not known.
    pub(crate) stats: Result<Stats, String>,
    pub(crate) ring: Option<KeyRingInfo>,
    pub(crate) schema: &'static Schema,
    pub(crate) now: SystemTime,
}

pub(crate) fn operators(frame: &Frame, overview: &Overview<'_>) -> Markup {
    frame.around(&html! {
        h1 { "Operators" }
        div.tiles {
            (tile("Stored in", overview.database, overview.url))
            (tile("Schema", &format!("version {}", overview.schema.version), &readers(overview.schema)))
            @if let Some(ring) = &overview.ring {
                (tile("Key ring", &format!("generation {}", ring.generation),
                    &format!("read {}", ago(overview.now, ring.read_at))))
            }
        }
        (customers(frame))
        (records(&overview.stats))
        @match &overview.ring {
            Some(ring) => (keys(ring, overview.now)),
            None => p.empty { "The key ring was not read yet." },
        }
        details {
            summary { "What each version of a visitor holds" }
            pre { (overview.schema) }
        }
    })
}

/// Everybody else, to see the shop as they do.
fn customers(frame: &Frame) -> Markup {
    html! {
        section aria-labelledby="customers" {
            h2 #customers { "Customers" }
            ul.panel.rows {
                @for account in ACCOUNTS.iter().filter(|it| frame.user.as_deref() != Some(it.name)) {
                    li {
                        strong { (account.name) }
                        form method="post" action="/operators/act-as" {
                            input type="hidden" name="user" value=(account.name);
                            button.quiet { "See the shop as " (account.name) }
                        }
                    }
                }
            }
        }
    }
}

fn tile(name: &str, value: &str, hint: &str) -> Markup {
    html! { div.panel.tile { span.soft { (name) } strong { (value) } span.soft { (hint) } } }
}

fn readers(schema: &Schema) -> String {
    let written = schema.versions.iter().find(|version| version.version == schema.write);
    written.map_or_else(String::new, |it| format!("read by builds from {} on", it.min_reader))
}

fn records(stats: &Result<Stats, String>) -> Markup {
    html! {
        section aria-labelledby="records" {
            h2 #records { "Stored sessions" }
            @match stats {
                Ok(stats) => {
                    div.panel {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Version" }
                                    th.number scope="col" { "Logged in" }
                                    th.number scope="col" { "Anonymous" }
                                }
                            }
                            tbody {
                                @for it in &stats.sessions {
                                    tr {
                                        td { code { (it.session) "/" (it.version) } }
                                        td.number { (it.owned) }
                                        td.number { (it.anonymous) }
                                    }
                                }
                            }
                        }
                    }
                }
                Err(error) => p.notice.warning { "They could not be counted: " (error) },
            }
        }
    }
}

fn keys(ring: &KeyRingInfo, now: SystemTime) -> Markup {
    let axis = Axis::of(&ring.keys, now);
    html! {
        section aria-labelledby="keys" {
            div.heading {
                h2 #keys { "Keys" }
                form method="post" action="/operators/refresh" {
                    button.quiet { "Read the ring now" }
                }
            }
            div.panel.scrolls {
                table.keys {
                    thead {
                        tr {
                            th scope="col" { "Key" }
                            th scope="col" { "State" }
                            th scope="col" { "Created" }
                            th scope="col" { "Seals from" }
                            th scope="col" { "until" }
                            th scope="col" { "Opens until" }
                            th scope="col" { "Encrypted by" }
                        }
                    }
                    tbody {
                        @for key in &ring.keys {
                            tr {
                                th scope="row" { code { (key.id) } }
                                td { span class=(format!("tag {}", class(key.state))) { (name(key.state)) } }
                                td { (ago(now, key.created_at)) }
                                td { (ago(now, key.activates_at)) }
                                td { (ago(now, key.retires_at)) }
                                td { (ago(now, key.expires_at)) }
                                td { (key.kek_id.as_deref().unwrap_or("not encrypted")) }
                            }
                            tr.line aria-hidden="true" { td colspan="7" { (axis.line(key)) } }
                        }
                    }
                }
            }
            p.hint {
                "Keys are made, handed over and dropped by themselves. If one may be in wrong hands, "
                code { "store.codec().rotate_now()" } " erases them all."
            }
        }
    }
}

/// The time from the first key's creation to the last one's expiry.
struct Axis {
    now: SystemTime,
    from: SystemTime,
    length: Duration,
}

impl Axis {
    fn of(keys: &[KeyInfo], now: SystemTime) -> Self {
        let from = keys.iter().map(|key| key.created_at).min().unwrap_or(now);
        let to = keys.iter().map(|key| key.expires_at).max().unwrap_or(now);
        Self { now, from, length: to.duration_since(from).unwrap_or_default() }
    }

    /// Where a time stands, in thousandths.
    fn at(&self, time: SystemTime) -> f64 {
        let after = time.duration_since(self.from).unwrap_or_default();
        (1000.0 * after.as_secs_f64() / self.length.as_secs_f64().max(1.0)).clamp(0.0, 1000.0)
    }

    fn line(&self, key: &KeyInfo) -> Markup {
        let bar = |class: &str, from: SystemTime, to: SystemTime| {
            let (x, end) = (self.at(from), self.at(to));
            html! { rect class=(class) x=(x) y="1" width=((end - x).max(2.0)) height="6" rx="3" {} }
        };
        html! {
            svg viewBox="0 0 1000 8" preserveAspectRatio="none" {
                (bar("opens", key.activates_at, key.expires_at))
                (bar("seals", key.activates_at, key.retires_at))
                (bar("now", self.now, self.now))
            }
        }
    }
}

fn name(state: KeyState) -> &'static str {
    match state {
        KeyState::Waiting => "waits for its turn",
        KeyState::Sealing => "seals",
        KeyState::Retired => "opens",
        KeyState::Expired => "expired",
        KeyState::Erased => "erased",
        KeyState::Unavailable => "key service down",
        KeyState::Refused => "refused by the key service",
        _ => "in another state",
    }
}

fn class(state: KeyState) -> &'static str {
    match state {
        KeyState::Sealing => "good",
        KeyState::Unavailable | KeyState::Refused => "bad",
        _ => "",
    }
}
