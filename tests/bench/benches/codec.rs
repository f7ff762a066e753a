//! Sealing and opening tokens, beside the private and the signed jar of the `cookie` crate.
//!
//! `cargo bench -p sessions-bench --bench codec`

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, CookieJar, Key};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sessions::provider::Provider;
use sessions::{Clock, Codec, ManualClock, MemoryProvider, Purpose};
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3600);
const SIZES: [usize; 3] = [16, 256, 3 * 1024];

/// With the keys at hand a call never waits: one poll is all it takes.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the call waited"),
    }
}

/// A codec whose ring has 1 key, or 64: four of them erased, for no settings keep more alive.
fn codec(runtime: &Runtime, keys: u8) -> Codec {
    let provider = MemoryProvider::new();
    let now = SystemTime::now();
    let clock = ManualClock::new(if keys == 1 { now } else { now - 234 * HOUR });
    let builder = || {
        Codec::builder(provider.clone())
            .max_age(208 * HOUR)
            .rotation_period(4 * HOUR)
            .danger_plain_keys()
    };
    runtime.block_on(async {
        let past = builder().clock(clock.clone()).build().unwrap();
        past.refresh().await.unwrap();
        while clock.now() < now {
            if clock.now() < now - 233 * HOUR {
                past.rotate_now().await.unwrap();
            }
            clock.advance(HOUR / 4);
            past.refresh().await.unwrap();
        }
        // The number of keys follows the version, the ring's id, its generation and a zero.
        let record = provider.fetch("app:keys", now).await.unwrap().unwrap();
        assert_eq!(record.data[26], keys);
        let codec = builder().build().unwrap();
        codec.refresh().await.unwrap();
        codec
    })
}

fn text(size: usize) -> String {
    URL_SAFE_NO_PAD.encode(vec![0xa5; size])
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let purpose = Purpose::new("bench");
    let codecs = [1, 64].map(|keys| (keys, codec(&runtime, keys)));
    let key = Key::generate();

    let mut group = criterion.benchmark_group("seal");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![0xa5; size];
        for (keys, codec) in &codecs {
            group.bench_function(BenchmarkId::new(format!("codec, {keys} keys"), size), |bench| {
                bench.iter(|| ready(codec.seal(&purpose, black_box(&payload))).unwrap());
            });
        }
        // A cookie holds text: the same bytes in base64, as an application would write them.
        group.bench_function(BenchmarkId::new("private jar", size), |bench| {
            bench.iter(|| {
                let mut jar = CookieJar::new();
                let value = URL_SAFE_NO_PAD.encode(black_box(&payload));
                jar.private_mut(&key).add(Cookie::new("id", value));
                jar
            });
        });
        group.bench_function(BenchmarkId::new("private jar, kept, text", size), |bench| {
            let (mut jar, value) = (CookieJar::new(), "x".repeat(size));
            bench.iter(|| jar.private_mut(&key).add(Cookie::new("id", black_box(value.clone()))));
        });
        group.bench_function(BenchmarkId::new("signed jar", size), |bench| {
            bench.iter(|| {
                let mut jar = CookieJar::new();
                let value = URL_SAFE_NO_PAD.encode(black_box(&payload));
                jar.signed_mut(&key).add(Cookie::new("id", value));
                jar
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("open");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![0xa5; size];
        for (keys, codec) in &codecs {
            let token = ready(codec.seal(&purpose, &payload)).unwrap();
            group.bench_function(BenchmarkId::new(format!("codec, {keys} keys"), size), |bench| {
                bench.iter(|| ready(codec.open(&purpose, black_box(&token))).unwrap());
            });
            // The last character but one: the tag is wrong, everything else is right.
            let at = token.len() - 2;
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            let name = format!("codec, {keys} keys, forged");
            group.bench_function(BenchmarkId::new(name, size), |bench| {
                bench.iter(|| ready(codec.open(&purpose, black_box(&forged))).unwrap_err());
            });
        }
        let mut jar = CookieJar::new();
        jar.private_mut(&key).add(Cookie::new("id", text(size)));
        let private = jar.get("id").unwrap().value().to_owned();
        group.bench_function(BenchmarkId::new("private jar", size), |bench| {
            bench.iter(|| {
                let mut jar = CookieJar::new();
                jar.add_original(Cookie::new("id", black_box(private.clone())));
                let opened = jar.private(&key).get("id").unwrap();
                URL_SAFE_NO_PAD.decode(opened.value()).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("private jar, kept, text", size), |bench| {
            let mut jar = CookieJar::new();
            jar.private_mut(&key).add(Cookie::new("id", "x".repeat(size)));
            bench.iter(|| jar.private(&key).get(black_box("id")).unwrap());
        });
        jar.signed_mut(&key).add(Cookie::new("id", text(size)));
        let signed = jar.get("id").unwrap().value().to_owned();
        group.bench_function(BenchmarkId::new("signed jar", size), |bench| {
            bench.iter(|| {
                let mut jar = CookieJar::new();
                jar.add_original(Cookie::new("id", black_box(signed.clone())));
                let opened = jar.signed(&key).get("id").unwrap();
                URL_SAFE_NO_PAD.decode(opened.value()).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = codec_benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = benches
}
criterion_main!(codec_benches);
