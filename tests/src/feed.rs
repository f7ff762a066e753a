//! A provider's feed of changes, and what it has told.

use std::sync::Arc;
use std::time::Duration;

use sessions::provider::{ChangeListener, Notice, Ping, Provider, ProviderError};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A feed that goes on until this is dropped, or fails.
#[derive(Debug)]
pub struct Feed {
    heard: UnboundedReceiver<Heard>,
    task: JoinHandle<ProviderError>,
}

/// What the feed has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It has begun.
    Began,
    /// The record of this id was changed, or has ended.
    Named(String),
    /// Changes may have been missed.
    Gap,
    /// All changes before this ping have been told.
    Proved(Ping),
}

impl Feed {
    /// Begins one.
    ///
    /// # Panics
    /// When it fails, or tells of anything before it tells that it has begun.
    pub async fn begin(provider: &(impl Provider + Clone)) -> Self {
        let mut feed = Self::try_begin(provider);
        match feed.next().await {
            Some(Heard::Began) => feed,
            Some(other) => panic!("{other:?} before the feed has begun"),
            None => panic!("the feed does not begin: {:?}", feed.error().await),
        }
    }

    /// Begins one, which may fail.
    #[must_use]
    pub fn try_begin(provider: &(impl Provider + Clone)) -> Self {
        let (sender, heard) = unbounded_channel();
        let listener = ChangeListener::new(move |notice| {
            let heard = match notice {
                Notice::Began => Heard::Began,
                Notice::Changed(id) | Notice::Ended(id) => Heard::Named(id.to_owned()),
                Notice::Gap => Heard::Gap,
                Notice::Proved(ping) => Heard::Proved(ping),
                other => panic!("{other:?}"),
            };
            // The test may be over.
            sender.send(heard).ok();
        });
        let provider = Arc::new(provider.clone());
        let task = tokio::spawn(async move {
            let Err(error) = provider.changes(listener).await;
            error
        });
        Self { heard, task }
    }

    /// The next that it tells; `None` once it has failed.
    ///
    /// # Panics
    /// When it tells nothing for a minute.
    pub async fn next(&mut self) -> Option<Heard> {
        timeout(PATIENCE, self.heard.recv()).await.expect("the feed tells nothing")
    }

    /// What it has told already, without proofs.
    pub fn heard(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            if !matches!(heard, Heard::Proved(_)) {
                all.push(heard);
            }
        }
        all
    }

    /// Waits for this, and returns what it told before, without proofs.
    ///
    /// # Panics
    /// When it fails, or has not told of it after a minute.
    pub async fn until(&mut self, wanted: &Heard) -> Vec<Heard> {
        let mut before = Vec::new();
        let wait = async {
            loop {
                match self.heard.recv().await {
                    Some(heard) if heard == *wanted => return true,
                    Some(Heard::Proved(_)) => {}
                    Some(heard) => before.push(heard),
                    None => return false,
                }
            }
        };
        let told = timeout(PATIENCE, wait).await;
        match told {
            Ok(true) => before,
            Ok(false) => panic!("the feed ended before {wanted:?}: {:?}", self.failed().await),
            Err(_) => panic!("the feed does not tell of {wanted:?}, only of {before:?}"),
        }
    }

    /// Waits until it names this id, and returns what it told before, without proofs.
    ///
    /// # Panics
    /// As of [`until`](Self::until).
    pub async fn names(&mut self, id: &str) -> Vec<Heard> {
        self.until(&Heard::Named(id.to_owned())).await
    }

    /// Waits for the proof of a ping from now on, and returns what it told before, without proofs.
    ///
    /// # Panics
    /// When it fails, or proves nothing for a minute.
    pub async fn proof(&mut self) -> Vec<Heard> {
        let now = ping();
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Some(Heard::Proved(ping)) if now.age(ping).is_some_and(|age| !age.is_zero()) => {
                    return before;
                }
                Some(Heard::Proved(_)) => {}
                Some(heard) => before.push(heard),
                None => panic!("the feed ended: {:?}", self.failed().await),
            }
        }
    }

    /// Waits until it fails; returns the error, and what it told before.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn fails(mut self) -> (ProviderError, Vec<Heard>) {
        let mut before = Vec::new();
        let wait = async {
            while let Some(heard) = self.heard.recv().await {
                before.push(heard);
            }
        };
        timeout(PATIENCE, wait).await.expect("the feed goes on");
        (self.failed().await, before)
    }

    /// Waits until it fails.
    ///
    /// # Panics
    /// When it goes on.
    pub async fn error(self) -> ProviderError {
        self.fails().await.0
    }

    async fn failed(&mut self) -> ProviderError {
        (&mut self.task).await.expect("the feed does not panic")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A ping of now, to compare others with.
#[must_use]
pub fn ping() -> Ping {
    ChangeListener::new(|_| {}).ping()
}

/// Generous, as the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
