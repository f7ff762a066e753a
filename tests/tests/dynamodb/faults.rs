//! The server gone, connections cut, answers lost: every call ends in a result or an error that
//! tells whether trying again can help, and nothing that was sent once is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions::{Session, Store};
use sessions_dynamodb::DynamoDbProvider;
use sessions_tests::dynamodb::{Local, Sent, Table, address, client, config};
use sessions_tests::jar::Jar;
use sessions_tests::process::free_port;
use sessions_tests::proxy::Proxy;
use tokio::task::JoinSet;

use crate::now;

/// A provider that goes through a proxy, and one that does not.
struct Link {
    proxy: Proxy,
    sent: Sent,
    through: DynamoDbProvider,
    direct: DynamoDbProvider,
    _table: Table,
}

impl Link {
    async fn new() -> Self {
        let table = Table::create().await;
        let proxy = Proxy::start(address()).await;
        let sent = Sent::default();
        let config = config(&format!("http://{}", proxy.address)).interceptor(sent.clone());
        let through = table.provider_with(Client::from_conf(config.build()));
        let direct = table.provider().await;
        Self { proxy, sent, through, direct, _table: table }
    }
}

fn record(version: u64, owner: Option<&str>) -> Record {
    let mut record = Record::new("a", version, format!("mine, {version}").into_bytes());
    record.owner = owner.map(Into::into);
    record
}

/// The saves of each kind of request: what is stored before, what is saved, and the request.
fn saves() -> [(Option<Record>, Record, Expect, &'static str); 4] {
    [
        (None, record(1, None), Expect::Absent, "PutItem"),
        (Some(record(1, None)), record(2, None), Expect::Version(1), "PutItem"),
        (None, record(1, Some("ada")), Expect::Absent, "TransactWriteItems"),
        (Some(record(1, Some("ada"))), record(2, Some("ada")), Expect::Version(1), "UpdateItem"),
    ]
}

fn target(request: &str) -> String {
    format!("DynamoDB_20120810.{request}")
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(answer: Result<T, ProviderError>) {
    let error = answer.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn a_save_cut_off_before_the_server_saw_it_did_not_happen() {
    let link = Link::new().await;
    for (before, mine, expect, request) in saves() {
        link.direct.delete("a", Expect::Any, now()).await.unwrap();
        if let Some(before) = &before {
            link.direct.save(before, Expect::Absent, now()).await.unwrap();
        }
        link.sent.take();
        link.proxy.cut_before(target(request).as_bytes());
        unavailable(link.through.save(&mine, expect, now()).await);
        assert!(!link.proxy.cut_is_due());
        assert_eq!(link.sent.take(), format!("{request} 1"));
        assert_eq!(link.direct.fetch("a", now()).await.unwrap(), before);
        assert_eq!(link.through.save(&mine, expect, now()).await.unwrap(), Saved::Saved);
    }
}

#[tokio::test]
async fn a_save_whose_answer_was_lost_is_told_from_anothers() {
    let link = Link::new().await;
    for (before, mine, expect, request) in saves() {
        link.direct.delete("a", Expect::Any, now()).await.unwrap();
        if let Some(before) = &before {
            link.direct.save(before, Expect::Absent, now()).await.unwrap();
        }
        link.sent.take();
        link.proxy.cut_after(target(request).as_bytes());
        unavailable(link.through.save(&mine, expect, now()).await);
        assert!(!link.proxy.cut_is_due());
        assert_eq!(link.sent.take(), format!("{request} 1"));
        assert_eq!(link.direct.fetch("a", now()).await.unwrap(), Some(mine.clone()));
        // Whoever tries again is handed its own bytes.
        let again = link.through.save(&mine, expect, now()).await.unwrap();
        assert_eq!(again, Saved::Conflict(Some(mine.clone())));
        // Or those of who came after.
        let mut theirs = record(mine.version + 1, mine.owner.as_deref());
        theirs.data = "theirs".into();
        let version = Expect::Version(mine.version);
        assert_eq!(link.direct.save(&theirs, version, now()).await.unwrap(), Saved::Saved);
        let again = link.through.save(&mine, expect, now()).await.unwrap();
        assert_eq!(again, Saved::Conflict(Some(theirs)));
    }
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_not_sent_again() {
    let link = Link::new().await;
    link.direct.save(&record(1, None), Expect::Absent, now()).await.unwrap();
    link.proxy.cut_after(target("DeleteItem").as_bytes());
    unavailable(link.through.delete("a", Expect::Any, now()).await);
    assert_eq!(link.sent.take(), "DeleteItem 1");
    assert_eq!(link.direct.fetch("a", now()).await.unwrap(), None);
}

/// Sent again, it would conflict with the expiry that it has moved itself.
#[tokio::test]
async fn a_touch_of_what_is_untouched_is_not_sent_again() {
    let link = Link::new().await;
    let mut stored = record(1, None);
    stored.expires_at = Some(now() + Duration::from_secs(600));
    link.direct.save(&stored, Expect::Absent, now()).await.unwrap();
    let untouched = Expect::Untouched { version: 1, expires_at: stored.expires_at };
    let later = now() + Duration::from_secs(900);
    link.proxy.cut_after(target("UpdateItem").as_bytes());
    unavailable(link.through.touch("a", later, untouched, now()).await);
    assert_eq!(link.sent.take(), "UpdateItem 1");
    stored.expires_at = Some(later);
    assert_eq!(link.direct.fetch("a", now()).await.unwrap(), Some(stored));
}

#[tokio::test]
async fn what_repeating_cannot_change_is_sent_again() {
    let link = Link::new().await;
    let mut stored = record(1, Some("ada"));
    stored.expires_at = Some(now() + Duration::from_secs(600));
    link.direct.save(&stored, Expect::Absent, now()).await.unwrap();
    link.proxy.cut_after(target("GetItem").as_bytes());
    assert_eq!(link.through.fetch("a", now()).await.unwrap(), Some(stored));
    assert_eq!(link.sent.take(), "GetItem 2");
    link.proxy.cut_after(target("UpdateItem").as_bytes());
    assert_eq!(
        link.through
            .touch("a", now() + Duration::from_secs(900), Expect::Any, now())
            .await
            .unwrap(),
        Touched::Touched
    );
    assert_eq!(link.sent.take(), "UpdateItem 2");
    link.proxy.cut_after(target("Query").as_bytes());
    let listed = link.through.list("ada", Page::first(9), now()).await.unwrap();
    assert_eq!(listed.records.len(), 1);
    assert_eq!(link.sent.take(), "BatchGetItem 1, Query 2");
}

/// One call of each kind.
async fn calls(provider: &DynamoDbProvider) -> Vec<Result<(), ProviderError>> {
    let owned = Record { id: "b".into(), ..record(1, Some("ada")) };
    let soon = now() + Duration::from_secs(600);
    let (fetch, save, transaction, update, delete, touch, list) = tokio::join!(
        provider.fetch("a", now()),
        async { provider.save(&record(1, None), Expect::Any, now()).await },
        provider.save(&owned, Expect::Any, now()),
        provider.save(&owned, Expect::Version(1), now()),
        provider.delete("c", Expect::Any, now()),
        provider.touch("b", soon, Expect::Any, now()),
        provider.list("ada", Page::first(9), now()),
    );
    vec![
        fetch.map(drop),
        save.map(drop),
        transaction.map(drop),
        update.map(drop),
        delete.map(drop),
        touch.map(drop),
        list.map(drop),
    ]
}

#[tokio::test]
async fn a_stall_of_two_seconds_ends_in_a_result_or_in_unavailable() {
    let link = Link::new().await;
    let hurried = link.through.clone().timeout(Duration::from_millis(200));
    calls(&link.through).await;
    link.proxy.stall(true);
    let patient = {
        let patient = link.through.clone();
        tokio::spawn(async move { calls(&patient).await })
    };
    for answer in calls(&hurried).await {
        let error = answer.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert_eq!(error.to_string(), "DynamoDB did not answer within 200ms");
    }
    // The stall itself, not a wait for something.
    tokio::time::sleep(Duration::from_secs(2)).await;
    link.proxy.stall(false);
    for answer in patient.await.unwrap() {
        assert!(answer.as_ref().err().is_none_or(ProviderError::is_unavailable), "{answer:?}");
    }
    for answer in calls(&link.through).await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn a_client_recovers_by_itself_from_connections_cut() {
    let link = Link::new().await;
    for _ in 0..5 {
        for answer in calls(&link.through).await {
            answer.unwrap();
        }
        link.proxy.refuse(true);
        link.proxy.cut_all();
        for answer in calls(&link.through).await {
            unavailable(answer);
        }
        link.proxy.refuse(false);
    }
    link.sent.take();
    for answer in calls(&link.through).await {
        answer.unwrap();
    }
}

/// Each writer has a record of its own, whose every version only it saves.
async fn write(
    provider: DynamoDbProvider,
    id: String,
    answered: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> (u64, u64) {
    let version_of = |version| {
        let mut record = Record::new(&*id, version, format!("{version}").into_bytes());
        record.owner = Some("ada".into());
        record
    };
    let (mut version, mut failed) = (0, 0);
    let mut lost = false;
    while !over.load(Ordering::SeqCst) {
        let next = version_of(version + 1);
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        match provider.save(&next, expect, now()).await {
            Ok(Saved::Saved) => {}
            // Nobody else writes it: an earlier try has won.
            Ok(Saved::Conflict(Some(current))) if lost => assert_eq!(current, next),
            Ok(conflict) => panic!("a save of version {} met {conflict:?}", version + 1),
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                (lost, failed) = (true, failed + 1);
                continue;
            }
        }
        version += 1;
        lost = false;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    (version, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_no_answered_save_and_writers_go_on_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (port, path) = (free_port(), folder.path().to_owned());
    let start = || {
        let path = path.clone();
        tokio::task::spawn_blocking(move || Local::in_folder(port, &path))
    };
    let mut local = start().await.unwrap();
    let url = format!("http://{}", local.address);
    let patient = DynamoDbProvider::new(client(&url)).timeout(Duration::from_secs(60));
    let provider = patient.clone().timeout(Duration::from_secs(2));
    patient.create_table().await.unwrap();
    let (answered, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (answered, over) = (answered.clone(), over.clone());
        let (provider, id) = (provider.clone(), format!("writer-{writer}"));
        writers.spawn(async move { (id.clone(), write(provider, id, answered, over).await) });
    }
    let more = async |count| {
        let until = answered.load(Ordering::SeqCst) + count;
        while answered.load(Ordering::SeqCst) < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for _ in 0..2 {
        more(200).await;
        local.kill();
        local = start().await.unwrap();
    }
    more(200).await;
    over.store(true, Ordering::SeqCst);
    let mut failures = 0;
    for (id, (version, failed)) in writers.join_all().await {
        let stored = patient.fetch(&id, now()).await.unwrap().unwrap();
        assert_eq!((stored.version, &*stored.data), (version, version.to_string().as_bytes()));
        failures += failed;
    }
    assert!(failures > 0, "no writer noticed");
    let listed = patient.list("ada", Page::first(100), now()).await.unwrap();
    assert_eq!(listed.records.len(), 8);
}

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u32>,
    #[session(merge = add)]
    visits: u32,
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_counts_once() {
    let link = Link::new().await;
    for (user, first, later) in
        [(None, "PutItem", "PutItem"), (Some(7), "TransactWriteItems", "UpdateItem")]
    {
        let store = Store::new(link.through.clone());
        let mut jar = Jar::new();
        // The keys are there before the first cut.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
            session.visits = 1;
            match session.commit().await {
                Ok(_) => break,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
        (session.user, session.visits) = (user, 1);
        link.proxy.cut_after(target(first).as_bytes());
        assert!(jar.keep(&session.commit().await.unwrap()));
        assert!(!link.proxy.cut_is_due());
        for visits in 2..6 {
            let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
            session.visits += 1;
            link.proxy.cut_after(target(later).as_bytes());
            let _ = session.commit().await.unwrap();
            assert!(!link.proxy.cut_is_due());
            let session = store.load::<Visitor>(jar.headers()).await.unwrap();
            assert_eq!((session.user, session.visits), (user, visits));
        }
    }
}
