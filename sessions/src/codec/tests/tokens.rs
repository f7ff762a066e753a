//! What opens, and what does not.

use std::sync::{Arc, LazyLock, Mutex};

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::support::*;
use crate::clock::{Clock, ManualClock, to_unix_millis};
use crate::codec::Codec;
use crate::crypto::purpose::Purpose;
use crate::error::Error;
use crate::random::Random;

#[tokio::test]
async fn a_session_id_round_trips_in_88_characters() {
    let world = World::new();
    let host = world.host();
    let token = host.seal(&purpose(), &[7; 16]).await.unwrap();
    assert_eq!(token.len(), 88);
    let (id, seal) = host
        .open_short(&purpose(), token.as_bytes(), |it| <[u8; 16]>::try_from(it).ok())
        .await
        .unwrap();
    assert_eq!(id, [7; 16]);
    assert!(!seal.reissue);
    assert_eq!(to_unix_millis(seal.issued_at), to_unix_millis(ManualClock::default().now()));
    assert!(is_invalid(
        &host.open_short(&purpose(), token.as_bytes(), |it| <[u8; 15]>::try_from(it).ok()).await
    ));
    assert!(is_invalid(
        &host.open_short(&purpose(), token.as_bytes(), |it| <[u8; 17]>::try_from(it).ok()).await
    ));
}

#[tokio::test]
async fn two_tokens_of_one_value_differ() {
    let world = World::new();
    let host = world.host_with(|builder| builder.random(Random::default()));
    let (one, two) = (seal(&host).await, seal(&host).await);
    assert_ne!(one, two);
    // Also from generators in the same state, as in two copies of one virtual machine.
    let copy = async || {
        let host = world.host_with(|builder| builder.random(Random::seeded(1)));
        let token = seal(&host).await;
        assert_eq!(key_of(&token), key_of(&one));
        token
    };
    let (one, same) = (copy().await, copy().await);
    assert_eq!(one, same);
    world.pass(std::time::Duration::from_millis(1));
    let nonce = |token: &str| token[8..38].to_owned();
    assert_ne!(nonce(&one), nonce(&copy().await));
}

#[tokio::test]
async fn the_longest_value_fits_and_a_longer_one_says_so() {
    let host = World::new().host();
    let longest = vec![1; 6094];
    let token = host.seal(&purpose(), &longest).await.unwrap();
    assert_eq!(token.len(), 8 * 1024);
    assert_eq!(host.open(&purpose(), &token).await.unwrap(), longest);
    let error = host.seal(&purpose(), &[1; 6095]).await.unwrap_err();
    assert!(
        matches!(&error, Error::Encode { source, .. } if source.to_string().contains("6095")),
        "{error}"
    );
}

#[test]
fn futures_are_send_and_small() {
    fn check<T: Send>(future: &T) {
        assert!(size_of_val(future) <= 256, "{}", size_of_val(future));
    }
    let (codec, purpose) = (World::new().host(), Purpose::new("p"));
    check(&codec.seal(&purpose, b""));
    check(&codec.open(&purpose, ""));
    check(&codec.open_short(&purpose, b"", |it| <[u8; 16]>::try_from(it).ok()));
}

#[tokio::test]
async fn typed_values_round_trip_and_other_types_are_invalid() {
    use serde::{Deserialize, Serialize};
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Link {
        user: u64,
        email: Option<String>,
    }
    struct Unwilling;
    impl Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let host = World::new().host();
    let link = Link { user: 7, email: Some("ada@example.com".into()) };
    let token = host.seal_value(&purpose(), &link).await.unwrap();
    assert_eq!(host.open_value::<Link>(&purpose(), &token).await.unwrap(), link);
    assert!(is_invalid(&host.open_value::<Vec<u8>>(&purpose(), &token).await));
    assert!(matches!(host.seal_value(&purpose(), &Unwilling).await, Err(Error::Encode { .. })));
}

#[tokio::test]
async fn debug_output_and_errors_show_no_secret() {
    let host = World::new().host();
    let token = seal(&host).await;
    let secret = format!("{:?}", host.ring.secrets()[0]);
    let shown = format!("{host:?} {:?}", open(&host, &token[1..]).await);
    assert!(shown.contains("Codec") && !shown.contains(&secret) && !shown.contains(&token[40..]));
}

/// Collects what is said in events.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<String>>);

impl tracing::field::Visit for Events {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        *self.0.lock().unwrap() += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Where an event comes up first on another test's thread, tracing asks every subscriber there is
/// whether it is of interest, or only that thread's if there is one at most.
static INTERESTED: LazyLock<[tracing::Dispatch; 2]> =
    LazyLock::new(|| [(); 2].map(|()| tracing::Dispatch::new(Events::default())));

#[tokio::test(start_paused = true)]
async fn events_say_what_happened_and_hold_no_secret() {
    LazyLock::force(&INTERESTED);
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    let secrets = host.ring.secrets();
    let forged = format!("{}AAAA", &token[..84]);
    assert!(is_invalid(&open(&host, &forged).await));
    world.provider.set(Mode::Down);
    assert!(host.refresh().await.is_err());
    world.pass(10 * MINUTE);
    open(&host, &token).await.unwrap();
    idle(&host).await;
    world.provider.set(Mode::Up);
    world.delete().await;
    host.rotate_now().await.unwrap();
    let said = events.0.lock().unwrap().clone();
    for expected in [
        "a key was created",
        "a token was refused",
        "reason=\"forged\"",
        "could not be refreshed",
        "connection refused",
        "record is missing",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert!(!said.contains(&token[40..]) && !said.contains(&forged[40..]));
    for secret in secrets.iter().chain(&host.ring.secrets()) {
        let hex: String = secret[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{}, {}, {}", secret[0], secret[1], secret[2]);
        assert!(!said.contains(&hex) && !said.contains(&list));
    }
}

/// A host, one of another app, and one of another ring.
struct Fixture {
    runtime: Runtime,
    host: Codec,
    other_app: Codec,
    other_ring: Codec,
}

thread_local! {
    static FIXTURE: Fixture = {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (world, apart) = (World::new(), World::new());
        // The other ring's host must not have the seed of the first.
        apart.host();
        let host = world.host();
        let other_app = world.host_with(|builder| builder.app("other"));
        let other_ring = apart.host();
        runtime.block_on(async {
            for codec in [&host, &other_app, &other_ring] {
                codec.refresh().await.unwrap();
            }
        });
        Fixture { runtime, host, other_app, other_ring }
    };
}

fn opens(codec: &Codec, runtime: &Runtime, purpose: &Purpose, token: &str) -> Option<Vec<u8>> {
    match runtime.block_on(codec.open(purpose, token)) {
        Ok(payload) => Some(payload),
        Err(Error::InvalidToken) => None,
        // A changed key id may name a key that is to come.
        Err(Error::Unavailable(_)) if key_of(token) != codec.ring.oldest().0 => None,
        Err(error) => panic!("{error:?}"),
    }
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_value_round_trips(payload in prop::collection::vec(any::<u8>(), 0..6095), name in ".*") {
        FIXTURE.with(|Fixture { runtime, host, .. }| {
            let purpose = Purpose::new(&name);
            let token = runtime.block_on(host.seal(&purpose, &payload)).unwrap();
            prop_assert_eq!(token.len(), ((payload.len() + 50) * 4).div_ceil(3));
            prop_assert!(token.bytes().all(|byte| ALPHABET.contains(&byte)));
            prop_assert_eq!(opens(host, runtime, &purpose, &token), Some(payload));
            Ok(())
        })?;
    }

    #[test]
    fn any_change_of_a_token_is_invalid(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        length in any::<prop::sample::Index>(),
        tail in "[A-Za-z0-9_=+/ \n-]{1,8}",
        character in any::<char>(),
    ) {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        FIXTURE.with(|Fixture { runtime, host, .. }| {
            let purpose = purpose();
            let token = runtime.block_on(host.seal(&purpose, &payload)).unwrap();
            let refused = |token: &str| opens(host, runtime, &purpose, token).is_none();
            let mut bytes = engine.decode(&token).unwrap();
            let at_byte = at.index(bytes.len());
            bytes[at_byte] ^= 1 << bit;
            prop_assert!(refused(&engine.encode(&bytes)), "bit {} of byte {}", bit, at_byte);
            prop_assert!(refused(&token[..length.index(token.len())]));
            bytes[at_byte] ^= 1 << bit;
            prop_assert!(refused(&engine.encode(&bytes[..length.index(bytes.len())])));
            let extended = format!("{token}{tail}");
            prop_assert!(refused(&extended), "{}", extended);
            bytes.push(bit);
            prop_assert!(refused(&engine.encode(&bytes)));
            let at_char = at.index(token.len());
            let replaced: String = token.chars().enumerate()
                .map(|(index, old)| if index == at_char { character } else { old }).collect();
            prop_assert!(replaced == token || refused(&replaced));
            Ok(())
        })?;
    }

    #[test]
    fn a_token_opens_only_in_its_app_its_ring_and_its_purpose(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        name in "[a-z]{0,8}",
        other in "[a-z]{0,8}",
    ) {
        FIXTURE.with(|Fixture { runtime, host, other_app, other_ring }| {
            let purpose = Purpose::new(&name);
            let token = runtime.block_on(host.seal(&purpose, &payload)).unwrap();
            prop_assert!(name == other || opens(host, runtime, &Purpose::new(&other), &token).is_none());
            prop_assert!(opens(host, runtime, &Purpose::session(&name), &token).is_none());
            for codec in [other_app, other_ring] {
                // Also when it names a key that they have.
                let key = codec.ring.oldest().0.to_bytes();
                prop_assert!(opens(codec, runtime, &purpose, &token).is_none());
                prop_assert!(opens(codec, runtime, &purpose, &renamed(&token, key)).is_none());
            }
            Ok(())
        })?;
    }

    #[test]
    fn nonsense_is_invalid(token in ".*") {
        FIXTURE.with(|Fixture { runtime, host, .. }| {
            prop_assert_eq!(opens(host, runtime, &purpose(), &token), None);
            Ok(())
        })?;
    }

    #[test]
    fn texts_that_decode_to_the_same_bytes_are_one(payload in prop::collection::vec(any::<u8>(), 0..4)) {
        FIXTURE.with(|Fixture { runtime, host, .. }| {
            let purpose = purpose();
            let token = runtime.block_on(host.seal(&purpose, &payload)).unwrap();
            // Every other last character: one of them may differ only in bits that carry nothing.
            for last in ALPHABET {
                let other = format!("{}{}", &token[..token.len() - 1], char::from(*last));
                prop_assert!(other == token || opens(host, runtime, &purpose, &other).is_none());
            }
            for padding in ["=", "==", "\n", "\r\n"] {
                let padded = format!("{token}{padding}");
                prop_assert!(opens(host, runtime, &purpose, &padded).is_none());
            }
            Ok(())
        })?;
    }
}
