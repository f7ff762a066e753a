//! What a listener hears of a feed.

use std::convert::Infallible;
use std::fmt::Debug;
use std::time::Duration;

use sessions::provider::{ChangeListener, Notice, Ping, Provider, ProviderError};
use sessions_postgres::PostgresProvider;
use sessions_tests::postgres::Database;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a notice may take, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A feed that has begun.
pub(crate) struct Feed {
    heard: mpsc::UnboundedReceiver<Heard>,
    pub(crate) task: JoinHandle<Result<Infallible, ProviderError>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Began,
    Changed(String),
    Ended(String),
    Gap,
    Proved(Ping),
}

/// The time of a ping that is sent now.
pub(crate) fn ping() -> Ping {
    ChangeListener::new(|_| {}).ping()
}

/// Whether one ping was sent after another.
pub(crate) fn is_after(ping: Ping, earlier: Ping) -> bool {
    earlier.age(ping).is_some_and(|age| !age.is_zero())
}

/// A listener, and what it hears.
pub(crate) fn listener() -> (ChangeListener, mpsc::UnboundedReceiver<Heard>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let listener = ChangeListener::new(move |notice| {
        let heard = match notice {
            Notice::Began => Heard::Began,
            Notice::Changed(id) => Heard::Changed(id.to_owned()),
            Notice::Ended(id) => Heard::Ended(id.to_owned()),
            Notice::Gap => Heard::Gap,
            Notice::Proved(ping) => Heard::Proved(ping),
            _ => panic!("an unknown notice: {notice:?}"),
        };
        // The test may be over.
        sender.send(heard).ok();
    });
    (listener, heard)
}

impl Feed {
    pub(crate) async fn begin(provider: &PostgresProvider) -> Self {
        let (listener, mut heard) = listener();
        let provider = provider.clone();
        let mut task = tokio::spawn(async move { provider.changes(listener).await });
        tokio::select! {
            began = timeout(SOON, heard.recv()) => assert_eq!(began.unwrap(), Some(Heard::Began)),
            ended = &mut task => panic!("the feed has not begun: {ended:?}"),
        }
        Self { heard, task }
    }

    /// What is heard next.
    pub(crate) async fn next(&mut self) -> Heard {
        timeout(SOON, self.heard.recv()).await.expect("a notice comes").expect("the feed goes on")
    }

    /// The next notice that is no proof.
    pub(crate) async fn next_notice(&mut self) -> Heard {
        loop {
            match self.next().await {
                Heard::Proved(_) => {}
                heard => return heard,
            }
        }
    }

    /// What is heard before a proof of a ping that was sent after this call.
    pub(crate) async fn until_proved(&mut self) -> Vec<Heard> {
        let (now, mut all) = (ping(), Vec::new());
        loop {
            match self.next().await {
                Heard::Proved(ping) if is_after(ping, now) => return all,
                Heard::Proved(_) => {}
                heard => all.push(heard),
            }
        }
    }

    /// The error with which the feed ends, and what was heard before.
    pub(crate) async fn end(mut self) -> (ProviderError, Vec<Heard>) {
        let Err(error) = timeout(SOON, self.task).await.expect("the feed ends").unwrap();
        let mut all = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            all.push(heard);
        }
        (error, all)
    }
}

/// The error of a feed that does not begin.
pub(crate) async fn refused(provider: &PostgresProvider) -> ProviderError {
    let (listener, mut heard) = listener();
    let changes = timeout(SOON, provider.changes(listener)).await.expect("the feed is refused");
    let Err(error) = changes;
    assert_eq!(heard.recv().await, None, "{error}");
    error
}

/// The processes of the server that serve a feed.
pub(crate) fn backends(database: &Database) -> Vec<u32> {
    let rows = database.sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_listening_channels%')",
    );
    rows.lines().map(|row| row.parse().unwrap()).collect()
}

#[track_caller]
pub(crate) fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable() && error.to_string().contains(text), "{error:?}");
}

#[track_caller]
pub(crate) fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable() && !error.is_unsupported(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}
