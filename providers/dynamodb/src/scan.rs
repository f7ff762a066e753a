//! All records, a page at a time.

use std::time::SystemTime;

use sessions::provider::{Listed, Page, ProviderError};

use crate::error::provider_error;
use crate::item::{VERSION, mark, marked};
use crate::provider::DynamoDbProvider;

impl DynamoDbProvider {
    pub(crate) async fn scan_page(
        &self,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let after = page.after.map(|text| {
            marked(&text).ok_or_else(|| {
                ProviderError::permanent("this mark is not one of DynamoDB's: begin the scan again")
            })
        });
        // Entries of owners' lists have no version. The limit counts them too.
        let found = self
            .client
            .scan()
            .table_name(&*self.table)
            .filter_expression("attribute_exists(#version)")
            .expression_attribute_names("#version", VERSION)
            .consistent_read(true)
            .limit(i32::try_from(page.limit).unwrap_or(i32::MAX).max(1))
            .set_exclusive_start_key(after.transpose()?)
            .send()
            .await
            .map_err(|error| provider_error(&self.table, error))?;
        let mut records = Vec::new();
        for item in found.items.unwrap_or_default() {
            records.extend(self.parse(Some(item))?.filter(|record| record.is_live(now)));
        }
        Ok(Listed { records, next: found.last_evaluated_key.as_ref().and_then(mark) })
    }
}
