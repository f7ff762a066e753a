//! Calls of the provider that are given up after a while, so that a refresh always ends.

use std::future::Future;

use super::flight::TIMEOUT;
use crate::error::Error;
use crate::provider::ProviderError;

pub(super) async fn timed<T>(
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, Error> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::unavailable("the provider did not answer in time")),
    }
}

pub(super) fn permanent(text: &'static str) -> Error {
    Error::Provider(ProviderError::permanent(text))
}
