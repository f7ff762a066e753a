//! What happens to tokens and keys.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Provider as _, Record, async_trait};
use sessions::testing::TestStore;
use sessions::{
    Error, MemoryProvider, Store, StoreKey,
    clock::{Clock as _, ManualClock},
    codec::{Codec, Purpose},
    keys::{KeyEncryption, KeyEncryptionError, LocalKey, WrappedKey},
};

use sessions_tests::hooked::watched;

use crate::world::World;

const PAYLOAD: &str = "SECRET-PAYLOAD";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Tokens that are refused for every reason but their key's.
pub(crate) async fn tokens(world: &mut World) {
    world.secrets.word(PAYLOAD);
    let test = TestStore::new();
    let store = test.store();
    let codec = store.codec();
    let (purpose, other) = (Purpose::new("reset"), Purpose::new("invitation"));
    world.debug(&(&purpose, codec));
    let token = codec.seal_value(&purpose, PAYLOAD).await.unwrap();
    world.secrets.token(&token);
    for wrong in ["", "forged", &token[1..], &format!("{token}A"), &"A".repeat(9_000)] {
        world.error(&codec.open(&purpose, wrong).await.unwrap_err());
    }
    world.error(&codec.open(&other, &token).await.unwrap_err());
    let mut of_no_key = token.clone().into_bytes();
    of_no_key[4] = if of_no_key[4] == b'A' { b'B' } else { b'A' };
    let of_no_key = String::from_utf8(of_no_key).unwrap();
    world.error(&codec.open(&purpose, &of_no_key).await.unwrap_err());
    world.error(&codec.open_value::<u32>(&purpose, &token).await.unwrap_err());
    world.error(&codec.open_value::<Vec<bool>>(&purpose, &token).await.unwrap_err());
    world.error(&codec.seal(&purpose, &[7; 10_000]).await.unwrap_err());
    // One day beyond the oldest that a store takes: its key is still in the ring.
    test.advance(91 * DAY);
    world.error(&codec.open(&purpose, &token).await.unwrap_err());
    world.learn(&test);
}

/// Keys that come and go.
pub(crate) async fn rotation(world: &mut World) {
    let test = TestStore::new();
    let store = test.store();
    let codec = store.codec();
    let purpose = Purpose::new("reset");
    let token = codec.seal(&purpose, PAYLOAD.as_bytes()).await.unwrap();
    world.secrets.token(&token);
    for _ in 0..4 {
        test.advance(4 * DAY);
        codec.refresh().await.unwrap();
        world.debug(&codec.key_ring());
    }
    codec.rotate_now().await.unwrap();
    world.error(&codec.open(&purpose, &token).await.unwrap_err());
    world.debug(&codec.key_ring());
    world.learn(&test);

    // A host that starts while the provider is down.
    let test = TestStore::new();
    test.set_down(true);
    let store = test.store();
    world.error(&store.codec().seal(&purpose, PAYLOAD.as_bytes()).await.unwrap_err());
    world.learn(&test);
}

/// What a key service does with the keys themselves; not with what tells who wrote the ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Up,
    Down,
    DownForKeys,
    RefusesKeys,
}

/// A key service that keeps what it was given, to be looked for.
#[derive(Clone)]
struct Service {
    key: Arc<LocalKey>,
    given: Arc<Mutex<Vec<Vec<u8>>>>,
    mode: Arc<Mutex<Mode>>,
}

impl Service {
    fn new(world: &mut World) -> Self {
        let key = [0xC3; 32];
        world.secrets.bytes(&key);
        let key = Arc::new(LocalKey::from_bytes(key));
        Self { key, given: Arc::default(), mode: Arc::new(Mutex::new(Mode::Up)) }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn learn(&self, world: &mut World) {
        let given = self.given.lock().unwrap();
        assert!(!given.is_empty());
        for key in &*given {
            world.secrets.bytes(key);
        }
    }
}

#[async_trait]
impl KeyEncryption for Service {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        self.given.lock().unwrap().push(material.to_vec());
        self.key.wrap(material, context).await
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        let of_key = context.windows(4).any(|part| part == b" key");
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Down => Err(KeyEncryptionError::unavailable("connection refused")),
            Mode::DownForKeys if of_key => Err(KeyEncryptionError::unavailable("throttled")),
            Mode::RefusesKeys if of_key => Err(KeyEncryptionError::permanent("access denied")),
            _ => self.key.unwrap(kek_id, blob, context).await,
        }
    }
}

/// A host of an app whose keys the service wraps.
fn host(provider: &MemoryProvider, service: &Service, clock: &ManualClock) -> Codec {
    let builder = Codec::builder(provider.clone()).app("shop").clock(clock.clone());
    builder.key_encryption(service.clone()).build().unwrap()
}

/// A key service that is down, or refuses.
pub(crate) async fn encryption(world: &mut World) {
    let (provider, clock) = (MemoryProvider::new(), ManualClock::default());
    let service = Service::new(world);
    let purpose = Purpose::new("reset");
    let first = host(&provider, &service, &clock);
    let token = first.seal(&purpose, PAYLOAD.as_bytes()).await.unwrap();
    world.secrets.token(&token);
    first.rewrap_keys().await.unwrap();
    for mode in [Mode::Down, Mode::DownForKeys, Mode::RefusesKeys] {
        service.set(mode);
        let fresh = host(&provider, &service, &clock);
        world.error(&fresh.open(&purpose, &token).await.unwrap_err());
        world.debug(&fresh.key_ring());
    }
    service.learn(world);
    for text in ["SECRET-KEY", "not base64 at all!"] {
        world.error(&LocalKey::from_base64(text).unwrap_err());
    }
    world.secrets.word("SECRET-KEY");
    world.debug(&service.key);
    let plain = Codec::builder(provider).app("shop").danger_plain_keys().build().unwrap();
    world.error(&plain.refresh().await.unwrap_err());
}

/// A record of the ring that is not what it should be.
pub(crate) async fn repairs(world: &mut World) {
    let (provider, clock) = (MemoryProvider::new(), ManualClock::default());
    let service = Service::new(world);
    let codec = host(&provider, &service, &clock);
    codec.refresh().await.unwrap();
    let first = record(&provider, &clock).await;

    provider.delete("shop:keys", Expect::Any, clock.now()).await.unwrap();
    codec.refresh().await.unwrap();

    replace(&provider, &clock, b"\0damaged".to_vec()).await;
    codec.refresh().await.unwrap();

    codec.rotate_now().await.unwrap();
    replace(&provider, &clock, first).await;
    codec.refresh().await.unwrap();

    let elsewhere = MemoryProvider::new();
    host(&elsewhere, &service, &clock).refresh().await.unwrap();
    replace(&provider, &clock, record(&elsewhere, &clock).await).await;
    codec.refresh().await.unwrap();

    // A host that starts with a damaged record has nothing to mend it with.
    replace(&provider, &clock, b"\0damaged".to_vec()).await;
    let fresh = host(&provider, &service, &clock);
    let error = fresh.seal(&Purpose::new("reset"), PAYLOAD.as_bytes()).await.unwrap_err();
    assert!(matches!(error, Error::Provider(_)), "{error:?}");
    world.error(&error);
    service.learn(world);
}

/// Everybody's sessions end, and the record of that is lost, damaged or not read.
pub(crate) async fn epochs(world: &mut World) {
    let (provider, clock) = (MemoryProvider::new(), ManualClock::default());
    let (watched, watch) = watched(provider.clone());
    let store = Store::builder(watched).app("shop").clock(clock.clone()).build().unwrap();
    let key: StoreKey = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse().unwrap();
    // The next call reads the record.
    let pass = || clock.advance(Duration::from_secs(301));
    store.revoke_any(&key).await.unwrap();
    let mut damaged = Record::new("shop:epoch", 1, &b"\x01damaged"[..]);
    provider.save(&damaged, Expect::Absent, clock.now()).await.unwrap();
    pass();
    store.revoke_any(&key).await.unwrap();
    store.end_all().await.unwrap();
    damaged.version = 9;
    provider.delete("shop:epoch", Expect::Any, clock.now()).await.unwrap();
    provider.save(&damaged, Expect::Absent, clock.now()).await.unwrap();
    pass();
    store.revoke_any(&key).await.unwrap();
    pass();
    watch.set_down(true);
    world.error(&store.revoke_any(&key).await.unwrap_err());
}

async fn record(provider: &MemoryProvider, clock: &ManualClock) -> Vec<u8> {
    provider.fetch("shop:keys", clock.now()).await.unwrap().unwrap().data.to_vec()
}

async fn replace(provider: &MemoryProvider, clock: &ManualClock, data: Vec<u8>) {
    let now: SystemTime = clock.now();
    let mut record = provider.fetch("shop:keys", now).await.unwrap().unwrap();
    let expect = Expect::Version(record.version);
    record.version += 1;
    record.data = data.into();
    provider.save(&record, expect, now).await.unwrap();
}
