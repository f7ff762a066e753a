//! What a store tells of its cache, its watches and the provider's feed of changes.

use std::time::Duration;

use sessions::{Cache, MemoryProvider, Store};
use sessions_tests::fed::Fed;
use sessions_tests::hooked::watched;
use sessions_tests::jar::Jar;

use crate::scenario::Visitor;
use crate::world::World;

pub(crate) async fn changes(world: &mut World) {
    let (provider, calls) = watched(MemoryProvider::new());
    let (provider, feed) = Fed::new(provider);
    let store = Store::builder(provider).cache(Cache::new()).build().unwrap();
    let mut jar = Jar::new();
    for theme in ["dark", "light"] {
        let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
        visitor.theme = theme.to_owned();
        jar.keep(&visitor.commit().await.unwrap());
    }
    jar.pairs().for_each(|(_, token)| world.secrets.token(token));
    let _listener = feed.begin().await;
    let ended = store.load::<Visitor>(jar.headers()).await.unwrap().ended();

    feed.refuse_announcements();
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.theme = "dark".to_owned();
    let _ = visitor.commit().await.unwrap();
    feed.lose();
    calls.set_down(true);
    // The time of tokio is paused: this waits for nothing.
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(ended);
}
