//! The default of each setting, as the guide states it, and the source that makes it so.

const BUILDER: &str = "sessions/src/store/builder.rs";
const SETTINGS: &str = "sessions/src/store/settings.rs";
const COOKIE: &str = "sessions/src/cookie.rs";
const BINDING: &str = "sessions/src/device_binding.rs";
const CACHE: &str = "sessions/src/store/cache.rs";
const CODEC: &str = "sessions/src/codec/builder.rs";
const MOVER: &str = "sessions/src/moving/mover.rs";
const UPGRADE: &str = "sessions/src/store/upgrade.rs";
const POSTGRES: &str = "providers/postgres/src/provider.rs";
const REDIS: &str = "providers/redis/src/provider.rs";
const DYNAMODB: &str = "providers/dynamodb/src/provider.rs";

/// Setting, default, file, and what the file has while that is the default.
#[rustfmt::skip]
pub(crate) const DEFAULTS: &[(&str, &str, &str, &str)] = &[
    ("StoreBuilder::app", "`app`", BUILDER, r#"app: "app".to_owned(),"#),
    ("StoreBuilder::idle_timeout", "7 days, or the lifetime if that is shorter", SETTINGS, "const IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);"),
    ("StoreBuilder::lifetime", "30 days", SETTINGS, "let longest = limits.lifetime.min(30 * DAY); let lifetime = self.lifetime.or(store_lifetime).unwrap_or(longest);"),
    ("StoreBuilder::touch_interval", "an hour, or a tenth of the idle timeout if that is shorter", SETTINGS, "let default = HOUR.min(idle / 10);"),
    ("StoreBuilder::longest_remember", "90 days, or the lifetime if that is longer", SETTINGS, ".unwrap_or_else(|| lifetime.max(90 * DAY).min(limits.lifetime))"),
    ("StoreBuilder::max_sessions_per_owner", "no limit", BUILDER, "most_sessions: None,"),
    ("StoreBuilder::at_limit", "`EndOldest`", "sessions/src/store/at_limit.rs", "#[default] EndOldest,"),
    ("StoreBuilder::max_record_size", "64 KiB", "sessions/src/schema/limits.rs", "pub const RECORD_LIMIT: usize = 64 << 10;"),
    ("StoreBuilder::client_side", "off", BUILDER, "client_side: false,"),
    ("StoreBuilder::encrypt_records", "off", BUILDER, "encrypt_records: false,"),
    ("StoreBuilder::accept_plain_records", "off", BUILDER, "accept_plain_records: false,"),
    ("StoreBuilder::danger_plain_keys", "off", BUILDER, "plain_keys: false,"),
    ("StoreBuilder::reset_unreadable", "`false`", BUILDER, "reset_unreadable: false,"),
    ("StoreBuilder::keep_changes", "`UnlessFailed`", "sessions/src/store/keep.rs", "#[default] UnlessFailed,"),
    ("StoreBuilder::cookie", "the [default cookie](#cookies-cookieconfig)", SETTINGS, "(None, None, None) => CookieConfig::new(),"),
    ("StoreBuilder::also_read_cookie", "none", SETTINGS, "#[derive(Clone, Debug, Default)] #[must_use = \"return it from the closure\"] pub struct SessionSettings {"),
    ("StoreBuilder::transport", "`Cookie`", "sessions/src/transport.rs", "#[default] Cookie,"),
    ("StoreBuilder::token_header", "`Authorization` in requests, `Session-Token` in responses", "sessions/src/transport.rs", "Self { request: AUTHORIZATION, response: SESSION_TOKEN }"),
    ("StoreBuilder::assurance", "none", SETTINGS, "assurance: Option<Assurance>,"),
    ("StoreBuilder::device_binding", "off", SETTINGS, ".or(store.device.as_ref()) .cloned() .unwrap_or_else(DeviceBinding::off),"),
    ("StoreBuilder::session", "none", BUILDER, "types: Vec::new(),"),
    ("StoreBuilder::key_encryption", "none", BUILDER, "key_encryption: None,"),
    ("StoreBuilder::key_rotation", "7 days", CODEC, "key_rotation: Duration::from_secs(7 * DAY),"),
    ("StoreBuilder::cache", "none", BUILDER, "cache: None,"),
    ("StoreBuilder::watch_interval", "30 seconds", BUILDER, "const WATCH_INTERVAL: Duration = Duration::from_secs(30);"),
    ("StoreBuilder::on_event", "none", BUILDER, "events: Events::default(),"),
    ("StoreBuilder::clock", "the system's", BUILDER, "clock: Arc::new(SystemClock),"),

    ("SessionSettings::idle_timeout", "the store's, or this type's lifetime if that is shorter", SETTINGS, "Some(idle) if !shortens => idle, idle => idle.unwrap_or(IDLE).min(lifetime),"),
    ("SessionSettings::lifetime", "the store's", SETTINGS, "self.lifetime.or(store_lifetime)"),
    ("SessionSettings::touch_interval", "the store's; with an idle timeout of its own, an hour or a tenth of that if that is shorter; with `lock_after`, at most a tenth of that", SETTINGS, "(None, None, Some(touch)) => touch, (None, _, _) => default,"),
    ("SessionSettings::longest_remember", "the store's if it sets one; otherwise 90 days, or this type's lifetime if that is longer", SETTINGS, "self.longest_remember.or(inherit(store.longest_remember))"),
    ("SessionSettings::lock_after", "never", SETTINGS, "lock: Option<Duration>,"),
    ("SessionSettings::cookie", "the store's", SETTINGS, "(None, Some(cookie), _) => cookie.clone(),"),
    ("SessionSettings::also_read_cookie", "the store's, unless the type has a `cookie`", SETTINGS, "(None, None) => store.other_cookie.clone(),"),
    ("SessionSettings::transport", "the store's", SETTINGS, "self.transport.or(store.transport).unwrap_or_default()"),
    ("SessionSettings::token_header", "the store's", SETTINGS, ".or(store.token_header.as_ref())"),
    ("SessionSettings::assurance", "the store's", SETTINGS, "let level = self.assurance.or(store.assurance);"),
    ("SessionSettings::device_binding", "the store's", SETTINGS, ".or(store.device.as_ref())"),

    ("CookieConfig::domain", "none: this host only", COOKIE, "domain: None,"),
    ("CookieConfig::domains", "none", COOKIE, "domains: Vec::new(),"),
    ("CookieConfig::path", "`/`", COOKIE, r#"path: Cow::Borrowed("/"),"#),
    ("CookieConfig::same_site", "`Lax`", COOKIE, "same_site: SameSite::Lax,"),
    ("CookieConfig::until_browser_closes", "off: the browser keeps it", COOKIE, "persistent: true,"),
    ("CookieConfig::partitioned", "off", COOKIE, "partitioned: false,"),
    ("CookieConfig::http_prefix", "off", COOKIE, "http_prefix: false,"),
    ("CookieConfig::danger_plain_http", "off: the cookie is `Secure`", COOKIE, "insecure: false,"),

    ("DeviceBinding::path", "`/.sessions/dbsc`", BINDING, r#"path: Cow::Borrowed("/.sessions/dbsc"),"#),
    ("DeviceBinding::proof_lifetime", "10 minutes", BINDING, "proof_lifetime: 10 * MINUTE,"),
    ("DeviceBinding::grace", "a minute", BINDING, "grace: MINUTE,"),
    ("DeviceBinding::exclude_path", "none", BINDING, "excluded: Vec::new(),"),

    ("Cache::max_bytes", "64 MiB", CACHE, "const MAX_BYTES: u64 = 64 << 20;"),
    ("Cache::max_age", "60 seconds, or 5 if the provider does not tell of changes", CACHE, "const AGE_WITH_FEED: Duration = Duration::from_secs(60); const AGE_WITHOUT: Duration = Duration::from_secs(5);"),

    ("SessionLayer::only", "all types", "sessions/src/tower.rs", "Self { served: Served::all(store), on_error: None }"),
    ("SessionLayer::on_error", "a status, and a line of text or nothing", "sessions/src/tower.rs", "Self { served: Served::all(store), on_error: None }"),
    ("SessionMiddleware::only", "all types", "sessions/src/actix.rs", "Self { served: Served::all(store), on_error: None }"),
    ("SessionMiddleware::on_error", "a status, and a line of text or nothing", "sessions/src/actix.rs", "Self { served: Served::all(store), on_error: None }"),

    ("CodecBuilder::app", "`app`", CODEC, r#"app: "app".into(),"#),
    ("CodecBuilder::max_age", "30 days", CODEC, "max_age: Duration::from_secs(30 * DAY),"),
    ("CodecBuilder::key_rotation", "7 days", CODEC, "key_rotation: Duration::from_secs(7 * DAY),"),
    ("CodecBuilder::key_encryption", "none", CODEC, "key_encryption: None,"),
    ("CodecBuilder::danger_plain_keys", "off", CODEC, "plain_keys: false,"),
    ("CodecBuilder::clock", "the system's", CODEC, "clock: Arc::new(SystemClock),"),

    ("LocalKey::and_previous", "none", "sessions/src/keyring/local_key.rs", "previous: Vec::new(),"),
    ("Recipients::and", "none", "sessions/src/keyring/recipients.rs", "Self { members: vec![primary],"),
    ("Recipients::and_recovery", "none", "sessions/src/keyring/recipients.rs", "Self { members: vec![primary],"),
    ("KmsKey::app", "none", "providers/aws-kms/src/key.rs", "app: None }"),

    ("SqliteProvider::table", "`sessions`", "providers/sqlite/src/sql.rs", r#"const DEFAULT_TABLE: &str = "sessions";"#),
    ("PostgresProvider::table", "`sessions`", "providers/postgres/src/sql.rs", r#"const DEFAULT_TABLE: &str = "sessions";"#),
    ("PostgresProvider::timeout", "5 seconds", POSTGRES, "const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);"),
    ("PostgresProvider::unprepared", "off", POSTGRES, "form: Form::Prepared,"),
    ("PostgresProvider::listen_with", "as the other connections", POSTGRES, "direct: None,"),
    ("PostgresProvider::without_changes", "off", POSTGRES, "announces: true,"),
    ("MySqlProvider::table", "`sessions`", "providers/mysql/src/sql.rs", r#"const DEFAULT_TABLE: &str = "sessions";"#),
    ("MySqlProvider::timeout", "5 seconds", "providers/mysql/src/provider.rs", "const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);"),
    ("RedisProvider::prefix", "`sessions`", "providers/redis/src/keys.rs", r#"const DEFAULT_PREFIX: &str = "sessions";"#),
    ("RedisProvider::timeout", "5 seconds", REDIS, "const TIMEOUT: Duration = Duration::from_secs(5);"),
    ("RedisProvider::changes_from", "the connection's server; none, if the connection is the driver's own", REDIS, "let feed = Source::of(&connection);"),
    ("RedisProvider::without_changes", "off", REDIS, "let feed = Source::of(&connection);"),
    ("DynamoDbProvider::table", "`sessions`", DYNAMODB, r#"const DEFAULT_TABLE: &str = "sessions";"#),
    ("DynamoDbProvider::timeout", "5 seconds", DYNAMODB, "const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);"),
    ("DynamoDbProvider::provisioned", "on demand", DYNAMODB, "capacity: Capacity::OnDemand,"),

    ("Upgrade::per_second", "500", UPGRADE, "const PER_SECOND: u32 = 500;"),
    ("Upgrade::refile_owners", "off", UPGRADE, "refile: false,"),
    ("Upgrade::on_progress", "none", UPGRADE, "progress: Box::new(|_| ()),"),
    ("Mover::per_second", "no limit", MOVER, "per_second: u32::MAX,"),
    ("Mover::on_progress", "none", MOVER, "progress: Box::new(|_| ()),"),
    ("Mover::clock", "the system's", MOVER, "clock: Arc::new(SystemClock),"),
    ("Admin::session", "none", "sessions/src/admin.rs", "types: Vec::new(), moving: None }"),
    ("Admin::moving", "none", "sessions/src/admin.rs", "types: Vec::new(), moving: None }"),
    ("ProviderStore::app", "`app`", "sessions/src/tower_sessions.rs", r#"hasher: hasher("app"),"#),
    ("ProviderStore::clock", "the system's", "sessions/src/tower_sessions.rs", "clock: Arc::new(SystemClock) }"),
];
