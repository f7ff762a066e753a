//! What DynamoDB's and the SDK's errors mean to a caller.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;
use sessions::provider::ProviderError;

/// Tells what trying again can mend from what somebody must, and says what to do.
pub(crate) fn provider_error<E>(table: &str, error: SdkError<E, HttpResponse>) -> ProviderError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let found = match &error {
        SdkError::TimeoutError(_) => ProviderError::unavailable(SLOW),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            ProviderError::unavailable(SLOW)
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => ProviderError::unavailable(
            "DynamoDB cannot be reached: check the endpoint, the region and the network",
        ),
        SdkError::DispatchFailure(failure) if failure.is_user() => ProviderError::permanent(
            "the request could not be sent: check the endpoint in the client's configuration",
        ),
        SdkError::DispatchFailure(failure) if lacks_settings(failure.as_connector_error()) => {
            ProviderError::permanent(UNBUILT)
        }
        SdkError::DispatchFailure(_) => ProviderError::unavailable(
            "the request could not be sent, or its answer was lost; if it lasts, check where the \
             client gets its credentials from",
        ),
        SdkError::ResponseError(_) => ProviderError::unavailable(GARBLED),
        // It cannot be read, and the request may have succeeded.
        SdkError::ServiceError(service) if service.raw().status().is_success() => {
            ProviderError::unavailable(GARBLED)
        }
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            from_service(table, status, service.err())
        }
        _ => ProviderError::permanent(UNBUILT),
    };
    found.with_source(error)
}

/// The SDK tells what its configuration lacks only by the text.
fn lacks_settings(error: Option<&impl StdError>) -> bool {
    let Some(source) = error.and_then(StdError::source) else { return false };
    let text = source.to_string();
    ["auth scheme", "signing region", "Invalid Configuration", "endpoint", "No HTTP client"]
        .iter()
        .any(|lacking| text.contains(lacking))
}

/// By the code, https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
fn from_service(table: &str, status: u16, error: &impl ProvideErrorMetadata) -> ProviderError {
    let message = error.message().unwrap_or_default();
    match error.code().unwrap_or_default() {
        "ThrottlingException"
        | "ThrottlingError"
        | "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "RequestLimitExceeded" => ProviderError::unavailable(
            "DynamoDB throttles: raise the table's capacity or the account's quota if it lasts",
        ),
        "LimitExceededException" => ProviderError::unavailable(
            "DynamoDB changes too many tables at once, or has too many: try again",
        ),
        "TransactionInProgressException"
        | "TransactionConflictException"
        | "TransactionConflict"
        | "ReplicatedWriteConflictException" => {
            ProviderError::unavailable("another write of the same record is under way, try again")
        }
        "ResourceNotFoundException" => ProviderError::permanent(format!(
            "table `{table}` is missing: call create_table(), or check the region, the endpoint \
             and the account of the credentials"
        )),
        "ResourceInUseException" => ProviderError::unavailable(format!(
            "table `{table}` is being created or deleted, try again"
        )),
        "AccessDeniedException" => ProviderError::permanent(format!(
            "access to table `{table}` is denied: allow the actions that the crate's docs list"
        )),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException"
        | "ExpiredToken" => ProviderError::permanent(
            "the credentials are refused: check the access key, whether they have expired, and \
             the host's clock",
        ),
        "ValidationException" | "ValidationError" => from_validation(table, message),
        _ if status >= 500 || status == 429 => {
            ProviderError::unavailable("DynamoDB failed, try again")
        }
        _ => ProviderError::permanent("DynamoDB refused the request"),
    }
}

/// There is one code for all that is wrong with a request.
fn from_validation(table: &str, message: &str) -> ProviderError {
    let message = message.to_ascii_lowercase();
    if message.contains("item size") {
        ProviderError::permanent(
            "the record is above DynamoDB's limit of 400 KB: keep less in the session",
        )
    } else if message.contains("key") || message.contains("schema") {
        other_keys(table)
    } else {
        ProviderError::permanent("DynamoDB refused the request as invalid")
    }
}

pub(crate) fn other_keys(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` has another key than this provider's: choose another name with table(), \
         or delete it and call create_table()"
    ))
}

pub(crate) fn other_items(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` holds an item that this provider did not write: delete that, or choose \
         another name with table()"
    ))
}

/// Why a transaction was cancelled, by its first reason that is none of a condition.
pub(crate) fn cancelled(
    table: &str,
    error: SdkError<TransactWriteItemsError, HttpResponse>,
) -> ProviderError {
    let reason = reasons(&error).iter().find(|it| !matches!(it.code(), None | Some("None")));
    match reason {
        Some(reason) => {
            let meta = aws_sdk_dynamodb::error::ErrorMetadata::builder()
                .code(reason.code().unwrap_or_default())
                .message(reason.message().unwrap_or_default())
                .build();
            from_service(table, 400, &meta).with_source(error)
        }
        None => provider_error(table, error),
    }
}

/// A reason for each action of a transaction; none unless it was cancelled.
pub(crate) fn reasons(
    error: &SdkError<TransactWriteItemsError, HttpResponse>,
) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(error)) => {
            error.cancellation_reasons()
        }
        _ => &[],
    }
}

/// Whether DynamoDB has refused a write, and done nothing of it, only because another of the same
/// item was under way.
pub(crate) trait Contended {
    fn is_contended(&self) -> bool;
}

impl Contended for PutItemError {
    fn is_contended(&self) -> bool {
        self.is_transaction_conflict_exception() || self.is_replicated_write_conflict_exception()
    }
}

impl Contended for UpdateItemError {
    fn is_contended(&self) -> bool {
        self.is_transaction_conflict_exception() || self.is_replicated_write_conflict_exception()
    }
}

impl Contended for DeleteItemError {
    fn is_contended(&self) -> bool {
        self.is_transaction_conflict_exception() || self.is_replicated_write_conflict_exception()
    }
}

impl Contended for TransactWriteItemsError {
    fn is_contended(&self) -> bool {
        let Self::TransactionCanceledException(error) = self else { return false };
        let mut found = false;
        for reason in error.cancellation_reasons() {
            match reason.code() {
                Some("TransactionConflict") => found = true,
                None | Some("None") => {}
                Some(_) => return false,
            }
        }
        found
    }
}

const UNBUILT: &str = "the request could not be built: check the region, the endpoint, the \
                       credentials and the HTTP client in the client's configuration";
const GARBLED: &str = "the answer was cut off, or is none of DynamoDB's: check the endpoint";
const SLOW: &str = "DynamoDB did not answer in time";
