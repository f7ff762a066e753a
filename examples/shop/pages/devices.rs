//! The list of devices.

use std::time::SystemTime;

use maud::{Markup, html};
use sessions::{Device, SessionInfo, StoreKey};

use super::{Frame, ago};

/// Where somebody is logged in.
pub(crate) struct Devices<'a> {
    pub(crate) sessions: Vec<SessionInfo>,
    /// The session that asks.
    pub(crate) here: Option<&'a StoreKey>,
    pub(crate) now: SystemTime,
}

pub(crate) fn devices(frame: &Frame, devices: &Devices<'_>) -> Markup {
    // An operator sees a customer's list, and changes nothing in it.
    let own = frame.acting_as.is_none();
    frame.around(&html! {
        h1 {
            @match &frame.acting_as {
                None => "Where you are logged in",
                Some(whom) => { "Where " (whom) " is logged in" }
            }
        }
        ul.panel.rows.devices {
            @for session in &devices.sessions {
                @let here = Some(&session.key) == devices.here;
                (device(session, devices.now, here, own))
            }
        }
        div.actions {
            @if own {
                a.button.quiet href="/password" { "Change your password" }
                @if devices.sessions.len() > 1 {
                    form method="post" action="/account/end-others" {
                        button.quiet { "Log out everywhere else" }
                    }
                }
                form method="post" action="/logout-everywhere" {
                    button.quiet { "Log out everywhere" }
                }
            }
            form method="post" action="/logout" { button { "Log out" } }
        }
    })
}

fn device(session: &SessionInfo, now: SystemTime, here: bool, own: bool) -> Markup {
    // Sessions of before this list have none.
    let devices = session.devices.clone().unwrap_or_default();
    let name = browser(&devices.last);
    let first = Some(browser(&devices.first)).filter(|first| *first != name);
    html! {
        li {
            span.screen.small[is_small(&name)] aria-hidden="true" {}
            div.wide {
                strong { (name) }
                p.soft {
                    "Logged in " (ago(now, session.created_at)) (from(&devices.first))
                    @if let Some(first) = first { ", with " (first) }
                }
                p.soft { "Last seen " (ago(now, session.last_seen)) (from(&devices.last)) }
                p.soft { "Gave the password " (ago(now, session.authentication.at)) }
                @if session.device_bound { p.soft { "Bound to the device" } }
            }
            @if let Some(whom) = &session.acting_as { span.tag.bad { "Acts as " (whom) } }
            @if here {
                span.tag { "This device" }
            } @else if own {
                form method="post" action="/account/end" {
                    input type="hidden" name="key" value=(session.key);
                    button.quiet aria-label=(format!("Log out {name}")) { "Log out" }
                }
            }
        }
    }
}

/// The network of a device, if it is known.
fn from(device: &Device) -> String {
    device.network.as_ref().map_or_else(String::new, |network| format!(" from {network}"))
}

/// A name for a browser, as far as it tells.
fn browser(device: &Device) -> String {
    let agent = device.user_agent.as_deref().unwrap_or_default();
    let first = |names: &[(&str, &'static str)], other: &'static str| {
        names.iter().find(|(part, _)| agent.contains(part)).map_or(other, |(_, name)| name)
    };
    let browser = first(
        &[
            ("Firefox", "Firefox"),
            ("Edg", "Edge"),
            ("OPR", "Opera"),
            ("Chrome", "Chrome"),
            ("Safari", "Safari"),
            ("curl", "curl"),
        ],
        "A browser",
    );
    let system = first(
        &[
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ],
        "an unknown system",
    );
    format!("{browser} on {system}")
}

fn is_small(device: &str) -> bool {
    ["Android", "iPhone"].iter().any(|system| device.ends_with(system))
}
