//! What the schema layer costs beside plain serde: reading a current record, reading an old one,
//! and writing.

#![allow(clippy::unwrap_used)] // A bench that fails has nothing to say.
#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use std::hint::black_box;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sessions::__private::{Header, Stored};
use sessions::provider::Bytes;
use sessions::{Session, SessionData};
use sessions_bench::report::{Part, Plot, nanos, ratio};
use sessions_bench::rounds::Rounds;
use sessions_bench::visitor::Visitor;

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

fn main() {
    let visitor = Visitor::filled(Some(1_234_567));
    let header = Header::new(SystemTime::now());
    let cbor = cbor4ii::serde::to_vec(Vec::new(), &visitor).unwrap();
    let json = serde_json::to_vec(&visitor).unwrap();
    let data = record(&visitor);
    let old = record(&old_user());
    let new = record(&load::<v3::User>("user", &old));
    let rounds = Rounds::measure(|round| {
        round.bench("schema/decode/ours", || load::<Visitor>("visitor", black_box(&data)));
        round.bench("schema/decode/cbor4ii", || {
            cbor4ii::serde::from_slice::<Visitor>(black_box(&cbor)).unwrap()
        });
        round.bench("schema/decode/serde_json", || {
            serde_json::from_slice::<Visitor>(black_box(&json)).unwrap()
        });
        round.bench("schema/encode/ours", || {
            black_box(&visitor).fields().unwrap().to_data(&header).unwrap()
        });
        round.bench("schema/encode/cbor4ii", || {
            cbor4ii::serde::to_vec(Vec::new(), black_box(&visitor)).unwrap()
        });
        round
            .bench("schema/encode/serde_json", || serde_json::to_vec(black_box(&visitor)).unwrap());
        round.bench("schema/migrate/current", || load::<v3::User>("user", black_box(&new)));
        round.bench("schema/migrate/from 1", || load::<v3::User>("user", black_box(&old)));
    });

    let mut part = Part::new("3-schema", "Schema");
    part.say(
        "Decoding and encoding the session of the other benchmarks, beside serde on the same \
         struct. Ours is a record with its header; the decoded record has been saved eight \
         times. Serde's is the bare value.",
    );
    let mut rows = Vec::new();
    let mut plot = Plot::new("Schema", "ns", &["ours", "cbor4ii", "serde_json"]);
    for call in ["decode", "encode"] {
        let name = |what: &str| format!("schema/{call}/{what}");
        plot.group(call, &["ours", "cbor4ii", "serde_json"].map(|what| rounds.time(&name(what))));
        for other in ["cbor4ii", "serde_json"] {
            rows.push(vec![
                format!("{call}, beside {other}"),
                nanos(rounds.time(&name("ours"))),
                nanos(rounds.time(&name(other))),
                ratio(rounds.ratio(&name("ours"), &name(other))),
            ]);
        }
    }
    let [from_1, current] = ["schema/migrate/from 1", "schema/migrate/current"];
    rows.push(vec![
        "decode from version 1, beside the current version 3".to_owned(),
        nanos(rounds.time(from_1)),
        nanos(rounds.time(current)),
        ratio(rounds.ratio(from_1, current)),
    ]);
    part.table(&["call", "ours", "the other", "ratio"], rows);
    part.plot(&plot);
    let first = visitor.fields().unwrap().to_data(&header).unwrap();
    part.say("The bytes of the session.");
    part.table(
        &["record, first save", "record, after eight", "cbor4ii", "serde_json"],
        [[first.len(), data.len(), cbor.len(), json.len()].map(|bytes| bytes.to_string()).to_vec()],
    );
    part.write();
}
