//! What a provider's call fails with.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// A boxed source of an error.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// An error of a provider: what failed, and whether a retry can help.
///
/// ```
/// use sessions::provider::ProviderError;
///
/// let error = ProviderError::permanent("table `sessions` is missing, call create_table()");
/// assert!(!error.is_unavailable());
/// assert!(error.to_string().contains("create_table"));
/// ```
#[derive(Debug)]
pub struct ProviderError {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorKind {
    Unavailable,
    Permanent,
    Unsupported,
}

impl ProviderError {
    /// Creates an error for a database that is down, timed out or throttled: a later retry may
    /// succeed.
    ///
    /// ```
    /// use sessions::provider::ProviderError;
    /// assert!(ProviderError::unavailable("connection refused").is_unavailable());
    /// ```
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::Unavailable, message: message.into(), source: None }
    }

    /// Creates an error for a fault that lasts until somebody fixes it. The message must say what
    /// to do.
    ///
    /// ```
    /// use sessions::provider::ProviderError;
    /// assert!(!ProviderError::permanent("wrong password").is_unavailable());
    /// ```
    pub fn permanent(message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::Permanent, message: message.into(), source: None }
    }

    /// Creates the error of a provider that does not support `call`.
    ///
    /// ```
    /// use sessions::provider::ProviderError;
    /// assert!(ProviderError::unsupported("list").is_unsupported());
    /// ```
    #[must_use]
    pub fn unsupported(call: &'static str) -> Self {
        let message = format!("unsupported: this provider does not implement `{call}`");
        Self { kind: ErrorKind::Unsupported, message: message.into(), source: None }
    }

    /// Sets the driver's error as the source.
    ///
    /// ```
    /// use std::error::Error;
    /// use sessions::provider::ProviderError;
    ///
    /// let driver = std::io::Error::other("broken pipe");
    /// let error = ProviderError::unavailable("the connection was cut").with_source(driver);
    /// assert_eq!(error.source().unwrap().to_string(), "broken pipe");
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns whether the database is down, timed out or throttled, so that a retry can help.
    ///
    /// ```
    /// use sessions::provider::ProviderError;
    /// assert!(ProviderError::unavailable("timed out").is_unavailable());
    /// ```
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }

    /// Returns whether the provider does not support the call at all.
    ///
    /// ```
    /// use sessions::provider::ProviderError;
    /// assert!(!ProviderError::unavailable("timed out").is_unsupported());
    /// ```
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == ErrorKind::Unsupported
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ProviderError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
