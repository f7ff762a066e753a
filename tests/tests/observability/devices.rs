//! Sessions bound to a device: registered, proven, refused, unproven, and a store that is down.

use sessions::clock::ManualClock;
use sessions::{DeviceBinding, MemoryProvider, Store};
use sessions_tests::device::{Device, offered};
use sessions_tests::hooked::watched;
use sessions_tests::jar::Jar;

use std::time::Duration;

use crate::scenario::{load, member};
use crate::world::World;

pub(crate) async fn devices(world: &mut World) {
    let clock = ManualClock::default();
    let (provider, watch) = watched(MemoryProvider::new());
    let builder = Store::builder(provider).clock(clock.clone());
    let store = builder.device_binding(DeviceBinding::enforce()).build().unwrap();
    let mut session = load(&store, &http::HeaderMap::new()).await;
    *session = member();
    let offer: http::HeaderMap = session.commit().await.unwrap().headers().collect();
    let mut jar = Jar::new();
    jar.keep_all(&offer);
    let (_, challenge) = offered(&offer).unwrap();
    let mut device = Device::new(7);
    for secret in [&challenge, &device.registration(&challenge)] {
        world.secrets.token(secret);
    }
    assert!(device.register(&store, &offer, &mut jar).await.is_proof());
    // The second registration, and the second use of a proof.
    assert!(!device.clone().register(&store, &offer, &mut jar).await.is_proof());
    let mut again = device.clone();
    assert!(device.refresh(&store, &mut jar).await.is_proof());
    assert!(!again.refresh(&store, &mut jar).await.is_proof());
    for secret in [&device.identifier, &device.challenge, &again.challenge] {
        world.secrets.token(secret);
    }
    for (_, value) in jar.pairs() {
        world.secrets.token(value);
    }
    clock.advance(Duration::from_secs(13 * 60));
    for skipped in ["", "unreachable", "server_error", "quota_exceeded"] {
        let mut headers = jar.headers().clone();
        headers.insert("secure-session-skipped", http::HeaderValue::from_static(skipped));
        drop(load(&store, &headers).await);
        let cookie = format!("__Host-visitor={}", jar.value("__Host-visitor"));
        headers.insert(http::header::COOKIE, cookie.parse().unwrap());
        drop(load(&store, &headers).await);
        let foreign = format!("{cookie}; __Host-visitor-bound=x");
        headers.insert(http::header::COOKIE, foreign.parse().unwrap());
        drop(load(&store, &headers).await);
    }
    // Too late, and a store that is down.
    clock.advance(Duration::from_secs(60 * 60));
    assert!(!device.refresh(&store, &mut jar).await.is_proof());
    watch.set_down(true);
    assert!(!device.refresh(&store, &mut jar).await.is_proof());
}
