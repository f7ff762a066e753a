//! What a call sends, and which key it uses.

use aws_sdk_kms::Client;
use serde_json::{Value, json};
use sessions::codec::Purpose;
use sessions::keys::KeyEncryption as _;
use sessions::{MemoryProvider, Store};
use sessions_aws_kms::KmsKey;
use sessions_tests::kms::{
    FAILED, Front, Mode, THROTTLED, client, client_in, config, create_key, endpoint,
};

use crate::{CONTEXT, behind_a_front, key};

/// The requests, each with its encryption context and its key.
fn sent(front: &Front) -> Vec<(String, Value, String)> {
    let requests = front.requests().into_iter().map(|(operation, body)| {
        let body: Value = serde_json::from_str(&body).unwrap();
        (operation, body["EncryptionContext"].clone(), body["KeyId"].as_str().unwrap().to_owned())
    });
    requests.collect()
}

#[tokio::test]
async fn a_call_is_one_request_with_the_encryption_context_that_the_docs_describe() {
    let front = Front::start().await;
    let arn = create_key().await;
    let key = KmsKey::new(client(&front.url()), &arn);
    let shop = key.clone().app("shop");
    let context = json!({"sessions": "0x73657373696f6e732f7631206b657901ff"});
    let both = json!({"app": "shop", "sessions": context["sessions"]});
    for (key, context) in [(key, context), (shop, both)] {
        let wrapped = key.wrap(&[7; 32], CONTEXT).await.unwrap();
        assert_eq!(sent(&front), [("Encrypt".to_owned(), context.clone(), arn.clone())]);
        let opened = key.unwrap(&wrapped.kek_id, &wrapped.blob, CONTEXT).await.unwrap();
        assert_eq!(opened, [7; 32]);
        assert_eq!(sent(&front), [("Decrypt".to_owned(), context, arn.clone())]);
        assert_eq!(wrapped.kek_id, arn);
    }
}

#[tokio::test]
async fn an_app_does_not_open_what_another_wrapped() {
    let arn = create_key().await;
    let shop = key(&arn).await;
    let wrapped = shop.wrap(&[7; 32], CONTEXT).await.unwrap();
    let bare = KmsKey::new(client(endpoint().await), &arn);
    for other in [bare.clone().app("blog"), bare] {
        let error = other.unwrap(&wrapped.kek_id, &wrapped.blob, CONTEXT).await.unwrap_err();
        assert!(!error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains("of another app"), "{error}");
    }
}

#[tokio::test]
async fn the_client_tries_again_as_it_is_set() {
    let (key, front) = behind_a_front().await;
    front.set(THROTTLED);
    key.wrap(&[7; 32], CONTEXT).await.unwrap_err();
    assert_eq!(front.asked(), ["Encrypt"; 3]);
    front.set(FAILED);
    let retries = aws_sdk_kms::config::retry::RetryConfig::disabled();
    let client = Client::from_conf(config(&front.url()).retry_config(retries).build());
    KmsKey::new(client, "alias/sessions").wrap(&[7; 32], CONTEXT).await.unwrap_err();
    assert_eq!(front.asked(), ["Encrypt"]);
}

#[tokio::test]
async fn requests_of_visitors_send_none() {
    let (key, front) = behind_a_front().await;
    let provider = MemoryProvider::new();
    let store = |key: &KmsKey| {
        let builder = Store::builder(provider.clone()).app("shop");
        builder.key_encryption(key.clone()).build().unwrap()
    };
    let first = store(&key);
    first.codec().refresh().await.unwrap();
    assert_eq!(front.asked(), ["Encrypt"; 2], "a key, and the one that authenticates the ring");
    let second = store(&key);
    let purpose = Purpose::new("test");
    for _ in 0..50 {
        let token = first.codec().seal(&purpose, b"data").await.unwrap();
        second.codec().open(&purpose, &token).await.unwrap();
    }
    assert_eq!(front.asked(), ["Decrypt"; 2], "when a process starts");
}

#[tokio::test]
async fn what_was_wrapped_before_a_rotation_of_the_key_is_opened_after_it() {
    let client = client(endpoint().await);
    let arn = create_key().await;
    let before = key(&arn).await.wrap(&[7; 32], CONTEXT).await.unwrap();
    client.rotate_key_on_demand().key_id(&arn).send().await.unwrap();
    let after = key(&arn).await.wrap(&[8; 32], CONTEXT).await.unwrap();
    for (wrapped, byte) in [(before, 7), (after, 8)] {
        let opened = key(&arn).await.unwrap(&wrapped.kek_id, &wrapped.blob, CONTEXT).await;
        assert_eq!((opened.unwrap(), &*wrapped.kek_id), (vec![byte; 32], &*arn));
    }
}

#[tokio::test]
async fn an_alias_may_move_to_another_key() {
    let client = client(endpoint().await);
    let (old, new) = (create_key().await, create_key().await);
    let alias = format!("alias/sessions-{}", old.rsplit('/').next().unwrap());
    client.create_alias().alias_name(&alias).target_key_id(&old).send().await.unwrap();
    let provider = MemoryProvider::new();
    let store = || {
        let key = KmsKey::new(client.clone(), &alias).app("shop");
        Store::builder(provider.clone()).app("shop").key_encryption(key).build().unwrap()
    };
    let keks = |store: &Store| {
        let keys = store.codec().key_ring().unwrap().keys;
        keys.into_iter().filter_map(|key| key.kek_id).collect::<Vec<_>>()
    };
    let (before, purpose) = (store(), Purpose::new("test"));
    let token = before.codec().seal(&purpose, b"data").await.unwrap();
    assert_eq!(keks(&before), [&*old]);
    client.update_alias().alias_name(&alias).target_key_id(&new).send().await.unwrap();
    // What the old key encrypted is still decrypted with it.
    let after = store();
    assert_eq!(after.codec().open(&purpose, &token).await.unwrap(), b"data");
    after.codec().rewrap_keys().await.unwrap();
    assert_eq!(keks(&after), [&*new]);
    // Then nothing needs the old one.
    let id = old.rsplit('/').next().unwrap();
    let deletion = client.schedule_key_deletion().key_id(id).pending_window_in_days(7);
    deletion.send().await.unwrap();
    assert_eq!(store().codec().open(&purpose, &token).await.unwrap(), b"data");
    assert_eq!(before.codec().open(&purpose, &token).await.unwrap(), b"data");
}

/// Moto cuts the id of a multi-region key short in its blobs, and opens none of them. So this is what
/// is asked of KMS.
#[tokio::test]
async fn a_multi_region_key_is_asked_for_in_the_region_of_the_host() {
    let front = Front::start().await;
    let arn = |region: &str, id: &str| format!("arn:aws:kms:{region}:111122223333:key/{id}");
    let [frankfurt, dublin] = ["eu-central-1", "eu-west-1"].map(|region| arn(region, "mrk-1234"));
    let hosts = [
        ("eu-central-1", "alias/sessions", &frankfurt),
        ("eu-central-1", &frankfurt, &frankfurt),
        ("eu-west-1", "mrk-1234", &dublin),
        ("eu-west-1", &dublin, &dublin),
    ];
    for (region, name, asked) in hosts {
        let key = KmsKey::new(client_in(&front.url(), region), name);
        for kek_id in [&frankfurt, &dublin] {
            let answer = json!({"KeyId": asked, "Plaintext": "AAAA"}).to_string();
            front.set(Mode::Says(200, answer.leak()));
            assert_eq!(key.unwrap(kek_id, &[1; 200], CONTEXT).await.unwrap(), [0; 3]);
            assert_eq!(&sent(&front)[0].2, asked, "{region} {name} {kek_id}");
        }
        // Another key is in one region only.
        let other = arn("us-east-1", "1234");
        front.set(Mode::Answers(400, "NotFoundException", "Invalid arn eu-west-1"));
        assert!(key.unwrap(&other, &[1; 200], CONTEXT).await.unwrap_err().is_unavailable());
        assert_eq!(sent(&front)[0].2, other);
    }
}

#[tokio::test]
async fn a_blob_is_opened_with_the_key_that_it_names() {
    let front = Front::start().await;
    let (one, two) = (create_key().await, create_key().await);
    let wrapped = key(&one).await.wrap(&[7; 32], CONTEXT).await.unwrap();
    let other = KmsKey::new(client(&front.url()), &two).app("shop");
    let opened = other.unwrap(&wrapped.kek_id, &wrapped.blob, CONTEXT).await.unwrap();
    assert_eq!((opened, sent(&front)[0].2.as_str()), (vec![7; 32], &*one));
    other.unwrap(&two, &wrapped.blob, CONTEXT).await.unwrap_err();
    // Whatever KMS says: the key that decrypted must be the one that was named.
    let answer = json!({"KeyId": one, "Plaintext": "AAAA"}).to_string();
    front.set(Mode::Says(200, answer.leak()));
    let error = other.unwrap(&two, &wrapped.blob, CONTEXT).await.unwrap_err();
    assert!(!error.is_unavailable() && error.to_string().contains("swapped"), "{error:?}");
}
