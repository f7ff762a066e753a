//! What the errors of KMS and of the SDK mean to the key ring.
//!
//! A permanent error closes a key, and whoever has one of its tokens is logged out. So an error is
//! permanent only if it says that nobody can decrypt the blob.

use std::error::Error as StdError;

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use sessions::keys::KeyEncryptionError;

/// Tells what passes, and what an operator can mend, from what nobody can.
pub(crate) fn key_error<E>(key: &str, error: SdkError<E, HttpResponse>) -> KeyEncryptionError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let text = match &error {
        SdkError::ConstructionFailure(_) => UNBUILT,
        SdkError::TimeoutError(_) => SLOW,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => SLOW,
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            "KMS cannot be reached: check the endpoint, the region and the network"
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            "the request could not be sent: check the endpoint in the client's configuration"
        }
        SdkError::DispatchFailure(_) => {
            "the request could not be sent, or its answer was lost; if it lasts, check the \
             client's region, HTTP client and where it gets its credentials from"
        }
        SdkError::ServiceError(service) if !service.raw().status().is_success() => {
            let status = service.raw().status().as_u16();
            return from_service(key, status, service.err());
        }
        // An answer that cannot be read.
        _ => GARBLED,
    };
    let found = KeyEncryptionError::unavailable(text);
    // Without the raw answer, which may contain a decrypted key.
    match error {
        SdkError::ResponseError(_) | SdkError::ServiceError(_) => found,
        error => match error.into_source() {
            Ok(source) => found.with_source(source),
            Err(_) => found,
        },
    }
}

/// By the code: https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors
fn from_service(key: &str, status: u16, error: &impl ProvideErrorMetadata) -> KeyEncryptionError {
    let code = error.code().unwrap_or_default();
    let found = match code {
        "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "LimitExceededException" => KeyEncryptionError::unavailable(
            "KMS throttles: raise the account's request quota if it lasts",
        ),
        "KeyUnavailableException" => KeyEncryptionError::unavailable(format!(
            "the KMS key {key} is unavailable for a moment"
        )),
        "DisabledException" => KeyEncryptionError::unavailable(format!(
            "the KMS key {key} is disabled: enable it until rewrap_keys() has moved the keys to \
             another"
        )),
        "KMSInvalidStateException" => KeyEncryptionError::unavailable(format!(
            "the KMS key {key} cannot be used in its state: cancel its deletion and enable it, or \
             import its material again"
        )),
        "NotFoundException" => KeyEncryptionError::unavailable(format!(
            "the KMS key {key} is not found: check its name, the region, the endpoint and the \
             account of the credentials"
        )),
        "AccessDeniedException" => KeyEncryptionError::unavailable(format!(
            "access to the KMS key {key} is denied: allow kms:Encrypt and kms:Decrypt as the \
             crate's docs say, in the key policy or in IAM"
        )),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken" => KeyEncryptionError::unavailable(
            "the credentials are refused: check the access key, whether they have expired, and \
             the host's clock",
        ),
        "InvalidCiphertextException" => KeyEncryptionError::permanent(
            "a wrapped key was changed or swapped, or is of another app of this KMS key",
        ),
        "IncorrectKeyException" => swapped(key),
        "InvalidKeyUsageException" => KeyEncryptionError::permanent(format!(
            "the KMS key {key} is not for encrypting: create a symmetric one with the usage \
             ENCRYPT_DECRYPT"
        )),
        // The blob is longer than any, or the name of the key is none.
        "ValidationException" => KeyEncryptionError::permanent(format!(
            "KMS refuses the request as invalid: check the name of the KMS key, {key}"
        )),
        _ if status >= 500 || status == 429 => {
            KeyEncryptionError::unavailable("KMS failed, try again")
        }
        _ => KeyEncryptionError::unavailable("KMS refuses the request"),
    };
    // The SDK's own error leaves out the message of what it does not know.
    match (code, error.message()) {
        ("", None) => found.with_source(format!("status {status}")),
        (code, None) => found.with_source(code.to_owned()),
        (code, Some(message)) => found.with_source(format!("{code}: {message}")),
    }
}

pub(crate) fn swapped(key: &str) -> KeyEncryptionError {
    KeyEncryptionError::permanent(format!(
        "a wrapped key is not of the KMS key {key} that it names, so it was swapped"
    ))
}

const UNBUILT: &str = "the request could not be built: check the region, the endpoint, the \
                       credentials and the HTTP client in the client's configuration";
pub(crate) const GARBLED: &str = "the answer was cut off, or is none of KMS's: check the endpoint";
const SLOW: &str = "KMS did not answer in time";
