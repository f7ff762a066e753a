//! Random calls at a provider, on a clock that moves, beside a plain map that says what is right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sessions::MemoryProvider;
use sessions::provider::{
    Deleted, Expect, Page, Provider, Record, Saved, Touched, from_unix_millis, to_unix_millis,
};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::SqliteSynchronous;
use tokio::runtime::Runtime;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Fetch {
        id: u8,
    },
    Save {
        id: u8,
        expect: Want,
        version: u64,
        lives: Option<u64>,
        owner: Option<u8>,
        data: Vec<u8>,
    },
    Delete {
        id: u8,
        expect: Want,
    },
    Touch {
        id: u8,
        expect: Want,
        lives: u64,
    },
    List {
        owner: u8,
        limit: u32,
    },
    Purge {
        limit: u32,
    },
    Wait {
        millis: u64,
    },
}

/// What a call expects, told by what is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    Absent,
    Stored,
    /// Of the stored version, and of its expiry or one that much later.
    Untouched(u64),
    Version(u64),
    Any,
}

pub(crate) fn call() -> impl Strategy<Value = Call> {
    let id = 0..4_u8;
    let version = prop_oneof![1..4_u64, Just(u64::MAX), Just(1 << 63)];
    let want = prop_oneof![
        3 => Just(Want::Absent),
        4 => Just(Want::Stored),
        2 => (0..2_u64).prop_map(Want::Untouched),
        1 => version.clone().prop_map(Want::Version),
        1 => Just(Want::Any),
    ];
    let save = (
        id.clone(),
        want.clone(),
        version,
        option::of(0..12_u64),
        option::of(0..2_u8),
        vec(any::<u8>(), 0..4),
    );
    prop_oneof![
        2 => id.clone().prop_map(|id| Call::Fetch { id }),
        8 => save.prop_map(|(id, expect, version, lives, owner, data)| {
            Call::Save { id, expect, version, lives, owner, data }
        }),
        2 => (id.clone(), want.clone()).prop_map(|(id, expect)| Call::Delete { id, expect }),
        4 => (id, want, 0..12_u64)
            .prop_map(|(id, expect, lives)| Call::Touch { id, expect, lives }),
        2 => (0..2_u8, 1..4_u32).prop_map(|(owner, limit)| Call::List { owner, limit }),
        1 => (0..4_u32).prop_map(|limit| Call::Purge { limit }),
        4 => (0..8_u64).prop_map(|millis| Call::Wait { millis }),
    ]
}

/// What must be stored. Expired records stay here until they are purged or replaced; a provider may
/// remove them sooner.
pub(crate) struct Model {
    pub(crate) now: u64,
    records: BTreeMap<String, Record>,
    /// Whether the provider removes expired records only when it is told to.
    exact: bool,
    /// Whether records lie in two databases: no order is promised, and what a purge removes besides is
    /// counted.
    pub(crate) moves: bool,
}

impl Model {
    pub(crate) fn new(exact: bool) -> Self {
        // Ahead of the clock of a database that removes expired records by itself.
        let now = to_unix_millis(SystemTime::now()) + 24 * 3_600_000;
        Self { now, records: BTreeMap::new(), exact, moves: false }
    }

    pub(crate) fn now(&self) -> SystemTime {
        from_unix_millis(self.now)
    }

    fn live(&self, id: &str) -> Option<&Record> {
        self.records.get(id).filter(|record| record.is_live(self.now()))
    }

    fn count_live(&self) -> usize {
        self.records.values().filter(|record| record.is_live(self.now())).count()
    }

    pub(crate) async fn check(&mut self, provider: &impl Provider, call: Call) {
        let now = self.now();
        match call {
            Call::Fetch { id } => {
                let id = name("id", id);
                assert_eq!(provider.fetch(&id, now).await.unwrap().as_ref(), self.live(&id));
            }
            Call::Save { id, expect, version, lives, owner, data } => {
                let mut record = Record::new(name("id", id), version, data);
                record.expires_at = lives.map(|lives| from_unix_millis(self.now + lives));
                record.owner = owner.map(|owner| Arc::from(name("owner", owner)));
                self.check_save(provider, record, expect).await;
            }
            Call::Delete { id, expect } => {
                let id = name("id", id);
                let (expect, live) = (self.expect(&id, expect), self.live(&id).cloned());
                let deleted = provider.delete(&id, expect, now).await.unwrap();
                if let Some(live) = live {
                    let met = expect.is_met(Some(&live));
                    let right =
                        if met { Deleted::Deleted(Some(live)) } else { Deleted::Conflict(live) };
                    assert_eq!(deleted, right);
                    if met {
                        self.records.remove(&id);
                    }
                } else if expect == Expect::Any {
                    // Where it was not purged by itself.
                    let was = self.records.remove(&id);
                    if self.exact || deleted != Deleted::Deleted(None) {
                        assert_eq!(deleted, Deleted::Deleted(was));
                    }
                } else {
                    assert_eq!(deleted, Deleted::Deleted(None));
                }
            }
            Call::Touch { id, expect, lives } => {
                let id = name("id", id);
                let expires_at = from_unix_millis(self.now + lives);
                let (expect, live) = (self.expect(&id, expect), self.live(&id).cloned());
                let met = live.is_some() && expect.is_met(live.as_ref());
                let right = if met { Touched::Touched } else { Touched::Conflict(live) };
                assert_eq!(provider.touch(&id, expires_at, expect, now).await.unwrap(), right);
                if let Some(record) = self.records.get_mut(&id).filter(|_| met) {
                    record.expires_at = record.expires_at.map(|at| at.max(expires_at));
                }
            }
            Call::List { owner, limit } => {
                self.check_list(provider, &name("owner", owner), limit).await;
            }
            Call::Purge { limit } => {
                let dead = (self.records.len() - self.count_live()) as u64;
                let first = match provider.purge(now, limit).await {
                    Err(error) if error.is_unsupported() => return,
                    purged => purged.unwrap(),
                };
                let rest = provider.purge(now, u32::MAX).await.unwrap();
                assert!(self.moves || first <= dead.min(u64::from(limit)) && first + rest <= dead);
                if self.exact {
                    assert_eq!((first, first + rest), (dead.min(u64::from(limit)), dead));
                }
                self.records.retain(|_, record| record.is_live(now));
            }
            Call::Wait { millis } => self.now += millis,
        }
    }

    fn expect(&self, id: &str, want: Want) -> Expect {
        let known = self.records.get(id);
        match (want, known) {
            (Want::Absent, _) | (Want::Stored | Want::Untouched(_), None) => Expect::Absent,
            (Want::Stored, Some(known)) => Expect::Version(known.version),
            (Want::Untouched(later), Some(known)) => Expect::Untouched {
                version: known.version,
                expires_at: known.expires_at.map(|at| at + Duration::from_millis(later)),
            },
            (Want::Version(version), _) => Expect::Version(version),
            (Want::Any, _) => Expect::Any,
        }
    }

    async fn check_save(&mut self, provider: &impl Provider, record: Record, want: Want) {
        let id = record.id.to_string();
        let expect = self.expect(&id, want);
        let live = self.live(&id).cloned();
        let met = expect.is_met(live.as_ref());
        let right = if met { Saved::Saved } else { Saved::Conflict(live) };
        assert_eq!(provider.save(&record, expect, self.now()).await.unwrap(), right);
        if met {
            self.records.insert(id, record);
        }
    }

    async fn check_list(&self, provider: &impl Provider, owner: &str, limit: u32) {
        let right: Vec<_> = self
            .records
            .values()
            .filter(|record| record.is_live(self.now()) && record.owner.as_deref() == Some(owner))
            .cloned()
            .collect();
        let mut listed = Vec::new();
        let mut page = Page::first(limit);
        loop {
            let part = provider.list(owner, page, self.now()).await.unwrap();
            assert!(part.records.len() <= limit as usize);
            listed.extend(part.records);
            let Some(next) = part.next else { break };
            assert!(listed.len() <= right.len(), "the pages do not end");
            page = Page::after(next, limit);
        }
        if self.moves {
            listed.sort_by(|one, other| one.id.cmp(&other.id));
        }
        assert_eq!(listed, right);
    }
}

fn name(kind: &str, number: u8) -> String {
    format!("{kind}{number}")
}

/// Plays the calls, and purges and compares everything at the end. Returns how many are alive.
async fn compare(provider: &impl Provider, exact: bool, calls: Vec<Call>) -> usize {
    let mut model = Model::new(exact);
    let last = [0, 1].map(|owner| Call::List { owner, limit: 2 });
    let last = last.into_iter().chain((0..4).map(|id| Call::Fetch { id }));
    for call in calls.into_iter().chain([Call::Purge { limit: 2 }]).chain(last) {
        model.check(provider, call).await;
    }
    model.count_live()
}

/// What fails is printed, not written into the source tree.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

#[test]
fn memory_does_as_the_model() {
    let runtime = Runtime::new().unwrap();
    proptest!(config(2_000), |(calls in vec(call(), 1..80))| {
        let provider = MemoryProvider::new();
        let alive = runtime.block_on(compare(&provider, false, calls));
        assert_eq!(provider.len(), alive);
    });
}

#[test]
fn sqlite_does_as_the_model() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteProvider::options(folder.path().join("sessions.db"));
    let options = options.synchronous(SqliteSynchronous::Off);
    let provider = runtime.block_on(SqliteProvider::open_with(options)).unwrap();
    proptest!(config(200), |(calls in vec(call(), 1..80))| {
        runtime.block_on(async {
            provider.drop_table().await.unwrap();
            provider.create_table().await.unwrap();
            compare(&provider, true, calls).await;
        });
    });
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_does_as_the_model() {
    use sessions_postgres::PostgresProvider;
    use sessions_tests::postgres::Database;

    let runtime = Runtime::new().unwrap();
    let database = Database::create();
    let prepared = runtime.block_on(PostgresProvider::connect(database.url())).unwrap();
    let unprepared = prepared.clone().unprepared();
    proptest!(config(200), |(calls in vec(call(), 1..80), prepare in any::<bool>())| {
        let provider = if prepare { &prepared } else { &unprepared };
        runtime.block_on(async {
            provider.drop_table().await.unwrap();
            provider.create_table().await.unwrap();
            compare(provider, true, calls).await;
        });
    });
}

#[cfg(feature = "mysql")]
#[test]
fn mysql_does_as_the_model() {
    use sessions_mysql::MySqlProvider;
    use sessions_tests::mysql::Database;

    let runtime = Runtime::new().unwrap();
    let database = Database::create();
    let provider = runtime.block_on(MySqlProvider::connect(database.url())).unwrap();
    runtime.block_on(provider.create_table()).unwrap();
    proptest!(config(200), |(calls in vec(call(), 1..80))| {
        // Making a table takes long, emptying one does not.
        database.sql("DELETE FROM sessions");
        runtime.block_on(compare(&provider, true, calls));
    });
}

#[cfg(feature = "redis")]
#[test]
fn redis_does_as_the_model() {
    let runtime = Runtime::new().unwrap();
    let space = sessions_tests::redis::Space::new();
    let provider = runtime.block_on(space.provider());
    let case = std::cell::Cell::new(0);
    proptest!(config(200), |(calls in vec(call(), 1..80))| {
        // Each on keys of its own.
        case.set(case.get() + 1);
        let prefix = format!("{}:{}", space.prefix, case.get());
        let provider = provider.clone().prefix(&prefix).unwrap();
        runtime.block_on(compare(&provider, true, calls));
    });
}

/// Its times lie decades back, which DynamoDB takes for a mistake: it deletes nothing by itself.
#[cfg(feature = "dynamodb")]
#[test]
fn dynamodb_does_as_the_model() {
    use sessions_tests::dynamodb::Table;

    let runtime = Runtime::new().unwrap();
    proptest!(config(60), |(calls in vec(call(), 1..80))| {
        runtime.block_on(async {
            let table = Table::create().await;
            let provider = table.provider().await;
            compare(&provider, true, calls).await;
        });
    });
}
