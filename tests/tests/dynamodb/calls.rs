//! What each call sends, and what that costs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use serde_json::Value;
use sessions::provider::{
    Deleted, Expect, Page, Provider, Record, Saved, Touched, from_unix_millis, to_unix_millis,
};
use sessions_dynamodb::DynamoDbProvider;
use sessions_tests::dynamodb::{Sent, Table, address, client, config, endpoint};
use sessions_tests::proxy::Proxy;
use sessions_tests::scripted::Scripted;

/// Asks the server what each request has consumed, and adds it up.
#[derive(Clone, Debug, Default)]
struct Units(Arc<Mutex<f64>>, Arc<Mutex<Vec<Value>>>);

impl Units {
    fn take(&self) -> f64 {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The requests' bodies.
    fn bodies(&self) -> Vec<Value> {
        std::mem::take(&mut *self.1.lock().unwrap())
    }
}

impl Intercept for Units {
    fn name(&self) -> &'static str {
        "Units"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let mut body: Value = serde_json::from_slice(request.body().bytes().unwrap())?;
        self.1.lock().unwrap().push(body.clone());
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        let body = body.to_string();
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = body.into();
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body: Value = serde_json::from_slice(context.response().body().bytes().unwrap())?;
        let consumed = match &body["ConsumedCapacity"] {
            Value::Array(tables) => tables.clone(),
            one => vec![one.clone()],
        };
        let units = consumed.iter().filter_map(|it| it["CapacityUnits"].as_f64()).sum::<f64>();
        *self.0.lock().unwrap() += units;
        Ok(())
    }
}

struct Watched {
    provider: DynamoDbProvider,
    sent: Sent,
    units: Units,
    _table: Table,
}

impl Watched {
    async fn new() -> Self {
        let table = Table::create().await;
        let (sent, units) = (Sent::default(), Units::default());
        let config = config(endpoint()).interceptor(sent.clone()).interceptor(units.clone());
        let provider = table.provider_with(Client::from_conf(config.build()));
        Self { provider, sent, units, _table: table }
    }

    #[track_caller]
    fn must_have_sent(&self, requests: &str, units: f64) {
        assert_eq!((self.sent.take().as_str(), self.units.take()), (requests, units));
    }

    async fn save(&self, record: &Record, expect: Expect) -> Saved {
        self.provider.save(record, expect, now()).await.unwrap()
    }
}

/// The same in the whole test.
fn now() -> SystemTime {
    static NOW: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    from_unix_millis(*NOW.get_or_init(|| to_unix_millis(SystemTime::now())))
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// Expires in two days, so its entry in four.
fn owned(version: u64, owner: &str) -> Record {
    let mut record = Record::new("a", version, &b"data"[..]);
    record.owner = Some(owner.into());
    record.expires_at = Some(now() + hours(48));
    record
}

#[tokio::test]
async fn without_an_owner_each_call_is_one_request() {
    let watched = Watched::new().await;
    let mut record = Record::new("a", 1, &b"data"[..]);
    record.expires_at = Some(now() + hours(48));
    assert_eq!(watched.save(&record, Expect::Absent).await, Saved::Saved);
    watched.must_have_sent("PutItem 1", 1.0);
    let conflict = watched.save(&record, Expect::Absent).await;
    assert_eq!(conflict, Saved::Conflict(Some(record.clone())));
    assert_eq!(watched.sent.take(), "PutItem 1");
    record.version = 2;
    assert_eq!(watched.save(&record, Expect::Version(1)).await, Saved::Saved);
    watched.must_have_sent("PutItem 1", 1.0);
    let conflict = watched.save(&record, Expect::Version(1)).await;
    assert_eq!(conflict, Saved::Conflict(Some(record.clone())));
    assert_eq!(watched.sent.take(), "PutItem 1");
    assert_eq!(watched.save(&record, Expect::Any).await, Saved::Saved);
    watched.must_have_sent("PutItem 1", 1.0);
    let moved = Expect::Untouched { version: 2, expires_at: Some(now()) };
    assert_eq!(watched.save(&record, moved).await, Saved::Conflict(Some(record.clone())));
    assert_eq!(watched.sent.take(), "PutItem 1");
    for expect in [Expect::Version(1), moved] {
        let conflict = watched.provider.touch("a", now() + hours(99), expect, now()).await.unwrap();
        assert_eq!(conflict, Touched::Conflict(Some(record.clone())));
        assert_eq!(watched.sent.take(), "UpdateItem 1");
        let conflict = watched.provider.delete("a", expect, now()).await.unwrap();
        assert_eq!(conflict, Deleted::Conflict(record.clone()));
        assert_eq!(watched.sent.take(), "DeleteItem 1");
    }
    watched.provider.touch("a", now() + hours(99), Expect::Absent, now()).await.unwrap();
    watched.provider.delete("a", Expect::Absent, now()).await.unwrap();
    assert_eq!(watched.sent.take(), "GetItem 2");
    watched.units.take();
    assert_eq!(watched.provider.fetch("a", now()).await.unwrap(), Some(record));
    watched.must_have_sent("GetItem 1", 1.0);
    assert_eq!(
        watched.provider.touch("a", now() + hours(99), Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    watched.must_have_sent("UpdateItem 1", 1.0);
    assert!(matches!(
        watched.provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(_))
    ));
    watched.must_have_sent("DeleteItem 1", 1.0);
    assert_ne!(
        watched.provider.touch("a", now() + hours(99), Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    assert_eq!(watched.sent.take(), "UpdateItem 1");
    assert_eq!(
        watched.provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(None)
    );
    assert_eq!(watched.sent.take(), "DeleteItem 1");
    assert_eq!(watched.provider.fetch("a", now()).await.unwrap(), None);
    assert_eq!(watched.sent.take(), "GetItem 1");
}

#[tokio::test]
async fn an_owner_takes_a_transaction_when_it_comes_and_none_while_it_stays() {
    let watched = Watched::new().await;
    watched.save(&owned(1, "ada"), Expect::Absent).await;
    watched.must_have_sent("TransactWriteItems 1", 4.0);
    let conflict = watched.save(&owned(1, "ada"), Expect::Absent).await;
    assert_eq!(conflict, Saved::Conflict(Some(owned(1, "ada"))));
    assert_eq!(watched.sent.take(), "TransactWriteItems 1");
    assert_eq!(watched.save(&owned(2, "ada"), Expect::Version(1)).await, Saved::Saved);
    watched.must_have_sent("UpdateItem 1", 1.0);
    let conflict = watched.save(&owned(2, "ada"), Expect::Version(1)).await;
    assert_eq!(conflict, Saved::Conflict(Some(owned(2, "ada"))));
    assert_eq!(watched.sent.take(), "UpdateItem 1");
    assert_eq!(watched.save(&owned(3, "bob"), Expect::Version(2)).await, Saved::Saved);
    assert_eq!(watched.sent.take(), "TransactWriteItems 1, UpdateItem 1");
    assert_eq!(watched.save(&owned(4, "bob"), Expect::Any).await, Saved::Saved);
    assert_eq!(watched.sent.take(), "TransactWriteItems 1");
}

#[tokio::test]
async fn an_entry_is_moved_once_in_a_lifetime() {
    let watched = Watched::new().await;
    watched.save(&owned(1, "ada"), Expect::Absent).await;
    watched.sent.take();
    let mut sent = Vec::new();
    // A session that is used each hour, for eight days.
    for hour in 1..192 {
        let (at, end) = (now() + hours(hour), now() + hours(hour + 48));
        assert_eq!(
            watched.provider.touch("a", end, Expect::Any, at).await.unwrap(),
            Touched::Touched
        );
        sent.push(watched.sent.take());
    }
    let moved = sent.iter().filter(|sent| *sent == "TransactWriteItems 1, UpdateItem 1").count();
    let alone = sent.iter().filter(|sent| *sent == "UpdateItem 1").count();
    assert_eq!((moved, alone), (3, 188));
    // Saves do the same.
    let mut record = owned(2, "ada");
    record.expires_at = Some(now() + hours(48 * 9));
    let save = watched.provider.save(&record, Expect::Version(1), now() + hours(191));
    assert_eq!(save.await.unwrap(), Saved::Saved);
    assert_eq!(watched.sent.take(), "TransactWriteItems 1, UpdateItem 1");
    let listed = watched.provider.list("ada", Page::first(9), now() + hours(191)).await.unwrap();
    assert_eq!(listed.records, [record.clone()]);
    // One that never expires again has an entry that does not either.
    watched.sent.take();
    record.expires_at = None;
    for (version, sent) in [(3, "TransactWriteItems 1, UpdateItem 1"), (4, "UpdateItem 1")] {
        record.version = version;
        watched.save(&record, Expect::Version(version - 1)).await;
        assert_eq!(watched.sent.take(), sent);
    }
    record.version = 5;
    record.expires_at = Some(now() + hours(48 * 99));
    watched.save(&record, Expect::Version(4)).await;
    assert_eq!(watched.sent.take(), "UpdateItem 1");
}

#[tokio::test]
async fn a_list_is_two_requests() {
    let watched = Watched::new().await;
    watched.provider.list("ada", Page::first(9), now()).await.unwrap();
    assert_eq!(watched.sent.take(), "Query 1");
    for id in 0..30 {
        let mut record = owned(1, "ada");
        record.id = format!("id{id:02}").into();
        watched.save(&record, Expect::Absent).await;
    }
    watched.sent.take();
    watched.units.take();
    let listed = watched.provider.list("ada", Page::first(50), now()).await.unwrap();
    assert_eq!((listed.records.len(), listed.next), (30, None));
    watched.must_have_sent("BatchGetItem 1, Query 1", 31.0);
    let listed = watched.provider.list("ada", Page::first(10), now()).await.unwrap();
    assert_eq!((listed.records.len(), listed.next.as_deref()), (10, Some("id09")));
    watched.must_have_sent("BatchGetItem 1, Query 1", 11.0);
    assert_eq!(watched.provider.list("ada", Page::first(0), now()).await.unwrap().next, None);
    assert_eq!(watched.sent.take(), "");
}

#[tokio::test]
async fn many_are_fetched_in_one_request() {
    let watched = Watched::new().await;
    for id in 0..3 {
        watched.save(&Record::new(id.to_string(), 1, "x"), Expect::Absent).await;
    }
    watched.sent.take();
    watched.units.take();
    let mut ids: Vec<_> = (0..100).map(|id| id.to_string()).collect();
    let fetch = async |ids: &[String]| {
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        watched.provider.fetch_many(&ids, now()).await.unwrap().len()
    };
    assert_eq!(fetch(&ids).await, 3);
    // For an id without a record, DynamoDB charges a unit too, and DynamoDB Local none.
    watched.must_have_sent("BatchGetItem 1", 3.0);
    // One more than a request may name, and one twice.
    ids.extend(["0".to_owned(), "more".to_owned()]);
    assert_eq!(fetch(&ids).await, 3);
    watched.must_have_sent("BatchGetItem 2", 3.0);
    assert_eq!(fetch(&[]).await, 0);
    assert_eq!(watched.sent.take(), "");
}

/// As when an answer would be larger than 16 MB, or the table has no capacity left.
#[tokio::test]
async fn what_dynamodb_leaves_out_is_asked_again() {
    let item = |id: &str| {
        serde_json::json!({
            "pk": {"S": format!("record#{id}")}, "sk": {"S": "record"}, "version": {"N": "1"},
            "data": {"B": "eA=="}, "format": {"S": ""},
        })
    };
    let left = |ids: &[&str]| {
        let key =
            |id| serde_json::json!({"pk": {"S": format!("record#{id}")}, "sk": {"S": "record"}});
        let keys: Vec<_> = ids.iter().map(key).collect();
        serde_json::json!({ "sessions": { "Keys": keys, "ConsistentRead": true } })
    };
    let answers = [
        serde_json::json!({"Responses": {}, "UnprocessedKeys": left(&["a", "b"])}),
        serde_json::json!({"Responses": {"sessions": [item("a")]}, "UnprocessedKeys": left(&["b"])}),
        serde_json::json!({"Responses": {"sessions": [item("b")]}, "UnprocessedKeys": {}}),
    ];
    let answers = answers.map(|answer| answer.to_string());
    let answers = [(200, &*answers[0]), (200, &answers[1]), (200, &answers[2])];
    let server = Scripted::start(&answers).await;
    let provider = DynamoDbProvider::new(client(&server.url()));
    let mut found = provider.fetch_many(&["a", "b"], now()).await.unwrap();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(found, ["a", "b"].map(|id| Record::new(id, 1, "x")));
    assert_eq!(server.asked(), ["BatchGetItem"; 3]);
}

/// What a touch meets when the owner changes, or goes, between its two requests.
#[tokio::test]
async fn a_touch_follows_a_record_to_its_new_owner() {
    let millis = |at| to_unix_millis(at).to_string();
    let item = |owner: &str, listed: bool| {
        let mut item = serde_json::json!({
            "pk": {"S": "record#a"}, "sk": {"S": "record"}, "version": {"N": "1"},
            "data": {"B": "eA=="}, "format": {"S": ""}, "expires_ms": {"N": millis(now() + hours(1))},
        });
        if listed {
            item["owner"] = serde_json::json!({ "S": owner });
            item["listed_until"] = serde_json::json!({ "N": "1" });
        }
        item
    };
    let failed = |item: Value| {
        let answer = serde_json::json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "Item": item,
        });
        answer.to_string()
    };
    let cancelled = |item: Value| {
        let answer = serde_json::json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons": [{"Code": "ConditionalCheckFailed", "Item": item}, {"Code": "None"}],
        });
        answer.to_string()
    };
    let cases = [
        (item("bob", true), ["UpdateItem", "TransactWriteItems", "TransactWriteItems"]),
        (item("", false), ["UpdateItem", "TransactWriteItems", "UpdateItem"]),
    ];
    for (later, asked) in cases {
        let (first, second) = (failed(item("ada", true)), cancelled(later));
        let server = Scripted::start(&[(400, &first), (400, &second), (200, "{}")]).await;
        let provider = DynamoDbProvider::new(client(&server.url()));
        assert_eq!(
            provider.touch("a", now() + hours(9), Expect::Any, now()).await.unwrap(),
            Touched::Touched
        );
        assert_eq!(server.asked(), asked);
    }
}

/// DynamoDB Local has no other reads to show a difference by.
#[tokio::test]
async fn reads_are_consistent() {
    let watched = Watched::new().await;
    watched.save(&owned(1, "ada"), Expect::Absent).await;
    watched.units.bodies();
    watched.provider.fetch("a", now()).await.unwrap();
    watched.provider.fetch_many(&["a", "b"], now()).await.unwrap();
    watched.provider.list("ada", Page::first(9), now()).await.unwrap();
    let bodies = watched.units.bodies();
    assert_eq!(bodies.len(), 4);
    for body in bodies {
        let keys = body.get("RequestItems").and_then(Value::as_object);
        let read = keys.and_then(|tables| tables.values().next()).unwrap_or(&body);
        assert_eq!(read["ConsistentRead"], true, "{body}");
    }
}

#[tokio::test]
async fn a_purge_sends_nothing() {
    let watched = Watched::new().await;
    let error = watched.provider.purge(now(), 9).await.unwrap_err();
    assert!(error.is_unsupported());
    assert_eq!(watched.sent.take(), "");
}

#[tokio::test]
async fn calls_share_a_connection() {
    let table = Table::create().await;
    let proxy = Proxy::start(address()).await;
    let provider = sessions_tests::dynamodb::client(&format!("http://{}", proxy.address));
    let provider = table.provider_with(provider);
    for version in 1..20 {
        let expect = if version == 1 { Expect::Absent } else { Expect::Version(version - 1) };
        for record in [owned(version, "ada"), Record::new("b", version, "")] {
            assert_eq!(provider.save(&record, expect, now()).await.unwrap(), Saved::Saved);
        }
        provider.fetch("a", now()).await.unwrap();
        provider.touch("a", now() + hours(50), Expect::Any, now()).await.unwrap();
        provider.list("ada", Page::first(9), now()).await.unwrap();
        provider.delete("c", Expect::Any, now()).await.unwrap();
    }
    assert_eq!(proxy.connections(), 1);
}
