//! What is DynamoDB's own: the table, its expiry, and the lists of owners.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, TimeToLiveStatus};
use sessions::Store;
use sessions::provider::{Expect, Page, Provider, Record, Saved, from_unix_millis};
use sessions_dynamodb::DynamoDbProvider;
use sessions_tests::dynamodb::{Local, Table, client, config, endpoint};
use tokio::task::JoinSet;

use crate::now;

fn hour() -> SystemTime {
    now() + Duration::from_secs(3600)
}

fn owned(id: impl Into<Arc<str>>, version: u64) -> Record {
    let mut record = Record::new(id, version, "x");
    record.owner = Some("ada".into());
    record.expires_at = Some(hour());
    record
}

async fn create(provider: &DynamoDbProvider, record: &Record) {
    let saved = provider.save(record, Expect::Absent, now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
}

/// All pages of an owner.
async fn list(provider: &DynamoDbProvider, limit: u32) -> Vec<Record> {
    let mut records = Vec::new();
    let mut page = Page::first(limit);
    loop {
        let listed = provider.list("ada", page, now()).await.unwrap();
        assert!(listed.records.len() <= limit as usize);
        records.extend(listed.records);
        let Some(next) = listed.next else { return records };
        page = Page::after(next, limit);
    }
}

/// The ids that the owner's entries name.
async fn entries(client: &Client, table: &Table) -> BTreeSet<String> {
    let found = client
        .query()
        .table_name(&table.name)
        .key_condition_expression("pk = :owner")
        .expression_attribute_values(":owner", AttributeValue::S("owner#ada".into()))
        .send()
        .await
        .unwrap();
    found.items().iter().map(|item| item["sk"].as_s().unwrap().clone()).collect()
}

async fn is_stored(client: &Client, table: &Table, id: &str) -> bool {
    let found = client
        .get_item()
        .table_name(&table.name)
        .key("pk", AttributeValue::S(format!("record#{id}")))
        .key("sk", AttributeValue::S("record".into()))
        .send()
        .await;
    found.unwrap().item.is_some()
}

/// As in DynamoDB itself, a table is not there at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_hosts_create_and_drop_a_slow_table_at_once() {
    let local = tokio::task::spawn_blocking(Local::slow_to_create).await.unwrap();
    let url = format!("http://{}", local.address);
    let host = || DynamoDbProvider::new(client(&url)).table("visitors").unwrap();
    for _ in 0..2 {
        let mut hosts = JoinSet::new();
        for host in (0..12).map(|_| host()) {
            hosts.spawn(async move {
                host.create_table().await.unwrap();
                // At once, and by whichever host.
                let id = format!("{:?}", tokio::task::id());
                create(&host, &owned(id, 1)).await;
            });
        }
        hosts.join_all().await;
        assert_eq!(list(&host(), 100).await.len(), 12);
        host().create_table().await.unwrap();
        assert_eq!(list(&host(), 100).await.len(), 12);
        let mut hosts = JoinSet::new();
        for host in (0..4).map(|_| host()) {
            hosts.spawn(async move { host.drop_table().await.unwrap() });
        }
        hosts.join_all().await;
        let error = host().fetch("a", now()).await.unwrap_err();
        assert!(error.to_string().contains("call create_table()"), "{error}");
    }
    host().drop_table().await.unwrap();
}

#[tokio::test]
async fn a_table_is_as_it_was_ordered() {
    let client = client(endpoint());
    for provisioned in [None, Some((7, 3))] {
        let table = Table::reserve();
        let mut provider = table.provider().await;
        if let Some((read, write)) = provisioned {
            provider = provider.provisioned(read, write).unwrap();
        }
        provider.create_table().await.unwrap();
        let found = client.describe_table().table_name(&table.name).send().await.unwrap();
        let found = found.table.unwrap();
        match provisioned {
            None => {
                let billing = found.billing_mode_summary().unwrap();
                assert_eq!(billing.billing_mode(), Some(&BillingMode::PayPerRequest));
            }
            Some((read, write)) => {
                let units = found.provisioned_throughput().unwrap();
                assert_eq!(units.read_capacity_units(), Some(i64::from(read)));
                assert_eq!(units.write_capacity_units(), Some(i64::from(write)));
            }
        }
        let expiry = client.describe_time_to_live().table_name(&table.name).send().await.unwrap();
        let expiry = expiry.time_to_live_description().unwrap();
        assert_eq!(expiry.time_to_live_status(), Some(&TimeToLiveStatus::Enabled));
        assert_eq!(expiry.attribute_name(), Some("expires_at"));
    }
}

#[tokio::test]
async fn items_are_as_the_docs_say() {
    let table = Table::create().await;
    let provider = table.provider().await;
    let mut record = owned("a", u64::MAX);
    record.format = "visitor/1".into();
    record.expires_at = Some(from_unix_millis(4_000_000_000_001));
    create(&provider, &record).await;
    let found = client(endpoint()).scan().table_name(&table.name).send().await.unwrap();
    let mut items: Vec<_> = found.items().to_vec();
    items.sort_by_key(|item| item["pk"].as_s().unwrap().clone());
    let text = |item: usize, name: &str| items[item][name].as_s().unwrap().as_str();
    let number = |item: usize, name: &str| items[item][name].as_n().unwrap().as_str();
    assert_eq!((items.len(), items[0].len(), items[1].len()), (2, 3, 9));
    assert_eq!((text(0, "pk"), text(0, "sk")), ("owner#ada", "a"));
    assert_eq!((text(1, "pk"), text(1, "sk")), ("record#a", "record"));
    assert_eq!((text(1, "format"), text(1, "owner")), ("visitor/1", "ada"));
    assert_eq!(number(1, "version"), "18446744073709551615");
    assert_eq!(items[1]["data"].as_b().unwrap().as_ref(), b"x");
    assert_eq!((number(1, "expires_ms"), number(1, "expires_at")), ("4000000000001", "4000000001"));
    assert_eq!(number(0, "expires_at"), number(1, "listed_until"));
}

/// On a server of its own: it deletes later, the more tables it has.
#[tokio::test]
async fn dynamodb_deletes_expired_items_by_itself() {
    let local = tokio::task::spawn_blocking(Local::in_memory).await.unwrap();
    let client = client(&format!("http://{}", local.address));
    let table = Table::reserve();
    let provider = table.provider_with(client.clone());
    provider.create_table().await.unwrap();
    let mut dead = owned("dead", 1);
    dead.expires_at = Some(now() + Duration::from_millis(1));
    create(&provider, &dead).await;
    create(&provider, &owned("live", 1)).await;
    create(&provider, &Record::new("for ever", 1, "x")).await;
    assert!(is_stored(&client, &table, "dead").await);
    // It is not shown for as long as it still stands there.
    assert_eq!(provider.fetch("dead", dead.expires_at.unwrap()).await.unwrap(), None);
    let deadline = Instant::now() + Duration::from_secs(120);
    while is_stored(&client, &table, "dead").await {
        assert!(Instant::now() < deadline, "DynamoDB has not deleted what expired");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_stored(&client, &table, "live").await);
    assert!(is_stored(&client, &table, "for ever").await);
    // Its entry goes with the next list.
    assert_eq!(entries(&client, &table).await.len(), 2);
    assert_eq!(list(&provider, 9).await.len(), 1);
    assert_eq!(entries(&client, &table).await, BTreeSet::from(["live".to_owned()]));
}

#[tokio::test]
async fn the_stores_purge_task_ends_by_itself() {
    let table = Table::create().await;
    let store = Store::new(table.provider().await);
    let sessions::Error::Provider(error) = store.purge_expired(9).await.unwrap_err() else {
        panic!("not an error of the provider");
    };
    assert!(error.is_unsupported());
    let task = tokio::spawn(store.purge_task(Duration::ZERO));
    tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn entries_without_a_record_are_removed_by_a_list() {
    let table = Table::create().await;
    let (provider, client) = (table.provider().await, client(endpoint()));
    for id in 0..130 {
        create(&provider, &owned(format!("{id:03}"), 1)).await;
    }
    let mut moved = owned("000", 2);
    moved.owner = Some("bob".into());
    provider.save(&moved, Expect::Version(1), now()).await.unwrap();
    for id in (1..130).filter(|id| id % 10 != 0) {
        provider.delete(&format!("{id:03}"), Expect::Any, now()).await.unwrap();
    }
    assert_eq!(entries(&client, &table).await.len(), 130);
    let ids: Vec<_> = list(&provider, 100).await.into_iter().map(|it| it.id.to_string()).collect();
    let left: Vec<_> = (1..13).map(|ten| format!("{:03}", ten * 10)).collect();
    assert_eq!(ids, left);
    assert_eq!(entries(&client, &table).await.into_iter().collect::<Vec<_>>(), left);
    // A page is not empty where records follow.
    for id in &left[..11] {
        provider.delete(id, Expect::Any, now()).await.unwrap();
    }
    let page = provider.list("ada", Page::first(2), now()).await.unwrap();
    assert_eq!((page.records.len(), page.next), (1, None));
}

/// Holds a client's transactions back until it is told to let them go.
#[derive(Debug)]
struct Gate {
    reached: Sender<()>,
    open: Mutex<Receiver<()>>,
}

impl Intercept for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap();
        if target.ends_with("TransactWriteItems") {
            self.reached.send(()).unwrap();
            self.open.lock().unwrap().recv().unwrap();
        }
        Ok(())
    }
}

/// A list finds nothing behind an entry; before it removes that, the record is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_list_removes_the_entry_of_a_record_saved_since() {
    let table = Table::create().await;
    let provider = table.provider().await;
    let (reached, at_the_gate) = channel();
    let (opens, open) = channel();
    let gate = Gate { reached, open: Mutex::new(open) };
    let lister =
        table.provider_with(Client::from_conf(config(endpoint()).interceptor(gate).build()));
    create(&provider, &owned("a", 1)).await;
    provider.delete("a", Expect::Any, now()).await.unwrap();
    let listed = tokio::spawn(async move { list(&lister, 9).await });
    tokio::task::spawn_blocking(move || at_the_gate.recv().unwrap()).await.unwrap();
    let again = owned("a", 1);
    create(&provider, &again).await;
    opens.send(()).unwrap();
    assert_eq!(listed.await.unwrap(), []);
    assert_eq!(list(&provider, 9).await, [again]);
}

/// More than a set in one item could hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_has_any_number_of_sessions() {
    let table = Table::create().await;
    let provider = table.provider().await;
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let provider = provider.clone();
        writers.spawn(async move {
            for number in 0..110 {
                create(&provider, &owned(format!("{writer:02}-{number:0252}"), 1)).await;
            }
        });
    }
    writers.join_all().await;
    let ids: BTreeSet<_> = list(&provider, u32::MAX).await.into_iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), 1_760);
    assert!(ids.iter().map(|id| id.len()).sum::<usize>() > 400 * 1024);
}

/// More than DynamoDB reads in one request, which is 16 MB.
#[tokio::test]
async fn a_list_of_large_records_is_whole() {
    let table = Table::create().await;
    let provider = table.provider().await.timeout(Duration::from_secs(60));
    for id in 0..45 {
        let mut record = owned(format!("{id:02}"), 1);
        record.data = vec![id; 390 * 1024].into();
        create(&provider, &record).await;
    }
    let listed = provider.list("ada", Page::first(100), now()).await.unwrap();
    assert_eq!((listed.records.len(), listed.next), (45, None));
    for (id, record) in (0..).zip(listed.records) {
        assert!(record.data.len() == 390 * 1024 && record.data.iter().all(|byte| *byte == id));
    }
}
