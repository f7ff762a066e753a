//! Everything that the library tells of: no secret is in it, and the guide's chapter lists it all.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod chapter;
mod devices;
mod feeds;
mod keys;
mod scenario;
mod secrets;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use metrics_util::MetricKind;

use crate::world::World;

/// Every call, every error, every event; on one thread, so that nothing is missed.
async fn everything() -> World {
    let mut world = World::begin();
    scenario::visitors(&mut world).await;
    scenario::failures(&mut world).await;
    scenario::unreadable(&mut world).await;
    scenario::client_side(&mut world).await;
    scenario::at_rest(&mut world).await;
    scenario::purges(&mut world).await;
    scenario::requests(&mut world).await;
    scenario::requests_of_actix(&mut world).await;
    keys::tokens(&mut world).await;
    keys::rotation(&mut world).await;
    keys::encryption(&mut world).await;
    keys::repairs(&mut world).await;
    keys::epochs(&mut world).await;
    feeds::failures(&mut world).await;
    devices::devices(&mut world).await;
    world
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_told_by_events_spans_metrics_errors_or_debug_output() {
    let world = everything().await;
    let texts = world.texts();
    let (secrets, count) = (world.secrets.len(), texts.len());
    assert!(secrets > 50 && count > 300, "{secrets} secrets in {count} texts: too few");
    assert_eq!(world.secrets.find(&texts), None);
}

/// The positive control: what is planted in each of the channels is found.
#[tokio::test(start_paused = true)]
async fn a_planted_secret_is_found_in_every_channel() {
    type Plant = fn(&mut World, &str);
    let plants: [(&str, Plant); 5] = [
        ("an event's field", |_, secret| tracing::debug!(target: "sessions", secret)),
        ("an event's text", |_, secret| tracing::trace!("the cookie {secret}")),
        ("a span's field", |_, secret| {
            let span = tracing::debug_span!("planted", id = tracing::field::Empty);
            span.record("id", secret);
        }),
        ("a metric's label", |_, secret| {
            metrics::counter!("planted_total", "owner" => secret.to_owned()).increment(1);
        }),
        ("an error's source", |world, secret| {
            let error = sessions::provider::ProviderError::permanent("refused")
                .with_source(std::io::Error::other(secret.to_owned()));
            world.error(&sessions::Error::from(error));
        }),
    ];
    for (channel, plant) in plants {
        let mut world = World::begin();
        let test = sessions::testing::TestStore::new();
        let cookie = test.cookie(&scenario::visitor("planted")).await;
        world.learn(&test);
        world.secrets.token(&cookie);
        assert_eq!(world.secrets.find(&world.texts()), None);
        plant(&mut world, &cookie);
        assert!(world.secrets.find(&world.texts()).is_some(), "{channel}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_chapter_lists_every_event_with_its_level_and_fields() {
    let world = everything().await;
    let mut told = BTreeMap::<String, (BTreeSet<String>, BTreeSet<String>)>::new();
    for event in world.told().iter().filter(|it| it.kind == "event" && it.target == "sessions") {
        assert_eq!(event.value("event"), Some(event.name.as_str()), "the name is a field too");
        assert!(event.value("message").is_some(), "{event:?}");
        let (levels, fields) = told.entry(event.name.clone()).or_default();
        levels.insert(event.level.clone());
        fields.extend(event.fields.iter().filter(|field| *field != "event").cloned());
    }
    let mut listed = BTreeMap::new();
    for row in chapter::rows("Events") {
        let [name, level, fields, meaning, _] = row[..] else { panic!("{row:?}") };
        assert!(!meaning.is_empty(), "{name}");
        let name = chapter::words(name).pop_first().unwrap();
        let levels: BTreeSet<String> = level.split(", ").map(str::to_owned).collect();
        assert!(listed.insert(name, (levels, chapter::words(fields))).is_none(), "twice");
    }
    same(&told, &listed);
}

#[tokio::test(start_paused = true)]
async fn the_chapter_lists_every_span_with_its_fields() {
    let world = everything().await;
    let mut told = BTreeMap::<String, BTreeSet<String>>::new();
    for span in world.told().iter().filter(|it| it.kind == "span" && it.target == "sessions") {
        assert_eq!(span.level, "debug", "{span:?}");
        told.entry(span.name.clone()).or_default().extend(span.fields.iter().cloned());
    }
    let mut listed = BTreeMap::new();
    for row in chapter::rows("Spans") {
        let [name, fields, _] = row[..] else { panic!("{row:?}") };
        listed.insert(chapter::words(name).pop_first().unwrap(), chapter::words(fields));
    }
    same(&told, &listed);
    // Each span says how it ended.
    for name in listed.keys() {
        let ended = |it: &&sessions_tests::telemetry::Told| {
            it.name == *name && it.value("outcome").is_some()
        };
        assert!(world.told().iter().any(|it| ended(&it)), "{name} has no outcome");
    }
}

#[tokio::test(start_paused = true)]
async fn the_chapter_lists_every_metric_with_its_labels_and_their_words() {
    let world = everything().await;
    let mut told = BTreeMap::<String, (String, BTreeSet<String>)>::new();
    let mut values = BTreeSet::new();
    for (metric, unit, description, _) in world.metrics() {
        let key = metric.key();
        let kind = match metric.kind() {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert!(unit.is_some() && description.is_some(), "{} is not described", key.name());
        let labels: BTreeSet<String> = key.labels().map(|label| label.key().to_owned()).collect();
        for label in key.labels().filter(|it| ["outcome", "reason", "call"].contains(&it.key())) {
            values.insert(label.value().to_owned());
        }
        let known = told.entry(key.name().to_owned()).or_insert((kind.into(), labels.clone()));
        assert_eq!(known, &(kind.to_owned(), labels), "{}", key.name());
    }
    let mut listed = BTreeMap::new();
    for row in chapter::rows("Metrics") {
        let [name, kind, labels, meaning, _] = row[..] else { panic!("{row:?}") };
        assert!(!meaning.is_empty(), "{name}");
        let name = chapter::words(name).pop_first().unwrap();
        listed.insert(name, (kind.to_owned(), chapter::words(labels)));
    }
    same(&told, &listed);
    let known = chapter::words(chapter::text());
    for value in values {
        assert!(known.contains(&value), "the chapter does not say what `{value}` means");
    }
}

/// A span is around what its call does, and around nothing that goes on beside it.
#[tokio::test(start_paused = true)]
async fn what_a_call_tells_is_in_its_span_and_what_happens_beside_it_is_not() {
    let world = everything().await;
    for (event, spans) in [
        ("session.refused", ["session.load", "session.destroy"]),
        ("session.conflicted", ["session.commit", "session.update"]),
        ("session.merged", ["session.commit", "session.update"]),
        ("session.renewed", ["session.commit", "session.commit"]),
        ("session.loaded", ["session.load", "session.load"]),
        ("session.committed", ["session.commit", "session.commit"]),
        ("key.created", ["keys.refresh", "keys.refresh"]),
        ("keys.missing", ["keys.refresh", "keys.refresh"]),
    ] {
        let told = world.told();
        let told: Vec<_> = told.iter().filter(|it| it.name == event).collect();
        assert!(!told.is_empty(), "{event}");
        for it in told {
            assert!(it.span.as_deref().is_some_and(|span| spans.contains(&span)), "{it:?}");
        }
    }
    for event in ["session.discarded", "session.load_failed", "session.commit_failed"] {
        assert!(world.told().iter().any(|it| it.name == event), "{event}");
        assert!(world.told().iter().all(|it| it.name != event || it.span.is_none()), "{event}");
    }

    // While a commit waits for its provider, another task says something.
    let test = sessions::testing::TestStore::new();
    let cookie = test.cookie(&scenario::visitor("dark")).await;
    test.before_save(|_, _| async {
        tracing::info!("of the provider");
        let beside = tokio::spawn(async { tracing::info!("beside it") });
        beside.await.unwrap();
    });
    let mut session = test.read::<scenario::Visitor>(&cookie).await.unwrap();
    session.renew();
    let _ = session.commit().await.unwrap();
    let told = world.told();
    let of = |text| told.iter().find(|it| it.value("message") == Some(text)).unwrap();
    assert_eq!(of("of the provider").span.as_deref(), Some("session.commit"));
    assert_eq!(of("beside it").span, None);
}

/// An event and its counter are one call: what was told as often was counted as often.
#[tokio::test(start_paused = true)]
async fn events_and_counters_agree() {
    let world = everything().await;
    for (event, counter) in [
        ("session.created", "sessions_created_total"),
        ("session.conflicted", "sessions_conflicts_total"),
        ("session.merge_refused", "sessions_merges_refused_total"),
        ("session.renewed", "sessions_renewals_total"),
        ("session.ended", "sessions_ended_total"),
        ("session.refused", "sessions_cookies_refused_total"),
        ("session.purge_failed", "sessions_purge_failures_total"),
        ("session.feed_lost", "sessions_feeds_lost_total"),
        ("token.refused", "sessions_tokens_refused_total"),
        ("device.unproven", "sessions_device_unproven_total"),
        ("key.created", "sessions_keys_created_total"),
    ] {
        let told = world.told().iter().filter(|it| it.kind == "event" && it.name == event).count();
        assert!(told > 0, "{event}");
        assert_eq!(world.count(counter), told as u64, "{event} and {counter}");
    }
    let told = world.told();
    let loads = told.iter().filter(|it| it.kind == "span" && it.name == "session.load");
    let begun = loads.filter(|it| it.value("session").is_some()).count();
    assert_eq!(world.count("sessions_loads_total"), begun as u64);
}

fn same<T: PartialEq + std::fmt::Debug>(told: &BTreeMap<String, T>, listed: &BTreeMap<String, T>) {
    for (name, it) in told {
        assert_eq!(Some(it), listed.get(name), "told, and not listed so: {name}");
    }
    for name in listed.keys() {
        assert!(told.contains_key(name), "listed, and not told: {name}");
    }
}
