//! What the connections of a feed push, and who hears it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use redis::{PushInfo, PushKind, Value};
use sessions::provider::{ChangeListener, Ping, ProviderError};
use tokio::sync::Notify;

use crate::keys::PROBE;

/// Passes what the connections of a feed push on to its listener, until this is dropped.
///
/// The driver calls it for each push when it has read that, and nothing is kept: however fast the
/// changes come, there is no buffer that could overflow.
pub(crate) struct Pushes {
    shared: Arc<Shared>,
}

struct Shared {
    /// What the key of each record begins with.
    prefix: String,
    // A std mutex, not tokio's: it is not held across an await.
    stage: Mutex<Stage>,
    lost: Notify,
}

enum Stage {
    /// The feed has not begun: whether the probe was pushed, and whether anything else.
    Early {
        probed: bool,
        others: bool,
    },
    Begun(ChangeListener),
    /// Its caller has given it up, while the driver may still run.
    Over,
}

impl Pushes {
    pub(crate) fn new(prefix: String) -> Self {
        let stage = Mutex::new(Stage::Early { probed: false, others: false });
        Self { shared: Arc::new(Shared { prefix, stage, lost: Notify::new() }) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// Hears what one connection pushes.
    pub(crate) fn hear(&self) -> impl Fn(PushInfo) -> Result<(), Infallible> + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |push| {
            match push.kind {
                PushKind::Invalidate => shared.invalidated(&push.data),
                PushKind::Disconnection => shared.lost.notify_one(),
                _ => {}
            }
            Ok(())
        }
    }

    /// Begins to tell, if the probe was heard.
    pub(crate) fn begin(&self, listener: ChangeListener) -> Result<(), ProviderError> {
        let mut stage = self.shared.stage();
        let Stage::Early { probed, others } = *stage else { return Ok(()) };
        if !probed {
            return Err(ProviderError::unavailable(
                "Redis accepts CLIENT TRACKING and does not tell of a change: if this lasts, a \
                 proxy stands in between; connect to Redis itself, or call without_changes()",
            ));
        }
        listener.began();
        // Nobody knows whether their changes completed before this line or behind it.
        if others {
            listener.gap();
        }
        *stage = Stage::Begun(listener);
        Ok(())
    }

    pub(crate) fn proved(&self, ping: Ping) {
        if let Stage::Begun(listener) = &*self.shared.stage() {
            listener.proved(ping);
        }
    }

    /// Waits for `call`, or for the loss of a connection, which is an error.
    pub(crate) async fn unless_lost<T>(
        &self,
        call: impl Future<Output = T>,
    ) -> Result<T, ProviderError> {
        // The call first: where it fails, its error says more.
        match select(pin!(call), pin!(self.shared.lost.notified())).await {
            Either::Left((answer, _)) => Ok(answer),
            Either::Right(_) => Err(ProviderError::unavailable(
                "the connection by which Redis tells of changes was lost",
            )),
        }
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        *self.shared.stage() = Stage::Over;
    }
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An array of keys, or null where the database was flushed. Redis does not say whether a key
    /// was set, deleted, evicted, or has expired; nor in which of its databases.
    fn invalidated(&self, data: &[Value]) {
        let keys = match data {
            [Value::Array(keys)] => Some(keys),
            _ => None,
        };
        let ids = keys.into_iter().flatten().filter_map(|key| self.id(key));
        match &mut *self.stage() {
            Stage::Early { probed, others } => {
                *others |= keys.is_none();
                for id in ids {
                    *probed |= id == PROBE;
                    *others |= id != PROBE;
                }
            }
            Stage::Begun(listener) => {
                ids.for_each(|id| listener.changed(id));
                if keys.is_none() {
                    listener.gap();
                }
            }
            Stage::Over => {}
        }
    }

    /// `None` for the key of anything but a record.
    fn id<'k>(&self, key: &'k Value) -> Option<&'k str> {
        let Value::BulkString(key) = key else { return None };
        std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(keys: &[&[u8]]) -> PushInfo {
        let keys = keys.iter().map(|key| Value::BulkString(key.to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(keys)] }
    }

    fn flushed() -> PushInfo {
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] }
    }

    fn listener() -> (ChangeListener, Arc<Mutex<Vec<String>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = ChangeListener::new({
            let heard = heard.clone();
            move |notice| heard.lock().unwrap().push(format!("{notice:?}"))
        });
        (listener, heard)
    }

    #[test]
    fn what_came_before_the_begin_is_a_gap_unless_it_was_the_probe() {
        let probe = push(&[b"shop:record:probe"]);
        let cases = [
            (vec![], None),
            (vec![push(&[b"shop:record:a"])], None),
            (vec![probe.clone()], Some(&["Began"][..])),
            (vec![push(&[b"shop:{owner:a}:ids"]), probe.clone()], Some(&["Began"])),
            (vec![push(&[b"shop:record:a"]), probe.clone()], Some(&["Began", "Gap"])),
            (vec![probe, flushed()], Some(&["Began", "Gap"])),
        ];
        for (early, told) in cases {
            let pushes = Pushes::new("shop:record:".to_owned());
            let hear = pushes.hear();
            early.into_iter().for_each(|push| hear(push).unwrap());
            let (listener, heard) = listener();
            let begun = pushes.begin(listener);
            assert_eq!(begun.is_ok(), told.is_some());
            assert_eq!(*heard.lock().unwrap(), told.unwrap_or_default());
        }
    }

    #[test]
    fn keys_of_records_are_told_until_the_end() {
        let pushes = Pushes::new("shop:record:".to_owned());
        let hear = pushes.hear();
        hear(push(&[b"shop:record:probe"])).unwrap();
        let (listener, heard) = listener();
        pushes.begin(listener).unwrap();
        let other = [&b"shop:{owner:a}:ids"[..], b"shop2:record:a", b"shop:record:\xff", b""];
        hear(push(&[&other[..], &[b"shop:record:a", b"shop:record:\xc3\xa9:x"]].concat())).unwrap();
        hear(flushed()).unwrap();
        assert_eq!(
            *heard.lock().unwrap(),
            ["Began", "Changed(\"a\")", "Changed(\"\u{e9}:x\")", "Gap"]
        );
        drop(pushes);
        hear(push(&[b"shop:record:a"])).unwrap();
        assert_eq!(heard.lock().unwrap().len(), 4);
    }
}
