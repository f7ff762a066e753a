//! What the schema layer costs beside plain serde: reading a current record, reading an old one,
//! and writing.
//!
//! `cargo bench -p sessions-bench --bench schema`; the goals are ratios between the lines of one group:
//! `current/session` at most 1.3 times `current/serde`, `migrated/from_1` at most 1.5 times
//! `migrated/from_3`.

#![allow(clippy::unwrap_used)] // A bench that fails has nothing to say.
#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use sessions::__private::{Header, Stored};
use sessions::provider::Bytes;
use sessions::{Session, SessionData};

/// What a signed-in visitor of a shop may have.
#[derive(Serialize, Deserialize, Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    user: u64,
    name: String,
    mail: String,
    seen: Vec<u64>,
}

fn visitor() -> Visitor {
    Visitor {
        user: 1_234_567,
        name: "Ada Lovelace".into(),
        mail: "ada@example.com".into(),
        seen: (0..8).map(|n| 100_000 + n).collect(),
    }
}

mod v1 {
    use super::*;

    #[derive(Session)]
    #[session(name = "user", version = 1)]
    pub(super) struct User {
        pub(super) id: u64,
        pub(super) login: String,
        pub(super) hits: u64,
        pub(super) total: String,
        pub(super) theme: String,
        pub(super) size: u8,
        pub(super) seen: Vec<u64>,
    }
}

mod v3 {
    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    pub(super) struct Look {
        theme: String,
        size: u8,
    }

    #[derive(Session)]
    #[session(name = "user", version = 3)]
    #[session(removed(theme: String, before = 3), removed(size: u8, before = 3))]
    pub(super) struct User {
        id: u64,
        #[session(was(before = 2, name = "login"))]
        username: String,
        #[session(was(before = 2, name = "hits"), merge = add)]
        visits: u64,
        #[session(since = 2, default = "en".to_owned())]
        locale: String,
        #[session(was(before = 3, ty = String, try_with = cents))]
        total: u64,
        #[session(since = 3, from(theme, size), with = look)]
        look: Look,
        seen: Vec<u64>,
    }

    fn cents(text: String) -> Result<u64, std::num::ParseIntError> {
        text.parse()
    }

    fn look(theme: String, size: u8) -> Look {
        Look { theme, size }
    }
}

fn old_user() -> v1::User {
    v1::User {
        id: 1_234_567,
        login: "ada".into(),
        hits: 41,
        total: "1250".into(),
        theme: "solarized".into(),
        size: 12,
        seen: (0..8).map(|n| 100_000 + n).collect(),
    }
}

fn record<T: SessionData>(value: &T) -> Bytes {
    let mut header = Header::new(SystemTime::now());
    header.saves = (1..=8).map(|n| u64::MAX / n).collect();
    value.fields().unwrap().to_data(&header).unwrap()
}

fn load<T: SessionData>(name: &'static str, data: &Bytes) -> T {
    T::load(&Stored::parse(name, data).unwrap()).unwrap()
}

fn current(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("current");
    let plain = cbor4ii::serde::to_vec(Vec::new(), &visitor()).unwrap();
    group.bench_function("serde", |bencher| {
        bencher.iter(|| cbor4ii::serde::from_slice::<Visitor>(black_box(&plain)).unwrap());
    });
    let data = record(&visitor());
    group.bench_function("session", |bencher| {
        bencher.iter(|| load::<Visitor>("visitor", black_box(&data)));
    });
    group.finish();
}

fn migrated(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("migrated");
    let old = record(&old_user());
    let new = record(&load::<v3::User>("user", &old));
    group.bench_function("from_3", |bencher| {
        bencher.iter(|| load::<v3::User>("user", black_box(&new)));
    });
    group.bench_function("from_1", |bencher| {
        bencher.iter(|| load::<v3::User>("user", black_box(&old)));
    });
    group.finish();
}

fn written(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("written");
    let visitor = visitor();
    group.bench_function("serde", |bencher| {
        bencher.iter(|| cbor4ii::serde::to_vec(Vec::new(), black_box(&visitor)).unwrap());
    });
    let header = Header::new(SystemTime::now());
    group.bench_function("session", |bencher| {
        bencher.iter(|| black_box(&visitor).fields().unwrap().to_data(&header).unwrap());
    });
    group.finish();
}

criterion_group!(benches, current, migrated, written);
criterion_main!(benches);
