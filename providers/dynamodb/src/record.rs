//! The calls on one record.
//!
//! The entry in the owner's list is written in the transaction that gives a record its owner, and
//! lives longer than the record. So for each live record with an owner there is an entry; not the
//! other way round, which the list allows for. A save that changes neither is one plain request,
//! whose condition says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use rand::Rng as _;
use sessions::provider::{Deleted, Expect, ProviderError, Record, Saved, Touched, to_unix_millis};
use tokio::time::sleep;

use crate::error::{Contended, cancelled, other_items, provider_error, reasons};
use crate::item::{
    DATA, FORMAT, Item, OWNER, data, entry_item, listed_until, n, record_item, record_key, s,
    seconds, to_record,
};
use crate::provider::DynamoDbProvider;

impl DynamoDbProvider {
    pub(crate) async fn get(
        &self,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Record>, ProviderError> {
        let found = self
            .client
            .get_item()
            .table_name(&*self.table)
            .set_key(Some(record_key(id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| provider_error(&self.table, error))?;
        Ok(self.parse(found.item)?.filter(|it| it.is_live(now)))
    }

    pub(crate) async fn put(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let Some(owner) = &record.owner else { return self.put_alone(record, expect, now).await };
        if matches!(expect, Expect::Version(_) | Expect::Untouched { .. }) {
            let Err(current) = self.update(record, owner, expect, now).await? else {
                return Ok(Saved::Saved);
            };
            let current = live(current, now);
            if !expect.is_met(current.as_ref()) {
                return Ok(Saved::Conflict(current));
            }
            // The record is as expected, but its entry is another owner's, or expires too soon.
        }
        self.put_listed(record, owner, expect, now).await
    }

    /// A record without owner needs no entry.
    async fn put_alone(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let (condition, values) = condition(expect, now);
        let put = || {
            self.client
                .put_item()
                .table_name(&*self.table)
                .set_item(Some(record_item(record, None)))
                .set_condition_expression(condition.clone())
                .set_expression_attribute_values(values.clone())
                .return_values_on_condition_check_failure(ALL_OLD)
                .customize()
                .config_override(once())
                .send()
        };
        let Err(error) = uncontended(put).await else { return Ok(Saved::Saved) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let current = self.parse(failed.item().cloned())?;
                Ok(Saved::Conflict(live(current, now)))
            }
            _ => Err(provider_error(&self.table, error)),
        }
    }

    /// Replaces all but the owner and the entry's expiry of a record that stays listed where it
    /// is; `Err`: what is stored instead.
    async fn update(
        &self,
        record: &Record,
        owner: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Result<(), Option<Record>>, ProviderError> {
        let (update, listed) = match record.expires_at {
            Some(_) => (
                "SET version = :version, #data = :data, #format = :format, \
                 expires_ms = :expires_ms, expires_at = :expires_at",
                LISTED_LONG_ENOUGH,
            ),
            None => (
                "SET version = :version, #data = :data, #format = :format \
                 REMOVE expires_ms, expires_at",
                "attribute_not_exists(listed_until)",
            ),
        };
        let (expected, values) = condition(expect, now);
        let expected = expected.unwrap_or_default();
        let condition = format!("{expected} AND #owner = :owner AND {listed}");
        let send = || {
            let mut request = self
                .client
                .update_item()
                .table_name(&*self.table)
                .set_key(Some(record_key(&record.id)))
                .update_expression(update)
                .condition_expression(&condition)
                .expression_attribute_names("#data", DATA)
                .expression_attribute_names("#format", FORMAT)
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_values(":version", n(record.version))
                .expression_attribute_values(":data", data(record))
                .expression_attribute_values(":format", s(&*record.format))
                .expression_attribute_values(":owner", s(owner));
            for (name, value) in values.clone().into_iter().flatten() {
                request = request.expression_attribute_values(name, value);
            }
            if let Some(at) = record.expires_at {
                request = request
                    .expression_attribute_values(":expires_ms", n(to_unix_millis(at)))
                    .expression_attribute_values(":expires_at", n(seconds(at)));
            }
            request
                .return_values_on_condition_check_failure(ALL_OLD)
                .customize()
                .config_override(once())
                .send()
        };
        match uncontended(send).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => self.condition_failed(error).map(Err),
        }
    }

    /// Saves a record and its entry, both or none.
    async fn put_listed(
        &self,
        record: &Record,
        owner: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let (condition, values) = condition(expect, now);
        let until = record.expires_at.map(|at| listed_until(at, now));
        let write = || {
            let put = Put::builder()
                .table_name(&*self.table)
                .set_item(Some(record_item(record, until)))
                .set_condition_expression(condition.clone())
                .set_expression_attribute_values(values.clone())
                .return_values_on_condition_check_failure(ALL_OLD)
                .build()
                .expect("table and item are set");
            let put = TransactWriteItem::builder().put(put).build();
            self.together([put, self.entry(owner, &record.id, until)])
        };
        Ok(match self.transact(write).await? {
            Ok(()) => Saved::Saved,
            Err(current) => Saved::Conflict(live(current, now)),
        })
    }

    pub(crate) async fn remove(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let (condition, values) = match expect {
            // Without a condition DynamoDB Local hands one item to several deletes.
            Expect::Any => (Some("attribute_exists(pk)".to_owned()), None),
            // There is nothing that it could remove.
            Expect::Absent => {
                let current = self.get(id, now).await?;
                return Ok(current.map_or(Deleted::Deleted(None), Deleted::Conflict));
            }
            Expect::Version(_) | Expect::Untouched { .. } => condition(expect, now),
        };
        // Not repeated by the SDK either: what the first try removed would be lost. The entry stays
        // until it expires or a list finds nothing behind it.
        let delete = || {
            self.client
                .delete_item()
                .table_name(&*self.table)
                .set_key(Some(record_key(id)))
                .set_condition_expression(condition.clone())
                .set_expression_attribute_values(values.clone())
                .return_values(ReturnValue::AllOld)
                .return_values_on_condition_check_failure(ALL_OLD)
                .customize()
                .config_override(once())
                .send()
        };
        match uncontended(delete).await {
            Ok(deleted) => Ok(Deleted::Deleted(self.parse(deleted.attributes)?)),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    let current = live(self.parse(failed.item().cloned())?, now);
                    Ok(current.map_or(Deleted::Deleted(None), Deleted::Conflict))
                }
                _ => Err(provider_error(&self.table, error)),
            },
        }
    }

    pub(crate) async fn prolong(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        if expect == Expect::Absent {
            return Ok(Touched::Conflict(self.get(id, now).await?));
        }
        let mut owner: Option<Arc<str>> = None;
        loop {
            let prolonged = match &owner {
                None => self.prolong_alone(id, expires_at, expect, now).await?,
                Some(owner) => self.prolong_listed(id, owner, expires_at, expect, now).await?,
            };
            let Err(current) = prolonged else { return Ok(Touched::Touched) };
            let current = live(current, now);
            let met = expect.is_met(current.as_ref());
            let current = match current {
                Some(current) if met => current,
                current => return Ok(Touched::Conflict(current)),
            };
            if current.expires_at.is_none_or(|at| at >= expires_at) {
                return Ok(Touched::Touched);
            }
            // Its entry would expire before it, or it has come to another owner in between.
            owner = current.owner;
        }
    }

    async fn prolong_alone(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Result<(), Option<Record>>, ProviderError> {
        let (expected, values) = also(expect);
        let settings = match expect {
            // Sent again after its answer was lost, it would conflict with itself.
            Expect::Untouched { .. } => once(),
            _ => Config::builder(),
        };
        let send = || {
            let mut request = self
                .client
                .update_item()
                .table_name(&*self.table)
                .set_key(Some(record_key(id)))
                .update_expression("SET expires_ms = :expires_ms, expires_at = :expires_at")
                .condition_expression(format!(
                    "{EXPIRES_BETWEEN} AND {LISTED_LONG_ENOUGH}{expected}"
                ))
                .expression_attribute_values(":expires_ms", n(to_unix_millis(expires_at)))
                .expression_attribute_values(":expires_at", n(seconds(expires_at)))
                .expression_attribute_values(":now", n(to_unix_millis(now)));
            for (name, value) in values.clone() {
                request = request.expression_attribute_values(name, value);
            }
            request
                .return_values_on_condition_check_failure(ALL_OLD)
                .customize()
                .config_override(settings.clone())
                .send()
        };
        match uncontended(send).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => self.condition_failed(error).map(Err),
        }
    }

    /// Moves the expiry of a record and of its entry, both or none.
    async fn prolong_listed(
        &self,
        id: &str,
        owner: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Result<(), Option<Record>>, ProviderError> {
        let until = listed_until(expires_at, now);
        let (expected, values) = also(expect);
        let write = || {
            let mut update = Update::builder()
                .table_name(&*self.table)
                .set_key(Some(record_key(id)))
                .update_expression(
                    "SET expires_ms = :expires_ms, expires_at = :expires_at, \
                     listed_until = :listed_until",
                )
                .condition_expression(format!("{EXPIRES_BETWEEN} AND #owner = :owner{expected}"))
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_values(":expires_ms", n(to_unix_millis(expires_at)))
                .expression_attribute_values(":expires_at", n(seconds(expires_at)))
                .expression_attribute_values(":listed_until", n(until))
                .expression_attribute_values(":now", n(to_unix_millis(now)))
                .expression_attribute_values(":owner", s(owner))
                .return_values_on_condition_check_failure(ALL_OLD);
            for (name, value) in values.clone() {
                update = update.expression_attribute_values(name, value);
            }
            let update = update.build().expect("table, key and expression are set");
            let update = TransactWriteItem::builder().update(update).build();
            self.together([update, self.entry(owner, id, Some(until))])
        };
        self.transact(write).await
    }

    fn entry(&self, owner: &str, id: &str, until: Option<u64>) -> TransactWriteItem {
        let put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(entry_item(owner, id, until)))
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }

    pub(crate) fn together(
        &self,
        actions: impl Into<Vec<TransactWriteItem>>,
    ) -> TransactWriteItemsFluentBuilder {
        self.client.transact_write_items().set_transact_items(Some(actions.into()))
    }

    /// Runs a transaction whose first action has a condition; `Err`: the item that did not meet it.
    async fn transact(
        &self,
        write: impl Fn() -> TransactWriteItemsFluentBuilder,
    ) -> Result<Result<(), Option<Record>>, ProviderError> {
        let send = || write().customize().config_override(once()).send();
        let Err(error) = uncontended(send).await else { return Ok(Ok(())) };
        match reasons(&error).first() {
            Some(reason) if reason.code() == Some("ConditionalCheckFailed") => {
                self.parse(reason.item().cloned()).map(Err)
            }
            _ => Err(cancelled(&self.table, error)),
        }
    }

    fn condition_failed(
        &self,
        error: SdkError<UpdateItemError, HttpResponse>,
    ) -> Result<Option<Record>, ProviderError> {
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                self.parse(failed.item().cloned())
            }
            _ => Err(provider_error(&self.table, error)),
        }
    }

    pub(crate) fn parse(&self, item: Option<Item>) -> Result<Option<Record>, ProviderError> {
        // An empty item stands for none in some answers.
        match item.filter(|item| !item.is_empty()) {
            Some(item) => to_record(item).map(Some).ok_or_else(|| other_items(&self.table)),
            None => Ok(None),
        }
    }
}

fn live(stored: Option<Record>, now: SystemTime) -> Option<Record> {
    stored.filter(|record| record.is_live(now))
}

type Values = HashMap<String, AttributeValue>;

/// What must be stored, as a condition and its values.
fn condition(expect: Expect, now: SystemTime) -> (Option<String>, Option<Values>) {
    let now = (":now".to_owned(), n(to_unix_millis(now)));
    match expect {
        // Comparing an attribute that is missing is never true.
        Expect::Absent => {
            let absent = "attribute_not_exists(pk) OR expires_ms <= :now";
            (Some(absent.to_owned()), Some([now].into()))
        }
        Expect::Version(_) | Expect::Untouched { .. } => {
            let (expected, mut values) = also(expect);
            values.extend([now]);
            (Some(format!("{LIVE}{expected}")), Some(values))
        }
        Expect::Any => (None, None),
    }
}

/// What must hold of a live record besides, as the end of a condition and its values.
fn also(expect: Expect) -> (&'static str, Values) {
    let expected = |version| (":expected".to_owned(), n(version));
    match expect {
        Expect::Absent | Expect::Any => ("", Values::new()),
        Expect::Version(version) => (" AND version = :expected", [expected(version)].into()),
        Expect::Untouched { version, expires_at: None } => {
            let untouched = " AND version = :expected AND attribute_not_exists(expires_ms)";
            (untouched, [expected(version)].into())
        }
        Expect::Untouched { version, expires_at: Some(at) } => {
            let seen = (":seen".to_owned(), n(to_unix_millis(at)));
            let untouched = " AND version = :expected AND expires_ms = :seen";
            (untouched, [expected(version), seen].into())
        }
    }
}

/// Settings of a request that the SDK must not send again by itself.
fn once() -> Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}

/// Repeats what DynamoDB refused because another write of the item was under way: it has done
/// nothing of it, as it says. The call's timeout ends that.
async fn uncontended<T, E, F>(mut send: impl FnMut() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    E: Contended,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut ceiling = 4_000_u64;
    loop {
        match send().await {
            Err(error) if error.as_service_error().is_some_and(Contended::is_contended) => {}
            answer => return answer,
        }
        let pause = rand::rng().random_range(ceiling / 4..=ceiling);
        sleep(Duration::from_micros(pause)).await;
        ceiling = (ceiling * 2).min(128_000);
    }
}

const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

/// A live record.
const LIVE: &str =
    "attribute_exists(pk) AND (attribute_not_exists(expires_ms) OR expires_ms > :now)";

/// A live record that expires before `:expires_ms`.
const EXPIRES_BETWEEN: &str = "expires_ms > :now AND expires_ms < :expires_ms";

/// A record that has no entry, or one that is there until `:expires_at`.
const LISTED_LONG_ENOUGH: &str =
    "(attribute_not_exists(listed_until) OR listed_until >= :expires_at)";
