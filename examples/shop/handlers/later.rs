//! Putting things aside, which came with version 2.

use axum::Form;
use axum::response::Redirect;
use sessions::Session;

use super::shelf::{Item, take_one};
use crate::visitor::Shopper as _;
use crate::visitor::v2::Visitor;

pub(super) async fn put_aside(mut visitor: Session<Visitor>, Form(item): Form<Item>) -> Redirect {
    if take_one(visitor.cart_mut(), &item.id) {
        visitor.later.push(item.id);
    }
    Redirect::to("/cart")
}

pub(super) async fn take_back(mut visitor: Session<Visitor>, Form(item): Form<Item>) -> Redirect {
    if take_one(&mut visitor.later, &item.id) {
        visitor.cart_mut().push(item.id);
    }
    Redirect::to("/cart")
}
