//! What goes wrong with DynamoDB: each error says what to do, and whether trying again can help.

use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_dynamodb::{Client, Config};
use sessions::provider::{Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions_dynamodb::DynamoDbProvider;
use sessions_tests::dynamodb::{Sent, Table, client, config, endpoint};
use sessions_tests::process::free_port;
use sessions_tests::scripted::Scripted;
use sessions_tests::server::Server;

use crate::now;

fn provider(config: Builder) -> DynamoDbProvider {
    DynamoDbProvider::new(Client::from_conf(config.build()))
}

fn owned(id: &str) -> Record {
    let mut record = Record::new(id, 1, "x");
    record.owner = Some("ada".into());
    record
}

/// The error of each call, of each kind of save.
async fn all_errors(provider: &DynamoDbProvider) -> Vec<ProviderError> {
    let record = Record::new("a", 1, "x");
    vec![
        provider.fetch("a", now()).await.unwrap_err(),
        provider.save(&record, Expect::Absent, now()).await.unwrap_err(),
        provider.save(&record, Expect::Version(1), now()).await.unwrap_err(),
        provider.save(&record, Expect::Any, now()).await.unwrap_err(),
        provider.save(&owned("a"), Expect::Absent, now()).await.unwrap_err(),
        provider.save(&owned("a"), Expect::Version(1), now()).await.unwrap_err(),
        provider.delete("a", Expect::Any, now()).await.unwrap_err(),
        provider.touch("a", now(), Expect::Any, now()).await.unwrap_err(),
        provider.list("ada", Page::first(1), now()).await.unwrap_err(),
    ]
}

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable() && !error.is_unsupported(), "{error:?}");
    assert!(error.to_string().contains(text), "{error} {error:?}");
}

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error} {error:?}");
}

#[tokio::test]
async fn a_missing_table_says_what_to_call() {
    let table = Table::reserve();
    for error in all_errors(&table.provider().await).await {
        permanent(&error, &format!("table `{}` is missing: call create_table()", table.name));
    }
}

/// DynamoDB Local keeps the tables of each region apart, as DynamoDB does.
#[tokio::test]
async fn another_region_says_to_check_it() {
    let table = Table::create().await;
    let config = config(endpoint()).region(Region::new("us-west-2"));
    for error in all_errors(&table.provider_with(Client::from_conf(config.build()))).await {
        permanent(&error, "check the region");
    }
}

#[tokio::test]
async fn wrong_credentials_say_so() {
    // DynamoDB Local refuses only keys that cannot be any.
    let wrong = Credentials::new("not-a-key!", "secret", None, None, "tests");
    let wrong = provider(config(endpoint()).credentials_provider(wrong));
    for error in all_errors(&wrong).await {
        permanent(&error, "the credentials are refused: check the access key");
    }
    permanent(&wrong.create_table().await.unwrap_err(), "the credentials are refused");
    for code in
        ["UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"]
    {
        let answer = format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"no"}}"#);
        let server = Scripted::start(&[(400, &answer)]).await;
        for error in all_errors(&provider(config(&server.url()))).await {
            permanent(&error, "the credentials are refused");
        }
    }
}

#[tokio::test]
async fn a_missing_permission_names_the_docs() {
    let answer = r#"{"__type":"com.amazon.coral.service#AccessDeniedException",
        "Message":"User: arn:aws:iam::1:user/u is not authorized to perform: dynamodb:GetItem"}"#;
    let server = Scripted::start(&[(400, answer)]).await;
    for error in all_errors(&provider(config(&server.url()))).await {
        permanent(&error, "access to table `sessions` is denied: allow the actions");
        let source = aws_sdk_dynamodb::error::DisplayErrorContext(&error).to_string();
        assert!(source.contains("not authorized to perform: dynamodb:GetItem"), "{source}");
    }
}

fn bare() -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

#[tokio::test]
async fn a_client_without_its_settings_is_told() {
    let keys = || Credentials::new("sessions", "secret", None, None, "tests");
    let region = || Region::new("eu-central-1");
    let clients = [
        bare().endpoint_url(endpoint()).region(region()),
        bare().endpoint_url(endpoint()).credentials_provider(keys()),
        bare().credentials_provider(keys()),
        bare().endpoint_url("no address").region(region()).credentials_provider(keys()),
    ];
    for client in clients {
        for error in all_errors(&provider(client)).await {
            permanent(&error, "check the region, the endpoint, the credentials and the HTTP");
        }
    }
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_unavailable() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for endpoint in [&*nobody, "http://no-such-host.invalid"] {
        for error in all_errors(&provider(config(endpoint))).await {
            unavailable(&error, "check the endpoint, the region and the network");
        }
        unavailable(&provider(config(endpoint)).create_table().await.unwrap_err(), "check");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_no_dynamodb_is_an_error() {
    let app = axum::Router::new().fallback(async || "<html>hello</html>");
    let server = Server::start(app).await;
    for error in all_errors(&provider(config(&format!("http://{}", server.address)))).await {
        unavailable(&error, "is none of DynamoDB's");
    }
    let server = Server::start(axum::Router::new()).await;
    for error in all_errors(&provider(config(&format!("http://{}", server.address)))).await {
        permanent(&error, "refused the request");
    }
}

#[tokio::test]
async fn throttling_and_failures_are_unavailable() {
    let cases = [
        (400, "dynamodb.v20120810#ProvisionedThroughputExceededException", "throttles"),
        (400, "dynamodb.v20120810#RequestLimitExceeded", "throttles"),
        (400, "coral.availability#ThrottlingException", "throttles"),
        (500, "dynamodb.v20120810#InternalServerError", "failed, try again"),
        (503, "coral.service#ServiceUnavailableException", "failed, try again"),
    ];
    for (status, code, text) in cases {
        let answer = format!(r#"{{"__type":"com.amazonaws.{code}","message":"later"}}"#);
        let server = Scripted::start(&[(status, &answer)]).await;
        for error in all_errors(&provider(config(&server.url()))).await {
            unavailable(&error, text);
        }
        let transaction = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons":[{{"Code":"None"}},{{"Code":"{}"}}]}}"#,
            match code.split_once('#').unwrap().1 {
                "ProvisionedThroughputExceededException" => "ProvisionedThroughputExceeded",
                _ => "ThrottlingError",
            }
        );
        let server = Scripted::start(&[(400, &transaction)]).await;
        let throttled = provider(config(&server.url()));
        let error = throttled.save(&owned("a"), Expect::Absent, now()).await.unwrap_err();
        unavailable(&error, "throttles");
        assert_eq!(server.asked(), ["TransactWriteItems"]);
    }
    // A balancer that has nothing behind it.
    let server = Scripted::start(&[(502, "<html>bad gateway</html>")]).await;
    for error in all_errors(&provider(config(&server.url()))).await {
        unavailable(&error, "try again");
    }
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let long = "x".repeat(256);
    for name in ["", "ab", "a b", "täble", "a/b", "arn:aws:dynamodb", "a\0b", &long] {
        let error = DynamoDbProvider::new(client("http://unused")).table(name).unwrap_err();
        permanent(&error, "use 3 to 255 ASCII letters");
    }
    for name in ["abc", "A.b-c_9", &"x".repeat(255)] {
        DynamoDbProvider::new(client("http://unused")).table(name).unwrap();
    }
    for (read, write) in [(0, 1), (1, 0)] {
        let provider = DynamoDbProvider::new(client("http://unused"));
        permanent(&provider.provisioned(read, write).unwrap_err(), "order at least 1");
    }
}

#[tokio::test]
async fn a_table_with_another_key_is_named() {
    let client = client(endpoint());
    for (name, kind, range) in [
        ("id", ScalarAttributeType::S, false),
        ("pk", ScalarAttributeType::S, false),
        ("pk", ScalarAttributeType::N, true),
    ] {
        let table = Table::reserve();
        let mut request = client.create_table().table_name(&table.name);
        for (name, role, kind) in
            [(name, KeyType::Hash, kind), ("sk", KeyType::Range, ScalarAttributeType::S)]
        {
            if role == KeyType::Range && !range {
                continue;
            }
            let key = KeySchemaElement::builder().attribute_name(name).key_type(role);
            let attribute =
                AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
            request = request
                .key_schema(key.build().unwrap())
                .attribute_definitions(attribute.build().unwrap());
        }
        request.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
        let provider = table.provider().await;
        permanent(&provider.create_table().await.unwrap_err(), "another key");
        // One that lacks only the second part of the key takes items, but gives none back.
        let errors = if name == "pk" && !range {
            vec![provider.fetch("a", now()).await.unwrap_err()]
        } else {
            all_errors(&provider).await
        };
        for error in errors {
            permanent(&error, &format!("table `{}` has another key", table.name));
        }
        client.delete_table().table_name(&table.name).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_expires_by_another_attribute_is_named() {
    let table = Table::create().await;
    let client = client(endpoint());
    for (name, on) in [("expires_at", false), ("ttl", true)] {
        let specification =
            TimeToLiveSpecification::builder().attribute_name(name).enabled(on).build().unwrap();
        let request = client.update_time_to_live().table_name(&table.name);
        request.time_to_live_specification(specification).send().await.unwrap();
    }
    let error = table.provider().await.create_table().await.unwrap_err();
    permanent(&error, "by the attribute `ttl`: set its time to live to `expires_at`");
}

#[tokio::test]
async fn a_record_above_400_kilobytes_is_not_sent() {
    let table = Table::create().await;
    let sent = Sent::default();
    let config = config(endpoint()).interceptor(sent.clone());
    let provider = table.provider_with(Client::from_conf(config.build()));
    for owner in [None, Some("ada".into())] {
        let mut record = Record::new("a", 1, vec![0; 400 * 1024]);
        record.owner = owner;
        for expect in [Expect::Absent, Expect::Version(1), Expect::Any] {
            let error = provider.save(&record, expect, now()).await.unwrap_err();
            permanent(&error, "above DynamoDB's limit of 409600: keep less in the session");
        }
    }
    assert_eq!(sent.take(), "");
}

#[tokio::test]
async fn an_item_that_somebody_else_wrote_is_an_error_not_a_panic() {
    let table = Table::create().await;
    let provider = table.provider().await;
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    let client = client(endpoint());
    for (name, value) in [
        ("version", AttributeValue::S("one".into())),
        ("version", AttributeValue::N("-1.5".into())),
        ("data", AttributeValue::S("text".into())),
        ("expires_ms", AttributeValue::Bool(true)),
    ] {
        let request = client.put_item().table_name(&table.name);
        let mut request = request
            .item("pk", AttributeValue::S("record#a".into()))
            .item("sk", AttributeValue::S("record".into()))
            .item("owner", AttributeValue::S("ada".into()))
            .item("format", AttributeValue::S(String::new()))
            .item("version", AttributeValue::N("1".into()))
            .item("data", AttributeValue::B(Vec::new().into()));
        request = request.item(name, value);
        request.send().await.unwrap();
        let errors = [
            provider.fetch("a", now()).await.unwrap_err(),
            provider.save(&owned("a"), Expect::Absent, now()).await.unwrap_err(),
            provider.list("ada", Page::first(9), now()).await.unwrap_err(),
            provider.delete("a", Expect::Any, now()).await.unwrap_err(),
        ];
        for error in errors {
            permanent(&error, "holds an item that this provider did not write");
        }
    }
}

#[tokio::test]
async fn a_save_or_delete_that_failed_is_not_sent_again_and_a_read_is() {
    let answer = r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}"#;
    let server = Scripted::start(&[(500, answer)]).await;
    let sent = Sent::default();
    let provider = provider(config(&server.url()).interceptor(sent.clone()));
    let record = Record::new("a", 1, "x");
    for expect in [Expect::Absent, Expect::Version(1), Expect::Any] {
        provider.save(&record, expect, now()).await.unwrap_err();
        assert_eq!((server.asked(), &*sent.take()), (vec!["PutItem".into()], "PutItem 1"));
    }
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap_err();
    assert_eq!(server.asked(), ["TransactWriteItems"]);
    provider.save(&owned("a"), Expect::Version(1), now()).await.unwrap_err();
    assert_eq!(server.asked(), ["UpdateItem"]);
    provider.delete("a", Expect::Any, now()).await.unwrap_err();
    assert_eq!(server.asked(), ["DeleteItem"]);
    provider.fetch("a", now()).await.unwrap_err();
    assert_eq!(server.asked(), ["GetItem"; 3]);
    provider.touch("a", now() + Duration::from_secs(9), Expect::Any, now()).await.unwrap_err();
    assert_eq!(server.asked(), ["UpdateItem"; 3]);
}

#[tokio::test]
async fn what_another_transaction_kept_out_is_sent_again() {
    let conflict = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException"}"#;
    let cancelled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;
    let replicated =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException"}"#;
    let script = [(400, conflict), (400, replicated), (200, "{}")];
    let record = Record::new("a", 2, "x");
    for (record, name) in [(&record, "PutItem"), (&owned("a"), "UpdateItem")] {
        let server = Scripted::start(&script).await;
        let provider = provider(config(&server.url()));
        let saved = provider.save(record, Expect::Version(1), now()).await;
        assert_eq!(saved.unwrap(), Saved::Saved);
        assert_eq!(server.asked(), [name; 3]);
    }
    let server = Scripted::start(&script).await;
    assert_eq!(
        provider(config(&server.url())).delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(None)
    );
    assert_eq!(server.asked(), ["DeleteItem"; 3]);
    let server = Scripted::start(&script).await;
    let later = now() + Duration::from_secs(9);
    assert_eq!(
        provider(config(&server.url())).touch("a", later, Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    assert_eq!(server.asked(), ["UpdateItem"; 3]);
    let server = Scripted::start(&[(400, cancelled), (400, cancelled), (200, "{}")]).await;
    let saved = provider(config(&server.url())).save(&owned("a"), Expect::Absent, now()).await;
    assert_eq!(saved.unwrap(), Saved::Saved);
    assert_eq!(server.asked(), ["TransactWriteItems"; 3]);
    // It ends with the call's time.
    let server = Scripted::start(&[(400, cancelled)]).await;
    let hurried = provider(config(&server.url())).timeout(Duration::from_millis(300));
    let error = hurried.save(&owned("a"), Expect::Absent, now()).await.unwrap_err();
    unavailable(&error, "did not answer within 300ms");
    assert!(server.asked().len() > 1);
}

#[tokio::test]
async fn a_cancelled_transaction_is_a_conflict_where_the_record_is_the_reason() {
    let answer = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons":[
        {"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"record#a"},"sk":{"S":"record"},
         "version":{"N":"7"},"data":{"B":"eA=="},"format":{"S":"f"}}},
        {"Code":"TransactionConflict"}]}"#;
    let server = Scripted::start(&[(400, answer)]).await;
    let provider_ = provider(config(&server.url()));
    let mut theirs = Record::new("a", 7, "x");
    theirs.format = "f".into();
    let saved = provider_.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    assert_eq!(saved, Saved::Conflict(Some(theirs)));
    assert_eq!(server.asked(), ["TransactWriteItems"]);
    let answer = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons":[{"Code":"ValidationError",
        "Message":"Item size to update has exceeded the maximum allowed size"},{"Code":"None"}]}"#;
    let server = Scripted::start(&[(400, answer)]).await;
    let error =
        provider(config(&server.url())).save(&owned("a"), Expect::Absent, now()).await.unwrap_err();
    permanent(&error, "limit of 400 KB: keep less");
}
