//! The extractors for axum, and the layer of [`sessions::tower`](crate::tower).
//!
//! Add [`SessionLayer`] once, and take [`Session<T>`](struct@crate::Session) in any handler below
//! it:
//!
//! ```
//! use axum::{Router, routing::post};
//! use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     cart: Vec<String>,
//! }
//!
//! async fn add(mut visitor: Session<Visitor>, item: String) {
//!     visitor.cart.push(item);
//! }
//!
//! /// `None` if the visitor has stored nothing yet.
//! async fn empty(visitor: Option<Session<Visitor>>) {
//!     if let Some(mut visitor) = visitor {
//!         visitor.cart.clear();
//!     }
//! }
//!
//! let app: Router = Router::new()
//!     .route("/add", post(add))
//!     .route("/empty", post(empty))
//!     .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
//! ```
//!
//! # What the layer does to a response
//!
//! See [`sessions::tower`](crate::tower), also for a second layer in the same stack.
//!
//! # In middleware
//!
//! Middleware takes sessions as handlers do, if you add it before the [`SessionLayer`], so that the
//! [`SessionLayer`] is outside of it. If the middleware drops its handle before the handler runs,
//! the handler sees the middleware's changes. If both hold a handle at the same time, their changes
//! are merged. One commit saves both.
//!
//! ```
//! use axum::extract::Request;
//! use axum::middleware::{Next, from_fn};
//! use axum::response::{IntoResponse, Redirect, Response};
//! use axum::{Router, routing::get};
//! use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(owner)]
//!     user: Option<u64>,
//! }
//!
//! async fn members_only(visitor: Session<Visitor>, request: Request, next: Next) -> Response {
//!     if visitor.user.is_none() {
//!         return Redirect::to("/login").into_response();
//!     }
//!     drop(visitor);
//!     next.run(request).await
//! }
//!
//! let app: Router = Router::new()
//!     .route("/account", get(async || "yours"))
//!     .layer(from_fn(members_only))
//!     .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
//! ```
//!
//! # In WebSockets and streams
//!
//! Move the handle into the stream, and save it there. The headers have been sent by then, so the
//! response can no longer set a cookie. Save a new session in the handler first. No login can
//! happen in the stream. A body without a handle can load one from its request's
//! [`RequestSessions`](crate::request::RequestSessions). That handle holds what the request has committed.
//!
//! ```
//! use axum::extract::ws::{Message, WebSocketUpgrade};
//! use axum::response::Response;
//! use axum::routing::get;
//! use sessions::{Error, Session};
//! # #[derive(Session)]
//! # #[session(name = "visitor", version = 1)]
//! # struct Visitor { #[session(merge = add)] lines: u64 }
//!
//! async fn chat(
//!     upgrade: WebSocketUpgrade,
//!     mut visitor: Session<Visitor>,
//! ) -> Result<Response, Error> {
//!     if visitor.is_new() {
//!         visitor.lines = 1;
//!         visitor.save().await?; // The response to the upgrade brings the cookie.
//!     }
//!     Ok(upgrade.on_upgrade(async move |mut socket| {
//!         while let Some(Ok(Message::Text(_))) = socket.recv().await {
//!             visitor.lines += 1;
//!             if visitor.save().await.is_err() {
//!                 return; // Logged out in another tab, or the store is down.
//!             }
//!         }
//!     }))
//! }
//! # let _: axum::routing::MethodRouter = get(chat);
//! ```

mod extract;

pub use self::extract::{Authenticated, OrNew, SessionRejection};
pub use crate::tower::{ResponseFuture, SessionLayer, SessionService, error_response};
