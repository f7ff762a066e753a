//! What a store tells of its provider's changes, of its cache, and of the sessions that it watches.

use std::time::Duration;

use http::HeaderMap;
use sessions::{Cache, MemoryProvider, Session, Store};
use sessions_tests::fed::Fed;
use sessions_tests::hooked::watched;
use sessions_tests::jar::Jar;
use tokio::time::sleep;

use crate::world::World;

#[derive(Session)]
#[session(name = "reader", version = 1)]
struct Reader {
    pages: u32,
}

/// Misses of the cache, announcements that fail, a feed that is lost, and a poll that fails.
pub(crate) async fn failures(world: &mut World) {
    let (provider, watch) = watched(MemoryProvider::new());
    let (provider, feed) = Fed::new(provider);
    let store = Store::builder(provider).cache(Cache::new()).build().unwrap();
    world.debug(&store);
    let mut reader = store.load::<Reader>(&HeaderMap::new()).await.unwrap();
    reader.pages = 1;
    let jar = Jar::of(&reader.commit().await.unwrap());
    world.secrets.token(jar.pairs().next().unwrap().1);

    let mut reader = store.load::<Reader>(jar.headers()).await.unwrap();
    feed.begin().await;
    feed.refuse_announcements();
    reader.pages = 2;
    let _ = reader.commit().await.unwrap();
    let ended = reader.ended();
    world.debug(&ended);
    feed.lose();
    watch.set_down(true);
    // The clock of the test's runtime, which goes on as fast as nothing else has to be done.
    sleep(Duration::from_secs(60)).await;
    drop(ended);
}
