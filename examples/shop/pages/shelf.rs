//! What there is to buy, and the cart.

use maud::{Markup, PreEscaped, html};

use super::{Frame, price};
use crate::catalogue::{PRODUCTS, Product, product};
use crate::visitor::Shopper;

/// All there is to buy.
pub(crate) fn browse(frame: &Frame, visitor: &impl Shopper) -> Markup {
    let recent: Vec<_> = visitor.recent().iter().filter_map(|id| product(id)).collect();
    frame.around(&html! {
        section.hero {
            h1 { "Good tea, plainly sold" }
            p {
                "Fill a cart in two tabs at once, log in, restart the server: it is all still there."
            }
        }
        section.grid aria-label="Tea and ware" {
            @for product in &PRODUCTS { (card(product)) }
        }
        @if !recent.is_empty() {
            section.recent aria-labelledby="recent" {
                h2 #recent { "Lately in your cart" }
                ul { @for product in recent { li { (thumb(product)) (product.name) } } }
            }
        }
    })
}

fn card(product: &Product) -> Markup {
    html! {
        article.card {
            div.picture aria-hidden="true" { (PreEscaped(product.picture)) }
            div.text {
                h2 { (product.name) }
                p { (product.about) }
                div.buy {
                    strong { (price(product.cents)) }
                    (action("/cart/add", product, "", "Add to cart", &format!("Add {} to cart", product.name)))
                }
            }
        }
    }
}

fn thumb(product: &Product) -> Markup {
    html! { span.thumb aria-hidden="true" { (PreEscaped(product.picture)) } }
}

/// A form of one button. What changes something is a `POST`.
fn action(path: &str, product: &Product, class: &str, text: &str, label: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            input type="hidden" name="id" value=(product.id);
            button class=(class) aria-label=(label) { (text) }
        }
    }
}

/// What is in the cart, and what is put aside.
pub(crate) fn cart(frame: &Frame, visitor: &impl Shopper) -> Markup {
    let lines = lines(visitor.cart());
    let total = lines.iter().map(|(product, count)| product.cents * count).sum();
    let can_put_aside = visitor.later().is_some();
    frame.around(&html! {
        h1 { "Your cart" }
        @if lines.is_empty() {
            p.empty { "Nothing in it yet. " a href="/" { "Have a look around" } "." }
        } @else {
            div.panel {
                table {
                    thead {
                        tr {
                            th scope="col" { "Item" }
                            th scope="col" { "Pieces" }
                            th.number scope="col" { "Price" }
                        }
                    }
                    tbody {
                        @for (product, count) in &lines {
                            tr {
                                td {
                                    div.item {
                                        (thumb(product))
                                        div {
                                            strong { (product.name) }
                                            @if can_put_aside {
                                                (action("/cart/put-aside", product, "link", "Save for later",
                                                    &format!("Save {} for later", product.name)))
                                            }
                                        }
                                    }
                                }
                                td {
                                    div.stepper {
                                        (action("/cart/remove", product, "quiet", "−",
                                            &format!("One {} less", product.name)))
                                        span { (count) }
                                        (action("/cart/add", product, "quiet", "+",
                                            &format!("One {} more", product.name)))
                                    }
                                }
                                td.number { (price(product.cents * count)) }
                            }
                        }
                    }
                    tfoot {
                        tr { th scope="row" colspan="2" { "Total" } td.number { strong { (price(total)) } } }
                    }
                }
            }
        }
        @if let Some(later) = visitor.later() { (put_aside(later)) }
    })
}

fn put_aside(later: &[String]) -> Markup {
    let lines = lines(later);
    html! {
        @if !lines.is_empty() {
            section.aside aria-labelledby="later" {
                h2 #later { "Saved for later" }
                ul.panel.rows {
                    @for (product, count) in &lines {
                        li {
                            div.item { (thumb(product)) strong { (product.name) } }
                            @if *count > 1 { span { (count) " pieces" } }
                            (action("/cart/take-back", product, "quiet", "Move to cart",
                                &format!("Move {} to the cart", product.name)))
                        }
                    }
                }
            }
        }
    }
}

/// Each product of a list, in the catalogue's order, and how many pieces of it.
fn lines(list: &[String]) -> Vec<(&'static Product, u32)> {
    let count = |product: &Product| list.iter().map(|id| u32::from(id == product.id)).sum();
    PRODUCTS.iter().map(|product| (product, count(product))).filter(|line| line.1 > 0).collect()
}
