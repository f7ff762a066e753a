//! An owner's records: the entries say which, the records whether.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, KeysAndAttributes, TransactWriteItem};
use sessions::provider::{Listed, Page, ProviderError, Record};
use tokio::time::sleep;

use crate::error::provider_error;
use crate::item::{OWNER, entries_key, entry_id, entry_key, record_key, s};
use crate::provider::DynamoDbProvider;

impl DynamoDbProvider {
    pub(crate) async fn list_page(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).min(MOST_RECORDS);
        if limit == 0 {
            return Ok(Listed::default());
        }
        let mut after = page.after;
        loop {
            let (ids, next) = self.entries(owner, after.as_deref(), limit).await?;
            let mut found = self.records(&ids).await?;
            let mut records = Vec::new();
            let mut gone = Vec::new();
            for id in ids {
                match found.remove(&*id) {
                    Some(record) if record.owner.as_deref() == Some(owner) => {
                        if record.is_live(now) {
                            records.push(record);
                        }
                    }
                    _ => gone.push(id),
                }
            }
            for gone in gone.chunks(MOST_ACTIONS / 2) {
                self.trim(owner, gone).await;
            }
            // An empty page in front of others would be right, but of no use to anybody.
            if !records.is_empty() || next.is_none() {
                return Ok(Listed { records, next });
            }
            after = next;
        }
    }

    /// The ids behind `after` that the list names, in the order of their bytes, and the last of
    /// them if more follow.
    async fn entries(
        &self,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>), ProviderError> {
        // One more than asked for tells whether another page follows.
        let more = i32::try_from(limit + 1).unwrap_or(i32::MAX);
        let mut request = self
            .client
            .query()
            .table_name(&*self.table)
            .key_condition_expression(if after.is_some() {
                "pk = :owner AND sk > :after"
            } else {
                "pk = :owner"
            })
            .expression_attribute_values(":owner", s(entries_key(owner)))
            .consistent_read(true)
            .limit(more);
        if let Some(after) = after {
            // A key has no empty text; every id is behind this one.
            let after = if after.is_empty() { "\0" } else { after };
            request = request.expression_attribute_values(":after", s(after));
        }
        let found = request.send().await.map_err(|error| provider_error(&self.table, error))?;
        let mut ids: Vec<String> =
            found.items().iter().filter_map(entry_id).map(str::to_owned).collect();
        let follows = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().filter(|_| follows).cloned();
        Ok((ids, next))
    }

    /// The stored records of these ids, expired ones included.
    async fn records(
        &self,
        ids: &[impl AsRef<str>],
    ) -> Result<HashMap<Arc<str>, Record>, ProviderError> {
        let mut found = HashMap::with_capacity(ids.len());
        let mut keys: Vec<_> = ids.iter().map(|id| record_key(id.as_ref())).collect();
        let mut pause = Duration::from_millis(10);
        while !keys.is_empty() {
            let asked = keys.len();
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build()
                .expect("the keys are set");
            let answer = self
                .client
                .batch_get_item()
                .request_items(&*self.table, wanted)
                .send()
                .await
                .map_err(|error| provider_error(&self.table, error))?;
            let items = answer.responses.unwrap_or_default().into_values().flatten();
            for item in items {
                if let Some(record) = self.parse(Some(item))? {
                    found.insert(record.id.clone(), record);
                }
            }
            // What was above the size of an answer, or the table's capacity.
            keys = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|left| left.keys)
                .collect();
            if keys.len() == asked {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
        Ok(found)
    }

    /// The live records of these ids.
    pub(crate) async fn live_records(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        // A request that names a key twice is refused.
        let ids: Vec<_> = BTreeSet::from_iter(ids).into_iter().collect();
        let mut records = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST_RECORDS) {
            let found = self.records(some).await?;
            records.extend(found.into_values().filter(|record| record.is_live(now)));
        }
        Ok(records)
    }

    /// Removes entries with no record of this owner behind them, if that is so still.
    async fn trim(&self, owner: &str, ids: &[String]) {
        let actions: Vec<_> = ids
            .iter()
            .flat_map(|id| {
                let check = ConditionCheck::builder()
                    .table_name(&*self.table)
                    .set_key(Some(record_key(id)))
                    .condition_expression("attribute_not_exists(#owner) OR #owner <> :owner")
                    .expression_attribute_names("#owner", OWNER)
                    .expression_attribute_values(":owner", s(owner))
                    .build()
                    .expect("table, key and condition are set");
                let delete = Delete::builder()
                    .table_name(&*self.table)
                    .set_key(Some(entry_key(owner, id)))
                    .build()
                    .expect("table and key are set");
                [
                    TransactWriteItem::builder().condition_check(check).build(),
                    TransactWriteItem::builder().delete(delete).build(),
                ]
            })
            .collect();
        // The caller has its answer; what is not trimmed now is found by the next list.
        let _ = self.together(actions).send().await;
    }
}

/// How many items one request reads at most.
const MOST_RECORDS: usize = 100;

/// How many actions a transaction has at most.
const MOST_ACTIONS: usize = 100;
