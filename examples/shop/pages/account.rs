//! Logging in, and the list of devices.

use maud::{Markup, html};
use sessions::{SessionInfo, StoreKey};

use super::{Frame, ago};
use crate::catalogue::ACCOUNTS;

/// The form to log in.
pub(crate) fn login(frame: &Frame) -> Markup {
    frame.around(&html! {
        form.panel.narrow method="post" action="/login" {
            h1 { "Log in" }
            label for="user" { "Name" }
            input #user name="user" autocomplete="username" autocapitalize="none" required autofocus;
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password" required;
            label.row for="remember" {
                input #remember type="checkbox" name="remember" value="yes";
                "Remember me for 90 days"
            }
            button { "Log in" }
            div.hint {
                p { "Accounts of this demo:" }
                ul {
                    @for account in &ACCOUNTS {
                        li {
                            code { (account.name) } " / " code { (account.password) }
                            @if account.operator { ", an operator" }
                        }
                    }
                }
            }
        }
    })
}

/// Where somebody is logged in.
pub(crate) fn devices(frame: &Frame, here: Option<&StoreKey>, devices: &[SessionInfo]) -> Markup {
    frame.around(&html! {
        h1 { "Where you are logged in" }
        ul.panel.rows.devices {
            @for device in devices {
                @let is_here = Some(&device.key) == here;
                @let name = device.label.as_deref().unwrap_or("An unnamed device");
                li {
                    span.screen.small[is_small(name)] aria-hidden="true" {}
                    div.wide {
                        strong { (name) }
                        p.soft { "Logged in " (ago(device.created_at)) ", last seen " (ago(device.last_seen)) }
                    }
                    @if is_here {
                        span.tag { "This device" }
                    } @else {
                        form method="post" action="/account/end" {
                            input type="hidden" name="key" value=(device.key);
                            button.quiet aria-label=(format!("Log out {name}")) { "Log out" }
                        }
                    }
                }
            }
        }
        div.actions {
            @if devices.len() > 1 {
                form method="post" action="/account/end-others" {
                    button.quiet { "Log out everywhere else" }
                }
            }
            form method="post" action="/logout-everywhere" {
                button.quiet { "Log out everywhere" }
            }
            form method="post" action="/logout" { button { "Log out" } }
        }
    })
}

fn is_small(device: &str) -> bool {
    ["Android", "iPhone"].iter().any(|system| device.ends_with(system))
}
