//! What is wrong with KMS, with a key or with a client: each error says what to do, and is permanent
//! only if nobody can make the stored key valid.

use aws_sdk_kms::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_kms::{Client, Config};
use sessions::keys::{KeyEncryption as _, KeyEncryptionError};
use sessions_aws_kms::KmsKey;
use sessions_tests::kms::{
    DELETED, DENIED, DISABLED, FAILED, Front, Mode, THROTTLED, config, create_key, endpoint,
};
use sessions_tests::process::free_port;

use crate::{CONTEXT, behind_a_front, chain, key};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The errors of both calls.
async fn errors(key: &KmsKey) -> [KeyEncryptionError; 2] {
    [
        key.wrap(&[7; 32], CONTEXT).await.unwrap_err(),
        key.unwrap(ARN, &[1; 200], CONTEXT).await.unwrap_err(),
    ]
}

#[track_caller]
fn unavailable(error: &KeyEncryptionError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(chain(error).contains(text), "{} {error:?}", chain(error));
}

#[track_caller]
fn permanent(error: &KeyEncryptionError, text: &str) {
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(chain(error).contains(text), "{} {error:?}", chain(error));
}

#[tokio::test]
async fn what_passes_and_what_an_operator_can_mend_is_unavailable() {
    let (key, front) = behind_a_front().await;
    let code = |status, code| Mode::Answers(status, code, "more");
    for (mode, text) in [
        (DENIED, "is denied: allow kms:Encrypt and kms:Decrypt as the crate's docs say"),
        (DENIED, "AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/shop/i-1"),
        (DISABLED, "is disabled: enable it until rewrap_keys()"),
        (DELETED, "cannot be used in its state: cancel its deletion"),
        (DELETED, "is pending deletion."),
        (THROTTLED, "KMS throttles: raise the account's request quota"),
        (FAILED, "KMS failed, try again"),
        (code(500, "DependencyTimeoutException"), "KMS failed, try again"),
        (code(500, "KeyUnavailableException"), "is unavailable for a moment"),
        (code(400, "NotFoundException"), "is not found: check its name, the region"),
        (code(400, "UnrecognizedClientException"), "the credentials are refused"),
        (code(400, "ExpiredTokenException"), "the credentials are refused"),
        (code(400, "InvalidSignatureException"), "the credentials are refused"),
        (code(400, "SomethingNewException"), "refuses the request: SomethingNewException: more"),
        (Mode::Says(503, "<html>nobody is here</html>"), "KMS failed, try again: status 503"),
        (Mode::Says(200, "<html>hello</html>"), "is none of KMS's: check the endpoint"),
        (Mode::Says(200, "{}"), "is none of KMS's: check the endpoint"),
    ] {
        front.set(mode);
        for error in errors(&key).await {
            unavailable(&error, text);
        }
    }
}

#[tokio::test]
async fn what_nobody_can_decrypt_is_permanent() {
    let (key, front) = behind_a_front().await;
    for (code, text) in [
        ("InvalidCiphertextException", "was changed or swapped"),
        ("IncorrectKeyException", "is not of the KMS key"),
        ("InvalidKeyUsageException", "create a symmetric one with the usage ENCRYPT_DECRYPT"),
        ("ValidationException", "check the name of the KMS key"),
    ] {
        front.set(Mode::Answers(400, code, "no"));
        for error in errors(&key).await {
            permanent(&error, text);
        }
    }
}

#[tokio::test]
async fn no_error_shows_a_key_that_kms_has_decrypted() {
    let (key, front) = behind_a_front().await;
    // 32 times the letter K. KMS would answer with all of it.
    let cut = r#"{"KeyId":"x","Plaintext":"S0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0s","#;
    let wrong = r#"{"KeyId":7,"Plaintext":"S0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0s="}"#;
    let swapped = r#"{"KeyId":"x","Plaintext":"S0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0s="}"#;
    for body in [cut, wrong, swapped] {
        for status in [200, 400, 500] {
            front.set(Mode::Says(status, body));
            let error = key.unwrap(ARN, &[1; 200], CONTEXT).await.unwrap_err();
            let shown = format!("{} {error:?}", chain(&error));
            for secret in ["S0tLS0tL", "KKKK", "75, 75", "4b4b4b"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
    let shown = format!("{key:?}");
    assert!(shown.contains("shop") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_missing_key_is_named() {
    for name in ["alias/no-such-key", "1234abcd-12ab-34cd-56ef-1234567890ab", ARN] {
        let error = key(name).await.wrap(&[7; 32], CONTEXT).await.unwrap_err();
        unavailable(&error, &format!("the KMS key {name} is not found"));
    }
}

#[tokio::test]
async fn what_another_service_wrapped_is_not_sent() {
    let (key, front) = behind_a_front().await;
    for kek_id in ["local:AbCdEf", "alias/sessions", "", "vault:v1"] {
        let error = key.unwrap(kek_id, &[1; 72], CONTEXT).await.unwrap_err();
        permanent(&error, "which is not the ARN of a KMS key");
    }
    let error = key.unwrap("recipients:local:a,local:b", &[1; 200], CONTEXT).await.unwrap_err();
    unavailable(&error, "give this host Recipients::new() of its KmsKey");
    assert_eq!(front.asked(), [""; 0]);
}

fn bare() -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

#[tokio::test]
async fn a_client_without_its_settings_is_told() {
    let endpoint = endpoint().await;
    let arn = create_key().await;
    let keys = || Credentials::new("sessions", "secret", None, None, "tests");
    let region = || Region::new("eu-central-1");
    let clients = [
        bare().endpoint_url(endpoint).region(region()),
        bare().endpoint_url(endpoint).credentials_provider(keys()),
        bare().credentials_provider(keys()),
        bare().endpoint_url("no address").region(region()).credentials_provider(keys()),
    ];
    for client in clients {
        for error in errors(&KmsKey::new(Client::from_conf(client.build()), &arn)).await {
            unavailable(&error, "check the");
        }
    }
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_unavailable() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for endpoint in [&*nobody, "http://no-such-host.invalid"] {
        let key = KmsKey::new(Client::from_conf(config(endpoint).build()), "alias/sessions");
        for error in errors(&key).await {
            unavailable(&error, "cannot be reached: check the endpoint, the region");
        }
    }
    let front = Front::start().await;
    front.set(Mode::Hangs);
    let timeouts = aws_sdk_kms::config::timeout::TimeoutConfig::builder()
        .operation_timeout(std::time::Duration::from_millis(100))
        .build();
    let hurried = Client::from_conf(config(&front.url()).timeout_config(timeouts).build());
    for error in errors(&KmsKey::new(hurried, "alias/sessions")).await {
        unavailable(&error, "KMS did not answer in time");
    }
}
