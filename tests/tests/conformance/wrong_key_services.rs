//! The suite of key services finds what is wrong: services with one fault each fail the property
//! that is about it, with a message that names it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sessions::keys::conformance::{PROPERTIES, Subject};
use sessions::keys::{KeyEncryption, KeyEncryptionError, LocalKey, WrappedKey};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::wrong::panic_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    // wraps
    MaterialIsCut,
    MaterialIsText,
    EmptyContextIsRefused,
    LongContextIsRefused,
    ContextMustBeText,
    WrapsAreEqual,
    BlobIsLong,
    IdIsLong,
    IdIsEmpty,
    BlobShowsMaterial,
    IdShowsMaterial,
    // refusals
    ContextIsIgnored,
    ContextIsText,
    ContextIsTrimmed,
    ContextIsCut,
    AnotherContextIsUnavailable,
    HeaderIsIgnored,
    FlippedBlobPanics,
    RestIsIgnored,
    ShortBlobPanics,
    ZerosAreAKey,
    IdIsIgnored,
    IdIsAPrefix,
    ErrorShowsMaterial,
    // calls
    CallsAreMixedUp,
    CancelledCallsLeak,
    InstancesDiffer,
    SuccessorForgets,
    StrangerOpens,
}

/// Each fault, the property that must find it, and what its message must say.
const FAULTS: &[(Fault, &str, &str)] = {
    use Fault::*;
    &[
        (MaterialIsCut, "what_was_wrapped_unwraps", "is 31 other bytes"),
        (MaterialIsText, "what_was_wrapped_unwraps", "other bytes"),
        (EmptyContextIsRefused, "contexts_of_any_bytes_work", "a context of 0 bytes"),
        (LongContextIsRefused, "contexts_of_any_bytes_work", "a context of 128 bytes"),
        (ContextMustBeText, "contexts_of_any_bytes_work", "but failed"),
        (WrapsAreEqual, "wrapping_twice_gives_two_blobs", "must be wrapped to another blob"),
        (BlobIsLong, "blobs_and_ids_fit_into_a_record", "must have at most 8192 bytes"),
        (IdIsLong, "blobs_and_ids_fit_into_a_record", "must have 1 to 1024 bytes, but has 2000"),
        (IdIsEmpty, "blobs_and_ids_fit_into_a_record", "must have 1 to 1024 bytes, but has 0"),
        (BlobShowsMaterial, "blobs_and_ids_hold_no_material", "a blob must not contain"),
        (IdShowsMaterial, "blobs_and_ids_hold_no_material", "an id must not contain"),
        (ContextIsIgnored, "another_context_is_refused_for_good", "must be refused, but unwrapped"),
        (ContextIsText, "another_context_is_refused_for_good", "must be refused, but unwrapped"),
        (ContextIsTrimmed, "another_context_is_refused_for_good", "must be refused, but unwrapped"),
        (ContextIsCut, "another_context_is_refused_for_good", "must be refused, but unwrapped"),
        (
            AnotherContextIsUnavailable,
            "another_context_is_refused_for_good",
            "must be refused permanently",
        ),
        (HeaderIsIgnored, "changed_blobs_are_refused", "a flipped bit in byte 0 must be refused"),
        (FlippedBlobPanics, "changed_blobs_are_refused", "not a blob"),
        (RestIsIgnored, "cut_and_extended_blobs_are_refused", "with 1 more bytes must be refused"),
        (ShortBlobPanics, "cut_and_extended_blobs_are_refused", "not a blob"),
        (ShortBlobPanics, "bytes_of_no_service_are_refused", "not a blob"),
        (ZerosAreAKey, "bytes_of_no_service_are_refused", "12 bytes that no service made must be"),
        (IdIsIgnored, "another_key_id_is_refused", "must be refused, but unwrapped"),
        (IdIsAPrefix, "another_key_id_is_refused", "must be refused, but unwrapped"),
        (ErrorShowsMaterial, "errors_hold_no_material", "but shows it in hexadecimal digits"),
        (CallsAreMixedUp, "calls_that_run_at_once_are_told_apart", "must unwrap"),
        (
            CancelledCallsLeak,
            "cancelled_calls_leave_the_service_usable",
            "failed: no connection left",
        ),
        (InstancesDiffer, "two_instances_are_one_service", "what the other wrapped must unwrap"),
        (SuccessorForgets, "the_successor_opens_what_came_before", "before the key was changed"),
        (StrangerOpens, "a_stranger_opens_nothing", "what a stranger unwraps must be refused"),
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

/// The message with which the property fails.
async fn check(property: &str, fault: Fault) -> Option<String> {
    let property = PROPERTIES.iter().find(|known| known.name == property).unwrap();
    let key = |byte| LocalKey::from_bytes([byte; 32]);
    let twin = if fault == Fault::InstancesDiffer { key(9) } else { key(1) };
    let successor =
        if fault == Fault::SuccessorForgets { key(2) } else { key(2).and_previous(key(1)) };
    let stranger = if fault == Fault::StrangerOpens { key(1) } else { key(3) };
    let subject = Subject::new(Wrong::new(fault, key(1)))
        .with_twin(Wrong::new(fault, twin))
        .with_successor(Wrong::new(fault, successor))
        .with_stranger(Wrong::new(fault, stranger));
    panic_of(tokio::spawn(property.check(subject)).await)
}

/// A right service that a fault is put in front of.
struct Wrong {
    inner: LocalKey,
    fault: Fault,
    /// What was wrapped last.
    last: Mutex<Option<(Vec<u8>, WrappedKey)>>,
    connections: Arc<Semaphore>,
}

impl Wrong {
    fn new(fault: Fault, inner: LocalKey) -> Self {
        Self { inner, fault, last: Mutex::default(), connections: Arc::new(Semaphore::new(20)) }
    }

    /// The context as the fault has it.
    fn context(&self, context: &[u8]) -> Result<Vec<u8>, KeyEncryptionError> {
        let refused = || Err(KeyEncryptionError::permanent("not a context"));
        match self.fault {
            Fault::ContextIsIgnored => Ok(Vec::new()),
            Fault::ContextIsText => Ok(String::from_utf8_lossy(context).into_owned().into()),
            Fault::ContextIsTrimmed => Ok(context.trim_ascii().to_vec()),
            Fault::ContextIsCut => Ok(context[..context.len().min(32)].to_vec()),
            Fault::EmptyContextIsRefused if context.is_empty() => refused(),
            Fault::LongContextIsRefused if context.len() > 100 => refused(),
            Fault::ContextMustBeText if str::from_utf8(context).is_err() => refused(),
            _ => Ok(context.to_vec()),
        }
    }

    /// Takes a connection and, if cancelled, never gives it back.
    async fn leak(&self) -> Result<(), KeyEncryptionError> {
        if self.fault == Fault::CancelledCallsLeak {
            let permit = self.connections.try_acquire();
            permit.map_err(|_| KeyEncryptionError::unavailable("no connection left"))?.forget();
            for _ in 0..3 {
                yield_now().await;
            }
            self.connections.add_permits(1);
        }
        Ok(())
    }
}

#[async_trait]
impl KeyEncryption for Wrong {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        self.leak().await?;
        let mut sealed = material.to_vec();
        if self.fault == Fault::CallsAreMixedUp {
            // One place for the call's argument, which others write too.
            let place = || self.last.lock().unwrap();
            *place() = Some((sealed, WrappedKey { kek_id: String::new(), blob: Vec::new() }));
            for _ in 0..20 {
                yield_now().await;
            }
            sealed = place().as_ref().unwrap().0.clone();
        }
        if self.fault == Fault::MaterialIsText {
            sealed = String::from_utf8_lossy(&sealed).into_owned().into();
        }
        if self.fault == Fault::WrapsAreEqual
            && let Some((before, wrapped)) = &*self.last.lock().unwrap()
            && before == material
        {
            return Ok(wrapped.clone());
        }
        let mut wrapped = self.inner.wrap(&sealed, &self.context(context)?).await?;
        let shown = String::from_utf8_lossy(material).into_owned();
        match self.fault {
            Fault::BlobIsLong => wrapped.blob.resize(9_000, 0),
            Fault::IdIsLong => wrapped.kek_id = "x".repeat(2_000),
            Fault::IdIsEmpty => wrapped.kek_id.clear(),
            Fault::BlobShowsMaterial => wrapped.blob.extend(material),
            Fault::IdShowsMaterial => wrapped.kek_id.push_str(&shown),
            Fault::HeaderIsIgnored => wrapped.blob.insert(0, 1),
            _ => {}
        }
        if self.fault != Fault::CallsAreMixedUp {
            *self.last.lock().unwrap() = Some((material.to_vec(), wrapped.clone()));
        }
        Ok(wrapped)
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        self.leak().await?;
        let (mut kek_id, mut blob) = (kek_id.to_owned(), blob.to_vec());
        let own = async || self.inner.wrap(&[0; 32], b"").await.unwrap().kek_id;
        match self.fault {
            Fault::HeaderIsIgnored if !blob.is_empty() => drop(blob.remove(0)),
            Fault::RestIsIgnored => blob.truncate(72),
            Fault::ShortBlobPanics if blob.len() < 72 => panic!("not a blob"),
            Fault::ZerosAreAKey if blob == [0; 12] => return Ok(vec![0; 32]),
            Fault::IdIsIgnored => kek_id = own().await,
            Fault::IdIsAPrefix => {
                let own = own().await;
                if kek_id.starts_with(&own) {
                    kek_id = own;
                }
            }
            _ => {}
        }
        let opened = self.inner.unwrap(&kek_id, &blob, &self.context(context)?).await;
        match (self.fault, opened) {
            (Fault::MaterialIsCut, Ok(mut material)) => {
                material.pop();
                Ok(material)
            }
            (Fault::AnotherContextIsUnavailable, Err(_)) => {
                Err(KeyEncryptionError::unavailable("something failed"))
            }
            (Fault::FlippedBlobPanics, Err(_)) if blob.len() == 72 => panic!("not a blob"),
            (Fault::ErrorShowsMaterial, Err(error)) => {
                let last = self.last.lock().unwrap();
                let digits = last.iter().flat_map(|(material, _)| material);
                let digits: String = digits.map(|byte| format!("{byte:02x}")).collect();
                Err(error.with_source(format!("could not decrypt to {digits}")))
            }
            (_, opened) => opened,
        }
    }
}
