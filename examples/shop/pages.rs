//! The shop's pages.

use std::collections::BTreeMap;
use std::time::SystemTime;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sessions::{Session, SessionInfo};

use crate::catalogue::{ACCOUNTS, PRODUCTS, Product, product};
use crate::visitor::{Notice, Visitor};

/// All there is to buy.
pub(crate) fn browse(visitor: &Visitor, notices: &[Notice]) -> Markup {
    let body = html! {
        section.hero {
            h1 { "Good tea, plainly sold" }
            p { "Put something into your cart, log in, restart the server: it is all still there." }
        }
        section.grid {
            @for product in &PRODUCTS { (card(product)) }
        }
    };
    page("Tea & ware", visitor, notices, &body)
}

fn card(product: &Product) -> Markup {
    let (light, dark) = product.colours;
    html! {
        article.card {
            div.picture style=(format!("background:linear-gradient(135deg,{light},{dark})")) {
                span { (product.name.chars().next().unwrap_or(' ')) }
            }
            div.text {
                h2 { (product.name) }
                p { (product.about) }
                form method="post" action="/cart/add" {
                    input type="hidden" name="id" value=(product.id);
                    strong { (price(product.cents)) }
                    button { "Add to cart" }
                }
            }
        }
    }
}

/// What is in the cart.
pub(crate) fn cart(visitor: &Visitor, notices: &[Notice]) -> Markup {
    let mut pieces = BTreeMap::new();
    for product in visitor.cart.iter().filter_map(|id| product(id)) {
        pieces.entry(product.id).or_insert((product, 0_u32)).1 += 1;
    }
    let total = pieces.values().map(|(product, count)| product.cents * count).sum();
    let body = html! {
        h1 { "Your cart" }
        @if pieces.is_empty() {
            p.empty { "Nothing in it yet. " a href="/" { "Have a look around" } }
        } @else {
            table {
                thead { tr { th { "Item" } th { "Pieces" } th.number { "Price" } th {} } }
                tbody {
                    @for (product, count) in pieces.values() {
                        tr {
                            td { (product.name) }
                            td { (count) }
                            td.number { (price(product.cents * count)) }
                            td.number {
                                form method="post" action="/cart/remove" {
                                    input type="hidden" name="id" value=(product.id);
                                    button.quiet { "Remove one" }
                                }
                            }
                        }
                    }
                }
                tfoot { tr { th colspan="2" { "Total" } th.number { (price(total)) } th {} } }
            }
        }
    };
    page("Cart", visitor, notices, &body)
}

/// The form to log in.
pub(crate) fn login(visitor: &Visitor, notices: &[Notice]) -> Markup {
    let body = html! {
        form.panel method="post" action="/login" {
            h1 { "Log in" }
            label { "Name" input name="user" autocomplete="username" required; }
            label {
                "Password"
                input type="password" name="password" autocomplete="current-password" required;
            }
            label.row { input type="checkbox" name="remember" value="yes"; "Remember me" }
            button { "Log in" }
            p.hint {
                "Demo accounts: "
                @for (at, (user, password)) in ACCOUNTS.iter().enumerate() {
                    @if at > 0 { ", " }
                    code { (user) } " / " code { (password) }
                }
            }
        }
    };
    page("Log in", visitor, notices, &body)
}

/// Where somebody is logged in.
pub(crate) fn account(
    visitor: &Session<Visitor>,
    notices: &[Notice],
    devices: &[SessionInfo],
) -> Markup {
    let body = html! {
        h1 { "Where you are logged in" }
        table {
            thead { tr { th { "Device" } th { "Logged in" } th { "Last seen" } th {} } }
            tbody {
                @for device in devices {
                    tr {
                        td { (device.label.as_deref().unwrap_or("An unnamed device")) }
                        td { (ago(device.created_at)) }
                        td { (ago(device.last_seen)) }
                        td.number {
                            @if Some(&device.key) == visitor.key() {
                                span.tag { "this one" }
                            } @else {
                                form method="post" action="/account/end" {
                                    input type="hidden" name="key" value=(device.key);
                                    button.quiet { "Log out" }
                                }
                            }
                        }
                    }
                }
            }
        }
        div.actions {
            form method="post" action="/account/end-others" {
                button.quiet { "Log out everywhere else" }
            }
            form method="post" action="/logout" { button { "Log out" } }
        }
    };
    page("Your account", visitor, notices, &body)
}

fn page(title: &str, visitor: &Visitor, notices: &[Notice], body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Kettle & Leaf" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a.brand href="/" { "Kettle & Leaf" }
                    nav {
                        a href="/cart" { "Cart " span.count { (visitor.cart.len()) } }
                        @match &visitor.user {
                            Some(user) => a href="/account" { (user) },
                            None => a href="/login" { "Log in" },
                        }
                    }
                }
                main {
                    @for notice in notices {
                        p.notice.warning[!notice.good] role="status" { (notice.text) }
                    }
                    (body)
                }
                footer { "An example of the sessions crate. Nothing here is for sale." }
            }
        }
    }
}

fn price(cents: u32) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

fn ago(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    match seconds {
        0..=59 => "just now".to_owned(),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

const STYLE: &str = "
:root { --ink: #22302a; --soft: #66756d; --line: #dfe5e0; --paper: #fbfaf6; --leaf: #386641; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  min-height: 100vh; display: flex; flex-direction: column; }
a { color: var(--leaf); }
header { display: flex; justify-content: space-between; align-items: center; gap: 1rem;
  padding: 1rem max(1.5rem, calc(50vw - 30rem)); background: #fff; border-bottom: 1px solid var(--line); }
.brand { font: 600 1.25rem Georgia, serif; text-decoration: none; color: var(--ink); }
nav { display: flex; gap: 1.5rem; }
nav a { text-decoration: none; }
.count { background: var(--leaf); color: #fff; border-radius: 1rem; padding: .05rem .55rem;
  font-size: .85rem; }
main { flex: 1; width: 100%; max-width: 63rem; margin: 0 auto; padding: 1.5rem; }
h1 { font: 600 2rem/1.2 Georgia, serif; margin: 1rem 0; }
h2 { font-size: 1.05rem; margin: 0; }
.hero p { color: var(--soft); margin-top: 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.5rem; }
.card { background: #fff; border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
.picture { height: 9rem; display: grid; place-items: center; }
.picture span { font: 600 4rem Georgia, serif; color: #ffffffcc; }
.text { padding: 1rem; }
.text p { margin: .25rem 0 1rem; color: var(--soft); }
.card form { display: flex; justify-content: space-between; align-items: center; }
button { font: inherit; padding: .45rem 1rem; border: 1px solid var(--leaf); border-radius: .5rem;
  background: var(--leaf); color: #fff; cursor: pointer; }
button.quiet { background: transparent; color: var(--leaf); }
button:hover { filter: brightness(1.1); }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid var(--line);
  border-radius: .75rem; overflow: hidden; }
th, td { text-align: left; padding: .75rem 1rem; border-bottom: 1px solid var(--line); }
tfoot th { border-bottom: 0; }
.number { text-align: right; }
.panel { max-width: 24rem; margin: 2rem auto; background: #fff; border: 1px solid var(--line);
  border-radius: .75rem; padding: 1.5rem; display: grid; gap: 1rem; }
.panel h1 { margin: 0; }
label { display: grid; gap: .25rem; color: var(--soft); }
label.row { display: flex; align-items: center; gap: .5rem; }
input:not([type=checkbox]) { font: inherit; padding: .5rem .75rem; border: 1px solid var(--line);
  border-radius: .5rem; }
.notice { background: #e9f2e4; border-left: 4px solid var(--leaf); padding: .75rem 1rem; margin: 0 0 1rem;
  border-radius: .25rem; }
.notice.warning { background: #fbeae7; border-color: #bc4749; }
.actions { display: flex; gap: 1rem; justify-content: flex-end; margin-top: 1rem; }
.tag { background: #e9f2e4; border-radius: 1rem; padding: .15rem .75rem; font-size: .85rem; }
.hint, .empty, footer { color: var(--soft); font-size: .9rem; }
footer { padding: 1.5rem; text-align: center; }
code { background: #eef1ee; border-radius: .25rem; padding: .1rem .3rem; }
";
