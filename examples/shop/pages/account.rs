//! The forms that ask for a password.

use maud::{Markup, html};

use super::Frame;
use crate::accounts::ACCOUNTS;

/// The form to log in, and where it leads, sealed.
pub(crate) fn login(frame: &Frame, next: &str) -> Markup {
    frame.around(&html! {
        form.panel.narrow method="post" action="/login" {
            h1 { "Log in" }
            input type="hidden" name="next" value=(next);
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

/// Asks whoever is logged in for their password again.
pub(crate) fn confirm(frame: &Frame, user: &str, next: &str) -> Markup {
    frame.around(&html! {
        form.panel.narrow method="post" action="/confirm" {
            h1 { "Is it you?" }
            p.soft { "What comes next is for " strong { (user) } " only." }
            input type="hidden" name="next" value=(next);
            // For password managers.
            input type="hidden" name="user" autocomplete="username" value=(user);
            label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="current-password" required
                autofocus;
            button { "Go on" }
        }
    })
}

/// The form to change the password.
pub(crate) fn password(frame: &Frame) -> Markup {
    frame.around(&html! {
        form.panel.narrow method="post" action="/password" {
            h1 { "Your password" }
            p.soft { "Every other device will be logged out." }
            label for="password" { "New password" }
            input #password type="password" name="password" autocomplete="new-password" minlength="8"
                required autofocus;
            button { "Change it" }
        }
    })
}
