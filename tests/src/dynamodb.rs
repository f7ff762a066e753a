//! Amazon's DynamoDB Local, clients for it, and tables that are gone when they are dropped.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::{Client, Config};
use sessions_dynamodb::DynamoDbProvider;

use crate::process::{Process, find_program, free_port};

/// A DynamoDB Local of its own.
#[derive(Debug)]
pub struct Local {
    /// Where it listens.
    pub address: SocketAddr,
    process: Process,
}

impl Local {
    /// Starts one that keeps its tables in memory.
    ///
    /// # Panics
    /// When Java or the jar is missing, or when it does not answer within two minutes.
    #[must_use]
    pub fn in_memory() -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        Self::start(free_port(), &["-inMemory"], &folder.join("log"), Some(folder))
    }

    /// Starts one whose tables take a while to be created and dropped, as DynamoDB's own do.
    ///
    /// # Panics
    /// When Java or the jar is missing, or when it does not answer within two minutes.
    #[must_use]
    pub fn slow_to_create() -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let settings = ["-inMemory", "-delayTransientStatuses"];
        Self::start(free_port(), &settings, &folder.join("log"), Some(folder))
    }

    /// Starts one on a given port, that keeps its tables in a folder.
    ///
    /// # Panics
    /// When Java or the jar is missing, or when it does not answer within two minutes.
    #[must_use]
    pub fn in_folder(port: u16, folder: &Path) -> Self {
        let path = folder.to_str().expect("a folder with a plain name");
        Self::start(port, &["-dbPath", path], &folder.join("log"), None)
    }

    /// It leaves a file where it runs, which is therefore where its log is.
    fn start(port: u16, settings: &[&str], log: &Path, folder: Option<PathBuf>) -> Self {
        let java = find_program("java", &[]).expect("java is missing: run tests/run.sh");
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dynamodb-local");
        let jar = home.join("DynamoDBLocal.jar");
        assert!(jar.is_file(), "{} is missing: run tests/run.sh", jar.display());
        let library = format!("-Djava.library.path={}", home.join("DynamoDBLocal_lib").display());
        let place = log.parent().expect("the log is in a folder").to_string_lossy();
        let (java, jar, port_text) =
            (java.to_string_lossy(), jar.to_string_lossy(), port.to_string());
        let mut command = vec!["env", "-C", &*place, &*java, "-Xmx512m", &*library, "-jar", &*jar];
        command.extend_from_slice(settings);
        command.extend_from_slice(&["-disableTelemetry", "-port", &port_text]);
        let process = Process::start(&command, log, "TERM", folder);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = !Path::new(&format!("/proc/{}/exe", process.pid())).exists();
            if ended || start.elapsed() > Duration::from_secs(120) {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                panic!("DynamoDB Local does not answer on port {port}: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { address, process }
    }

    /// Kills it at once, as a crash would.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// The server that the tests of one program share: `DYNAMODB_ENDPOINT`, or a DynamoDB Local.
pub fn endpoint() -> &'static str {
    static ENDPOINT: OnceLock<(String, Option<Local>)> = OnceLock::new();
    let started = ENDPOINT.get_or_init(|| match std::env::var("DYNAMODB_ENDPOINT") {
        Ok(endpoint) => (endpoint, None),
        Err(_) => {
            let local = Local::in_memory();
            (format!("http://{}", local.address), Some(local))
        }
    });
    &started.0
}

/// The address of the shared server, for a proxy.
///
/// # Panics
/// When `DYNAMODB_ENDPOINT` is not like `http://127.0.0.1:8000`.
pub fn address() -> SocketAddr {
    let address = endpoint().trim_start_matches("http://").trim_end_matches('/');
    address.parse().expect("DYNAMODB_ENDPOINT is like http://127.0.0.1:8000")
}

/// A client's configuration, with the keys and the region that all tests use.
#[must_use]
pub fn config(endpoint: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("sessions", "secret", None, None, "tests"))
        .endpoint_url(endpoint)
}

/// A client with connections of its own.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).build())
}

/// A table on the shared server; it is dropped with this.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
}

impl Table {
    /// Creates a table.
    ///
    /// # Panics
    /// When that fails.
    pub async fn create() -> Self {
        let table = Self::reserve();
        table.provider().await.create_table().await.expect("a new table");
        table
    }

    /// A name of no table.
    #[must_use]
    pub fn reserve() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        Self { name: format!("test-{}-{now}-{count}", std::process::id()) }
    }

    /// A provider with a client of its own.
    pub async fn provider(&self) -> DynamoDbProvider {
        // The server is waited for where that holds up no other task.
        let endpoint = tokio::task::spawn_blocking(endpoint).await.expect("DynamoDB Local");
        self.provider_with(client(endpoint))
    }

    /// A provider with a given client, that waits for long: the machine may be busy.
    ///
    /// # Panics
    /// Never: the name is valid.
    #[must_use]
    pub fn provider_with(&self, client: Client) -> DynamoDbProvider {
        let provider = DynamoDbProvider::new(client).timeout(Duration::from_secs(60));
        provider.table(&self.name).expect("a valid name")
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // What stands in memory ends with the tests.
        if std::env::var_os("DYNAMODB_ENDPOINT").is_none() {
            return;
        }
        let provider = self.provider_with(client(endpoint()));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(provider.drop_table())
        });
        let dropped = dropped.join();
        if !std::thread::panicking() {
            dropped.expect("no panic").expect("a table that can be dropped");
        }
    }
}

/// Counts what a client sends, retries included, by the name of the operation.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<Mutex<BTreeMap<String, u32>>>);

impl Sent {
    /// What was sent since this was called last, such as `"GetItem 1, PutItem 2"`.
    pub fn take(&self) -> String {
        let sent = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let sent: Vec<_> = sent.iter().map(|(name, count)| format!("{name} {count}")).collect();
        sent.join(", ")
    }
}

impl Intercept for Sent {
    fn name(&self) -> &'static str {
        "Sent"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        let name = target.rsplit('.').next().unwrap_or_default().to_owned();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Ok(())
    }
}
