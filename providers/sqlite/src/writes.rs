//! The writes that wait for the writer: one transaction, and one wait for the disk, for all of
//! them.

use std::sync::Arc;

use sessions::provider::ProviderError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, Connection as _, Encode, Executor as _, SqlStr, Sqlite, Type};
use tokio::sync::oneshot;

use crate::error::{again, provider_error};
use crate::own::{Effect, OwnWrites, Writing};
use crate::queue::Batch;

pub(crate) struct Writes {
    pub(crate) writer: SqlitePool,
    /// The table, for errors.
    pub(crate) table: String,
    /// Who hears of the writes. `None` where they may take any connection of a user's pool.
    pub(crate) own: Option<Arc<OwnWrites>>,
}

/// One statement that writes, and its arguments.
pub(crate) struct Write {
    statement: SqlStr,
    arguments: SqliteArguments,
    /// Whether it returns the rows that it removes.
    returns: bool,
    effect: Effect,
}

/// What a statement has written.
pub(crate) struct Written {
    /// The number of rows that it inserted, updated or deleted, unless it returns them.
    pub(crate) affected: u64,
    pub(crate) rows: Vec<SqliteRow>,
}

/// A write that waits.
pub(crate) struct Waiting {
    pub(crate) write: Write,
    pub(crate) answer: oneshot::Sender<Result<Written, ProviderError>>,
}

impl Write {
    pub(crate) fn new(statement: &SqlStr, effect: Effect) -> Self {
        let arguments = SqliteArguments::default();
        Self { statement: statement.clone(), arguments, returns: false, effect }
    }

    /// Of a statement that returns the rows that it removes.
    pub(crate) fn returning(statement: &SqlStr, effect: Effect) -> Self {
        Self { returns: true, ..Self::new(statement, effect) }
    }

    /// Sets the next parameter.
    pub(crate) fn bind<'v>(
        mut self,
        value: impl Encode<'v, Sqlite> + Type<Sqlite>,
    ) -> Result<Self, ProviderError> {
        match self.arguments.add(value) {
            Ok(()) => Ok(self),
            Err(error) => Err(ProviderError::permanent("a value does not fit").with_source(error)),
        }
    }

    /// Runs the statement to its end, never only to its first row: SQLite commits behind the last
    /// row, and only then can the commit fail.
    async fn run(self, connection: &mut SqliteConnection) -> Result<Written, sqlx::Error> {
        let query = sqlx::query_with(self.statement, self.arguments);
        if self.returns {
            Ok(Written { affected: 0, rows: connection.fetch_all(query).await? })
        } else {
            let affected = connection.execute(query).await?.rows_affected();
            Ok(Written { affected, rows: Vec::new() })
        }
    }

    fn copy(&self) -> Self {
        Self {
            statement: self.statement.clone(),
            arguments: self.arguments.clone(),
            returns: self.returns,
            effect: self.effect.clone(),
        }
    }
}

impl Written {
    fn is_nothing(&self) -> bool {
        self.affected == 0 && self.rows.is_empty()
    }
}

/// Why writes did not go together.
enum Failed {
    /// None of them can have been written, and some might be on their own.
    Refused,
    /// What holds for one holds for all.
    All(ProviderError),
}

impl Writes {
    /// A write on its own is a transaction of its own.
    pub(crate) async fn write(&self, write: Write) -> Result<Written, ProviderError> {
        let mut connection = self.writer.acquire().await.map_err(|error| self.error(error))?;
        // Told before another look at this connection, which cannot see the write.
        let writing = self.writing([&write]);
        let effect = write.effect.clone();
        let written = write.run(&mut connection).await.map_err(|error| self.error(error))?;
        if let Some(writing) = writing {
            writing.done(Some(&effect).filter(|_| !written.is_nothing()));
        }
        Ok(written)
    }

    async fn write_all(&self, calls: &[Waiting]) -> Result<Vec<Written>, Failed> {
        let all = |error| Failed::All(self.error(error));
        let mut connection = self.writer.acquire().await.map_err(all)?;
        let writing = self.writing(calls.iter().map(|call| &call.write));
        // It takes the lock at once: a transaction that reads first could not wait for it.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(all)?;
        let mut written = Vec::with_capacity(calls.len());
        for call in calls {
            match call.write.copy().run(&mut transaction).await {
                Ok(one) => written.push(one),
                // Dropping the transaction would roll back too, but later.
                Err(_) => {
                    transaction.rollback().await.map_err(all)?;
                    if let Some(writing) = writing {
                        writing.done([]);
                    }
                    return Err(Failed::Refused);
                }
            }
        }
        transaction.commit().await.map_err(all)?;
        if let Some(writing) = writing {
            let done = calls.iter().zip(&written).filter(|(_, written)| !written.is_nothing());
            writing.done(done.map(|(call, _)| &call.write.effect));
        }
        Ok(written)
    }

    fn writing<'w>(&self, writes: impl IntoIterator<Item = &'w Write>) -> Option<Writing<'_>> {
        let own = self.own.as_ref()?;
        let told = writes.into_iter().any(|write| !matches!(write.effect, Effect::Untold));
        told.then(|| own.writing())
    }

    fn error(&self, error: sqlx::Error) -> ProviderError {
        provider_error(&self.table, error)
    }
}

impl Batch for Writes {
    type Call = Waiting;

    async fn run(&self, mut calls: Vec<Waiting>) {
        // Their callers are gone before anything was sent.
        calls.retain(|call| !call.answer.is_closed());
        let together = match &calls[..] {
            [] | [_] => Err(Failed::Refused),
            _ => self.write_all(&calls).await,
        };
        match together {
            // There is no receiver if the caller is gone.
            Ok(written) => {
                for (call, written) in calls.into_iter().zip(written) {
                    let _ = call.answer.send(Ok(written));
                }
            }
            // What one of them does must not fail the others.
            Err(Failed::Refused) => {
                for Waiting { write, answer } in calls {
                    let _ = answer.send(self.write(write).await);
                }
            }
            Err(Failed::All(error)) => {
                for call in calls {
                    let _ = call.answer.send(Err(again(&error)));
                }
            }
        }
    }
}
