//! Rotation, by time and by hand.

use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use crate::error::Error;
use crate::keyring::ring::KeyId;
use crate::keyring::view::Accept;

#[tokio::test(start_paused = true)]
async fn keys_follow_each_other_every_period_and_go_when_no_token_needs_them() {
    let world = World::new();
    let host = world.host();
    let mut keys: Vec<KeyId> = Vec::new();
    let mut most = 0;
    for _ in 0..365 * 24 {
        let key = key_of(&seal(&host).await);
        if keys.last() != Some(&key) {
            assert!(!keys.contains(&key), "a key that retired does not come back");
            keys.push(key);
        }
        idle(&host).await;
        most = most.max(world.keys().await.len());
        world.pass(HOUR);
    }
    assert_eq!(keys.len(), 365 / 7 + 1);
    assert!(most <= 8, "{most} keys");
}

/// A single host starts with its clock a year ahead, and the clock is put right later.
#[tokio::test(start_paused = true)]
async fn a_host_whose_clock_was_a_year_ahead_has_lost_no_key() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    for (database, wrong_for) in [(false, DAY), (true, 20 * DAY)] {
        let world = World::new();
        if database {
            *world.provider.clock.lock().unwrap() = DatabaseClock::Tells(world.clock.clone());
        }
        let token = seal(&world.host()).await;
        let key = key_of(&token);

        let ahead = world.host_off_by(YEAR.as_secs().try_into().unwrap());
        for _ in 0..wrong_for.as_secs() / HOUR.as_secs() {
            seal(&ahead).await;
            idle(&ahead).await;
            world.pass(HOUR);
        }
        assert!(world.keys().await.iter().any(|it| it.0 == key), "{database}");

        let host = world.host();
        open(&host, &token).await.unwrap();
        let seals_again = wrong_for < 7 * DAY;
        assert_eq!(key_of(&seal(&host).await) == key, seals_again);
    }
}

/// Rotation goes on, and the ring loses nothing, where the database does not tell its time.
#[tokio::test(start_paused = true)]
async fn a_clock_that_fails_stops_no_rotation() {
    let world = World::new();
    *world.provider.clock.lock().unwrap() = DatabaseClock::Fails;
    let host = world.host();
    let first = key_of(&seal(&host).await);
    for _ in 0..8 * 24 {
        world.pass(HOUR);
        seal(&host).await;
        idle(&host).await;
    }
    assert_ne!(key_of(&seal(&host).await), first);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_to_be_reissued_past_half_its_life_or_when_its_key_is_old() {
    let world = World::new();
    let host = world.host_with(|builder| builder.max_age(4 * DAY));
    let token = seal(&host).await;
    world.pass(2 * DAY);
    assert!(!open(&host, &token).await.unwrap().reissue);
    world.pass(Duration::from_secs(1));
    assert!(open(&host, &token).await.unwrap().reissue);
    world.pass(4 * DAY);
    let token = seal(&host).await;
    assert!(!open(&host, &token).await.unwrap().reissue);
    for _ in 0..24 {
        world.pass(HOUR);
        seal(&host).await;
    }
    assert!(open(&host, &token).await.unwrap().reissue, "another key seals now");
    assert!(!open(&host, &seal(&host).await).await.unwrap().reissue);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_behind_does_not_reissue_what_one_ahead_sealed() {
    let world = World::new();
    let (ahead, behind) = (world.host_off_by(300), world.host_off_by(-300));
    // The first key is from now; its successor takes over in seven days.
    let first = key_of(&seal(&behind).await);
    for _ in 0..7 * 24 * 4 {
        world.pass(HOUR / 4);
        seal(&ahead).await;
        seal(&behind).await;
    }
    world.clock.set(crate::clock::Clock::now(&world.clock) - MINUTE);
    let (new, old) = (seal(&ahead).await, seal(&behind).await);
    assert!(key_of(&new) != first && key_of(&old) == first, "their clocks differ");
    assert!(!open(&behind, &new).await.unwrap().reissue);
    assert!(open(&ahead, &old).await.unwrap().reissue);
}

#[tokio::test(start_paused = true)]
async fn hosts_of_different_settings_keep_each_others_tokens_alive() {
    let world = World::new();
    let short = world.host_with(|builder| builder.max_age(DAY));
    let token = seal(&short).await;
    // A host that accepts them for longer extends the keys that are there.
    let long = world.host_with(|builder| builder.max_age(90 * DAY));
    for _ in 0..90 {
        open(&long, &token).await.unwrap();
        seal(&short).await;
        world.pass(DAY);
    }
    open(&long, &token).await.unwrap();
    assert!(is_invalid(&open(&short, &token).await));
    world.pass(Duration::from_secs(1));
    assert!(is_invalid(&open(&long, &token).await));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A token is accepted until exactly `max_age` and not a second after, whatever rotations,
    /// by time or sleep, fall between.
    #[test]
    fn a_token_lives_exactly_as_long_as_it_may(
        days in 1u32..60,
        period_hours in 28u32..400,
        start_hours in 0u32..600,
        step_minutes in 5u32..4_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let max_age = days * DAY;
            let settings = |builder: super::super::CodecBuilder| {
                builder.max_age(max_age).key_rotation(period_hours * HOUR)
            };
            let (host, other) = (world.host_with(settings), world.host_with(settings));
            for _ in 0..start_hours / 4 {
                seal(&other).await;
                world.pass(4 * HOUR);
            }
            let token = seal(&host).await;
            let step = step_minutes * MINUTE;
            let mut age = Duration::ZERO;
            while age + step < max_age {
                world.pass(step);
                age += step;
                open(&host, &token).await.unwrap();
                seal(&other).await;
            }
            world.pass(max_age - age);
            open(&host, &token).await.unwrap();
            open(&other, &token).await.unwrap();
            open(&world.host_with(settings), &token).await.unwrap();
            world.pass(Duration::from_secs(1));
            for host in [&host, &other, &world.host_with(settings)] {
                assert!(is_invalid(&open(host, &token).await));
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_from_the_future_or_from_outside_its_keys_time_is_invalid() {
    let world = World::new();
    let host = world.host();
    seal(&host).await;
    let sealed_by = async |secs: i64| seal(&world.host_off_by(secs)).await;
    open(&host, &sealed_by(600).await).await.unwrap();
    assert!(is_invalid(&open(&host, &sealed_by(601).await).await));
    // A day later, what claims to be older than its key is backdated.
    world.pass(DAY);
    open(&host, &sealed_by(-24 * 3600 - 600).await).await.unwrap();
    let ring = &host.ring;
    let forge = |issued_at: u64| {
        let view = ring.view(ring.since_epoch(), Accept::Any).unwrap();
        let (key, root) = view.sealing().unwrap();
        let mut buffer = [0; 66];
        root.with_cipher("app", &purpose(), |xaes| {
            super::super::token::seal(&mut buffer, xaes, key, &[0; 24], issued_at, &[7; 16]);
        });
        super::super::token::encode(&buffer)
    };
    let now = ring.since_epoch().as_secs();
    let activate = now - 24 * 3600;
    open(&host, &forge(activate - 600)).await.unwrap();
    assert!(is_invalid(&open(&host, &forge(activate - 601)).await));
    assert!(is_invalid(&open(&host, &forge(0)).await));
    assert!(is_invalid(&open(&host, &forge(u64::MAX)).await));
    world.pass(20 * DAY);
    let last = activate + (7 + 1) * 24 * 3600 + 600;
    let (good, late) = (forge_with_first(&host, last), forge_with_first(&host, last + 1));
    open(&host, &good).await.unwrap();
    assert!(is_invalid(&open(&host, &late).await), "its key had retired by then");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_opened_before_is_judged_anew() {
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    for _ in 0..3 {
        open(&host, &token).await.unwrap();
    }
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(changed == token || is_invalid(&open(&host, &changed).await), "character {at}");
    }
    open(&host, &token).await.unwrap();
    // Its key is erased.
    let erased = seal(&host).await;
    open(&host, &erased).await.unwrap();
    host.rotate_now().await.unwrap();
    assert!(is_invalid(&open(&host, &erased).await));
    // An age is reached by a token that is opened every day as well.
    let token = seal(&host).await;
    let mut days = 0;
    while open(&host, &token).await.is_ok() {
        world.pass(DAY);
        days += 1;
        assert!(days <= 31, "it is never too old");
    }
    assert_eq!(days, 31, "30 days are its greatest age");
}

/// A token of the oldest key.
fn forge_with_first(host: &super::super::Codec, issued_at: u64) -> String {
    let secrets = host.ring.oldest();
    let mut buffer = [0; 66];
    secrets.1.with_cipher("app", &purpose(), |xaes| {
        super::super::token::seal(&mut buffer, xaes, secrets.0, &[0; 24], issued_at, &[7; 16]);
    });
    super::super::token::encode(&buffer)
}

#[tokio::test(start_paused = true)]
async fn after_rotate_now_a_stolen_key_opens_nothing_on_any_host_within_one_refresh() {
    let world = World::new();
    let hosts: Vec<_> = (0..20).map(|_| world.host()).collect();
    let token = seal(&hosts[0]).await;
    for host in &hosts {
        open(host, &token).await.unwrap();
    }
    // The thief has the ring as it was, successor included, and goes on making tokens.
    world.pass(7 * DAY - HOUR);
    hosts[0].refresh().await.unwrap();
    let thief = World::new();
    thief.clock.set(crate::clock::Clock::now(&world.clock));
    thief.put(&world.record().await.unwrap()).await;
    let thief_host = thief.host();
    let forged = seal(&thief_host).await;
    for host in &hosts {
        open(host, &forged).await.unwrap();
        idle(host).await;
    }

    hosts[0].rotate_now().await.unwrap();
    assert!(is_invalid(&open(&hosts[0], &forged).await), "here at once");
    let fresh = seal(&hosts[0]).await;
    for host in &hosts[1..10] {
        open(host, &fresh).await.unwrap();
        assert!(is_invalid(&open(host, &forged).await), "with the first new token");
    }
    world.pass(5 * MINUTE);
    thief.pass(5 * MINUTE);
    for host in &hosts {
        // The first call after the interval starts the refresh.
        let _ = open(host, &forged).await;
        idle(host).await;
        for day in 0..9 {
            assert!(is_invalid(&open(host, &forged).await), "day {day}");
        }
        open(host, &fresh).await.unwrap();
    }
    // Neither do the keys that the thief's copy would have rotated to.
    for _ in 0..9 {
        thief.pass(DAY);
        world.pass(DAY);
        let forged = seal(&thief_host).await;
        for host in &hosts {
            assert!(is_invalid(&open(host, &forged).await));
            open(host, &seal(&hosts[3]).await).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_that_rotate_by_hand_at_once_agree_on_a_key() {
    let world = World::new();
    let hosts: Vec<_> = (0..10).map(|_| world.host()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for host in hosts.clone() {
        tasks.spawn(async move { host.rotate_now().await });
    }
    let results = tasks.join_all().await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(world.keys().await.len(), 1);
    for host in &hosts {
        open(&hosts[0], &seal(host).await).await.unwrap();
        for other in &hosts {
            other.refresh().await.unwrap();
            open(other, &seal(host).await).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rotating_by_hand_a_thousand_times_keeps_the_ring_small_and_usable() {
    let world = World::new();
    let (host, other) = (world.host(), world.host());
    for _ in 0..1_000 {
        host.rotate_now().await.unwrap();
        world.pass(MINUTE);
    }
    assert!(world.record().await.unwrap().data.len() < 4_096);
    open(&other, &seal(&host).await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rotate_now_fails_when_the_store_is_down_and_changes_nothing() {
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    world.provider.set(Mode::Down);
    assert!(matches!(host.rotate_now().await, Err(Error::Unavailable(_))));
    assert!(matches!(host.refresh().await, Err(Error::Unavailable(_))));
    open(&host, &token).await.unwrap();
}
