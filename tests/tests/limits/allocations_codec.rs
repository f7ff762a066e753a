//! How often a call of a codec allocates.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use sessions::{
    MemoryProvider,
    codec::{Codec, Purpose},
};

/// With the keys at hand a call never waits: one poll is all it takes.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the call waited"),
    }
}

#[tokio::test]
async fn sealing_and_opening_allocate_twice_at_most() {
    let builder = Codec::builder(MemoryProvider::new()).danger_plain_keys();
    let codec = builder.build().unwrap();
    let purpose = Purpose::new("reset");
    for (size, most) in [(16, 1), (128, 1), (3_000, 2), (6_000, 2)] {
        let payload = vec![7; size];
        // The first calls make or derive the key, and room for what it opens.
        let token = codec.seal(&purpose, &payload).await.unwrap();
        codec.open(&purpose, &token).await.unwrap();
        let token = codec.seal(&purpose, &payload).await.unwrap();
        let sealing = measure(|| drop(ready(codec.seal(&purpose, &payload)).unwrap()));
        assert!(sealing.count_total <= most, "{} to seal {size}", sealing.count_total);
        for time in ["first", "second"] {
            let opening = measure(|| drop(ready(codec.open(&purpose, &token)).unwrap()));
            let count = opening.count_total;
            assert!(count <= most, "{count} to open {size} the {time} time");
        }
        let forged = format!("{}AAAA", &token[..token.len() - 4]);
        let refusing = measure(|| drop(ready(codec.open(&purpose, &forged)).unwrap_err()));
        assert!(refusing.count_total <= 1, "{} to refuse {size}", refusing.count_total);
    }
}
