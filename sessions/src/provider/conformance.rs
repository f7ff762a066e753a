//! A suite that tests whether a provider keeps the [contract](crate::provider::Provider). It works
//! for your own providers too.
//!
//! One line runs every property as a separate test. It takes a function that returns a [`Subject`]
//! on an empty database, and calls it once for each test. The suite needs the feature
//! `conformance`.
//!
//! ```
//! use sessions::MemoryProvider;
//! use sessions::provider::conformance::Subject;
//!
//! async fn memory() -> Subject {
//!     Subject::new(MemoryProvider::new())
//! }
//!
//! sessions::provider::conformance::suite!(memory);
//! # fn main() {}
//! ```
//!
//! A property that does not hold panics with a message that says what the provider answered and
//! what it must answer. To run the properties in another way, use [`PROPERTIES`].
//!
//! Times in the suite start at the system's time and are passed to the provider; the suite does not
//! wait. So a database that also removes expired records itself passes.

mod cancel;
mod changes;
mod clock;
mod expectations;
mod expiry;
mod list;
mod purge;
mod races;
mod saves;
mod scan;
mod subject;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use self::subject::Subject;

/// Runs every property as a separate test, with a function that returns a [`Subject`] on an empty
/// database.
///
/// ```
/// use sessions::MemoryProvider;
/// use sessions::provider::conformance::{Subject, suite};
///
/// suite!(async || Subject::new(MemoryProvider::new()));
/// # fn main() {}
/// ```
#[doc(inline)]
pub use crate::__conformance_suite as suite;

/// A property of the contract, by name.
///
/// ```
/// use sessions::provider::conformance::PROPERTIES;
/// assert!(PROPERTIES.iter().any(|property| property.name == "create_stores_every_field"));
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
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::{PROPERTIES, Subject};
    ///
    /// # #[tokio::main] async fn main() {
    /// for property in PROPERTIES.iter().filter(|property| property.name.starts_with("touch")) {
    ///     property.check(Subject::new(MemoryProvider::new())).await;
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
/// use sessions::MemoryProvider;
/// use sessions::provider::conformance::{self, Subject};
///
/// let memory = async || Subject::new(MemoryProvider::new());
/// conformance::run(conformance::touch_never_shortens, memory);
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
            /// use sessions::MemoryProvider;
            /// use sessions::provider::conformance::{self, Subject};
            ///
            /// let memory = async || Subject::new(MemoryProvider::new());
            #[doc = concat!("conformance::run(conformance::", stringify!($name), ", memory);")]
            /// ```
            pub async fn $name(subject: Subject) {
                $module::$name(subject).await;
            }
        )*

        /// Every property of the suite.
        ///
        /// ```
        /// use sessions::provider::conformance::PROPERTIES;
        /// assert!(PROPERTIES.len() > 30);
        /// ```
        pub const PROPERTIES: &[Property] = &[$(
            Property { name: stringify!($name), check: |subject| Box::pin($name(subject)) },
        )*];
    };
}

/// The list of properties, for `suite!` and `functions!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_properties {
    ($callback:path, $args:tt) => {
        $callback! { $args
            /// A created record is fetched with every field as it was saved.
            saves::create_stores_every_field;
            /// Creating a record over a live one conflicts, and returns the live one.
            saves::create_conflicts_with_a_live_record;
            /// An update replaces each field, also with "none".
            saves::update_replaces_the_whole_record;
            /// An update of a version other than the stored one changes nothing, and returns what
            /// is stored.
            saves::update_of_another_version_conflicts_with_the_current_record;
            /// An update of a missing record conflicts with nothing, and creates nothing.
            saves::update_of_a_missing_record_conflicts_with_none;
            /// A save without an expectation replaces the whole stored record.
            saves::unchecked_save_replaces_whatever_is_stored;
            /// Versions are compared and kept with all 64 bits.
            saves::versions_keep_all_their_bits;
            /// Deleting returns the record it removed.
            saves::delete_returns_what_it_removed;
            /// Deleting a missing record is no error and removes nothing.
            saves::delete_of_a_missing_record_is_no_error;
            /// Ids of 1 to 255 bytes are distinguished byte by byte.
            saves::ids_are_told_apart;
            /// Data of any bytes is kept: none, zeros, not UTF-8, 1 MiB.
            saves::data_of_any_bytes_is_kept;
            /// Two instances on the same database see each other's writes at once.
            saves::two_instances_are_one_database;

            /// Writers of different bytes race: each version is won once, and each loser gets a
            /// record that is not older than the winner's.
            races::writers_of_different_bytes_win_each_version_once;
            /// Writers of equal bytes race: one of them wins, and the others get a conflict.
            races::writers_of_equal_bytes_win_each_version_once;
            /// Creators of one id race: one wins, and the others get the winner's record.
            races::creators_race_and_one_wins;
            /// Creators race to replace an expired record: one wins.
            races::creators_of_an_expired_record_race_and_one_wins;
            /// Deletes race: one returns the record.
            races::deletes_race_and_one_returns_the_record;
            /// A delete races an update: the update either comes first and is deleted, or gets a
            /// conflict because the record is gone.
            races::delete_races_update_and_the_record_is_gone;
            /// A touch races an update, and undoes nothing of it.
            races::touch_races_update_and_takes_nothing_back;
            /// A touch races a delete, and does not restore the record.
            races::touch_races_delete_and_the_record_is_gone;
            /// Touches race the creation of a record, and report whether they found it.
            races::touches_race_a_creator_and_tell_what_they_found;
            /// Touches of a version race the update of it, and move nothing of the update.
            races::touches_of_a_version_race_its_update_and_move_nothing_of_it;
            /// A save that expects an untouched record races touches, and undoes none of them.
            races::a_save_of_the_untouched_races_touches_and_takes_none_back;
            /// Deletes of an expired version race its successor's creation, and leave the successor.
            races::deletes_of_an_expired_version_race_creators_and_leave_the_new_record;

            /// A delete of a version, or of an untouched record, removes exactly that record.
            expectations::delete_of_a_version_removes_that_version;
            /// A delete of another version removes nothing, and returns what is stored.
            expectations::delete_of_another_version_conflicts_with_the_current_record;
            /// A delete of an expired version finds none.
            expectations::delete_of_an_expired_version_removes_nothing_live;
            /// A delete without an expectation removes an expired record.
            expectations::delete_of_anything_removes_an_expired_record;
            /// A touch of a version, or of an untouched record, moves its expiry.
            expectations::touch_of_a_version_moves_the_expiry;
            /// A touch of another version moves nothing, and returns what is stored.
            expectations::touch_of_another_version_conflicts_with_the_current_record;
            /// A save that expects an untouched record conflicts if the record was touched or saved
            /// in the meantime.
            expectations::a_save_of_what_was_touched_meanwhile_conflicts;
            /// Expiries are compared in whole milliseconds.
            expectations::expected_expiries_are_compared_in_whole_milliseconds;
            /// A record that never expires can also be expected untouched.
            expectations::a_record_that_never_expires_is_met_untouched;
            /// Deletes and updates of one version race: one of them wins, and the others get what
            /// is stored.
            expectations::deletes_of_a_version_race_updates_and_one_wins;

            /// A record is live until the millisecond before its expiry, and absent from then on.
            expiry::a_record_expires_at_the_very_millisecond;
            /// A save that expects no record replaces an expired one.
            expiry::an_expired_record_counts_as_absent;
            /// An expired record is neither updated nor returned.
            expiry::an_expired_record_is_never_revived_by_a_save;
            /// An expired record is not touched.
            expiry::an_expired_record_is_never_revived_by_touch;
            /// A record that is saved as already expired is absent.
            expiry::a_record_saved_as_expired_is_absent;
            /// A touch moves the expiry and nothing else.
            expiry::touch_moves_the_expiry_and_nothing_else;
            /// A touch to an earlier time changes nothing.
            expiry::touch_never_shortens;
            /// A touch leaves a record that never expires without an expiry.
            expiry::touch_keeps_a_record_that_never_expires;
            /// A touch of a missing record is no error and creates nothing.
            expiry::touch_of_a_missing_record_is_no_error;

            /// An owner's list contains all live records of this owner, including one just created,
            /// and no others.
            list::list_shows_the_live_records_of_the_owner;
            /// Pages respect their limit, and show each record once.
            list::list_pages_show_each_record_once;
            /// Records that are created or deleted between two pages do not affect others.
            list::list_pages_stand_changes_in_between;
            /// Records that are updated and extended between two pages are still on one page.
            list::list_pages_stand_records_that_are_prolonged;
            /// A record whose owner changes is listed for the new one only.
            list::a_record_moves_with_its_owner;
            /// A record that is touched stays in the list beyond its first expiry.
            list::a_touched_record_stays_listed;

            /// A scan shows each live record, whole, in pages of any size.
            scan::scan_shows_every_live_record;
            /// A scan misses no record that stays, although others come and go, and it is updated and
            /// touched.
            scan::scan_misses_no_record_that_stays;

            /// Purging removes all expired records, at most the requested number at a time.
            purge::purge_removes_the_expired_in_batches;
            /// Purging removes no live record, not even one that expires a millisecond later.
            purge::purge_removes_no_live_record;
            /// Purging races saves that replace expired records, and removes none of the new ones.
            purge::purge_races_creators_and_removes_no_new_record;

            /// If the database has a clock, it tells the time.
            clock::the_clock_tells_the_time;
            /// The database's own expiry removes no record before it has expired by the clock of
            /// the caller that saved or touched it.
            clock::a_record_is_kept_for_as_long_as_the_callers_clock_says;

            /// Fetching many records at once returns the live ones among them.
            changes::fetch_many_returns_the_live_records;
            /// The feed names what any instance saves, announces or deletes.
            changes::changes_name_what_other_instances_save_and_delete;
            /// The feed proves that it is alive, and never before it has told of what completed
            /// before the proof's ping was sent.
            changes::changes_are_told_before_the_proof_that_covers_them;

            /// Saves that are cancelled at any await happen completely or not at all.
            cancel::cancelled_saves_tear_nothing;
            /// Deletes and touches that are cancelled at any await happen completely or not at all.
            cancel::cancelled_deletes_and_touches_tear_nothing;
            /// After many cancelled calls of every kind the provider still works.
            cancel::cancelled_calls_leave_the_provider_usable;
        }
    };
}

__conformance_properties!(functions, ());

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    ($subject:expr) => {
        $crate::__conformance_properties!($crate::__conformance_tests, ($subject));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (($subject:expr) $($(#[$doc:meta])* $module:ident::$name:ident;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::provider::conformance::run(
                    $crate::provider::conformance::$name,
                    $subject,
                );
            }
        )*
    };
}
