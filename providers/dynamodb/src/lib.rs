//! Sessions in Amazon DynamoDB: no server to run, and room for any number of sessions.
//!
//! ```no_run
//! use sessions::provider::{Expect, Provider, Record, Saved};
//! use sessions_dynamodb::DynamoDbProvider;
//! use sessions_dynamodb::aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
//! use sessions_dynamodb::aws_sdk_dynamodb::{Client, Config};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sessions::provider::ProviderError> {
//! // Here for DynamoDB Local; see below for the real one.
//! let config = Config::builder()
//!     .behavior_version(BehaviorVersion::latest())
//!     .region(Region::new("eu-central-1"))
//!     .endpoint_url("http://127.0.0.1:8000")
//!     .credentials_provider(Credentials::new("local", "local", None, None, "static"))
//!     .build();
//! let provider = DynamoDbProvider::new(Client::from_conf(config));
//! provider.create_table().await?;
//!
//! let now = std::time::SystemTime::now();
//! let record = Record::new("a", 1, &b"data"[..]);
//! assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Saved);
//! assert_eq!(provider.fetch("a", now).await?, Some(record));
//! # Ok(()) }
//! ```
//!
//! # The client
//!
//! You supply the client, which determines the region, the credentials and the HTTP connection. On
//! AWS the crate `aws-config` reads all of these from the environment:
//!
//! ```sh
//! cargo add sessionful-dynamodb aws-config aws-sdk-dynamodb
//! ```
//!
//! ```text
//! let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//! let provider = DynamoDbProvider::new(aws_sdk_dynamodb::Client::new(&config));
//! ```
//!
//! This crate includes no TLS unless its feature `default-https-client` is enabled, which is the
//! SDK's feature of that name. The two crates above include TLS too.
//!
//! A call ends after at most 5 seconds ([`timeout`](DynamoDbProvider::timeout)). Reads and `touch`
//! use the client's retries. `save`, `delete`, and a `touch` that expects the expiry it moves
//! (`Expect::Untouched`) are sent once. They are sent again only if DynamoDB answers that it has done
//! nothing, because another transaction had the item.
//!
//! # The table
//!
//! [`create_table`](DynamoDbProvider::create_table) creates it, on demand or with [provisioned
//! capacity](DynamoDbProvider::provisioned). The same with the command line:
//!
//! ```sh
//! aws dynamodb create-table --table-name sessions --billing-mode PAY_PER_REQUEST \
//!     --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
//!     --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE
//! aws dynamodb wait table-exists --table-name sessions
//! aws dynamodb update-time-to-live --table-name sessions \
//!     --time-to-live-specification Enabled=true,AttributeName=expires_at
//! ```
//!
//! or with CloudFormation:
//!
//! ```yaml
//! Sessions:
//!   Type: AWS::DynamoDB::Table
//!   Properties:
//!     TableName: sessions
//!     BillingMode: PAY_PER_REQUEST
//!     AttributeDefinitions:
//!       - { AttributeName: pk, AttributeType: S }
//!       - { AttributeName: sk, AttributeType: S }
//!     KeySchema:
//!       - { AttributeName: pk, KeyType: HASH }
//!       - { AttributeName: sk, KeyType: RANGE }
//!     TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
//! ```
//!
//! The table holds two kinds of items. A record:
//!
//! | attribute | type | what it holds |
//! |---|---|---|
//! | `pk` | S | `record#` and the id |
//! | `sk` | S | `record` |
//! | `version` | N | the optimistic lock |
//! | `data` | B | opaque bytes |
//! | `format` | S | for a session, its name and schema version |
//! | `owner` | S | whose session it is, if anybody's |
//! | `expires_ms` | N | when it expires, in milliseconds since 1970; missing: never |
//! | `expires_at` | N | the same in seconds, rounded up: the time to live |
//! | `listed_until` | N | the `expires_at` of its entry |
//!
//! and for each record with an owner an entry in the owner's list:
//!
//! | attribute | type | what it holds |
//! |---|---|---|
//! | `pk` | S | `owner#` and the owner |
//! | `sk` | S | the record's id |
//! | `expires_at` | N | the time to live: at least a day later than the record's |
//!
//! The transaction that gives a record its owner also writes the entry. A list reads consistently, so
//! it never misses a session; a global secondary index would lag. A list reads the records themselves,
//! and removes the entries whose record is gone. The number of an owner's sessions has no limit.
//!
//! A record's item has at most 400 KB, including the names of attributes. Data above 409 495 bytes,
//! less the id, format and owner, is refused before it is sent.
//!
//! # Permissions
//!
//! Transactions need no permission of their own.
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [{
//!     "Effect": "Allow",
//!     "Action": [
//!       "dynamodb:GetItem",
//!       "dynamodb:BatchGetItem",
//!       "dynamodb:Query",
//!       "dynamodb:PutItem",
//!       "dynamodb:UpdateItem",
//!       "dynamodb:DeleteItem",
//!       "dynamodb:ConditionCheckItem"
//!     ],
//!     "Resource": "arn:aws:dynamodb:*:*:table/sessions"
//!   }]
//! }
//! ```
//!
//! [`scan`](sessions::provider::Provider::scan), which no request uses, also needs `dynamodb:Scan`.
//! `create_table` also needs `dynamodb:DescribeTable`, `dynamodb:CreateTable`,
//! `dynamodb:DescribeTimeToLive` and `dynamodb:UpdateTimeToLive`. `drop_table` needs
//! `dynamodb:DescribeTable` and `dynamodb:DeleteTable`.
//!
//! # What a call costs
//!
//! The table is for items of up to 1 KB. Above that, each started KB costs a write unit, and each
//! started 4 KB a read unit. A conflict costs the same as the call without one, and returns the current
//! record without another request. A `delete` or a `touch` that expects no record is 1 `GetItem`.
//!
//! | call | requests | write units | read units |
//! |---|---|---|---|
//! | `fetch` | 1 `GetItem` | | 1 |
//! | `save` without an owner | 1 `PutItem` | 1 | |
//! | `save` of a new record with an owner | 1 `TransactWriteItems` | 4 | |
//! | `save` over a record with the same owner | 1 `UpdateItem` | 1 | |
//! | `save` that changes the owner | 1 `UpdateItem`, 1 `TransactWriteItems` | 5 | |
//! | `touch` | 1 `UpdateItem` | 1 | |
//! | `delete` | 1 `DeleteItem` | 1 | |
//! | `fetch_many` | 1 `BatchGetItem` for each 100 ids | | 1 an id |
//! | `list` | 1 `Query`, and 1 `BatchGetItem` for at most 100 records | | 1, and 1 a record |
//! | `scan`, for operators | 1 `Scan` for each page | | 1 for each 4 KB of items |
//! | `purge` | unsupported, and not needed | | |
//!
//! A record's entry expires later than the record, by the time that the record had to live, or a day if
//! that is longer. A save or a touch that moves the record's expiry beyond the entry's moves both. This
//! costs as much as a change of owner, and happens about once in a session's idle timeout. A list that
//! finds entries without a record removes them in 1 `TransactWriteItems` for each 50, with 4 write
//! units for each entry.
//!
//! # Expiry
//!
//! An expired record is never returned: the milliseconds decide. DynamoDB deletes the item within a
//! few days, free of charge. So [`purge`](sessions::provider::Provider::purge) is unsupported, and the
//! store's purge task ends. Expired items stay until `create_table`, or you, have declared the time to
//! live.
//!
//! # Durability
//!
//! A completed save is on several disks in several zones. In a global table, regions replicate
//! asynchronously: versions are compared within a region, and sessions that two regions change at the
//! same time lose changes. Keep a visitor in one region, or use global tables with strong consistency.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod item;
mod list;
mod provider;
mod record;
mod scan;
mod table;

pub use crate::provider::DynamoDbProvider;
pub use aws_sdk_dynamodb;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
