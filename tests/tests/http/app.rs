//! The app that every framework serves: its session types, and what its handlers do. Each route is
//! named after its handler; `axum.rs`, `actix.rs` and `plain.rs` hang them into a framework.

pub(crate) mod actix;
pub(crate) mod axum;
pub(crate) mod plain;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use hyper::body::{Bytes, Frame};
use sessions::{Device, Error, Proof, Session, Store, TrustedProxies, request::RequestSessions};
use tokio::sync::{Notify, mpsc};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    pub(crate) visits: u32,
    #[session(merge = conflict)]
    seat: Option<String>,
    #[session(merge = append)]
    cart: Vec<String>,
}

#[derive(Session)]
#[session(name = "theme", version = 1)]
pub(crate) struct Theme {
    dark: bool,
}

/// What the app needs besides its store.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) layers: Layers,
    /// Errors are answered by [`on_error`].
    pub(crate) hook: bool,
    /// A layer inside adds headers to every response.
    pub(crate) headers: bool,
    pub(crate) signals: Signals,
}

/// The layers around the app, each of a store and of the types that it serves. A middleware stands
/// between them, which takes the session that the header `between` names.
#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) outer: Option<(Store, Types)>,
    pub(crate) inner: Option<(Store, Types)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Types {
    All,
    Visitor,
    Theme,
}

/// What the layer inside says of every response.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("access-control-allow-origin", "https://example.com"),
    ("content-security-policy", "default-src 'self'"),
    ("vary", "origin"),
    ("x-of-this-answer", "secret"),
];

/// Lets a scenario hold a handler, and a handler tell of itself.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    pub(crate) reached: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
}

/// An answer in no framework's terms.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: ReplyBody,
}

pub(crate) enum ReplyBody {
    /// Chunks of text as they come.
    Chunks(mpsc::Receiver<String>),
    /// A text that is made once the headers have gone.
    Late(Pin<Box<dyn Future<Output = String> + Send>>),
    Ended,
}

impl Reply {
    fn new(status: u16, text: impl Into<String>) -> Self {
        let (chunks, body) = mpsc::channel(1);
        let text = text.into();
        if !text.is_empty() {
            chunks.try_send(text).expect("there is room for one chunk");
        }
        Self { status, headers: Vec::new(), body: ReplyBody::Chunks(body) }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::new(200, text)
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<&str> for ReplyBody {
    fn from(text: &str) -> Self {
        Reply::text(text).body
    }
}

impl ReplyBody {
    pub(crate) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let text = match self {
            Self::Chunks(chunks) => return chunks.poll_recv(context).map(|it| it.map(Bytes::from)),
            Self::Late(text) => std::task::ready!(text.as_mut().poll(context)),
            Self::Ended => return Poll::Ready(None),
        };
        *self = Self::Ended;
        Poll::Ready(Some(Bytes::from(text)))
    }
}

impl hyper::body::Body for ReplyBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.poll_chunk(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// What the error hook answers: status and text, for a page or for an API.
pub(crate) fn on_error(
    error: &Error,
    method: &str,
    path: &str,
    accept: Option<&[u8]>,
) -> (u16, String) {
    let status = if error.is_unavailable() {
        503
    } else if error.is_conflict() {
        418
    } else {
        500
    };
    let text = match accept {
        Some(b"application/json") => format!("{{\"status\":{status}}}"),
        _ => format!("the hook's {status} for {method} {path}"),
    };
    (status, text)
}

pub(crate) async fn plain() -> Reply {
    Reply::text("plain")
}

pub(crate) async fn visit(mut visitor: Session<Visitor>) -> Reply {
    visitor.visits += 1;
    Reply::text(visitor.visits.to_string())
}

pub(crate) async fn show(visitor: Session<Visitor>) -> Reply {
    let Visitor { user, visits, seat, cart } = &*visitor;
    let [user, seat] = [user, seat].map(|text| text.as_deref().unwrap_or("-"));
    Reply::text(format!("{user} {visits} {seat} {}", cart.join(",")))
}

pub(crate) async fn dark(mut theme: Session<Theme>) -> Reply {
    theme.dark = true;
    Reply::text("dark")
}

pub(crate) async fn both(visitor: Session<Visitor>, theme: Session<Theme>) -> Reply {
    Reply::text(format!("{} {}", visitor.visits, theme.dark))
}

pub(crate) async fn login(mut visitor: Session<Visitor>, user: String) -> Reply {
    visitor.user = Some(user);
    Reply::text("welcome")
}

/// A login for clients without cookies.
pub(crate) async fn token(mut visitor: Session<Visitor>, user: String) -> Result<Reply, Error> {
    visitor.use_header()?;
    visitor.user = Some(user);
    visitor.save().await?;
    Ok(Reply::text(visitor.token().expect("a login has a token")))
}

/// Ends a session in a cookie, and begins one in the header.
pub(crate) async fn move_to_header(
    mut visitor: Session<Visitor>,
    user: String,
) -> Result<Reply, Error> {
    visitor.destroy();
    visitor.save().await?;
    token(visitor, user).await
}

/// What the owner of a session says of themselves, from this address.
pub(crate) async fn act(mut visitor: Session<Visitor>, what: String, agent: HeaderMap) -> Reply {
    let device = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    let peer = device.client([127, 0, 0, 1].into(), &agent);
    let is_new = visitor.seen_from(Device::of(&agent).address(peer));
    match what.as_str() {
        "prove" => visitor.authenticated(Proof::new("pwd")),
        "act as bob" => visitor.act_as("bob"),
        "act as oneself" => visitor.act_as_oneself(),
        "lock" => visitor.lock(),
        _ => {}
    }
    Reply::text(if is_new { "elsewhere" } else { "here" })
}

/// For whoever proved in the last minute who they are; others are sent to do so.
pub(crate) async fn keys(visitor: Result<Session<Visitor>, Error>) -> Reply {
    match visitor {
        Ok(visitor) => {
            let whom = visitor.acting_as();
            let whom = whom.as_deref().or(visitor.user.as_deref()).unwrap_or("nobody");
            Reply::text(format!("keys of {whom}"))
        }
        Err(error) => {
            let next = error.return_path().expect("a page of this site").to_owned();
            Reply::new(303, "").header("location", &format!("/confirm?next={next}"))
        }
    }
}

/// Where a visitor comes back to.
pub(crate) async fn back(sealed: String, app: &App) -> Reply {
    match app.store.open_return_path(&sealed).await {
        Ok(path) => Reply::text(path),
        Err(error) => Reply::new(400, error.to_string()),
    }
}

/// A login whose password may be wrong.
pub(crate) async fn login_or_new(visitor: Session<Visitor>, user: String) -> Reply {
    if user.is_empty() { Reply::text("wrong password") } else { login(visitor, user).await }
}

pub(crate) async fn logout(mut visitor: Session<Visitor>) -> Reply {
    visitor.destroy();
    Reply::text("bye")
}

pub(crate) async fn fail_logout(mut visitor: Session<Visitor>) -> Reply {
    visitor.destroy();
    Reply::new(500, "broken")
}

pub(crate) async fn add(mut visitor: Session<Visitor>, item: String) -> Reply {
    visitor.cart.push(item);
    Reply::new(204, "")
}

/// Changes the session and answers with this status.
pub(crate) async fn answer(mut visitor: Session<Visitor>, code: String) -> Reply {
    visitor.cart.push(format!("status {code}"));
    Reply::new(code.parse().expect("a status"), "")
}

pub(crate) async fn remember(mut visitor: Session<Visitor>, days: String) -> Reply {
    let days: u64 = days.parse().expect("a number of days");
    visitor.remember(Duration::from_secs(days * 24 * 60 * 60));
    Reply::text("remembered")
}

/// `None` where there is no live session.
pub(crate) async fn known(visitor: Option<Session<Visitor>>) -> Reply {
    Reply::text(visitor.map_or("nobody".to_owned(), |visitor| visitor.visits.to_string()))
}

/// Answers a rejection in its own way.
pub(crate) async fn own_rejection(visitor: Result<Session<Visitor>, Error>) -> Reply {
    match visitor {
        Ok(visitor) => Reply::text(visitor.visits.to_string()),
        Err(error) => Reply::new(418, format!("own: {error}")),
    }
}

/// Passes an error of the library on.
pub(crate) async fn saved(mut visitor: Session<Visitor>, app: &App) -> Result<Reply, Error> {
    visitor.visits += 1;
    visitor.save().await?;
    let page = sessions::provider::Page::first(10);
    let sessions = app.store.list::<Visitor>("ada", page).await?.items;
    Ok(Reply::text(sessions.len().to_string()))
}

/// Takes a seat once the scenario lets it.
pub(crate) async fn seat(mut visitor: Session<Visitor>, seat: String, app: &App) -> Reply {
    if seat == "slow" {
        app.signals.reached.notify_one();
        app.signals.go.notified().await;
    }
    visitor.seat = Some(seat);
    Reply::text("seated")
}

/// As `seat`, with a change to a second session that meets no conflict.
pub(crate) async fn seat_and_theme(
    visitor: Session<Visitor>,
    mut theme: Session<Theme>,
    app: &App,
) -> Reply {
    theme.dark = true;
    drop(theme);
    seat(visitor, "slow".to_owned(), app).await
}

pub(crate) async fn panic(mut visitor: Session<Visitor>) -> Reply {
    visitor.cart.push("panic".to_owned());
    panic!("the handler's bug")
}

/// A handle that goes on in a streamed body, and saves itself there.
pub(crate) async fn stream(mut visitor: Session<Visitor>) -> Reply {
    let (chunks, body) = mpsc::channel(1);
    tokio::spawn(async move {
        for item in ["one", "two"] {
            visitor.cart.push(item.to_owned());
            let saved = match visitor.save().await {
                Ok(()) => format!("saved {item};"),
                Err(error) => format!("{error};"),
            };
            if chunks.send(saved).await.is_err() {
                return;
            }
        }
    });
    Reply { status: 200, headers: Vec::new(), body: ReplyBody::Chunks(body) }
}

/// A handle that was changed and goes on: the layer cannot save it.
pub(crate) async fn outlive(mut visitor: Session<Visitor>) -> Reply {
    visitor.cart.push("too late".to_owned());
    let (chunks, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = chunks.send("going on".to_owned()).await;
        drop(visitor);
    });
    Reply { status: 200, headers: Vec::new(), body: ReplyBody::Chunks(body) }
}

/// Changes the session under headers of its own.
pub(crate) async fn with_headers(mut visitor: Session<Visitor>) -> Reply {
    visitor.user = Some(visitor.visits.to_string());
    visitor.visits += 1;
    Reply::text("own headers").header("cache-control", "max-age=5").header("vary", "accept, COOKIE")
}

/// Before the handler of `beside`, its handle dropped.
pub(crate) fn before(mut visitor: Session<Visitor>) {
    visitor.visits += 10;
    visitor.cart.push("before".to_owned());
}

/// Around the handler of `beside`, its handle held.
pub(crate) fn around(visitor: &mut Session<Visitor>) {
    visitor.visits += 1;
    visitor.cart.push("around".to_owned());
}

pub(crate) async fn beside(mut visitor: Session<Visitor>) -> Reply {
    visitor.visits += 100;
    visitor.cart.push("handler".to_owned());
    Reply::text(visitor.visits.to_string())
}

/// Shows what is in the cart and empties it, as a message that is shown once.
pub(crate) async fn take(mut visitor: Session<Visitor>) -> Reply {
    Reply::text(std::mem::take(&mut visitor.cart).join(","))
}

/// As `take`, saved in the handler.
pub(crate) async fn take_and_save(mut visitor: Session<Visitor>) -> Result<Reply, Error> {
    let taken = std::mem::take(&mut visitor.cart).join(",");
    visitor.save().await?;
    Ok(Reply::text(taken))
}

/// Borrows the value without changing it.
pub(crate) async fn borrow(mut visitor: Session<Visitor>) -> Reply {
    let cart = &mut visitor.cart;
    Reply::text(cart.join(","))
}

/// Answers with the headers in the form's lines; a first line `visit` changes the session.
pub(crate) async fn say(mut visitor: Session<Visitor>, lines: String) -> Reply {
    let mut reply = Reply::text("said");
    for line in lines.lines() {
        match line.split_once(": ") {
            Some((name, value)) => reply = reply.header(name, value),
            None if line == "visit" => {
                visitor.visits += 1;
                visitor.user = Some(format!("user {}", visitor.visits));
            }
            None if line == "logout" => visitor.destroy(),
            None => {}
        }
    }
    reply
}

/// Does what the form says, and reads and saves sessions once the headers have gone.
pub(crate) async fn late(
    sessions: RequestSessions,
    headers: HeaderMap,
    form: String,
) -> Result<Reply, Error> {
    if form != "nothing" {
        let mut visitor = sessions.load::<Visitor>(&headers).await?;
        match &*form {
            "visit" => visitor.visits += 1,
            "fail" => visitor.visits += 100,
            "login" => visitor.user = Some("ada".to_owned()),
            "logout" => visitor.destroy(),
            _ => {}
        }
    }
    let body = async move {
        late_body(sessions, headers).await.unwrap_or_else(|error| format!("{error}"))
    };
    let status = if form == "fail" { 500 } else { 200 };
    Ok(Reply { status, headers: Vec::new(), body: ReplyBody::Late(Box::pin(body)) })
}

async fn late_body(sessions: RequestSessions, headers: HeaderMap) -> Result<String, Error> {
    let mut visitor = sessions.load::<Visitor>(&headers).await?;
    let theme = sessions.load::<Theme>(&headers).await?;
    let user = visitor.user.as_deref().unwrap_or("-");
    let read = format!("{user} {} {}", visitor.visits, theme.dark);
    visitor.visits += 10;
    let saved = match visitor.save().await {
        Ok(()) => "saved".to_owned(),
        Err(error) => error.to_string(),
    };
    // Another handle sees what this one has saved.
    let again = sessions.load::<Visitor>(&headers).await?.visits;
    Ok(format!("{read}; {saved}; {again}"))
}

/// Between the layers.
pub(crate) fn between_visitor(mut visitor: Session<Visitor>) {
    visitor.visits += 10;
}

pub(crate) fn between_theme(mut theme: Session<Theme>) {
    theme.dark = true;
}
