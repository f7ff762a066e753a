//! What watching many sessions takes in memory, as the documentation of `Watch` says.

use std::mem::size_of;

use allocation_counter::measure;
use http::HeaderMap;
use sessions::{MemoryProvider, Session, Store, Watch};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    visits: u32,
}

const WATCHES: usize = 100_000;

#[test]
fn a_watch_takes_about_three_hundred_bytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = Store::new(MemoryProvider::new());
    let mut watches = Vec::with_capacity(WATCHES);
    let mut bytes = 0;
    for _ in 0..WATCHES {
        runtime.block_on(async {
            let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
            visitor.visits = 1;
            visitor.save().await.unwrap();
            bytes += measure(|| watches.push(visitor.ended())).bytes_current;
            // Each is asked about once at first.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
    }
    let each = bytes / i64::try_from(WATCHES).unwrap() + i64::try_from(size_of::<Watch>()).unwrap();
    println!("{each} bytes, of which {} are the future", size_of::<Watch>());
    // Tables double: a number that is just above a power of two pays for twice as many.
    assert!((200..=450).contains(&each), "{each} bytes");

    let freed = measure(|| drop(watches)).bytes_current;
    let kept = bytes + freed;
    assert!(kept < bytes / 20, "{kept} of {bytes} bytes are kept after the last has gone");
}
