//! What this provider writes itself, and who hears of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sessions::provider::ChangeListener;

use crate::file::FileId;

/// The writes through one connection, of all providers that share it. Who listens hears of all
/// their tables: the name of a record in another one costs it little.
#[derive(Default)]
pub(crate) struct OwnWrites {
    // A std mutex, not tokio's: it is not held across an await.
    listeners: Mutex<Listeners>,
    unsure: AtomicU64,
    opened: AtomicU64,
    file: OnceLock<FileId>,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<(u64, ChangeListener)>,
}

/// What a write does to a record that it finds.
#[derive(Clone)]
pub(crate) enum Effect {
    Changes(Arc<str>),
    Ends(Arc<str>),
    /// Nothing to tell of: a touch, or the removal of what has expired.
    Untold,
}

impl OwnWrites {
    /// Notes that the connection was opened.
    pub(crate) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// How many writes have ended without an answer, so that nobody knows what they did.
    pub(crate) fn unsure(&self) -> u64 {
        self.unsure.load(Ordering::SeqCst)
    }

    /// Notes which file the connection has open.
    pub(crate) fn note_file(&self, file: FileId) {
        // There is one file.
        let _ = self.file.set(file);
    }

    pub(crate) fn file(&self) -> Option<&FileId> {
        self.file.get()
    }

    /// Tells this listener too, until the result is dropped.
    pub(crate) fn listen(self: &Arc<Self>, listener: ChangeListener) -> Listening {
        let mut listeners = self.listeners();
        listeners.next += 1;
        let number = listeners.next;
        listeners.all.push((number, listener));
        Listening { own: self.clone(), number }
    }

    /// To be held while a write runs, and to be dropped before its connection.
    pub(crate) fn writing(&self) -> Writing<'_> {
        Writing { own: self, known: false }
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that is told.
pub(crate) struct Listening {
    own: Arc<OwnWrites>,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.own.listeners().all.retain(|(number, _)| *number != self.number);
    }
}

/// A write that runs. If it is dropped before its end is known, listeners must assume anything: the
/// statement of a call that was cancelled goes on.
pub(crate) struct Writing<'o> {
    own: &'o OwnWrites,
    known: bool,
}

impl Writing<'_> {
    /// It has happened, with these effects.
    pub(crate) fn done<'e>(mut self, effects: impl IntoIterator<Item = &'e Effect>) {
        self.known = true;
        let listeners = self.own.listeners();
        if listeners.all.is_empty() {
            return;
        }
        for effect in effects {
            for (_, listener) in &listeners.all {
                match effect {
                    Effect::Changes(id) => listener.changed(id),
                    Effect::Ends(id) => listener.ended(id),
                    Effect::Untold => {}
                }
            }
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.known {
            self.own.unsure.fetch_add(1, Ordering::SeqCst);
        }
    }
}
