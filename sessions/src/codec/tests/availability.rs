//! The provider is slow, down or gone: calls go on for as long as the keys allow.

use std::time::{Duration, SystemTime};

use super::support::*;
use crate::clock::{Clock, ManualClock};
use crate::codec::Codec;
use crate::error::Error;

#[tokio::test(start_paused = true)]
async fn a_day_without_the_store_stops_neither_opening_nor_sealing() {
    let world = World::new();
    let host = world.host();
    let first = seal(&host).await;
    world.pass(6 * DAY);
    host.refresh().await.unwrap();
    world.provider.set(Mode::Down);
    world.provider.take_fetches();
    for _ in 0..24 * 60 {
        world.pass(MINUTE);
        let token = seal(&host).await;
        open(&host, &token).await.unwrap();
        open(&host, &first).await.unwrap();
        idle(&host).await;
    }
    let fetches = world.provider.take_fetches();
    assert!((1_000..=24 * 60).contains(&fetches), "one try a minute, not {fetches}");
}

#[tokio::test(start_paused = true)]
async fn without_the_store_sealing_ends_with_the_grace_period_and_opening_with_the_tokens() {
    let world = World::new();
    let host = world.host();
    seal(&host).await;
    world.provider.set(Mode::Down);
    world.pass(8 * DAY);
    let last = seal(&host).await;
    idle(&host).await;
    world.pass(Duration::from_secs(1));
    assert!(is_unavailable(&host.seal(&purpose(), b"").await));
    world.pass(30 * DAY - Duration::from_secs(1));
    open(&host, &last).await.unwrap();
    idle(&host).await;
    world.pass(Duration::from_secs(1));
    assert!(is_invalid(&open(&host, &last).await));
    idle(&host).await;
    world.provider.set(Mode::Up);
    world.pass(2 * MINUTE);
    open(&host, &seal(&host).await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_with_the_store_down_is_unavailable_until_it_is_back() {
    let world = World::new();
    let token = seal(&world.host()).await;
    let host = world.host();
    world.provider.set(Mode::Down);
    assert!(is_unavailable(&open(&host, &token).await));
    assert!(is_unavailable(&host.seal(&purpose(), b"").await));
    world.provider.take_fetches();
    for _ in 0..1_000 {
        assert!(is_unavailable(&open(&host, &token).await));
    }
    assert_eq!(world.provider.take_fetches(), 0, "it backs off");
    world.provider.set(Mode::Up);
    world.pass(Duration::from_secs(2));
    open(&host, &token).await.unwrap();
    // Neither is a token that is no token a reason to ask.
    assert!(is_invalid(&open(&world.host(), "nonsense").await));
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_from_one_second_to_one_minute() {
    let world = World::new();
    let host = world.host();
    world.provider.set(Mode::Down);
    let mut tries = Vec::new();
    for second in 0..600 {
        assert!(is_unavailable(&host.seal(&purpose(), b"").await));
        if world.provider.take_fetches() > 0 {
            tries.push(second);
        }
        world.pass(Duration::from_secs(1));
    }
    let pauses: Vec<_> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (at, pause) in pauses.iter().enumerate() {
        let full = (1u64 << at).min(60);
        assert!((full * 4 / 5..=full).contains(pause), "pause {at} is {pause} s");
    }
    assert!(pauses.len() > 10);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_stays_is_told_from_one_that_passes() {
    let world = World::new();
    let host = world.host();
    world.provider.set(Mode::Broken);
    let error = host.seal(&purpose(), b"").await.unwrap_err();
    assert!(matches!(error, Error::Provider(_)) && !error.is_unavailable());
    let source = std::error::Error::source(&error).unwrap();
    let mut texts = std::iter::successors(source.source(), |error| error.source());
    assert!(texts.any(|error| error.to_string().contains("no such table")));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_a_call_up_for_two_seconds_at_most() {
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    world.provider.set(Mode::Hanging);
    let start = tokio::time::Instant::now();
    // Old enough to be refreshed, young enough to be served.
    world.pass(9 * MINUTE);
    open(&host, &token).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    idle(&host).await;
    // A host that slept waits, once.
    world.pass(DAY);
    let start = tokio::time::Instant::now();
    open(&host, &token).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
    let start = tokio::time::Instant::now();
    for _ in 0..100 {
        world.pass(Duration::from_secs(5));
        open(&host, &token).await.unwrap();
        seal(&host).await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "no more waiting while it is known to fail");
    let start = tokio::time::Instant::now();
    assert!(is_unavailable(&world.host().seal(&purpose(), b"").await));
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_slept_for_a_week_seals_with_the_current_key_and_refuses_nothing() {
    let world = World::new();
    let (sleeper, other) = (world.host(), world.host());
    let old = seal(&sleeper).await;
    for _ in 0..8 * 24 {
        world.pass(HOUR);
        seal(&other).await;
    }
    let new = seal(&other).await;
    assert_ne!(key_of(&new), key_of(&old));
    open(&sleeper, &new).await.unwrap();
    assert_eq!(key_of(&seal(&sleeper).await), key_of(&new));
    assert!(open(&sleeper, &old).await.unwrap().reissue);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_slept_for_months_makes_a_key_and_goes_on() {
    let world = World::new();
    let host = world.host();
    seal(&host).await;
    world.pass(100 * DAY);
    let token = seal(&host).await;
    open(&world.host(), &token).await.unwrap();
    assert_eq!(
        world.keys().await.len(),
        2,
        "only this host's clock says that the first has expired"
    );
    *world.provider.clock.lock().unwrap() = DatabaseClock::Tells(world.clock.clone());
    world.pass(100 * DAY);
    seal(&host).await;
    assert_eq!(world.keys().await.len(), 1, "the database's clock says so too");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_or_forth_stops_nothing() {
    let world = World::new();
    let host = world.host();
    seal(&host).await;
    let now = world.clock.now();
    for years in [-50i32, 2, -2, 70] {
        let by = 365 * DAY * years.unsigned_abs();
        world.clock.set(if years < 0 { now - by } else { now + by });
        open(&host, &seal(&host).await).await.unwrap();
        idle(&host).await;
    }
    world.clock.set(now + MINUTE);
    world.provider.take_fetches();
    open(&host, &seal(&host).await).await.unwrap();
    idle(&host).await;
    assert_eq!(world.provider.take_fetches(), 1, "it looks at the record again");
    // Also when the keys at hand would do.
    world.pass(3 * DAY);
    seal(&host).await;
    world.clock.set(now + HOUR);
    world.provider.take_fetches();
    seal(&host).await;
    idle(&host).await;
    assert_eq!(world.provider.take_fetches(), 1, "it does not wait for three days");
}

#[tokio::test(start_paused = true)]
async fn one_host_whose_clock_is_years_ahead_locks_nobody_out() {
    let world = World::new();
    let (host, other) = (world.host(), world.host());
    let token = seal(&host).await;
    open(&other, &token).await.unwrap();
    seal(&world.host_off_by(70 * 365 * 24 * 3600)).await;
    // The others write their keys back, and go on to rotate them ahead of time.
    for _ in 0..29 * 24 * 4 {
        world.pass(HOUR / 4);
        open(&host, &token).await.unwrap();
        open(&other, &seal(&host).await).await.unwrap();
        open(&host, &seal(&other).await).await.unwrap();
        idle(&host).await;
        idle(&other).await;
    }
    open(&world.host(), &token).await.unwrap();
    let keys = world.keys().await;
    let sane: Vec<_> = keys.iter().filter(|(_, activate, _)| *activate < 2_000_000_000).collect();
    assert_eq!(sane.len(), 5, "{keys:?}");
    for pair in sane.windows(2) {
        assert_eq!(pair[0].1, pair[1].2, "each activates when the last retires");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_refreshed_every_five_minutes_less_the_jitter() {
    let world = World::new();
    let hosts: Vec<_> = (0..50).map(|_| world.host()).collect();
    let mut seen = Vec::new();
    for host in &hosts {
        host.refresh().await.unwrap();
    }
    for second in 0..=300 {
        for host in &hosts {
            world.provider.take_fetches();
            seal(host).await;
            idle(host).await;
            if world.provider.take_fetches() > 0 {
                seen.push(second);
            }
        }
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(seen.len(), 50);
    assert!(*seen.iter().min().unwrap() >= 240);
    seen.dedup();
    assert!(seen.len() > 20, "they do not come all at once");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_the_refresh_to_finish() {
    let world = World::new();
    let host = world.host();
    let purpose = purpose();
    {
        let mut call = Box::pin(host.seal(&purpose, b""));
        assert!(futures_poll(&mut call).is_pending());
    }
    idle(&host).await;
    assert_eq!(world.keys().await.len(), 1);
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_makes_calls_unavailable() {
    let world = World::new();
    let host = world.host();
    world.provider.set(Mode::Panics);
    assert!(is_unavailable(&host.seal(&purpose(), b"").await));
    world.provider.set(Mode::Up);
    world.pass(MINUTE);
    seal(&host).await;
}

#[test]
fn outside_a_runtime_a_call_is_an_error() {
    fn block_on<F: Future>(future: F) -> F::Output {
        match futures_poll(&mut Box::pin(future)) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("the call waits"),
        }
    }
    let host = World::new().host();
    for error in [
        block_on(host.seal(&purpose(), b"")).unwrap_err(),
        block_on(host.refresh()).unwrap_err(),
        block_on(host.rotate_now()).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Misuse(text) if text.contains("tokio")), "{error}");
    }
}

#[test]
fn a_runtime_that_is_shut_down_in_the_middle_of_a_refresh_leaves_the_next_free_to_go_on() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let world = World::new();
    let host = world.host();
    world.provider.set(Mode::Hanging);
    runtime().block_on(async {
        let purpose = purpose();
        let call = tokio::time::timeout(Duration::from_millis(1), host.seal(&purpose, b""));
        assert!(call.await.is_err());
    });
    world.provider.set(Mode::Up);
    world.pass(Duration::from_secs(2));
    runtime().block_on(async { seal(&host).await });
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let build = |change: fn(super::super::CodecBuilder) -> super::super::CodecBuilder| {
        let builder = Codec::builder(crate::MemoryProvider::new()).danger_plain_keys();
        change(builder).build().map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(build(|builder| builder), Ok(()));
    assert!(build(|builder| builder.app("")).unwrap_err().contains("app's name"));
    assert!(build(|builder| builder.app(&"a".repeat(251))).is_err());
    assert!(build(|builder| builder.app("a\0")).is_err());
    assert!(build(|builder| builder.max_age(Duration::ZERO)).unwrap_err().contains("max_age"));
    assert!(build(|builder| builder.key_rotation(HOUR)).unwrap_err().contains("4 hours"));
    assert!(build(|builder| builder.max_age(1000 * DAY)).unwrap_err().contains("key_rotation"));
    let plain = Codec::builder(crate::MemoryProvider::new()).build().unwrap_err().to_string();
    assert!(plain.contains("key_encryption") && plain.contains("danger_plain_keys"));
}

#[tokio::test]
async fn the_longest_times_do_not_overflow() {
    let longest = |builder: super::super::CodecBuilder| {
        builder.max_age(Duration::MAX).key_rotation(Duration::MAX)
    };
    let world = World::new();
    let host = world.host_with(longest);
    let token = seal(&host).await;
    world.pass(365 * DAY * 100);
    open(&host, &token).await.unwrap();
    let early = ManualClock::new(SystemTime::UNIX_EPOCH);
    let host = world.host_with(|builder| longest(builder).clock(early));
    let _ = host.seal(&purpose(), b"").await;
}
