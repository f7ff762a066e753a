//! Keys that are stored for several key services.

use std::sync::Arc;

use bytes::Bytes;

use super::encryption::*;
use super::support::*;
use crate::clock::{Clock, to_unix_millis};
use crate::codec::Codec;
use crate::error::Error;
use crate::keyring::local_key::LocalKey;
use crate::keyring::recipients::Recipients;
use crate::keyring::record::with_wrapped;

fn of(services: &[&Arc<Service>]) -> Recipients {
    let (first, others) = services.split_first().unwrap();
    let recipients = Recipients::new((*first).clone());
    others.iter().fold(recipients, |all, service| all.and((*service).clone()))
}

fn host(world: &World, recipients: Recipients) -> Codec {
    world.host_with(|builder| builder.key_encryption(recipients))
}

fn local(key: u8) -> LocalKey {
    LocalKey::from_bytes([key; 32])
}

/// The ids under which the keys are stored.
fn kek_ids(host: &Codec) -> Vec<String> {
    let keys = host.key_ring().unwrap().keys;
    keys.into_iter().filter_map(|key| key.kek_id).collect()
}

/// The text of an error and of those behind it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn any_recipient_opens_the_ring_while_the_others_are_lost() {
    for lost in [DOWN, DENIED, HANGING, PANICKING] {
        let world = World::new();
        let [a, b, c] = [1, 2, 3].map(Service::new);
        let holder = host(&world, of(&[&a, &b, &c]));
        let token = seal(&holder).await;
        for (left, others) in [(&a, [&b, &c]), (&b, [&a, &c]), (&c, [&a, &b])] {
            left.set(UP);
            others.iter().for_each(|other| other.set(lost));
            let fresh = host(&world, of(&[&a, &b, &c]));
            fresh.refresh().await.unwrap();
            open(&fresh, &token).await.unwrap();
            open(&holder, &seal(&fresh).await).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_primary_alone_is_asked_while_it_answers() {
    let world = World::new();
    let [a, b, recovery] = [1, 2, 3].map(Service::new);
    let set = || of(&[&a, &b]).and_recovery(recovery.clone());
    let token = seal(&host(&world, set())).await;
    let calls = || [a.take_calls(), b.take_calls(), recovery.take_calls()];
    assert_eq!(calls(), [2, 2, 2], "one key, and the one that authenticates");
    open(&host(&world, set()), &token).await.unwrap();
    assert_eq!(calls(), [2, 0, 0]);
    a.set(DOWN);
    open(&host(&world, set()), &token).await.unwrap();
    assert_eq!(calls(), [2, 2, 0]);
    b.set(DOWN);
    assert!(is_unavailable(&open(&host(&world, set()), &token).await));
    assert_eq!(calls()[2], 0, "the one for recovery is never asked");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_unavailable_while_a_recipient_may_still_come_back() {
    let world = World::new();
    let [a, b] = [1, 2].map(Service::new);
    let token = seal(&host(&world, of(&[&a, &b]))).await;
    for (first, second) in
        [(DENIED, DOWN), (DOWN, WRITE_ONLY), (HANGING, DENIED), (DENIED, HANGING)]
    {
        a.set(first);
        b.set(second);
        let fresh = host(&world, of(&[&a, &b]));
        let error = fresh.refresh().await.unwrap_err();
        assert!(error.is_unavailable(), "{first} {second}: {error:?}");
        let text = chain(&error);
        assert!(text.contains("recipient 1: ") || text.contains("recipient 2: "), "{text}");
        assert!(is_unavailable(&open(&fresh, &token).await));
    }
    a.set(DENIED);
    b.set(WRITE_ONLY);
    let error = host(&world, of(&[&a, &b])).refresh().await.unwrap_err();
    assert!(!error.is_unavailable());
    let text = chain(&error);
    assert!(text.contains("recipient 1: denied; recipient 2: decrypting is denied"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_made_for_all_recipients_or_not_at_all() {
    let world = World::new();
    let [a, b] = [1, 2].map(Service::new);
    let holder = host(&world, of(&[&a, &b]));
    for lost in [DOWN, DENIED, HANGING, PANICKING] {
        b.set(lost);
        let error = holder.refresh().await.unwrap_err();
        assert_eq!(error.is_unavailable(), lost != DENIED, "{error:?}");
        assert!(world.record().await.is_none());
        assert!(lost == PANICKING || chain(&error).contains("recipient 2 of 2"), "{error:?}");
    }
    b.set(UP);
    let tokens = weeks(&world, &holder, 1).await;
    let before = world.keys().await.len();
    // Hosts go on for a day longer than the key was to seal.
    b.set(DOWN);
    let last = world.keys().await[0].2;
    while to_unix_millis(world.clock.now()) / 1000 < last + 23 * 3600 {
        world.pass(HOUR);
        open(&holder, &seal(&holder).await).await.unwrap();
        idle(&holder).await;
    }
    assert_eq!(world.keys().await.len(), before, "no key was made for one recipient alone");
    b.set(UP);
    world.pass(HOUR);
    let _ = seal(&holder).await;
    idle(&holder).await;
    assert_eq!(world.keys().await.len(), before + 1);
    for token in &tokens {
        open(&holder, token).await.unwrap();
    }
}

/// A stored set, as somebody sees it who reads and writes the database.
struct Set {
    recipients: Vec<(String, Vec<u8>)>,
    rest: Vec<u8>,
}

impl Set {
    fn of(blob: &[u8]) -> Self {
        let mut at = 2;
        let mut bytes = || {
            let length = usize::from(u16::from_be_bytes([blob[at], blob[at + 1]]));
            at += 2 + length;
            blob[at - length..at].to_vec()
        };
        let recipient = |_| (String::from_utf8(bytes()).unwrap(), bytes());
        let recipients = (0..blob[1]).map(recipient).collect();
        Self { recipients, rest: blob[at..].to_vec() }
    }

    fn stored(&self) -> (String, Vec<u8>) {
        let ids: Vec<_> = self.recipients.iter().map(|(id, _)| &**id).collect();
        let mut blob = vec![1, ids.len() as u8];
        for (id, wrapped) in &self.recipients {
            for bytes in [id.as_bytes(), wrapped] {
                blob.extend((bytes.len() as u16).to_be_bytes());
                blob.extend(bytes);
            }
        }
        blob.extend(&self.rest);
        (format!("recipients:{}", ids.join(",")), blob)
    }
}

type Attack = (&'static str, fn(&mut Set, &Set, &Set));

/// What can be done to a set, with another of the same ring and one of another ring at hand.
const ATTACKS: &[Attack] = &[
    ("the recovery recipient is removed", |set, _, _| drop(set.recipients.pop())),
    ("the primary is removed", |set, _, _| drop(set.recipients.remove(0))),
    ("all but the primary are removed", |set, _, _| set.recipients.truncate(1)),
    ("all are removed", |set, _, _| set.recipients.clear()),
    ("two are swapped", |set, _, _| set.recipients.swap(1, 2)),
    ("all are moved", |set, _, _| set.recipients.rotate_left(1)),
    ("two swap their blobs", |set, _, _| {
        let (one, two) = set.recipients.split_at_mut(2);
        std::mem::swap(&mut one[1].1, &mut two[0].1);
    }),
    ("one is there twice", |set, _, _| set.recipients.push(set.recipients[0].clone())),
    ("one is added", |set, _, _| set.recipients.push(("mine".into(), vec![1; 72]))),
    ("one is renamed", |set, _, _| set.recipients[2].0 = "mine".into()),
    ("one is emptied", |set, _, _| set.recipients[2].1.clear()),
    ("one is cut short", |set, _, _| set.recipients[2].1.truncate(71)),
    ("one is replaced by zeros", |set, _, _| set.recipients[2].1.fill(0)),
    ("one is replaced by that of another key", |set, other, _| {
        set.recipients[2] = other.recipients[2].clone();
    }),
    ("all are replaced by those of another key", |set, other, _| {
        set.recipients.clone_from(&other.recipients);
    }),
    ("one is replaced by that of another ring", |set, _, foreign| {
        set.recipients[2] = foreign.recipients[2].clone();
    }),
    ("the key is that of another set", |set, other, _| set.rest.clone_from(&other.rest)),
    ("the key is cut short", |set, _, _| set.rest.truncate(71)),
    ("the key is gone", |set, _, _| set.rest.clear()),
];

#[tokio::test(start_paused = true)]
async fn no_recipient_is_removed_added_replaced_or_moved_in_the_database() {
    let world = World::new();
    let [a, b, recovery] = [1, 2, 3].map(Service::new);
    let set = || of(&[&a, &b]).and_recovery(recovery.clone());
    let holder = host(&world, set());
    let tokens = weeks(&world, &holder, 1).await;
    let record = world.record().await.unwrap();
    let elsewhere = World::new();
    seal(&host(&elsewhere, set())).await;
    let foreign = elsewhere.record().await.unwrap();
    let collect = |data: &[u8]| {
        let blobs = std::cell::RefCell::new(Vec::new());
        with_wrapped(data, |_, kek, blob| {
            blobs.borrow_mut().push(blob.to_vec());
            (kek.to_owned(), blob.to_vec())
        });
        blobs.into_inner()
    };
    let (own, foreign) = (collect(&record.data), collect(&foreign.data));
    assert_eq!(own.len(), 3, "two keys, and the one that authenticates");
    // Which are attacked: the key that authenticates, a key, all keys, all.
    type Hits = fn(usize) -> bool;
    let targets: [(&str, Hits); 4] = [
        ("the authenticating key", |place| place == 0),
        ("one key", |place| place == 1),
        ("every key", |place| place > 0),
        ("all", |_| true),
    ];
    for (name, attack) in ATTACKS {
        for (which, is_attacked) in targets {
            let data = with_wrapped(&record.data, |place, kek, blob| {
                if !is_attacked(place) {
                    return (kek.to_owned(), blob.to_vec());
                }
                let mut set = Set::of(blob);
                let other = Set::of(&own[(place + 1) % own.len()]);
                attack(&mut set, &other, &Set::of(&foreign[place.min(1)]));
                set.stored()
            });
            assert_ne!(data, record.data, "{name}");
            must_be_refused(&world, &record, data, set(), &tokens, &format!("{name} of {which}"))
                .await;
        }
    }
    // A blob of one recipient is not a key by itself, with or without the others' consent.
    for recipient in 0..3 {
        for (which, is_attacked) in targets {
            let data = with_wrapped(&record.data, |place, kek, blob| {
                if is_attacked(place) {
                    Set::of(blob).recipients[recipient].clone()
                } else {
                    (kek.to_owned(), blob.to_vec())
                }
            });
            let what = format!("{which} is what recipient {recipient} wrapped");
            must_be_refused(&world, &record, data, set(), &tokens, &what).await;
        }
    }
    open(&host(&world, set()), &tokens[0]).await.unwrap();
}

/// A process that starts refuses the record, says so, and leaves it as it is.
async fn must_be_refused(
    world: &World,
    record: &crate::provider::Record,
    data: Vec<u8>,
    recipients: Recipients,
    tokens: &[String],
    what: &str,
) {
    let mut edited = record.clone();
    edited.data = Bytes::from(data);
    let other = World::new();
    other.clock.set(world.clock.now());
    other.put(&edited).await;
    let fresh = host(&other, recipients);
    let error = fresh.refresh().await.expect_err(what);
    let text = chain(&error);
    let clear = [
        "restore the record",
        "record is damaged; restore it",
        "changed or swapped",
        "does not have",
    ];
    assert!(!error.is_unavailable() && clear.iter().any(|it| text.contains(it)), "{what}: {text}");
    for token in tokens {
        assert!(open(&fresh, token).await.is_err(), "{what}");
    }
    assert_eq!(other.record().await, Some(edited), "{what}");
}

#[tokio::test(start_paused = true)]
async fn hosts_that_hold_the_keys_write_over_a_set_whose_recipient_was_removed() {
    let world = World::new();
    let [a, recovery] = [1, 2].map(Service::new);
    let set = || of(&[&a]).and_recovery(recovery.clone());
    let holder = host(&world, set());
    let token = seal(&holder).await;
    let record = world.record().await.unwrap();
    let mut edited = record.clone();
    edited.data = Bytes::from(with_wrapped(&record.data, |place, kek, blob| {
        let mut set = Set::of(blob);
        if place == 0 {
            return (kek.to_owned(), blob.to_vec());
        }
        set.recipients.pop();
        set.stored()
    }));
    world.put(&edited).await;
    holder.refresh().await.unwrap();
    // The recipient for recovery opens what is stored now.
    let recovered = host(&world, of(&[&Service::new(9), &recovery]));
    open(&recovered, &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_from_before_a_recipient_was_added_is_not_kept() {
    let world = World::new();
    let [a, recovery] = [1, 2].map(Service::new);
    let token = seal(&host(&world, of(&[&a]))).await;
    let old = world.record().await.unwrap();
    let holder = host(&world, of(&[&a]).and_recovery(recovery.clone()));
    holder.rewrap_keys().await.unwrap();
    world.put(&old).await;
    holder.refresh().await.unwrap();
    assert!(kek_ids(&holder).iter().all(|id| id.starts_with("recipients:local:")));
    open(&host(&world, of(&[&Service::new(9), &recovery])), &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ring_moves_to_another_key_service_in_steps_that_invalidate_no_token() {
    let world = World::new();
    let [old, new] = [1, 2].map(Service::new);
    // Each step is deployed while hosts of the step before run, restart, and make keys.
    let steps: [&dyn Fn() -> Codec; 5] = [
        &|| world.host_with(|builder| builder.key_encryption(old.clone())),
        &|| host(&world, of(&[&old])),
        &|| host(&world, of(&[&old, &new])),
        &|| host(&world, of(&[&new])),
        &|| world.host_with(|builder| builder.key_encryption(new.clone())),
    ];
    let mut tokens = weeks(&world, &steps[0](), 1).await;
    let mut deployed = vec![steps[0]()];
    for step in 1..steps.len() {
        deployed.push(steps[step]());
        for (at, host) in deployed.iter().enumerate().skip(step - 1) {
            open(host, tokens.last().unwrap()).await.unwrap();
            // It makes the next key, which hosts of both steps open.
            tokens.extend(weeks(&world, host, 1).await);
            for again in [steps[step - 1](), steps[step]()] {
                for token in &tokens[tokens.len() - 3..] {
                    open(&again, token).await.unwrap_or_else(|e| panic!("{step} {at}: {e:?}"));
                }
            }
        }
        // Between the two deploys that add a recipient and remove the other.
        if step >= 2 {
            deployed[step].rewrap_keys().await.unwrap();
            world.pass(MINUTE);
            for again in [steps[step - 1](), steps[step]()] {
                open(&again, tokens.last().unwrap()).await.unwrap();
            }
        }
    }
    old.set(DENIED);
    open(&steps[4](), tokens.last().unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_of_one_key_goes_on_with_what_it_holds_and_says_what_it_lacks() {
    let world = World::new();
    let plain = world.host_with(|builder| builder.key_encryption(local(1)));
    let token = seal(&plain).await;
    let both = host(&world, Recipients::new(local(1)).and(local(2)));
    both.rewrap_keys().await.unwrap();
    let record = world.record().await;
    world.pass(DAY);
    assert!(plain.refresh().await.is_err());
    open(&plain, &seal(&plain).await).await.unwrap();
    assert_eq!(world.record().await, record);
    let fresh = world.host_with(|builder| builder.key_encryption(local(1)));
    let error = fresh.refresh().await.unwrap_err();
    assert!(chain(&error).contains("give this host Recipients::new()"), "{error:?}");
    // It logs nobody out, and repairs itself when it gets the set.
    assert!(is_unavailable(&open(&fresh, &token).await));
    open(&host(&world, Recipients::new(local(1))), &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_key_for_several_recipients_is_unavailable_to_a_host_of_one_key() {
    let world = World::new();
    let plain = world.host_with(|builder| builder.key_encryption(local(1)));
    let both = host(&world, Recipients::new(local(1)).and(local(2)));
    seal(&plain).await;
    open(&both, &seal(&plain).await).await.unwrap();
    // The next key, which the key of before authenticates.
    let tokens = weeks(&world, &both, 1).await;
    plain.refresh().await.unwrap();
    assert!(is_unavailable(&open(&plain, tokens.last().unwrap()).await));
    // It seals with the key that it has.
    open(&both, &seal(&plain).await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_set_may_change_its_order_and_a_recipient_its_key() {
    let world = World::new();
    let token = seal(&host(&world, Recipients::new(local(1)).and(local(2)))).await;
    for recipients in [
        Recipients::new(local(2)).and(local(1)),
        Recipients::new(local(9)).and(local(8)).and(local(2)),
        Recipients::new(local(9).and_previous(local(1))).and(local(8)),
        Recipients::new(local(2)).and_recovery(local(1)),
        Recipients::new(local(9)).and_recovery(local(1)).and(local(2)),
    ] {
        open(&host(&world, recipients), &token).await.unwrap();
    }
    // A host that may not unwrap with the only recipient it knows does not.
    let stranger = host(&world, Recipients::new(local(9)).and_recovery(local(1)));
    assert!(stranger.refresh().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn recipients_that_cannot_work_say_so() {
    let world = World::new();
    let nine = (1..10).map(Service::new).collect::<Vec<_>>();
    let error = host(&world, of(&nine.iter().collect::<Vec<_>>())).refresh().await.unwrap_err();
    assert!(chain(&error).contains("9 recipients are set, at most 8 are possible"), "{error:?}");
    host(&World::new(), of(&nine[..8].iter().collect::<Vec<_>>())).refresh().await.unwrap();
    let twice = host(&world, Recipients::new(local(1)).and_recovery(local(1)));
    assert!(chain(&twice.refresh().await.unwrap_err()).contains("two recipients use the key"));
    let outside = std::thread::spawn(|| {
        use crate::keyring::encryption::KeyEncryption as _;
        let recipients = Recipients::new(local(1)).and(local(2));
        let mut call = std::pin::pin!(recipients.wrap(&[0; 32], b""));
        let waker = std::task::Waker::noop();
        match call.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
            std::task::Poll::Ready(result) => result.unwrap_err().to_string(),
            std::task::Poll::Pending => "pending".to_owned(),
        }
    });
    assert!(outside.join().unwrap().contains("inside a tokio runtime"));
}
