//! The provider: its settings, and which call is which request.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use tokio::time::timeout;

/// Keeps records in a DynamoDB table. Clones share their client.
///
/// The [crate's docs](crate) describe the table, the permissions, the cost of each call and expiry.
///
/// ```
/// use aws_sdk_dynamodb::{Client, Config, config::{BehaviorVersion, Region}};
/// use sessions_dynamodb::DynamoDbProvider;
/// # use sessions_dynamodb::aws_sdk_dynamodb;
///
/// let config = Config::builder()
///     .behavior_version(BehaviorVersion::latest())
///     .region(Region::new("eu-central-1"))
///     .build();
/// let provider = DynamoDbProvider::new(Client::from_conf(config));
/// # let _ = provider;
/// ```
#[derive(Clone)]
pub struct DynamoDbProvider {
    pub(crate) client: Client,
    pub(crate) table: Arc<str>,
    pub(crate) capacity: Capacity,
    timeout: Duration,
}

/// What [`create_table`](DynamoDbProvider::create_table) orders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capacity {
    OnDemand,
    /// Read and write units.
    Provisioned(u32, u32),
}

impl DynamoDbProvider {
    /// Uses a client of your own, and the table `sessions`.
    ///
    /// It uses the client's region, endpoint, credentials and HTTP client unchanged. It uses the
    /// client's retries for reads and idempotent calls, but never for `save` and `delete`.
    ///
    /// ```
    /// use sessions_dynamodb::DynamoDbProvider;
    /// use sessions_dynamodb::aws_sdk_dynamodb::Client;
    ///
    /// fn provider(client: &Client) -> DynamoDbProvider {
    ///     DynamoDbProvider::new(client.clone())
    /// }
    /// # let _ = provider;
    /// ```
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            table: DEFAULT_TABLE.into(),
            capacity: Capacity::OnDemand,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Uses another table than `sessions`. Its name has 3 to 255 of `a-z`, `A-Z`, `0-9`, `_`, `-`
    /// and `.`.
    ///
    /// # Errors
    /// Fails for any other name.
    ///
    /// ```
    /// use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};
    ///
    /// fn provider(client: Client) -> DynamoDbProvider {
    ///     let provider = DynamoDbProvider::new(client);
    ///     assert!(provider.clone().table("my table").is_err());
    ///     provider.table("shop.sessions").expect("a valid name")
    /// }
    /// # let _ = provider;
    /// ```
    pub fn table(self, name: &str) -> Result<Self, ProviderError> {
        let valid = (3..=255).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !valid {
            return Err(ProviderError::permanent(format!(
                "table name {name:?} is refused: use 3 to 255 ASCII letters, digits, underscores, \
                 hyphens and dots"
            )));
        }
        Ok(Self { table: name.into(), ..self })
    }

    /// Sets the timeout of a call, 5 seconds by default. A save that times out may or may not have
    /// happened; the store finds out which.
    ///
    /// The client's own timeouts apply too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};
    ///
    /// fn provider(client: Client) -> DynamoDbProvider {
    ///     DynamoDbProvider::new(client).timeout(Duration::from_secs(1))
    /// }
    /// # let _ = provider;
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Makes [`create_table`](Self::create_table) order provisioned capacity instead of paying for
    /// each request, in read and write units for each second. It does not change an existing table.
    ///
    /// # Errors
    /// Fails if one of them is zero.
    ///
    /// ```
    /// use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};
    ///
    /// fn provider(client: Client) -> DynamoDbProvider {
    ///     DynamoDbProvider::new(client).provisioned(50, 20).expect("above zero")
    /// }
    /// # let _ = provider;
    /// ```
    pub fn provisioned(self, read_units: u32, write_units: u32) -> Result<Self, ProviderError> {
        if read_units == 0 || write_units == 0 {
            return Err(ProviderError::permanent(
                "provisioned capacity of zero units is refused: order at least 1 of each",
            ));
        }
        Ok(Self { capacity: Capacity::Provisioned(read_units, write_units), ..self })
    }

    /// Creates the table if it is missing, waits until it is active, and declares the attribute by
    /// which DynamoDB deletes expired items. Any number of hosts may do so at once, and repeatedly.
    /// The first time it takes DynamoDB about ten seconds.
    ///
    /// # Errors
    /// Fails if DynamoDB cannot answer, if a table of this name has another key or expires its
    /// items by another attribute, or if the table is not active after two minutes.
    ///
    /// ```no_run
    /// # use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};
    /// # async fn example(client: Client) -> Result<(), sessions::provider::ProviderError> {
    /// let provider = DynamoDbProvider::new(client).table("visitors")?;
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_table(&self) -> Result<(), ProviderError> {
        self.create().await
    }

    /// Deletes the table with all its records, and waits until it is gone. It is for tests.
    ///
    /// # Errors
    /// Fails if DynamoDB cannot answer, protects the table from deletion, or has not deleted it
    /// after two minutes. A missing table is not an error.
    ///
    /// ```no_run
    /// # use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};
    /// # async fn example(client: Client) -> Result<(), sessions::provider::ProviderError> {
    /// DynamoDbProvider::new(client).table("test-sessions")?.drop_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn drop_table(&self) -> Result<(), ProviderError> {
        self.drop().await
    }

    /// Waits for a call as long as the timeout allows.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = T>,
    ) -> Result<T, ProviderError> {
        timeout(self.timeout, call).await.map_err(|_| {
            ProviderError::unavailable(format!("DynamoDB did not answer within {:?}", self.timeout))
        })
    }
}

impl fmt::Debug for DynamoDbProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbProvider")
            .field("table", &self.table)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for DynamoDbProvider {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.within(self.get(id, now)).await?
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        crate::item::check_size(record)?;
        self.within(self.put(record, expect, now)).await?
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.within(self.remove(id, expect, now)).await?
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.within(self.prolong(id, expires_at, expect, now)).await?
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.within(self.list_page(owner, page, now)).await?
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.within(self.scan_page(page, now)).await?
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.within(self.live_records(ids, now)).await?
    }

    // `purge` stays unsupported: DynamoDB deletes expired items by itself. So does `changes`: a
    // stream serves two readers at a time, and not each host of a service.
}

const DEFAULT_TABLE: &str = "sessions";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
