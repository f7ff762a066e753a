//! The conformance suite finds what is wrong: providers with one fault each fail the property that
//! is about it, with a message that names it.

use std::collections::BTreeSet;

use sessions::MemoryProvider;
use sessions::provider::conformance::{PROPERTIES, Subject};
use tokio::task::JoinError;

use crate::wrong_provider::{Fault, ThreeCalls, Wrong};

/// Each fault, the property that must find it, and what its message must say.
const FAULTS: &[(Fault, &str, &str)] = {
    use Fault::*;
    &[
        (ExpiredIsServed, "a_record_expires_at_the_very_millisecond", "must be absent"),
        (ExpiresLate, "a_record_expires_at_the_very_millisecond", "0 ms behind its expiry"),
        (ExpiresEarly, "a_record_expires_at_the_very_millisecond", "1 ms before its expiry"),
        (ReadsLagBehind, "two_instances_are_one_database", "wrong: version"),
        (CreateOverwrites, "create_conflicts_with_a_live_record", "must conflict, but is saved"),
        (
            ConflictIsLost,
            "update_of_another_version_conflicts_with_the_current_record",
            "must conflict, but is saved",
        ),
        (
            ConflictRecordIsStale,
            "writers_of_different_bytes_win_each_version_once",
            "must be no older than the winner's",
        ),
        (
            ConflictRecordIsMissing,
            "update_of_another_version_conflicts_with_the_current_record",
            "the conflict's record: must be",
        ),
        (
            ConflictRecordIsExpired,
            "an_expired_record_is_never_revived_by_a_save",
            "the conflict's record: must be absent",
        ),
        (
            EqualBytesWinTwice,
            "writers_of_equal_bytes_win_each_version_once",
            "must be won by one writer",
        ),
        (
            CheckedThenWritten,
            "writers_of_different_bytes_win_each_version_once",
            // Either is noticed first: two winners, or a conflict with a record of before.
            "must be ",
        ),
        (CheckedThenWritten, "creators_race_and_one_wins", "one of 20 creators must win"),
        (
            CheckedThenWritten,
            "creators_of_an_expired_record_race_and_one_wins",
            "one of 20 creators must win",
        ),
        (
            CheckedThenWritten,
            "delete_races_update_and_the_record_is_gone",
            "delete behind an update returns",
        ),
        (ExpiredBlocksCreate, "an_expired_record_counts_as_absent", "must succeed here"),
        (
            ExpiredIsUpdated,
            "an_expired_record_is_never_revived_by_a_save",
            "must conflict, but is saved",
        ),
        (
            MissingIsUpdated,
            "update_of_a_missing_record_conflicts_with_none",
            "must conflict, but is saved",
        ),
        (OwnerIsKept, "update_replaces_the_whole_record", "wrong: owner"),
        (OwnerIsKept, "a_record_moves_with_its_owner", "after the owner became None: missing"),
        (ExpiryIsKept, "unchecked_save_replaces_whatever_is_stored", "is missing"),
        (VersionsAreDoubles, "versions_keep_all_their_bits", "wrong: version"),
        (VersionsAreSigned, "versions_keep_all_their_bits", "wrong: version"),
        (IdsAreTrimmed, "ids_are_told_apart", "must succeed here"),
        (DataIsCut, "data_of_any_bytes_is_kept", "wrong: data"),
        (DataIsText, "data_of_any_bytes_is_kept", "non-UTF-8 data (4 bytes)"),
        (EmptyDataIsNothing, "data_of_any_bytes_is_kept", "no data (0 bytes)"),
        (FormatIsLost, "create_stores_every_field", "wrong: format"),
        (BornExpiredIsEndless, "a_record_saved_as_expired_is_absent", "must be absent"),
        (EmptiedThenDeleted, "cancelled_deletes_and_touches_tear_nothing", "wrong: data"),
        (AnyIsChecked, "unchecked_save_replaces_whatever_is_stored", "must succeed here"),
        (UpdatedInTwoSteps, "cancelled_saves_tear_nothing", "must stay, but is gone"),
        (
            CancelledCallsLeak,
            "cancelled_calls_leave_the_provider_usable",
            "must answer here, but failed: no connection left",
        ),
        (DeleteReturnsNothing, "delete_returns_what_it_removed", "but is missing"),
        (
            DeletedInTwoSteps,
            "deletes_race_and_one_returns_the_record",
            "one of 20 deletes must return the record",
        ),
        (MissingIsNotDeleted, "delete_of_a_missing_record_is_no_error", "must answer here"),
        (
            TouchRevives,
            "an_expired_record_is_never_revived_by_touch",
            "must tell that there was none",
        ),
        (TouchShortens, "touch_never_shortens", "wrong: expires_at"),
        (TouchRaisesTheVersion, "touch_moves_the_expiry_and_nothing_else", "wrong: version"),
        (
            TouchWritesTheWholeRecord,
            "touch_races_update_and_takes_nothing_back",
            "while it was updated",
        ),
        (TouchWritesTheWholeRecord, "touch_races_delete_and_the_record_is_gone", "must be absent"),
        (TouchEndsTheEndless, "touch_keeps_a_record_that_never_expires", "but is missing"),
        (
            DeleteIgnoresTheVersion,
            "delete_of_another_version_conflicts_with_the_current_record",
            "must conflict with version 3",
        ),
        (
            DeletedVersionIsLost,
            "delete_of_a_version_removes_that_version",
            "must return the record that it removed",
        ),
        (
            ExpiredVersionIsDeleted,
            "delete_of_an_expired_version_removes_nothing_live",
            "must find none",
        ),
        (
            DeleteChecksThenDeletes,
            "deletes_of_a_version_race_updates_and_one_wins",
            // Either is noticed first: two winners, or a winner whose record is gone.
            "winner",
        ),
        (
            TouchIgnoresTheVersion,
            "touch_of_another_version_conflicts_with_the_current_record",
            "must conflict with version 3",
        ),
        (TouchOfAVersionIsRefused, "touch_of_a_version_moves_the_expiry", "must move its expiry"),
        (
            UntouchedIgnoresTheExpiry,
            "a_save_of_what_was_touched_meanwhile_conflicts",
            "must conflict, but is saved",
        ),
        (
            DeleteConflictIsStale,
            "deletes_of_a_version_race_updates_and_one_wins",
            "must be told what the winner left",
        ),
        (ExpiredStays, "delete_of_anything_removes_an_expired_record", "must be absent"),
        (
            ExpiredIsClearedLate,
            "deletes_of_an_expired_version_race_creators_and_leave_the_new_record",
            "is missing",
        ),
        (
            TouchChecksThenTouches,
            "touches_of_a_version_race_its_update_and_move_nothing_of_it",
            "wrong: expires_at",
        ),
        (TouchAlwaysAgrees, "touches_race_a_creator_and_tell_what_they_found", "wrong: expires_at"),
        (
            UntouchedCountsNanoseconds,
            "expected_expiries_are_compared_in_whole_milliseconds",
            "must succeed here",
        ),
        (
            UntouchedIsNeverEndless,
            "a_record_that_never_expires_is_met_untouched",
            "must succeed here",
        ),
        (
            UntouchedIsCheckedThenSaved,
            "a_save_of_the_untouched_races_touches_and_takes_none_back",
            "wrong: expires_at",
        ),
        (TouchAlwaysAgrees, "touch_of_a_missing_record_is_no_error", "that there was none"),
        (ListMissesNew, "list_shows_the_live_records_of_the_owner", "just behind a save: missing"),
        (ListKeepsOldOwners, "a_record_moves_with_its_owner", "too many are [\"a\"]"),
        (ListMatchesPrefixes, "list_shows_the_live_records_of_the_owner", "too many are"),
        (ListShowsExpired, "list_shows_the_live_records_of_the_owner", "too many are"),
        (ListIgnoresTheLimit, "list_pages_show_each_record_once", "at most 1 records has 25"),
        (ListRepeatsTheMark, "list_pages_show_each_record_once", "a listing in pages of 1"),
        (ListCountsOffsets, "list_pages_stand_changes_in_between", "must be on one page"),
        (ListForgetsTouched, "a_touched_record_stays_listed", "missing are [\"a\"]"),
        (ListOrdersByExpiry, "list_pages_stand_records_that_are_prolonged", "is on 2"),
        (ListOrdersByLatestExpiry, "list_pages_stand_records_that_are_prolonged", "is on 0"),
        (ScanShowsExpired, "scan_shows_every_live_record", "must show live records only"),
        (ScanMissesTheOwnerless, "scan_shows_every_live_record", "but is missing"),
        (ScanCountsOffsets, "scan_misses_no_record_that_stays", "so it must be on a page"),
        (PurgeIgnoresTheLimit, "purge_removes_the_expired_in_batches", "a purge of at most none"),
        (PurgeTakesTheLiving, "purge_removes_no_live_record", "after a purge"),
        (
            PurgedInTwoSteps,
            "purge_races_creators_and_removes_no_new_record",
            "a record created during a purge",
        ),
        (PurgeDoesNothing, "purge_removes_the_expired_in_batches", "of 25 expired ones"),
        (
            FetchManyForgets,
            "fetch_many_returns_the_live_records",
            "must return each live record among the ids once",
        ),
        (
            ChangesForgetDeletions,
            "changes_name_what_other_instances_save_and_delete",
            "must tell of a deletion",
        ),
        (
            ProofsComeFirst,
            "changes_are_told_before_the_proof_that_covers_them",
            "must be told before the ping's proof",
        ),
        (ClockCountsSeconds, "the_clock_tells_the_time", "must return the database's time"),
        (
            OwnClockRemoves,
            "a_record_is_kept_for_as_long_as_the_callers_clock_says",
            "a record saved by a host whose clock is behind: must be",
        ),
    ]
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_fault_fails_the_property_that_is_about_it() {
    for (fault, property, text) in FAULTS {
        let message = check(property, *fault)
            .await
            .unwrap_or_else(|| panic!("{property} must find {fault:?}, but passed"));
        assert!(
            message.contains(text),
            "{property} must fail for {fault:?} with {text:?}, but says {message:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_property_finds_a_fault_and_passes_without_one() {
    let found: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.1).collect();
    for property in PROPERTIES {
        assert_eq!(check(property.name, Fault::None).await, None, "{}", property.name);
        assert!(found.contains(property.name), "no fault shows that {} can fail", property.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_on_two_databases_are_found() {
    let mut failed = Vec::new();
    for property in PROPERTIES {
        let subject = Subject::new(MemoryProvider::new()).with_twin(MemoryProvider::new());
        if tokio::spawn(property.check(subject)).await.is_err() {
            failed.push(property.name);
        }
    }
    assert!(failed.contains(&"two_instances_are_one_database"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_provider_of_three_calls_passes_when_it_declares_so() {
    for property in PROPERTIES {
        let subject = Subject::new(ThreeCalls(MemoryProvider::new()));
        let subject = subject.without_touch().without_list().without_scan();
        let subject = subject.without_purge().without_changes();
        property.check(subject).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_missing_call_that_is_not_declared_is_found_and_so_is_one_declared_wrongly() {
    for name in
        ["touch_never_shortens", "list_pages_show_each_record_once", "purge_removes_no_live_record"]
    {
        let property = PROPERTIES.iter().find(|property| property.name == name).unwrap();
        let subject = Subject::new(ThreeCalls(MemoryProvider::new()));
        let message = panic_of(tokio::spawn(property.check(subject)).await).unwrap();
        assert!(message.contains("unsupported"), "{name}: {message}");
        let subject = Subject::new(MemoryProvider::new());
        let subject = subject.without_touch().without_list().without_scan();
        let subject = subject.without_purge().without_changes();
        let message = panic_of(tokio::spawn(property.check(subject)).await).unwrap();
        assert!(message.contains("declared as not offered"), "{name}: {message}");
    }
}

/// The message with which the property fails.
async fn check(property: &str, fault: Fault) -> Option<String> {
    let property = PROPERTIES.iter().find(|known| known.name == property).unwrap();
    let one = Wrong::new(fault);
    let two = one.twin();
    panic_of(tokio::spawn(property.check(Subject::new(one).with_twin(two))).await)
}

/// The message of a task's panic.
pub(crate) fn panic_of(result: Result<(), JoinError>) -> Option<String> {
    let panic = result.err()?.into_panic();
    let text = panic.downcast::<String>().map(|text| *text);
    Some(text.unwrap_or_else(|panic| (*panic.downcast::<&str>().unwrap()).to_owned()))
}
