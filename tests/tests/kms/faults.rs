//! KMS down, slow, denied, or lost for good, and a database that somebody edits.

use std::time::{Duration, Instant, SystemTime};

use sessions::keys::{KeyEncryption, LocalKey, Recipients};
use sessions::provider::{Expect, Provider as _, Record};
use sessions::{Error, MemoryProvider, Session, Store};
use sessions_tests::jar::Jar;
use sessions_tests::kms::{DELETED, DENIED, DISABLED, FAILED, Mode, THROTTLED};

use crate::{behind_a_front, chain};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u32>,
    visits: u32,
}

const LOST: [Mode; 6] = [FAILED, THROTTLED, DENIED, DISABLED, DELETED, Mode::Hangs];

fn store(provider: &MemoryProvider, keys: impl KeyEncryption) -> Store {
    Store::builder(provider.clone()).app("shop").key_encryption(keys).build().unwrap()
}

/// A visitor who has logged in.
async fn login(store: &Store) -> Jar {
    let mut visitor = store.load::<Visitor>(Jar::new().headers()).await.unwrap();
    visitor.user = Some(7);
    Jar::of(&visitor.commit().await.unwrap())
}

async fn visit(store: &Store, jar: &mut Jar) -> Result<u32, Error> {
    let mut visitor = store.load::<Visitor>(jar.headers()).await?;
    assert_eq!(visitor.user, Some(7), "the visitor is logged in, or it is an error");
    visitor.visits += 1;
    let visits = visitor.visits;
    jar.keep(&visitor.commit().await.unwrap());
    Ok(visits)
}

#[tokio::test]
async fn a_running_host_goes_on_and_a_starting_one_waits_and_logs_nobody_out() {
    let (key, front) = behind_a_front().await;
    let provider = MemoryProvider::new();
    let running = store(&provider, key.clone());
    let mut jar = login(&running).await;
    let mut visits = 0;
    for lost in LOST {
        front.set(lost);
        let starting = store(&provider, key.clone());
        let start = Instant::now();
        let error = starting.codec().refresh().await.unwrap_err();
        assert!(error.is_unavailable(), "{lost:?}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(30));
        let error = visit(&starting, &mut jar).await.unwrap_err();
        assert!(error.is_unavailable(), "{lost:?}: {error:?}");
        visits += 1;
        assert_eq!(visit(&running, &mut jar).await.unwrap(), visits);
        running.codec().refresh().await.unwrap();
        login(&running).await;
        // It starts as soon as somebody has mended it.
        front.set(Mode::Passes);
        starting.codec().refresh().await.unwrap();
        visits += 1;
        assert_eq!(visit(&starting, &mut jar).await.unwrap(), visits);
    }
}

#[tokio::test]
async fn an_error_says_what_an_operator_has_to_do() {
    let (key, front) = behind_a_front().await;
    let provider = MemoryProvider::new();
    login(&store(&provider, key.clone())).await;
    for (mode, text) in [(DENIED, "allow kms:Encrypt"), (DISABLED, "enable it")] {
        front.set(mode);
        let error = store(&provider, key.clone()).codec().refresh().await.unwrap_err();
        assert!(chain(&error).contains(text), "{}", chain(&error));
    }
}

#[tokio::test]
async fn no_ring_is_made_while_its_key_cannot_be_wrapped() {
    let (key, front) = behind_a_front().await;
    let provider = MemoryProvider::new();
    for lost in LOST {
        front.set(lost);
        let error = store(&provider, key.clone()).codec().refresh().await.unwrap_err();
        assert!(error.is_unavailable(), "{lost:?}: {error:?}");
        assert_eq!(provider.fetch("shop:keys", SystemTime::now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn another_region_answers_while_the_first_does_not() {
    let ((one, first), (two, second)) = (behind_a_front().await, behind_a_front().await);
    let provider = MemoryProvider::new();
    let both = || Recipients::new(one.clone()).and(two.clone());
    let mut jar = login(&store(&provider, both())).await;
    for lost in LOST {
        for (broken, other) in [(&first, &second), (&second, &first)] {
            broken.set(lost);
            other.set(Mode::Passes);
            let starting = store(&provider, both());
            starting.codec().refresh().await.unwrap();
            visit(&starting, &mut jar).await.unwrap();
        }
        second.set(lost);
        first.set(lost);
        let starting = store(&provider, both());
        assert!(starting.codec().refresh().await.unwrap_err().is_unavailable());
        first.set(Mode::Passes);
        second.set(Mode::Passes);
    }
}

#[tokio::test]
async fn a_key_for_recovery_opens_the_ring_when_the_others_are_lost() {
    let ((key, front), (recovery, vault)) = (behind_a_front().await, behind_a_front().await);
    vault.set(Mode::EncryptsOnly);
    let provider = MemoryProvider::new();
    let hosts = || Recipients::new(key.clone()).and_recovery(recovery.clone());
    let mut jar = login(&store(&provider, hosts())).await;
    visit(&store(&provider, hosts()), &mut jar).await.unwrap();
    assert!(vault.asked().iter().all(|it| it == "Encrypt"), "hosts do not try to decrypt");
    // Even a host that is told to ask cannot.
    front.set(DELETED);
    let asks = store(&provider, Recipients::new(key.clone()).and(recovery.clone()));
    assert!(asks.codec().refresh().await.unwrap_err().is_unavailable());
    // A person may decrypt, and moves the ring to a new key.
    vault.set(Mode::Passes);
    let (new, _front) = behind_a_front().await;
    let rescue = store(&provider, Recipients::new(new.clone()).and(recovery.clone()));
    rescue.codec().rewrap_keys().await.unwrap();
    vault.set(Mode::EncryptsOnly);
    let moved = store(&provider, Recipients::new(new).and_recovery(recovery));
    visit(&moved, &mut jar).await.unwrap();
}

#[tokio::test]
async fn a_ring_moves_between_a_local_key_and_kms() {
    let (kms, _front) = behind_a_front().await;
    let local = || LocalKey::from_bytes([1; 32]);
    let provider = MemoryProvider::new();
    let mut jar = login(&store(&provider, local())).await;
    let both = store(&provider, Recipients::new(local()).and(kms.clone()));
    visit(&both, &mut jar).await.unwrap();
    both.codec().rewrap_keys().await.unwrap();
    for keys in [Recipients::new(local()), Recipients::new(kms.clone())] {
        visit(&store(&provider, keys), &mut jar).await.unwrap();
    }
    let alone = store(&provider, Recipients::new(kms.clone()));
    alone.codec().rewrap_keys().await.unwrap();
    visit(&store(&provider, kms), &mut jar).await.unwrap();
    assert!(store(&provider, local()).codec().refresh().await.is_err());
}

/// The places of the wrapped keys in the record of a ring, each an id and a blob: see
/// `sessions/src/keyring/record.rs`.
fn wrapped_keys(data: &[u8]) -> Vec<(usize, usize)> {
    let bytes = |at: usize| at + 2 + usize::from(u16::from_be_bytes([data[at], data[at + 1]]));
    let mac = 1 + 16 + 8 + 1;
    assert_eq!((data[0], data[mac - 1]), (1, 1), "a ring under a key-encryption key");
    let mut found = vec![(mac, bytes(bytes(mac)))];
    let mut at = found[0].1 + 1;
    for _ in 0..data[found[0].1] {
        at += 4 + 4 * 8;
        assert_eq!(data[at], 2, "a wrapped key");
        found.push((at + 1, bytes(bytes(at + 1))));
        at = found.last().unwrap().1;
    }
    found
}

/// The id and the blob without the last recipient: see `sessions/src/keyring/recipient_set.rs`.
fn stripped(wrapped: &[u8]) -> Vec<u8> {
    let bytes =
        |of: &[u8], at: usize| at + 2 + usize::from(u16::from_be_bytes([of[at], of[at + 1]]));
    let id_end = bytes(wrapped, 0);
    let id = str::from_utf8(&wrapped[2..id_end]).unwrap();
    let (kept, _) = id.rsplit_once(',').unwrap();
    let mut blob = wrapped[id_end + 2..].to_vec();
    let mut last = 2;
    for _ in 1..blob[1] {
        last = bytes(&blob, bytes(&blob, last));
    }
    let end = bytes(&blob, bytes(&blob, last));
    blob.drain(last..end);
    blob[1] -= 1;
    let mut out = Vec::new();
    for part in [kept.as_bytes(), &blob] {
        out.extend((part.len() as u16).to_be_bytes());
        out.extend(part);
    }
    out
}

#[tokio::test]
async fn a_recipient_that_is_stripped_in_the_database_is_refused() {
    let ((one, _first), (two, _second), (three, _third)) =
        (behind_a_front().await, behind_a_front().await, behind_a_front().await);
    let provider = MemoryProvider::new();
    let set = || Recipients::new(one.clone()).and(two.clone()).and_recovery(three.clone());
    login(&store(&provider, set())).await;
    let now = SystemTime::now();
    let record = provider.fetch("shop:keys", now).await.unwrap().unwrap();
    let places = wrapped_keys(&record.data);
    assert_eq!(places.len(), 2, "the one that authenticates, and a key");
    for attacked in [&places[..1], &places[1..], &places[..]] {
        let mut data = Vec::new();
        let mut at = 0;
        for (from, to) in attacked {
            data.extend(&record.data[at..*from]);
            data.extend(stripped(&record.data[*from..*to]));
            at = *to;
        }
        data.extend(&record.data[at..]);
        let edited = Record { data: data.into(), ..record.clone() };
        provider.save(&edited, Expect::Any, now).await.unwrap();
        let error = store(&provider, set()).codec().refresh().await.unwrap_err();
        assert!(!error.is_unavailable(), "{error:?}");
        assert!(chain(&error).contains("restore"), "{}", chain(&error));
        assert_eq!(provider.fetch("shop:keys", now).await.unwrap(), Some(edited));
    }
    provider.save(&record, Expect::Any, now).await.unwrap();
    store(&provider, set()).codec().refresh().await.unwrap();
}
