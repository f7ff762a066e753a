//! A suite that tests whether a key service keeps the contract of
//! [`KeyEncryption`](crate::keys::KeyEncryption). It works for your own services too.
//!
//! One line runs every property as a separate test. It takes a function that returns a [`Subject`],
//! and calls it once for each test. The suite needs the feature `conformance`.
//!
//! ```
//! use sessions::keys::LocalKey;
//! use sessions::keys::conformance::Subject;
//!
//! async fn local() -> Subject {
//!     let key = |byte| LocalKey::from_bytes([byte; 32]);
//!     Subject::new(key(1))
//!         .with_twin(key(1))
//!         .with_successor(key(2).and_previous(key(1)))
//!         .with_stranger(key(3))
//! }
//!
//! sessions::keys::conformance::suite!(local);
//! # fn main() {}
//! ```
//!
//! A property that does not hold panics with a message that says what the service answered and what
//! it must answer. To run the properties in another way, use [`PROPERTIES`].
//!
//! What only an outage shows is up to your own tests: that a service that is down, throttles or
//! denies access is [unavailable](crate::keys::KeyEncryptionError::unavailable), and that a call
//! ends.

mod calls;
mod refusals;
mod subject;
mod wraps;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use self::subject::Subject;

/// Runs every property as a separate test, with a function that returns a [`Subject`].
///
/// ```
/// use sessions::keys::LocalKey;
/// use sessions::keys::conformance::{Subject, suite};
///
/// suite!(async || Subject::new(LocalKey::from_bytes([1; 32])));
/// # fn main() {}
/// ```
#[doc(inline)]
pub use crate::__key_conformance_suite as suite;

/// A property of the contract, by name.
///
/// ```
/// use sessions::keys::conformance::PROPERTIES;
/// assert!(PROPERTIES.iter().any(|property| property.name == "what_was_wrapped_unwraps"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The name of the property's function in this module.
    pub name: &'static str,
    check: fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Property {
    /// Checks that the property holds.
    ///
    /// # Panics
    /// Panics if the property does not hold.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::{PROPERTIES, Subject};
    ///
    /// # #[tokio::main] async fn main() {
    /// for property in PROPERTIES {
    ///     property.check(Subject::new(LocalKey::from_bytes([1; 32]))).await;
    /// }
    /// # }
    /// ```
    pub async fn check(&self, subject: Subject) {
        (self.check)(subject).await;
    }
}

/// Runs one property on a new runtime, as each test of [`suite!`] does.
///
/// # Panics
/// Panics if the property does not hold, or has not ended after two minutes.
///
/// ```
/// use sessions::keys::LocalKey;
/// use sessions::keys::conformance::{self, Subject};
///
/// let local = async || Subject::new(LocalKey::from_bytes([1; 32]));
/// conformance::run(conformance::what_was_wrapped_unwraps, local);
/// ```
pub fn run(property: impl AsyncFnOnce(Subject), subject: impl AsyncFnOnce() -> Subject) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test may start threads");
    let checked = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, async { property(subject().await).await }).await
    });
    // A call that hangs on a thread of its own must not also hang the end of the test.
    runtime.shutdown_background();
    assert!(checked.is_ok(), "the property has not ended after {PATIENCE:?}: a call hangs");
}

const PATIENCE: Duration = Duration::from_secs(120);

macro_rules! functions {
    (() $($(#[$doc:meta])* $module:ident::$name:ident;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Panics
            /// Panics if the property does not hold.
            ///
            /// ```
            /// use sessions::keys::LocalKey;
            /// use sessions::keys::conformance::{self, Subject};
            ///
            /// let local = async || Subject::new(LocalKey::from_bytes([1; 32]));
            #[doc = concat!("conformance::run(conformance::", stringify!($name), ", local);")]
            /// ```
            pub async fn $name(subject: Subject) {
                $module::$name(subject).await;
            }
        )*

        /// Every property of the suite.
        ///
        /// ```
        /// use sessions::keys::conformance::PROPERTIES;
        /// assert!(PROPERTIES.len() > 10);
        /// ```
        pub const PROPERTIES: &[Property] = &[$(
            Property { name: stringify!($name), check: |subject| Box::pin($name(subject)) },
        )*];
    };
}

/// The list of properties, for `suite!` and `functions!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __key_conformance_properties {
    ($callback:path, $args:tt) => {
        $callback! { $args
            /// What was wrapped unwraps to the same 32 bytes, whatever they are.
            wraps::what_was_wrapped_unwraps;
            /// Contexts of 0 to 128 bytes of any value work.
            wraps::contexts_of_any_bytes_work;
            /// The same material is wrapped to another blob each time, so that no nonce is used
            /// twice and nobody sees that two keys are equal.
            wraps::wrapping_twice_gives_two_blobs;
            /// A blob has at most 8 KiB, and its key's id 1 byte to 1 KiB.
            wraps::blobs_and_ids_fit_into_a_record;
            /// Neither a blob nor an id contains a part of the material.
            wraps::blobs_and_ids_hold_no_material;

            /// In another context a blob is refused permanently, if it differs by as little as a
            /// bit or a byte at its end.
            refusals::another_context_is_refused_for_good;
            /// A blob with a flipped bit is refused.
            refusals::changed_blobs_are_refused;
            /// A blob that is cut short or extended is refused.
            refusals::cut_and_extended_blobs_are_refused;
            /// Bytes that no service made are refused.
            refusals::bytes_of_no_service_are_refused;
            /// A blob is refused with another key's id, or with one that is no id.
            refusals::another_key_id_is_refused;
            /// The errors of refused calls contain no part of the material.
            refusals::errors_hold_no_material;

            /// Calls that run at once do not mix up their materials.
            calls::calls_that_run_at_once_are_told_apart;
            /// After many cancelled calls the service still works.
            calls::cancelled_calls_leave_the_service_usable;
            /// Two instances of the service open what the other wrapped.
            calls::two_instances_are_one_service;
            /// After the key was changed, what the old key wrapped is still opened.
            calls::the_successor_opens_what_came_before;
            /// A service with another key opens nothing.
            calls::a_stranger_opens_nothing;
        }
    };
}

__key_conformance_properties!(functions, ());

#[doc(hidden)]
#[macro_export]
macro_rules! __key_conformance_suite {
    ($subject:expr) => {
        $crate::__key_conformance_properties!($crate::__key_conformance_tests, ($subject));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __key_conformance_tests {
    (($subject:expr) $($(#[$doc:meta])* $module:ident::$name:ident;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::keys::conformance::run($crate::keys::conformance::$name, $subject);
            }
        )*
    };
}
