//! Sealing and opening tokens, beside what their encryption costs at least, and beside the private
//! and the signed jar of the `cookie` crate.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use aes_gcm::{AeadInPlace as _, Aes256Gcm, KeyInit as _, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, CookieJar, Key};
use rand::RngCore as _;
use sessions::provider::Provider;
use sessions::{
    MemoryProvider,
    clock::{Clock, ManualClock},
    codec::{Codec, Purpose},
};
use sessions_bench::report::{Part, Plot, goal, nanos, ratio};
use sessions_bench::rounds::{Round, Rounds};
use tokio::runtime::Runtime;

const HOUR: Duration = Duration::from_secs(3600);
const SIZES: [usize; 3] = [16, 256, 3 * 1024];

fn main() {
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let codecs = [(1, codec(&runtime, 1)), (64, codec(&runtime, 64))];
    let mut raw = Raw::new();
    let key = Key::generate();
    let rounds = Rounds::measure(|round| {
        for size in SIZES {
            seal(round, size, &codecs, &mut raw, &key);
            open(round, size, &codecs, &mut raw, &key);
        }
    });
    report(&rounds);
}

fn report(rounds: &Rounds) {
    let mut part = Part::new("2-codec", "Codec");
    part.say(
        "Sealing and opening a token with a value of the given size. The raw limit is one \
         AES-256-GCM call with a prepared key, base64, and, for sealing, 24 random bytes. The \
         jars are those of the `cookie` crate. They hold the same bytes in base64, as an \
         application would write them. Each of our tokens is opened for the first time, unless \
         the row says \"again\".",
    );
    let others = [
        ("raw limit", "raw", Some(2.5)),
        ("private jar", "private jar", None),
        ("signed jar", "signed jar", None),
    ];
    for call in ["seal", "open"] {
        let mut plot =
            Plot::new(&format!("{call} a token"), "ns", &["ours", "raw limit", "private jar"]);
        let mut rows = Vec::new();
        for size in SIZES {
            let name = |what: &str| format!("codec/{call}/{what}/{size}");
            plot.group(
                &format!("{size} bytes"),
                &["ours, 1 keys", "raw", "private jar"].map(|what| rounds.time(&name(what))),
            );
            let ours = name("ours, 1 keys");
            for (label, other, most) in others {
                rows.push(vec![
                    format!("{call} {size} bytes, beside the {label}"),
                    nanos(rounds.time(&ours)),
                    nanos(rounds.time(&name(other))),
                    ratio(rounds.ratio(&ours, &name(other))),
                    // The goal is one for the tokens of cookies.
                    goal(most),
                ]);
            }
            let again = name("ours, again");
            if rounds.time(&again).is_some() {
                rows.push(vec![
                    format!("{call} {size} bytes again, beside the raw limit"),
                    nanos(rounds.time(&again)),
                    nanos(rounds.time(&name("raw"))),
                    ratio(rounds.ratio(&again, &name("raw"))),
                    goal(Some(2.5)),
                ]);
            }
            for (label, what) in [("64 keys", "ours, 64 keys"), ("a forged token", "ours, forged")]
            {
                if rounds.time(&name(what)).is_some() {
                    rows.push(vec![
                        format!("{call} {size} bytes, {label}, beside 1 key"),
                        nanos(rounds.time(&name(what))),
                        nanos(rounds.time(&ours)),
                        ratio(rounds.ratio(&name(what), &ours)),
                        String::new(),
                    ]);
                }
            }
        }
        part.table(&["call", "ours", "the other", "ratio", "goal"], rows);
        part.plot(&plot);
    }
    part.write();
}

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
            .key_rotation(4 * HOUR)
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

/// The least that encrypted text can cost: one cipher, whose key is expanded already, and one
/// buffer, which is there already.
struct Raw {
    cipher: Aes256Gcm,
    buffer: Vec<u8>,
}

impl Raw {
    const NONCE: usize = 24;

    fn new() -> Self {
        Self { cipher: Aes256Gcm::new(&[7; 32].into()), buffer: Vec::new() }
    }

    fn seal(&mut self, payload: &[u8]) -> String {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.resize(Self::NONCE, 0);
        rand::rng().fill_bytes(buffer);
        buffer.extend_from_slice(payload);
        let (nonce, data) = buffer.split_at_mut(Self::NONCE);
        let nonce = Nonce::from_slice(&nonce[..12]);
        let tag = self.cipher.encrypt_in_place_detached(nonce, b"", data).unwrap();
        buffer.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(buffer)
    }

    fn open(&mut self, token: &str) -> Vec<u8> {
        let buffer = &mut self.buffer;
        buffer.clear();
        URL_SAFE_NO_PAD.decode_vec(token, buffer).unwrap();
        let (nonce, sealed) = buffer.split_at_mut(Self::NONCE);
        let (data, tag) = sealed.split_at_mut(sealed.len() - 16);
        let (nonce, tag) = (Nonce::from_slice(&nonce[..12]), Tag::from_slice(tag));
        self.cipher.decrypt_in_place_detached(nonce, b"", data, tag).unwrap();
        data.to_vec()
    }
}

fn seal(round: &mut Round<'_>, size: usize, codecs: &[(u8, Codec)], raw: &mut Raw, key: &Key) {
    let name = |what: &str| format!("codec/seal/{what}/{size}");
    let purpose = Purpose::new("bench");
    let payload = vec![0xa5; size];
    for (keys, codec) in codecs {
        round.bench(&name(&format!("ours, {keys} keys")), || {
            ready(codec.seal(&purpose, black_box(&payload))).unwrap()
        });
    }
    round.bench(&name("raw"), || raw.seal(black_box(&payload)));
    round.bench(&name("private jar"), || {
        let mut jar = CookieJar::new();
        let value = URL_SAFE_NO_PAD.encode(black_box(&payload));
        jar.private_mut(key).add(Cookie::new("id", value));
        jar
    });
    round.bench(&name("signed jar"), || {
        let mut jar = CookieJar::new();
        let value = URL_SAFE_NO_PAD.encode(black_box(&payload));
        jar.signed_mut(key).add(Cookie::new("id", value));
        jar
    });
}

fn open(round: &mut Round<'_>, size: usize, codecs: &[(u8, Codec)], raw: &mut Raw, key: &Key) {
    let name = |what: &str| format!("codec/open/{what}/{size}");
    let purpose = Purpose::new("bench");
    let payload = vec![0xa5; size];
    for (keys, codec) in codecs {
        // More than the codec remembers.
        let seal = || ready(codec.seal(&purpose, &payload)).unwrap();
        let tokens: Vec<_> = (0..2_000).map(|_| seal()).collect();
        let mut next = tokens.iter().cycle();
        round.bench(&name(&format!("ours, {keys} keys")), || {
            let token = next.next().unwrap();
            ready(codec.open(&purpose, black_box(token))).unwrap()
        });
        if *keys == 1 {
            let token = seal();
            if size == SIZES[0] {
                round.bench(&name("ours, again"), || {
                    ready(codec.open(&purpose, black_box(&token))).unwrap()
                });
            }
            // The last character but one: the tag is wrong, everything else is right.
            let at = token.len() - 2;
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            round.bench(&name("ours, forged"), || {
                ready(codec.open(&purpose, black_box(&forged))).unwrap_err()
            });
        }
    }
    let token = raw.seal(&payload);
    round.bench(&name("raw"), || raw.open(black_box(&token)));
    let text = URL_SAFE_NO_PAD.encode(&payload);
    let mut jar = CookieJar::new();
    jar.private_mut(key).add(Cookie::new("id", text.clone()));
    let private = jar.get("id").unwrap().value().to_owned();
    round.bench(&name("private jar"), || {
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::new("id", black_box(private.clone())));
        let opened = jar.private(key).get("id").unwrap();
        URL_SAFE_NO_PAD.decode(opened.value()).unwrap()
    });
    jar.signed_mut(key).add(Cookie::new("id", text));
    let signed = jar.get("id").unwrap().value().to_owned();
    round.bench(&name("signed jar"), || {
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::new("id", black_box(signed.clone())));
        let opened = jar.signed(key).get("id").unwrap();
        URL_SAFE_NO_PAD.decode(opened.value()).unwrap()
    });
}
