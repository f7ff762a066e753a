//! Browsing, and the cart.

use axum::Form;
use axum::response::Redirect;
use maud::Markup;
use serde::Deserialize;
use sessions::Session;

use crate::catalogue::product;
use crate::pages::{self, Frame};
use crate::visitor::Shopper;

pub(super) async fn browse<V: Shopper>(mut visitor: Session<V>) -> Markup {
    let frame = Frame::new("Tea & ware", &mut visitor);
    pages::browse(&frame, &*visitor)
}

pub(super) async fn cart<V: Shopper>(mut visitor: Session<V>) -> Markup {
    let frame = Frame::new("Your cart", &mut visitor);
    pages::cart(&frame, &*visitor)
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
}

pub(super) async fn add<V: Shopper>(mut visitor: Session<V>, Form(item): Form<Item>) -> Redirect {
    match product(&item.id) {
        Some(product) => {
            visitor.cart_mut().push(product.id.to_owned());
            visitor.added(product.id);
            visitor.tell(format!("{} is in your cart", product.name));
        }
        None => visitor.warn("We have no such thing"),
    }
    Redirect::to("/")
}

pub(super) async fn remove<V: Shopper>(
    mut visitor: Session<V>,
    Form(item): Form<Item>,
) -> Redirect {
    take_one(visitor.cart_mut(), &item.id);
    Redirect::to("/cart")
}

/// Takes the last piece of this product out of a list; whether there was one.
pub(super) fn take_one(list: &mut Vec<String>, id: &str) -> bool {
    let found = list.iter().rposition(|piece| piece == id);
    if let Some(at) = found {
        list.remove(at);
    }
    found.is_some()
}
