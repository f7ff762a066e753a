//! A provider with a hook before and after each call, and the hooks that the tests share: counts with a
//! switch, faults, and a gate that calls wait at.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sessions::clock::{Clock as _, ManualClock};
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    async_trait,
};
pub use sessions::testing::{Call, Calls};
use tokio::sync::watch;

/// Another provider, with a hook.
#[derive(Debug)]
pub struct Hooked<P, H> {
    inner: P,
    hook: H,
}

/// What happens around a provider's calls. An error takes the place of the call's answer.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// Whether it hears of a call: of all but the key ring's, scans and purges, unless it says otherwise.
    fn hears(&self, call: Call, id: &str) -> bool {
        !matches!(call, Call::Scan | Call::Purge) && !is_key_ring(id)
    }

    /// Before the call reaches the provider.
    ///
    /// # Errors
    /// When the call is not to take place.
    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        let _ = (call, id);
        Ok(())
    }

    /// After the call took place; `met` says whether the record was as the call expected it.
    ///
    /// # Errors
    /// When its answer is to be lost.
    async fn after(&self, call: Call, id: &str, met: bool) -> Result<(), ProviderError> {
        let _ = (call, id, met);
        Ok(())
    }

    /// Before a fetch of many records reaches the provider, after `before`.
    ///
    /// # Errors
    /// When the call is not to take place.
    async fn before_many(&self, ids: &[&str]) -> Result<(), ProviderError> {
        let _ = ids;
        Ok(())
    }

    /// The time that the database tells, if not the provider's own answer.
    fn clock(&self) -> Option<SystemTime> {
        None
    }
}

/// A hook that gives the database a clock of its own.
#[async_trait]
impl Hook for ManualClock {
    fn clock(&self) -> Option<SystemTime> {
        Some(self.now())
    }
}

impl<P, H> Hooked<P, H> {
    /// Hooks into a provider.
    pub fn new(inner: P, hook: H) -> Self {
        Self { inner, hook }
    }
}

impl<P: Provider, H: Hook> Hooked<P, H> {
    async fn call<T: Answer>(
        &self,
        call: Call,
        id: &str,
        answer: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        if !self.hook.hears(call, id) {
            return answer.await;
        }
        self.hook.before(call, id).await?;
        let answer = answer.await?;
        self.hook.after(call, id, answer.met()).await?;
        Ok(answer)
    }
}

#[async_trait]
impl<P: Provider, H: Hook> Provider for Hooked<P, H> {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.call(Call::Fetch, id, self.inner.fetch(id, now)).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.call(Call::Save, &record.id, self.inner.save(record, expect, now)).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.call(Call::Delete, id, self.inner.delete(id, expect, now)).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.call(Call::Touch, id, self.inner.touch(id, expires_at, expect, now)).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.call(Call::List, owner, self.inner.list(owner, page, now)).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.call(Call::Scan, "", self.inner.scan(page, now)).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.call(Call::Purge, "", self.inner.purge(expired_before, limit)).await
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        match self.hook.clock() {
            Some(clock) => Ok(Some(clock)),
            None => self.inner.clock().await,
        }
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.hook.before_many(ids).await?;
        let id = ids.first().unwrap_or(&"");
        self.call(Call::Fetch, id, self.inner.fetch_many(ids, now)).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        self.inner.changes(listener).await
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let saved = self.inner.save_and_announce(record, expect, now);
        self.call(Call::Save, &record.id, saved).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        self.inner.announce(ids).await
    }
}

/// What a provider answers.
trait Answer {
    /// Whether it is no conflict.
    fn met(&self) -> bool {
        true
    }
}

impl Answer for Option<Record> {}
impl Answer for Vec<Record> {}
impl Answer for Listed {}
impl Answer for u64 {}

impl Answer for Saved {
    fn met(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

impl Answer for Deleted {
    fn met(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

impl Answer for Touched {
    fn met(&self) -> bool {
        !matches!(self, Self::Conflict(_))
    }
}

/// Whether this is the id of the key ring's record, which is read and written in the background.
fn is_key_ring(id: &str) -> bool {
    id.ends_with(":keys") || id.ends_with(":epoch")
}

/// A provider whose calls are counted, and which can be switched off.
pub fn watched<P>(inner: P) -> (Hooked<P, Watch>, Watch) {
    let watch = Watch::default();
    (Hooked::new(inner, watch.clone()), watch)
}

/// A hook that counts calls but the key ring's, and lets all of them fail while it is down. Clones
/// share the counts and the switch.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<(Calls, bool)>>);

impl Watch {
    /// The calls since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Calls {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Makes every call fail as a database does that is down, or lets them through again.
    pub fn set_down(&self, down: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = down;
    }
}

#[async_trait]
impl Hook for Watch {
    fn hears(&self, _: Call, _: &str) -> bool {
        true
    }

    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, down) = &mut *state;
        if !is_key_ring(id) {
            *match call {
                Call::Fetch => &mut calls.fetch,
                Call::Save => &mut calls.save,
                Call::Touch => &mut calls.touch,
                Call::Delete => &mut calls.delete,
                Call::List => &mut calls.list,
                Call::Scan => &mut calls.scan,
                Call::Purge => &mut calls.purge,
            } += 1;
        }
        if *down {
            return Err(ProviderError::unavailable("switched off by the test"));
        }
        Ok(())
    }
}

/// What goes wrong with a [`Faults`] hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The provider is down: no call takes place.
    Down,
    /// So many calls fail without taking place, from the next on.
    Next(u32),
    /// The answer to the one call of this kind that has this number, from 1 on, is lost.
    Lost(Call, u32),
    /// The answer to the next call of this kind is lost, and the provider is down from then on.
    LostThenDown(Call),
    /// The answer to the next call of this kind is lost, and so many calls after it fail.
    LostThenNext(Call, u32),
    /// The answer to each call of this kind whose number this divides is lost.
    LostEach(Call, u32),
}

/// A hook that makes calls fail. Clones share the fault.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<(Fault, u32)>>,
    spares_conflicts: bool,
}

impl Faults {
    /// Faults that lose no conflict, and do not count them: each answer that is lost leaves its caller
    /// with a change that it does not know of.
    #[must_use]
    pub fn of_changes() -> Self {
        Self { spares_conflicts: true, ..Self::default() }
    }

    /// Sets what goes wrong from now on, and counts calls from here.
    pub fn set(&self, fault: Fault) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (fault, 0);
    }

    /// From now on calls take place; an answer that is still to be lost stays so.
    pub fn heal(&self) {
        let fault = &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).0;
        if matches!(fault, Fault::Down | Fault::Next(_)) {
            *fault = Fault::None;
        }
    }
}

#[async_trait]
impl Hook for Faults {
    async fn before(&self, _: Call, _: &str) -> Result<(), ProviderError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.0 {
            Fault::Down => Err(ProviderError::unavailable("switched off by the test")),
            Fault::Next(left) if *left > 0 => {
                *left -= 1;
                Err(ProviderError::unavailable("the test let it fail"))
            }
            _ => Ok(()),
        }
    }

    async fn after(&self, call: Call, _: &str, met: bool) -> Result<(), ProviderError> {
        if self.spares_conflicts && !met {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, count) = &mut *state;
        let loses = match *fault {
            Fault::Lost(kind, number) if kind == call => {
                *count += 1;
                *count == number
            }
            Fault::LostThenDown(kind) if kind == call => {
                *fault = Fault::Down;
                true
            }
            Fault::LostThenNext(kind, calls) if kind == call => {
                *fault = Fault::Next(calls);
                true
            }
            Fault::LostEach(kind, number) if kind == call => {
                *count += 1;
                count.is_multiple_of(number)
            }
            _ => false,
        };
        if loses {
            return Err(ProviderError::unavailable("the test lost the answer"));
        }
        Ok(())
    }
}

/// A hook that lets calls of one kind wait until it is opened. Clones share the gate.
#[derive(Clone, Debug)]
pub struct Gate {
    call: Call,
    open: watch::Sender<bool>,
    arrivals: watch::Sender<u32>,
}

impl Gate {
    /// An open gate for this kind of call.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self { call, open: watch::Sender::new(true), arrivals: watch::Sender::new(0) }
    }

    /// From now on calls wait.
    pub fn close(&self) {
        self.arrivals.send_replace(0);
        self.open.send_replace(false);
    }

    /// Lets through all that wait and all that come.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until this many calls have arrived since the gate was closed.
    ///
    /// # Panics
    /// Never: the gate holds both ends of its channel.
    pub async fn arrived(&self, calls: u32) {
        let mut arrivals = self.arrivals.subscribe();
        arrivals.wait_for(|count| *count >= calls).await.expect("the gate holds the sender");
    }
}

#[async_trait]
impl Hook for Gate {
    async fn before(&self, call: Call, _: &str) -> Result<(), ProviderError> {
        if call == self.call && !*self.open.borrow() {
            self.arrivals.send_modify(|count| *count += 1);
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.expect("the gate holds the sender");
        }
        Ok(())
    }
}
