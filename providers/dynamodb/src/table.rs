//! Creating and dropping the table.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::delete_table::DeleteTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ProvisionedThroughput,
    ScalarAttributeType, TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use sessions::provider::ProviderError;
use tokio::time::{sleep, timeout};

use crate::error::{other_keys, provider_error};
use crate::item::{EXPIRES_AT, PARTITION_KEY, SORT_KEY};
use crate::provider::{Capacity, DynamoDbProvider};

impl DynamoDbProvider {
    pub(crate) async fn create(&self) -> Result<(), ProviderError> {
        let created = async {
            self.until_active().await?;
            self.declare_expiry().await
        };
        timeout(PATIENCE, created).await.unwrap_or_else(|_| {
            Err(ProviderError::unavailable(format!(
                "table `{}` did not become active within {PATIENCE:?}: call create_table() again",
                self.table
            )))
        })
    }

    pub(crate) async fn drop(&self) -> Result<(), ProviderError> {
        let dropped = async {
            let mut pause = Pause::new();
            while let Some(description) = self.describe().await? {
                if description.table_status() != Some(&TableStatus::Deleting) {
                    self.order_deletion().await?;
                }
                pause.next().await;
            }
            Ok(())
        };
        timeout(PATIENCE, dropped).await.unwrap_or_else(|_| {
            Err(ProviderError::unavailable(format!(
                "table `{}` was not gone within {PATIENCE:?}: call drop_table() again",
                self.table
            )))
        })
    }

    async fn order_deletion(&self) -> Result<(), ProviderError> {
        let request = self.client.delete_table().table_name(&*self.table);
        let Err(error) = self.within(request.send()).await? else { return Ok(()) };
        match error.as_service_error() {
            // Another host came first, or the table is just being created.
            Some(
                DeleteTableError::ResourceNotFoundException(_)
                | DeleteTableError::ResourceInUseException(_)
                | DeleteTableError::LimitExceededException(_),
            ) => Ok(()),
            _ => Err(provider_error(&self.table, error)),
        }
    }

    /// Whichever host comes first creates the table; the others wait with it.
    async fn until_active(&self) -> Result<(), ProviderError> {
        let mut pause = Pause::new();
        loop {
            let Some(table) = self.describe().await? else {
                self.order().await?;
                pause.next().await;
                continue;
            };
            match table.table_status() {
                // A table that is being updated serves requests.
                Some(TableStatus::Active | TableStatus::Updating) => {
                    return self.check_keys(&table);
                }
                Some(TableStatus::Creating | TableStatus::Deleting) => pause.next().await,
                status => {
                    let status = status.map_or("unknown", TableStatus::as_str);
                    return Err(ProviderError::permanent(format!(
                        "table `{}` is in the status {status}: mend that in the AWS console, or \
                         choose another name with table()",
                        self.table
                    )));
                }
            }
        }
    }

    async fn describe(&self) -> Result<Option<TableDescription>, ProviderError> {
        let request = self.client.describe_table().table_name(&*self.table);
        match self.within(request.send()).await? {
            Ok(found) => Ok(found.table),
            Err(error) => match error.as_service_error() {
                Some(DescribeTableError::ResourceNotFoundException(_)) => Ok(None),
                _ => Err(provider_error(&self.table, error)),
            },
        }
    }

    async fn order(&self) -> Result<(), ProviderError> {
        let mut request = self.client.create_table().table_name(&*self.table);
        for (name, kind) in [(PARTITION_KEY, KeyType::Hash), (SORT_KEY, KeyType::Range)] {
            let element = KeySchemaElement::builder().attribute_name(name).key_type(kind);
            let attribute = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            request = request
                .key_schema(element.build().expect("name and type are set"))
                .attribute_definitions(attribute.build().expect("name and type are set"));
        }
        request = match self.capacity {
            Capacity::OnDemand => request.billing_mode(BillingMode::PayPerRequest),
            Capacity::Provisioned(read, write) => {
                let throughput = ProvisionedThroughput::builder()
                    .read_capacity_units(read.into())
                    .write_capacity_units(write.into());
                request
                    .billing_mode(BillingMode::Provisioned)
                    .provisioned_throughput(throughput.build().expect("both are set"))
            }
        };
        match self.within(request.send()).await? {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Another host came first, or the account changes many tables at this moment.
                Some(
                    CreateTableError::ResourceInUseException(_)
                    | CreateTableError::LimitExceededException(_),
                ) => Ok(()),
                _ => Err(provider_error(&self.table, error)),
            },
        }
    }

    fn check_keys(&self, table: &TableDescription) -> Result<(), ProviderError> {
        let is_key = |name, kind| {
            let mut attributes = table.attribute_definitions().iter();
            let text = attributes.any(|it| {
                it.attribute_name() == name && *it.attribute_type() == ScalarAttributeType::S
            });
            let mut keys = table.key_schema().iter();
            text && keys.any(|it| it.attribute_name() == name && *it.key_type() == kind)
        };
        if is_key(PARTITION_KEY, KeyType::Hash) && is_key(SORT_KEY, KeyType::Range) {
            return Ok(());
        }
        Err(other_keys(&self.table))
    }

    /// Switches on the deletion of expired items. Any number of hosts may do so at once.
    async fn declare_expiry(&self) -> Result<(), ProviderError> {
        let mut pause = Pause::new();
        loop {
            let request = self.client.describe_time_to_live().table_name(&*self.table);
            let found = self
                .within(request.send())
                .await?
                .map_err(|error| provider_error(&self.table, error))?;
            let found = found.time_to_live_description();
            match found.and_then(|it| it.time_to_live_status()) {
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => {
                    let attribute = found.and_then(|it| it.attribute_name()).unwrap_or_default();
                    if attribute == EXPIRES_AT {
                        return Ok(());
                    }
                    return Err(ProviderError::permanent(format!(
                        "table `{}` expires its items by the attribute `{attribute}`: set its \
                         time to live to `{EXPIRES_AT}`, or choose another name with table()",
                        self.table
                    )));
                }
                Some(TimeToLiveStatus::Disabling) => return Err(self.expiry_is_changing()),
                _ => {}
            }
            let specification = TimeToLiveSpecification::builder()
                .attribute_name(EXPIRES_AT)
                .enabled(true)
                .build()
                .expect("name and state are set");
            let request = self.client.update_time_to_live().table_name(&*self.table);
            let request = request.time_to_live_specification(specification);
            match self.within(request.send()).await? {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let message = error.message().unwrap_or_default();
                    // Another host came first; what it did shows in the next round.
                    let raced = message.contains("already enabled")
                        || message.contains("different AttributeName")
                        || matches!(
                            error.code(),
                            Some("ResourceInUseException" | "LimitExceededException")
                        );
                    if message.contains("modified multiple times") {
                        return Err(self.expiry_is_changing().with_source(error));
                    }
                    if !raced {
                        return Err(provider_error(&self.table, error));
                    }
                }
            }
            pause.next().await;
        }
    }

    fn expiry_is_changing(&self) -> ProviderError {
        ProviderError::unavailable(format!(
            "the time to live of table `{}` was changed within the last hour, and DynamoDB allows \
             one change an hour: call create_table() again later",
            self.table
        ))
    }
}

/// Grows, so that a table that takes long is not asked for often.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(Duration::from_millis(25))
    }

    async fn next(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}

/// A table takes DynamoDB some ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);
