//! One session type through its versions: the worked example of the guide, reading what older
//! builds wrote, rolling deploys and the way back.

use std::time::SystemTime;

use sessions::__private::{Fields, Header, Stored, diff, merge};
use sessions::{Error, SessionData};

use crate::user::{Appearance, Cents, first, newest, v1, v2, v3, v3_writes_2, v4};

fn header() -> Header {
    Header::new(SystemTime::UNIX_EPOCH)
}

fn record<T: SessionData>(value: &T) -> sessions::provider::Bytes {
    value.fields().unwrap().to_data(&header()).unwrap()
}

fn stored(data: &sessions::provider::Bytes) -> Stored {
    Stored::parse("user", data).unwrap()
}

fn load<T: SessionData>(data: &sessions::provider::Bytes) -> Result<T, Error> {
    T::load(&stored(data))
}

/// What the store does with a request that changes a session.
fn edit<T: SessionData>(
    data: &sessions::provider::Bytes,
    change: impl FnOnce(&mut T),
) -> sessions::provider::Bytes {
    let stored = stored(data);
    let base = stored.fields(T::TABLE).unwrap();
    let mut value = T::load(&stored).unwrap();
    change(&mut value);
    let mut mine = value.fields().unwrap();
    assert!(diff(T::TABLE, &base, &mut mine).unwrap().changed);
    mine.to_data(&stored.header().unwrap()).unwrap()
}

#[test]
fn version_3_reads_what_version_1_wrote() {
    assert_eq!(load::<v3::UserSession>(&record(&first())).unwrap(), newest());
}

#[test]
fn version_3_reads_what_version_2_wrote() {
    let mut second: v2::UserSession = load(&record(&first())).unwrap();
    second.locale = "de".into();
    let third: v3::UserSession = load(&record(&second)).unwrap();
    assert_eq!(third, v3::UserSession { locale: "de".into(), ..newest() });
}

#[test]
fn a_fresh_session_has_the_defaults() {
    let fresh = v3::UserSession::fresh();
    assert_eq!((fresh.locale.as_str(), fresh.visits), ("en", 0));
    assert_eq!(fresh.appearance, Appearance::default());
}

#[test]
fn a_failed_migration_names_field_and_version() {
    let data = record(&v1::UserSession { cart_total: "a lot".into(), ..first() });
    for error in [
        load::<v3::UserSession>(&data).unwrap_err(),
        stored(&data).fields(v3::UserSession::TABLE).unwrap_err(),
    ] {
        let Error::Decode { session, field, version, source } = error else { panic!("{error}") };
        assert_eq!((&*session, field.as_deref(), version), ("user", Some("cart_total"), 1));
        assert_eq!(source.to_string(), "no amount: \"a lot\"");
    }
}

#[test]
fn the_base_of_an_old_record_is_its_migrated_encoding() {
    let stored = stored(&record(&first()));
    let base = stored.fields(v3::UserSession::TABLE).unwrap();
    let mut mine = v3::UserSession::load(&stored).unwrap().fields().unwrap();
    assert!(!diff(v3::UserSession::TABLE, &base, &mut mine).unwrap().changed);
    assert_eq!(base.decode::<v3::UserSession>().unwrap(), newest());
}

#[test]
fn an_upgraded_record_keeps_nothing_of_the_ledger() {
    let data = edit::<v3::UserSession>(&record(&first()), |user| user.visits += 1);
    let text = String::from_utf8_lossy(&data);
    for gone in ["utm_source", "hits", "mail"] {
        assert!(!text.contains(gone), "{gone}");
    }
    let summary = stored(&data).summary;
    assert_eq!((summary.schema_version, summary.min_reader), (3, 3));
}

#[test]
fn an_additive_change_lets_old_builds_read_edit_and_save() {
    let new =
        v4::UserSession { wishes: vec!["a pony".into()], ..load(&record(&newest())).unwrap() };
    let data = record(&new);
    assert_eq!(stored(&data).summary.min_reader, 3);

    let edited = edit::<v3::UserSession>(&data, |user| user.visits += 1);
    let summary = stored(&edited).summary;
    assert_eq!((summary.schema_version, summary.min_reader), (4, 3));
    let back: v4::UserSession = load(&edited).unwrap();
    assert_eq!(back, v4::UserSession { visits: 42, ..new });
}

#[test]
fn a_record_carried_along_is_called_by_its_own_version() {
    let base = stored(&record(&load::<v4::UserSession>(&record(&newest())).unwrap()));
    let fields = base.fields(v3::UserSession::TABLE).unwrap();
    assert_eq!(fields.format(), "user/4");
    let fresh = v3::UserSession::fresh().fields().unwrap();
    assert_eq!(fresh.format(), "user/3");
}

#[test]
fn a_merge_carries_the_fields_of_newer_builds() {
    let old = record(&newest());
    let base = stored(&old).fields(v3::UserSession::TABLE).unwrap();
    let mut mine = v3::UserSession { visits: 42, ..newest() }.fields().unwrap();
    diff(v3::UserSession::TABLE, &base, &mut mine).unwrap();
    // Meanwhile a newer build saved.
    let theirs = edit::<v4::UserSession>(&old, |user| {
        user.wishes.push("a pony".into());
        user.visits += 5;
    });
    let theirs = stored(&theirs).fields(v3::UserSession::TABLE).unwrap();
    let merged = merge(v3::UserSession::TABLE, &base, &mine, &theirs).unwrap().fields;
    let data = merged.to_data(&header()).unwrap();
    let back: v4::UserSession = load(&data).unwrap();
    assert_eq!((back.visits, back.wishes), (47, vec!["a pony".to_owned()]));
}

#[test]
fn a_new_owner_never_reads_what_an_unknown_build_stored_for_the_last() {
    let secret =
        v4::UserSession { wishes: vec!["secret".into()], ..load(&record(&newest())).unwrap() };
    for next in [None, Some(8)] {
        let data = edit::<v3::UserSession>(&record(&secret), |user| user.user_id = next);
        assert!(!String::from_utf8_lossy(&data).contains("secret"));
        let summary = stored(&data).summary;
        assert_eq!((summary.schema_version, summary.min_reader), (3, 3));
        assert!(load::<v4::UserSession>(&data).unwrap().wishes.is_empty());
    }
}

#[test]
fn a_breaking_change_shuts_old_builds_out() {
    let data = record(&newest());
    for error in [
        load::<v2::UserSession>(&data).unwrap_err(),
        stored(&data).fields(v2::UserSession::TABLE).unwrap_err(),
    ] {
        assert!(error.is_unavailable());
        let Error::NewerSchema { found, min_reader, supported, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((found, min_reader, supported), (3, 3, 2));
    }
}

#[test]
fn the_first_of_two_deploys_still_writes_what_old_builds_read() {
    let old = v2::UserSession { locale: "de".into(), ..load(&record(&first())).unwrap() };
    let data = edit::<v3_writes_2::UserSession>(&record(&old), |user| {
        user.cart_total = Cents(9_999);
        user.appearance.font_size = 14;
    });
    let summary = stored(&data).summary;
    assert_eq!((summary.schema_version, summary.min_reader), (2, 2));
    let expected = v2::UserSession { cart_total: "99.99".into(), font_size: 14, ..old };
    assert_eq!(load::<v2::UserSession>(&data).unwrap(), expected);

    // What the second deploy has written, the first keeps at that version.
    let upgraded = edit::<v3::UserSession>(&data, |user| user.visits += 1);
    let again = edit::<v3_writes_2::UserSession>(&upgraded, |user| user.visits += 1);
    assert_eq!(stored(&again).summary.schema_version, 3);
    let third: v3::UserSession = load(&again).unwrap();
    assert_eq!(
        (third.visits, third.cart_total, third.appearance.font_size),
        (43, Cents(9_999), 14)
    );
}

#[test]
fn writing_an_older_version_is_called_by_it() {
    let fields: Fields = v3_writes_2::UserSession::fresh().fields().unwrap();
    assert_eq!(fields.format(), "user/2");
}

#[test]
fn a_build_that_was_rolled_back_refuses_what_it_would_misread() {
    // Version 4 retired the history below 3, and with it what it knew of its breaking changes.
    let new: v4::UserSession = load(&record(&newest())).unwrap();
    let error = load::<v2::UserSession>(&record(&new)).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 4, min_reader: 3, supported: 2, .. }));
    // And what is older than `oldest` it refuses itself.
    let error = load::<v4::UserSession>(&record(&first())).unwrap_err();
    let Error::Decode { field: None, version: 1, source, .. } = error else { panic!("{error}") };
    assert_eq!(source.to_string(), "this build reads version 3 and later");
}
