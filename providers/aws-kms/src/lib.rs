//! AWS KMS for the keys that seal cookies: the database holds them encrypted, and only who may use the
//! KMS key can read them.
//!
//! ```no_run
//! use sessions::{MemoryProvider, Store};
//! use sessions_aws_kms::KmsKey;
//! use sessions_aws_kms::aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
//! use sessions_aws_kms::aws_sdk_kms::{Client, Config};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sessions::Error> {
//! // Here for a local server; see below for AWS.
//! let config = Config::builder()
//!     .behavior_version(BehaviorVersion::latest())
//!     .region(Region::new("eu-central-1"))
//!     .endpoint_url("http://127.0.0.1:5000")
//!     .credentials_provider(Credentials::new("local", "local", None, None, "static"))
//!     .build();
//! let key = KmsKey::new(Client::from_conf(config), "alias/sessions").app("shop");
//! // In place of the memory: a database.
//! let store = Store::builder(MemoryProvider::new()).app("shop").key_encryption(key).build()?;
//! store.codec().refresh().await?;
//! # Ok(()) }
//! ```
//!
//! # The client
//!
//! You supply the client, which determines the region, the credentials, the HTTP connection and the
//! retries. On AWS the crate `aws-config` reads all of these from the environment:
//!
//! ```sh
//! cargo add sessionful-aws-kms aws-config aws-sdk-kms
//! ```
//!
//! ```text
//! let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
//! let key = KmsKey::new(aws_sdk_kms::Client::new(&config), "alias/sessions").app("shop");
//! ```
//!
//! This crate includes no TLS unless its feature `default-https-client` is enabled, which is the
//! SDK's feature of that name. The two crates above include TLS too.
//!
//! The key ring waits for a call for at most 2 seconds, with the client's retries (by default 3
//! attempts, with pauses of up to a second). A call that takes longer counts as unavailable, and is
//! repeated after some seconds.
//!
//! # The key
//!
//! Create a symmetric key for encrypting and decrypting, and give it an alias:
//!
//! ```sh
//! id=$(aws kms create-key --description "keys of sessions" --query KeyMetadata.KeyId --output text)
//! aws kms create-alias --alias-name alias/sessions --target-key-id "$id"
//! ```
//!
//! [`KmsKey::new`] takes the id of a key, its ARN, `alias/` and a name, or the ARN of an alias. The
//! ring stores the ARN of the key that encrypted, and decrypts with that one. So an alias may point to
//! another key at any time: keys that are made from then on are encrypted with the new one, and
//! [`rewrap_keys`](sessions::codec::Codec::rewrap_keys) moves the others. Keep the old KMS key
//! enabled until that has run. AWS's own rotation of the key material (`enable-key-rotation`) needs
//! nothing from you.
//!
//! # Permissions
//!
//! A host encrypts and decrypts. The encryption context of each call has two entries, which CloudTrail
//! shows:
//!
//! | entry | value |
//! |---|---|
//! | `app` | the name given to [`KmsKey::app`]; without one the entry is missing |
//! | `sessions` | which key it is: `0x` and hexadecimal digits, of the ring's id, the key's id and when it was made |
//!
//! A condition on the first keeps the apps of an account apart, in the key policy or in IAM:
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [{
//!     "Effect": "Allow",
//!     "Action": ["kms:Encrypt", "kms:Decrypt"],
//!     "Resource": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
//!     "Condition": {
//!       "StringEquals": { "kms:EncryptionContext:app": "shop" },
//!       "ForAllValues:StringEquals": { "kms:EncryptionContextKeys": ["app", "sessions"] }
//!     }
//!   }]
//! }
//! ```
//!
//! With an alias, the condition `kms:RequestAlias` or `kms:ResourceAliases` names it in place of the
//! key. In a key policy add a `Principal`, and write `"*"` as the `Resource`.
//!
//! Whoever may encrypt with the KMS key *and* write to the database can replace the ring with keys of
//! their own. So give nobody else `kms:Encrypt`.
//!
//! # Several regions, and recovery
//!
//! A multi-region key (its id begins with `mrk-`) decrypts in each region that has a replica of it: a
//! host asks for the replica of its own region, whatever region encrypted. Otherwise, and to survive
//! the loss of a KMS key, encrypt for several with
//! [`Recipients`](sessions::keys::Recipients):
//!
//! ```
//! use sessions::keys::Recipients;
//! use sessions_aws_kms::KmsKey;
//! use sessions_aws_kms::aws_sdk_kms::Client;
//!
//! fn keys(frankfurt: Client, dublin: Client) -> Recipients {
//!     let backup = "arn:aws:kms:eu-central-1:999988887777:key/4321dcba-21ba-43dc-65fe-ba0987654321";
//!     Recipients::new(KmsKey::new(frankfurt.clone(), "alias/sessions").app("shop"))
//!         .and(KmsKey::new(dublin, "alias/sessions").app("shop"))
//!         // In another account, whose key policy allows the hosts `kms:Encrypt` alone.
//!         .and_recovery(KmsKey::new(frankfurt, backup).app("shop"))
//! }
//! # let _ = keys;
//! ```
//!
//! # Errors
//!
//! An error is permanent only if it says of the stored key that nobody can decrypt it: that closes the
//! key, and its tokens become invalid. What passes, and what an operator can mend, is unavailable:
//! tokens of keys that this host has not decrypted yet are answered with 503 until then, and nobody is
//! logged out. A host that holds the keys continues without KMS.
//!
//! | KMS | the library |
//! |---|---|
//! | does not answer, fails, throttles, or is being connected to | unavailable |
//! | denies access, or refuses the credentials | unavailable |
//! | says that the key is disabled, pending deletion, or not found | unavailable |
//! | says that the blob is invalid, or of another key or context | permanent |
//! | says that the key is not for encrypting | permanent |
//!
//! The event `key.unavailable` or `keys.unavailable` has the text, and the answer of KMS. A KMS key that
//! was deleted takes every key with it that was encrypted with it alone.
//!
//! # What it costs
//!
//! A process that starts makes one request for each key of the ring, and one for the ring: 7 with
//! the default settings. A new key costs one each 7 days. Requests of a visitor cost none.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod arn;
mod error;
mod key;

pub use crate::key::KmsKey;
pub use aws_sdk_kms;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
