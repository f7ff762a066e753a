//! An app whose pages stay open until their session ends. `axum.rs` and `actix.rs` hang it into a
//! framework.

use sessions::{Error, Session, SessionEnd, Store, Watch};
use tokio::sync::{broadcast, watch};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(super) struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
}

/// What the handlers share.
#[derive(Clone)]
pub(super) struct App {
    pub(super) store: Store,
    said: broadcast::Sender<String>,
    /// How many pages are open.
    pub(super) open: watch::Sender<u32>,
}

impl App {
    pub(super) fn new(store: Store) -> Self {
        Self { store, said: broadcast::Sender::new(16), open: watch::Sender::new(0) }
    }

    /// Opens a page. A session for whoever has none is saved first, so that there is one to watch,
    /// and its cookie leaves with the headers.
    pub(super) async fn page(&self, mut visitor: Session<Visitor>) -> Result<Page, Error> {
        if visitor.is_new() {
            visitor.user = Some("guest".to_owned());
            visitor.save().await?;
        }
        self.open.send_modify(|open| *open += 1);
        let _open = Open(self.open.clone());
        Ok(Page { ended: visitor.ended(), said: self.said.subscribe(), _open })
    }
}

/// An open page.
pub(super) struct Page {
    ended: Watch,
    said: broadcast::Receiver<String>,
    /// Dropped last: whoever sees that the page is gone sees that nobody watches any more.
    _open: Open,
}

/// What a page is sent.
pub(super) enum Line {
    Said(String),
    /// The last.
    Ended(SessionEnd),
}

impl Page {
    /// Waits for what is sent next.
    pub(super) async fn next(&mut self) -> Line {
        tokio::select! {
            end = &mut self.ended => Line::Ended(end),
            Ok(text) = self.said.recv() => Line::Said(text),
        }
    }

    /// The visitor did something on the page.
    pub(super) async fn used(&self) -> String {
        match self.ended.touch().await {
            Ok(live) => format!("live: {live}"),
            Err(error) => error.to_string(),
        }
    }
}

struct Open(watch::Sender<u32>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

pub(super) async fn login(mut visitor: Session<Visitor>, user: String) -> &'static str {
    visitor.user = Some(user);
    "welcome"
}

pub(super) async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

pub(super) async fn look(visitor: Session<Visitor>) -> String {
    visitor.visits.to_string()
}

pub(super) async fn renew(mut visitor: Session<Visitor>) -> &'static str {
    visitor.renew();
    "renewed"
}

pub(super) async fn logout(mut visitor: Session<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

/// Ends the visitor's sessions in other browsers.
pub(super) async fn end_others(visitor: Session<Visitor>, app: &App) -> Result<String, Error> {
    Ok(app.store.revoke_others(&visitor).await?.to_string())
}

/// Says something to every open page.
pub(super) async fn say(text: String, app: &App) -> &'static str {
    let _ = app.said.send(text);
    "said"
}
