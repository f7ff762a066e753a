//! The fetches that wait for a connection: one statement reads for all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use sessions::provider::{ProviderError, Record};
use sqlx::Arguments as _;
use sqlx::sqlite::{SqliteArguments, SqlitePool};
use tokio::sync::oneshot;

use crate::error::{again, provider_error};
use crate::queue::Batch;
use crate::row::{millis, to_record};
use crate::sql::{MANY, Statements};

pub(crate) struct Fetches {
    pub(crate) readers: SqlitePool,
    pub(crate) statements: Arc<Statements>,
}

pub(crate) struct Fetch {
    pub(crate) id: String,
    pub(crate) now: SystemTime,
    pub(crate) answer: oneshot::Sender<Result<Option<Record>, ProviderError>>,
}

impl Fetches {
    /// One by one.
    pub(crate) async fn fetch(
        &self,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Record>, ProviderError> {
        sqlx::query(self.statements.fetch.clone())
            .bind(id)
            .bind(millis(now))
            .fetch_optional(&self.readers)
            .await
            .and_then(|row| row.as_ref().map(to_record).transpose())
            .map_err(|error| provider_error(&self.statements.table, error))
    }

    /// All of these at once.
    pub(crate) async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let mut records = Vec::with_capacity(ids.len());
        for some in ids.chunks(MANY) {
            let found = self.fetch_some(some.iter().copied(), now).await;
            records.extend(found.map_err(|error| provider_error(&self.statements.table, error))?);
        }
        Ok(records)
    }

    async fn fetch_all(&self, calls: &[Fetch]) -> Result<HashMap<Arc<str>, Record>, sqlx::Error> {
        let Some(earliest) = calls.iter().map(|call| call.now).min() else {
            return Ok(HashMap::new());
        };
        let found = self.fetch_some(calls.iter().map(|call| &*call.id), earliest).await?;
        Ok(found.into_iter().map(|record| (record.id.clone(), record)).collect())
    }

    async fn fetch_some(
        &self,
        ids: impl ExactSizeIterator<Item = &str> + Send,
        now: SystemTime,
    ) -> Result<Vec<Record>, sqlx::Error> {
        let statement = self.statements.fetch_some(ids.len());
        let mut arguments = SqliteArguments::default();
        arguments.add(millis(now)).map_err(sqlx::Error::Encode)?;
        // SQLite takes the parameters that are left for NULL, and no id is NULL.
        for id in ids {
            arguments.add(id).map_err(sqlx::Error::Encode)?;
        }
        let rows = sqlx::query_with(statement, arguments).fetch_all(&self.readers).await?;
        rows.iter().map(to_record).collect()
    }
}

impl Batch for Fetches {
    type Call = Fetch;

    async fn run(&self, mut calls: Vec<Fetch>) {
        // Their callers are gone.
        calls.retain(|call| !call.answer.is_closed());
        if let [_] = &calls[..] {
            for Fetch { id, now, answer } in calls {
                let _ = answer.send(self.fetch(&id, now).await);
            }
            return;
        }
        let found = self.fetch_all(&calls).await;
        let found = found.map_err(|error| provider_error(&self.statements.table, error));
        for Fetch { id, now, answer } in calls {
            // There is no receiver if the caller is gone.
            let _ = answer.send(match &found {
                Ok(found) => Ok(found.get(&*id).filter(|record| record.is_live(now)).cloned()),
                Err(error) => Err(again(error)),
            });
        }
    }
}
