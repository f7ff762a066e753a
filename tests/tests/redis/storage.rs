//! What Redis holds: a record's hash and its owner's sorted sets, which expire; and what calls of others
//! in between do to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessions::provider::{Deleted, Expect, Page, Provider, Record, Saved, Touched, to_unix_millis};
use sessions_redis::redis::aio::ConnectionLike;
use sessions_redis::redis::{Cmd, Pipeline, RedisFuture, Value};
use sessions_redis::{Connection, RedisProvider};
use sessions_tests::redis::Space;
use tokio::sync::Semaphore;

use crate::{ADA, HOUR, now, record};

/// Waits for what the server does by itself.
#[track_caller]
fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_record_is_a_hash_and_an_owner_two_sorted_sets() {
    let space = Space::new();
    let provider = space.provider().await;
    let stored = record("abc", u64::MAX, HOUR, Some(ADA));
    let before = now();
    provider.save(&stored, Expect::Absent, before).await.unwrap();
    // Redis counts from when the command reaches it: that much later the record goes.
    let late = to_unix_millis(now()) - to_unix_millis(before);
    let prefix = &space.prefix;
    let ids = format!("{prefix}:{{owner:{ADA}}}:ids");
    let until = format!("{prefix}:{{owner:{ADA}}}:until");
    let key = format!("{prefix}:record:abc");
    let ours = |key: &String| !key.contains("probe");
    let keys: Vec<_> = space.keys().into_iter().filter(ours).collect();
    assert_eq!(keys, [key.clone(), ids.clone(), until.clone()]);
    let expires_at = to_unix_millis(stored.expires_at.unwrap());
    let fields = space.cli(&["HMGET", &key, "v", "e", "f", "o", "d"]);
    let expected = format!("{}\n{expires_at}\nvisitor/1\n{ADA}\ndata {}", u64::MAX, u64::MAX);
    assert_eq!(fields, expected);
    let removed_at: u64 = space.cli(&["PEXPIRETIME", &key]).parse().unwrap();
    assert!((expires_at..=expires_at + late).contains(&removed_at), "{removed_at} {expires_at}");
    assert_eq!(space.cli(&["ZRANGE", &ids, "0", "-1"]), "abc");
    let listed: u64 = space.cli(&["ZSCORE", &until, "abc"]).parse().unwrap();
    assert!(listed > removed_at, "{listed}");
    for set in [&ids, &until] {
        assert_eq!(space.cli(&["PEXPIRETIME", set]), listed.to_string());
    }
    // All of it goes with the prefix, and nothing else.
    let _ = space.cli(&["SET", &format!("{prefix}x:other"), "kept"]);
    provider.clear().await.unwrap();
    assert_eq!(space.keys(), [""; 0]);
    assert_eq!(space.cli(&["GETDEL", &format!("{prefix}x:other")]), "kept");
}

#[tokio::test]
async fn a_save_leaves_nothing_of_what_it_replaces() {
    let space = Space::new();
    let provider = space.provider().await;
    let key = format!("{}:record:a", space.prefix);
    provider.save(&record("a", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    let bare = Record::new("a", 2, &b""[..]);
    provider.save(&bare, Expect::Version(1), now()).await.unwrap();
    assert_eq!(space.cli(&["HKEYS", &key]), "v\nf\nd");
    assert_eq!(space.cli(&["PTTL", &key]), "-1");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(bare));
    // Only the owner goes, or only the expiry.
    for (id, expires, owner) in [("b", true, false), ("c", false, true)] {
        provider.save(&record(id, 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
        let mut next = record(id, 2, HOUR, owner.then_some(ADA));
        next.expires_at = next.expires_at.filter(|_| expires);
        provider.save(&next, Expect::Version(1), now()).await.unwrap();
        assert_eq!(provider.fetch(id, now()).await.unwrap(), Some(next));
        let key = format!("{}:record:{id}", space.prefix);
        assert_eq!(space.cli(&["PTTL", &key]) != "-1", expires, "{id}");
        let fields = space.cli(&["HKEYS", &key]);
        assert_eq!(fields.contains('o') && fields.contains('l'), owner, "{fields}");
    }
}

#[tokio::test]
async fn an_expired_record_leaves_redis_by_itself_and_its_owners_sets_too() {
    let space = Space::new();
    let provider = space.provider().await;
    provider.clear().await.unwrap();
    let lives = Duration::from_millis(400);
    provider.save(&record("a", 1, lives, Some(ADA)), Expect::Absent, now()).await.unwrap();
    provider.save(&record("b", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    provider.save(&record("c", 1, lives, None), Expect::Absent, now()).await.unwrap();
    // One that a touch keeps, with its owner's sets.
    provider.save(&record("d", 1, lives, Some("bob")), Expect::Absent, now()).await.unwrap();
    assert_eq!(
        provider.touch("d", now() + HOUR, Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    // One that an update keeps.
    provider.save(&record("e", 1, lives, Some("eve")), Expect::Absent, now()).await.unwrap();
    provider.save(&record("e", 2, HOUR, Some("eve")), Expect::Version(1), now()).await.unwrap();
    let sets = ["{owner:bob}:ids", "{owner:bob}:until", "{owner:eve}:ids", "{owner:eve}:until"];
    let left = ["record:b", "record:d", "record:e"].into_iter().chain(sets);
    let mut left: Vec<_> = left.map(|key| format!("{}:{key}", space.prefix)).collect();
    left.sort_unstable();
    until("Redis must remove what has expired", || space.keys() == left);
    for owner in ["bob", "eve"] {
        let listed = provider.list(owner, Page::first(9), now()).await.unwrap();
        assert_eq!(listed.records.len(), 1);
    }
}

#[tokio::test]
async fn an_owner_who_comes_and_goes_leaves_no_ids_behind() {
    let space = Space::new();
    let provider = space.provider().await;
    let until_key = format!("{}:{{owner:{ADA}}}:until", space.prefix);
    let ids_key = format!("{}:{{owner:{ADA}}}:ids", space.prefix);
    let lives = Duration::from_millis(200);
    for id in 0..150 {
        let short = record(&format!("short{id}"), 1, lives, Some(ADA));
        provider.save(&short, Expect::Absent, now()).await.unwrap();
    }
    provider.save(&record("long", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    let start = Instant::now();
    loop {
        provider.save(&record("long", 1, HOUR, Some(ADA)), Expect::Any, now()).await.unwrap();
        let left = space.cli(&["ZCARD", &until_key]);
        assert_eq!(space.cli(&["ZCARD", &ids_key]), left);
        if left == "1" {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{left} ids are left");
    }
    assert_eq!(provider.list(ADA, Page::first(9), now()).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn one_who_logs_in_and_out_leaves_no_ids_behind() {
    let space = Space::new();
    let provider = space.provider().await;
    provider.save(&record("kept", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    for id in 0..100 {
        let id = format!("id{id}");
        provider.save(&record(&id, 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
        provider.save(&record(&id, 2, HOUR, Some(ADA)), Expect::Version(1), now()).await.unwrap();
        provider.delete(&id, Expect::Any, now()).await.unwrap();
    }
    for set in ["ids", "until"] {
        let key = format!("{}:{{owner:{ADA}}}:{set}", space.prefix);
        assert_eq!(space.cli(&["ZRANGE", &key, "0", "-1"]), "kept");
    }
}

/// A connection that lets one command through, and holds the next until it may go.
#[derive(Clone)]
struct Held {
    inner: Connection,
    sent: Arc<AtomicUsize>,
    reached: Arc<Semaphore>,
    may_go: Arc<Semaphore>,
}

impl Held {
    fn new(space: &Space) -> Self {
        Self {
            inner: Connection::open(&space.url).unwrap(),
            sent: Arc::default(),
            reached: Arc::new(Semaphore::new(0)),
            may_go: Arc::new(Semaphore::new(0)),
        }
    }
}

impl ConnectionLike for Held {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            if self.sent.fetch_add(1, Ordering::SeqCst) == 1 {
                self.reached.add_permits(1);
                let _may_go = self.may_go.acquire().await.unwrap();
            }
            self.inner.req_packed_command(command).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        unreachable!("the provider sends no pipeline")
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// What lies between the two steps of a call that needs two: another's whole call.
async fn between<T: Send + 'static>(
    space: &Space,
    call: impl AsyncFnOnce(RedisProvider<Held>) -> T,
    others: impl Future<Output = ()>,
) -> T {
    let held = Held::new(space);
    let provider = RedisProvider::new(held.clone()).prefix(&space.prefix).unwrap();
    let provider = provider.timeout(HOUR);
    let others = async {
        held.reached.acquire().await.unwrap().forget();
        others.await;
        held.may_go.add_permits(1);
    };
    tokio::join!(call(provider), others).0
}

async fn is_listed(provider: &RedisProvider, id: &str) -> bool {
    let listed = provider.list(ADA, Page::first(9), now()).await.unwrap();
    listed.records.iter().any(|record| &*record.id == id)
}

#[tokio::test]
async fn a_record_created_while_its_predecessor_is_deleted_is_listed() {
    let space = Space::new();
    let provider = space.provider().await;
    let stored = record("a", 1, HOUR, Some(ADA));
    provider.save(&stored, Expect::Absent, now()).await.unwrap();
    let again = async {
        let saved = provider.save(&stored, Expect::Absent, now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
    };
    let removed =
        between(&space, async |held| held.delete("a", Expect::Any, now()).await, again).await;
    assert_eq!(removed.unwrap(), Deleted::Deleted(Some(stored.clone())));
    assert!(is_listed(&provider, "a").await);
}

#[tokio::test]
async fn a_record_is_listed_although_another_of_its_id_came_and_went_while_it_was_created() {
    let space = Space::new();
    let provider = space.provider().await;
    let stored = record("a", 1, HOUR, Some(ADA));
    let others = async {
        provider.save(&stored, Expect::Absent, now()).await.unwrap();
        assert!(is_listed(&provider, "a").await);
        assert!(matches!(
            provider.delete("a", Expect::Any, now()).await.unwrap(),
            Deleted::Deleted(Some(_))
        ));
    };
    let create = async |held: RedisProvider<Held>| held.save(&stored, Expect::Absent, now()).await;
    assert_eq!(between(&space, create, others).await.unwrap(), Saved::Saved);
    assert!(is_listed(&provider, "a").await);
}

#[tokio::test]
async fn a_list_read_while_a_record_is_created_forgets_nothing() {
    let space = Space::new();
    let provider = space.provider().await;
    let stored = record("a", 1, HOUR, Some(ADA));
    let others = async {
        assert!(!is_listed(&provider, "a").await);
        provider.save(&record("b", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    };
    let create = async |held: RedisProvider<Held>| held.save(&stored, Expect::Absent, now()).await;
    assert_eq!(between(&space, create, others).await.unwrap(), Saved::Saved);
    assert!(is_listed(&provider, "a").await && is_listed(&provider, "b").await);
}

/// Tasks create, update, touch, hand over and delete the same few records, through two instances.
/// Once they rest, each owner's list is just the records of that owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lists_agree_with_records_after_a_crowd() {
    let space = Space::new();
    let instances = [space.provider().await, space.provider().await];
    let owners = [Some("ada"), Some("bob"), None];
    for round in 0..60_u64 {
        let tasks: Vec<_> = (0..16_u64)
            .map(|task| {
                let provider = instances[task as usize % 2].clone();
                tokio::spawn(async move {
                    let mut random = round * 1_000 + task * 7 + 1;
                    for _ in 0..12 {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let id = ["a", "b", "c"][(random >> 8) as usize % 3];
                        let lives = HOUR * ((random >> 16) as u32 % 3 + 1);
                        let owner = owners[(random >> 24) as usize % 3];
                        let fresh = record(id, random, lives, owner);
                        match random % 7 {
                            0 | 1 => {
                                let found = provider.fetch(id, now()).await.unwrap();
                                let version = found.map_or(1, |found| found.version);
                                let expect = Expect::Version(version);
                                provider.save(&fresh, expect, now()).await.unwrap();
                            }
                            2 => {
                                provider
                                    .touch(id, now() + 4 * lives, Expect::Any, now())
                                    .await
                                    .unwrap();
                            }
                            3 => {
                                provider.save(&fresh, Expect::Any, now()).await.unwrap();
                            }
                            4 => {
                                provider.save(&fresh, Expect::Absent, now()).await.unwrap();
                            }
                            _ => {
                                provider.delete(id, Expect::Any, now()).await.unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        for owner in ["ada", "bob"] {
            let mut right = Vec::new();
            for id in ["a", "b", "c"] {
                let found = instances[0].fetch(id, now()).await.unwrap();
                right.extend(found.filter(|found| found.owner.as_deref() == Some(owner)));
            }
            let listed = instances[1].list(owner, Page::first(9), now()).await.unwrap();
            assert_eq!(listed.records, right, "round {round}: {owner}");
        }
    }
}

#[tokio::test]
async fn a_long_list_of_ids_without_records_is_passed_over() {
    let space = Space::new();
    let provider = space.provider().await;
    let mut gone = Vec::new();
    for id in 0..1_200 {
        let id = format!("id{id:04}");
        let owned = record(&id, 1, HOUR, Some(ADA));
        provider.save(&owned, Expect::Absent, now()).await.unwrap();
        if !matches!(&*id, "id0003" | "id0700" | "id1199") {
            gone.push(format!("{}:record:{id}", space.prefix));
        }
    }
    // Records that end so leave their ids.
    let command: Vec<_> = ["DEL"].into_iter().chain(gone.iter().map(String::as_str)).collect();
    assert_eq!(space.cli(&command), "1197");
    let ids = |records: Vec<Record>| records.into_iter().map(|it| it.id.to_string());
    let first = provider.list(ADA, Page::first(2), now()).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("id0700"));
    assert_eq!(ids(first.records).collect::<Vec<_>>(), ["id0003", "id0700"]);
    let second = provider.list(ADA, Page::after("id0700", 2), now()).await.unwrap();
    assert_eq!(second.next, None);
    assert_eq!(ids(second.records).collect::<Vec<_>>(), ["id1199"]);
}

#[tokio::test]
async fn purging_is_not_needed() {
    let space = Space::new();
    let error = space.provider().await.purge(now(), 10).await.unwrap_err();
    assert!(error.is_unsupported(), "{error}");
}

#[tokio::test]
async fn hosts_create_at_once() {
    let space = Space::new();
    let hosts: Vec<_> = (0..16)
        .map(|_| {
            let connection = Connection::open(&space.url).unwrap();
            let provider = RedisProvider::new(connection).prefix(&space.prefix).unwrap();
            tokio::spawn(async move { provider.create().await })
        })
        .collect();
    for host in hosts {
        host.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn prefixes_do_not_meet() {
    let space = Space::new();
    let one = space.provider().await;
    let two = one.clone().prefix(&format!("{}:two", space.prefix)).unwrap();
    one.save(&record("a", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    assert_eq!(two.fetch("a", now()).await.unwrap(), None);
    assert_eq!(two.list(ADA, Page::first(9), now()).await.unwrap().records, []);
    for wrong in ["", "a b", "a{b}", "a*"] {
        let error = one.clone().prefix(wrong).unwrap_err();
        assert!(!error.is_unavailable() && error.to_string().contains("prefix"), "{error}");
    }
}
