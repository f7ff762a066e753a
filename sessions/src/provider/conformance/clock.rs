//! The database's clock, and what it may remove.

use std::time::{Duration, SystemTime};

use super::subject::{Subject, must_be, record};
use crate::provider::{Expect, Page};

pub(super) async fn the_clock_tells_the_time(subject: Subject) {
    let before = SystemTime::now();
    for handle in [&subject.one, &subject.two] {
        let Some(told) = handle.clock().await else { continue };
        let range = before - TOLERANCE..SystemTime::now() + TOLERANCE;
        assert!(
            range.contains(&told),
            "clock must return the database's time, which differs from this machine's by less \
             than {TOLERANCE:?}; this machine's is {before:?}, but clock returned {told:?}"
        );
    }
    let Some(first) = subject.one.clock().await else { return };
    let second = subject.two.clock().await;
    assert!(
        second.is_some_and(|second| second + SECOND > first),
        "the clock of two instances on one database must go on, but went from {first:?} to \
         {second:?}"
    );
}

pub(super) async fn a_record_is_kept_for_as_long_as_the_callers_clock_says(subject: Subject) {
    // For the database's clock it has expired long ago.
    let at = |millis| subject.at(millis) - 6 * YEAR;
    let mut stored = record(&subject, "a", 1);
    stored.expires_at = Some(at(10_000));
    subject.one.put(&stored, Expect::Absent, at(0)).await;
    let found = subject.two.fetch("a", at(9_999)).await;
    must_be(found.as_ref(), &stored, "a record saved by a host whose clock is behind");

    stored.version = 2;
    stored.expires_at = Some(at(20_000));
    subject.two.put(&stored, Expect::Version(1), at(1)).await;
    let found = subject.one.fetch("a", at(19_999)).await;
    must_be(found.as_ref(), &stored, "a record updated by a host whose clock is behind");

    if subject.offers_touch().await {
        stored.expires_at = Some(at(90_000));
        assert!(
            subject.one.touch("a", at(90_000), at(2)).await,
            "a touch by a host whose clock is behind must find the record"
        );
        let found = subject.two.fetch("a", at(89_999)).await;
        must_be(found.as_ref(), &stored, "a record touched by a host whose clock is behind");
    }
    if subject.offers_list().await {
        let owner = stored.owner.as_deref().unwrap_or_default();
        let listed = subject.two.list(owner, Page::first(10), at(3)).await.records;
        must_be(listed.first(), &stored, "the list of a host whose clock is behind");
    }
}

/// How far the clocks of two machines may be apart.
const TOLERANCE: Duration = Duration::from_secs(10 * 60);
const SECOND: Duration = Duration::from_secs(1);
/// DynamoDB leaves alone what has expired more than five years ago.
const YEAR: Duration = Duration::from_secs(366 * 86_400);
