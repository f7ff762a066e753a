//! A handle's changes, and writing them over a record. Pure: no store, and no time except as an
//! argument.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::fence::LoginAttempt;
use super::plan::{Asked, OwnerMove};
use super::session_type::SessionType;
use crate::authentication::{Authentication, Proof};
use crate::clock::{from_unix_millis, to_unix_millis};
use crate::device::{Device, Devices};
use crate::error::Error;
use crate::id::{SecretHash, StoreKey};
use crate::schema::fields::Fields;
use crate::schema::header::{Header, MAX_SAVES, OwnTimes};
use crate::schema::limits::{MAX_OWNER, check_label, check_length, check_proof};
use crate::schema::merge::{self, Diff};
use crate::schema::stored::Stored;
use crate::transport::{Carrier, Transport};

/// A handler's requests besides its changes. In one commit, destroying comes first, then renewal,
/// then changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asks {
    pub(crate) destroy: bool,
    pub(crate) renew: bool,
    /// Boxed, because few requests set times.
    pub(crate) times: Option<Box<AskedTimes>>,
    /// Whether the request is no activity, so that reading moves no expiry. Asks for nothing.
    pub(crate) skip_touch: bool,
    /// From where the request came. Asks for nothing: it is written when something else is.
    pub(crate) device: Option<Arc<Device>>,
    pub(crate) lock: bool,
    pub(crate) label: Option<Arc<str>>,
    /// Whether a session that begins has its token in the header.
    pub(crate) header: bool,
    /// Boxed, because few requests are logins.
    pub(crate) attempt: Option<Box<LoginAttempt>>,
    /// Boxed, because few requests set it.
    pub(crate) identity: Option<Box<AskedIdentity>>,
}

/// What a handler says of the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AskedIdentity {
    /// The owner has just proved who they are.
    pub(crate) proof: Option<Proof>,
    /// For whom the owner acts from now on; `Some(None)`: for themselves.
    pub(crate) acting_as: Option<Option<Arc<str>>>,
}

impl AskedIdentity {
    fn and(self, later: Self) -> Self {
        Self { proof: later.proof.or(self.proof), acting_as: later.acting_as.or(self.acting_as) }
    }
}

impl Asks {
    pub(crate) fn is_empty(&self) -> bool {
        !self.destroy
            && !self.renew
            && self.times.is_none()
            && self.label.is_none()
            && !self.header
            && !self.lock
            && self.attempt.is_none()
            && self.identity.is_none()
    }

    pub(crate) fn asked(&self) -> Asked {
        let Self { destroy, renew, .. } = *self;
        Asked {
            destroy,
            // An owner who proves again who they are goes on in their session.
            renew: renew || self.proof().is_some(),
            proof: self.attempt.is_some(),
            header: self.lock || self.label.is_some() || self.times.is_some(),
        }
    }

    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.identity.as_ref()?.proof.as_ref()
    }

    /// Combines these requests with those of another handle of the same session.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            destroy: self.destroy || other.destroy,
            renew: self.renew || other.renew,
            times: match (self.times, other.times) {
                (Some(one), Some(two)) => Some(Box::new(one.and(*two))),
                (one, two) => one.or(two),
            },
            skip_touch: self.skip_touch || other.skip_touch,
            device: other.device.or(self.device),
            lock: self.lock || other.lock,
            label: other.label.or(self.label),
            header: self.header || other.header,
            attempt: other.attempt.or(self.attempt),
            identity: match (self.identity, other.identity) {
                (Some(one), Some(two)) => Some(Box::new(one.and(*two))),
                (one, two) => one.or(two),
            },
        }
    }

    /// Returns the requests that remain after `done`.
    pub(crate) fn without(self, done: &Self) -> Self {
        Self {
            destroy: self.destroy && !done.destroy,
            renew: self.renew && !done.renew,
            times: self.times.filter(|it| Some(it) != done.times.as_ref()),
            skip_touch: self.skip_touch,
            device: self.device,
            lock: self.lock && !done.lock,
            label: self.label.filter(|it| Some(it) != done.label.as_ref()),
            header: self.header && !done.header,
            attempt: self.attempt.filter(|it| Some(it) != done.attempt.as_ref()),
            identity: self.identity.filter(|it| Some(it) != done.identity.as_ref()),
        }
    }
}

/// The changes of a session's own times that a handler asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AskedTimes {
    /// Whether to drop the ones that it has first.
    pub(crate) forget: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) persistent: bool,
}

impl AskedTimes {
    /// Returns a session's own times with these changes.
    fn over(self, own: OwnTimes) -> OwnTimes {
        let own = if self.forget { OwnTimes::default() } else { own };
        OwnTimes {
            idle: self.idle.or(own.idle),
            lifetime: self.lifetime.or(own.lifetime),
            persistent: self.persistent || own.persistent,
        }
    }

    /// These changes, and then the later ones.
    pub(crate) fn and(self, later: Self) -> Self {
        if later.forget {
            return later;
        }
        Self {
            forget: self.forget,
            idle: later.idle.or(self.idle),
            lifetime: later.lifetime.or(self.lifetime),
            persistent: self.persistent || later.persistent,
        }
    }
}

/// A value's changes, ready to be written over a record.
pub(crate) struct Patch {
    pub(super) session_type: Arc<SessionType>,
    pub(super) diff: Diff,
    pub(super) owner_move: OwnerMove,
    /// The fields that the value came from.
    base: Fields,
    pub(super) mine: Fields,
    /// The owner, in the form of records.
    owner: Option<Arc<str>>,
    /// The owner as its field displays it, if it changed or proved who they are.
    pub(super) owner_name: Option<Arc<str>>,
    pub(super) asks: Asks,
    pub(super) now: SystemTime,
}

/// What a renewal writes into the header.
#[derive(Clone, Copy)]
pub(super) struct Renewal {
    pub(super) secret: SecretHash,
    /// What a login writes, if the renewal is one.
    pub(super) login: Option<Numbers>,
}

/// The numbers of a login.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// Orders the owner's logins.
    pub(super) ticket: u64,
    /// The epoch's.
    pub(super) epoch: u64,
}

/// A record about to be saved.
pub(super) struct Draft<'p> {
    /// The fields. Owned if they were merged.
    pub(super) fields: Cow<'p, Fields>,
    pub(super) header: Header,
    pub(super) owner: Option<Arc<str>>,
}

/// The random id of a save. If a retry finds it in the record, an earlier try has won although its
/// answer was lost.
pub(super) type SaveId = u64;

impl Patch {
    /// Returns the patch that turns `base` into `mine`. `owner` is the record's.
    pub(super) fn new(
        session_type: Arc<SessionType>,
        base: Fields,
        mut mine: Fields,
        owner: Option<&Arc<str>>,
        asks: Asks,
        now: SystemTime,
    ) -> Result<Box<Self>, Error> {
        let table = session_type.table;
        if let Some(label) = &asks.label {
            check_label(session_type.name(), label)?;
        }
        if let Some(proof) = asks.proof() {
            check_proof(session_type.name(), proof)?;
        }
        let acting_as = asks.identity.as_ref().and_then(|it| it.acting_as.as_ref()?.as_deref());
        check_length(session_type.name(), "acting_as", acting_as.unwrap_or_default(), MAX_OWNER)?;
        let diff = merge::diff(table, &base, &mut mine)?;
        let proves = asks.attempt.is_some() || asks.proof().is_some();
        let owner_name = if diff.owner || proves { mine.owner(table)? } else { None };
        let owner_name: Option<Arc<str>> = owner_name.map(Into::into);
        let (owner_move, owner) = match (owner, &owner_name) {
            (owner, None) if !diff.owner => match owner {
                Some(owner) => (OwnerMove::Same, Some(owner.clone())),
                None => (OwnerMove::Nobody, None),
            },
            (None, None) => (OwnerMove::Nobody, None),
            (Some(_), None) => (OwnerMove::Leaves, None),
            (was, Some(name)) => {
                let filed: Arc<str> = session_type.owner(name).into();
                match was {
                    None => (OwnerMove::Appears, Some(filed)),
                    // Stored differently, but the same person.
                    Some(was) if *was == filed => (OwnerMove::Same, Some(filed)),
                    Some(_) => (OwnerMove::Replaced, Some(filed)),
                }
            }
        };
        let needs_owner = asks.identity.as_ref().is_some_and(|it| {
            it.proof.is_some() || it.acting_as.as_ref().is_some_and(Option::is_some)
        });
        if needs_owner && owner.is_none() {
            return Err(Error::misuse(
                "authenticated() and act_as() are about the session's owner, and it has none; assign \
                 the owner first",
            ));
        }
        // Boxed, so that it does not move while it is being saved.
        Ok(Box::new(Self {
            session_type,
            diff,
            owner_move,
            base,
            mine,
            owner,
            owner_name,
            asks,
            now,
        }))
    }

    /// Returns the fields that the value came from.
    pub(super) fn base(&self) -> &Fields {
        &self.base
    }

    /// Returns the owner, in the form of records.
    pub(super) fn owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    /// Whether the header changes and no field does.
    pub(super) fn changes_header(&self, stored: &Stored) -> Result<bool, Error> {
        let Asks { times, label, .. } = &self.asks;
        let own = stored.summary.own;
        if self.asks.identity.is_some() || self.asks.lock && !stored.summary.locked {
            return Ok(true);
        }
        if times.as_ref().is_some_and(|times| times.over(own) != own) {
            return Ok(true);
        }
        Ok(label.is_some() && *label != stored.header()?.label)
    }

    /// Returns my changes as those of a new session: over fresh values, so that no data of the
    /// continuing session exists twice.
    pub(super) fn over_fresh(&self, key: &StoreKey) -> Result<Box<Self>, Error> {
        let fresh = (self.session_type.fresh)()?;
        let mine = merge::replay(self.session_type.table, &self.base, &self.mine, &fresh)
            .inspect_err(|error| {
                self.session_type.events.merge_failed(self.session_type.name(), key, error);
            })?;
        self.of_new_session(fresh, mine)
    }

    /// Returns my value as that of a new session.
    pub(super) fn as_new(&self) -> Result<Box<Self>, Error> {
        self.of_new_session((self.session_type.fresh)()?, self.mine.clone())
    }

    fn of_new_session(&self, fresh: Fields, mine: Fields) -> Result<Box<Self>, Error> {
        Self::new(self.session_type.clone(), fresh, mine, None, self.asks.clone(), self.now)
    }

    /// Returns my value as a session's first record.
    pub(super) fn first(&self, renewal: Option<Renewal>, carrier: Carrier) -> Draft<'_> {
        let mut header = Header::new(self.now);
        header.summary.own = self.own_times(OwnTimes::default());
        header.label = self.asks.label.clone();
        header.token_in_header = carrier.transport() == Transport::Header;
        self.identify(&mut header, false, false);
        self.see(&mut header, false, false);
        if let Some(renewal) = renewal {
            self.renew(&mut header, renewal);
            header.summary.previous = None;
        }
        Draft { fields: Cow::Borrowed(&self.mine), header, owner: self.owner.clone() }
    }

    /// Returns my value over the record that it came from.
    pub(super) fn over(
        &self,
        below: &Stored,
        owner: Option<&Arc<str>>,
        renewal: Option<Renewal>,
    ) -> Result<Draft<'_>, Error> {
        self.draft(Cow::Borrowed(&self.mine), below, owner, renewal)
    }

    /// Returns my changes merged with theirs, always from the original base and mine.
    pub(super) fn onto(
        &self,
        key: &StoreKey,
        theirs: &Stored,
        owner: Option<&Arc<str>>,
        renewal: Option<Renewal>,
    ) -> Result<Draft<'_>, Error> {
        let table = self.session_type.table;
        let name = self.session_type.name();
        let merged = merge::merge(table, &self.base, &self.mine, &theirs.fields(table)?)
            .inspect_err(|error| self.session_type.events.merge_failed(name, key, error))?;
        self.session_type.events.merged(name, key, &merged.overwritten);
        self.draft(Cow::Owned(merged.fields), theirs, owner, renewal)
    }

    fn draft<'p>(
        &self,
        fields: Cow<'p, Fields>,
        below: &Stored,
        owner: Option<&Arc<str>>,
        renewal: Option<Renewal>,
    ) -> Result<Draft<'p>, Error> {
        let mut header = below.header()?;
        let stays = matches!(self.owner_move, OwnerMove::Same | OwnerMove::Nobody);
        let login = renewal.is_some_and(|renewal| renewal.login.is_some());
        // Settings of one login do not carry over to the next.
        let inherits = stays && !login;
        self.identify(&mut header, inherits, login);
        self.see(&mut header, inherits && self.asks.proof().is_none(), inherits);
        let own = if inherits { header.summary.own } else { OwnTimes::default() };
        header.summary.own = self.own_times(own);
        header.label = self.asks.label.clone().or(header.label.filter(|_| inherits));
        if !stays {
            // A new owner restarts the lifetime, on a device that is not known.
            header.summary.created_at = self.now;
            (header.summary.is_bound, header.bound) = (false, None);
        }
        if let Some(renewal) = renewal {
            self.renew(&mut header, renewal);
        }
        let owner = if self.diff.owner { self.owner.clone() } else { owner.cloned() };
        Ok(Draft { fields, header, owner })
    }

    /// Writes who the owner is known to be, and for whom they act.
    fn identify(&self, header: &mut Header, inherits: bool, login: bool) {
        if !inherits {
            (header.authentication, header.acting_as) = (None, None);
        }
        let stays = matches!(self.owner_move, OwnerMove::Same);
        header.authentication = match self.asks.proof() {
            Some(proof) => {
                let mut now = Authentication::of(proof, self.now);
                if inherits && stays {
                    let was = header.authentication.take();
                    now.opened_by = was.and_then(|was| was.opened_by);
                }
                Some(now)
            }
            // A new owner logs in when the session is created.
            None if login && stays => Some(Authentication::plain(self.now)),
            None => header.authentication.take().map(|it| *it),
        }
        .map(Box::new);
        if let Some(whom) = self.asks.identity.as_ref().and_then(|it| it.acting_as.clone()) {
            header.acting_as = whom;
        }
    }

    /// Writes that the session is used, and from where. `goes_on`: its owner was there before, and has
    /// not proved again who they are.
    fn see(&self, header: &mut Header, goes_on: bool, inherits: bool) {
        let Asks { device, lock, skip_touch, .. } = &self.asks;
        let is_owned = self.owner_move == OwnerMove::Same;
        let was_locked =
            goes_on && self.session_type.is_locked(&header.summary, is_owned, self.now);
        let summary = &mut header.summary;
        summary.locked = was_locked || *lock;
        if !self.session_type.locks() && !summary.locked {
            summary.seen_at = None;
        } else if !goes_on || !was_locked && (!*skip_touch || *lock) {
            summary.seen_at = Some(from_unix_millis(to_unix_millis(self.now)));
        }
        let device = device.as_deref().filter(|_| !(inherits && *skip_touch));
        header.devices = match (header.devices.take().filter(|_| inherits), device) {
            (was, None) => was,
            (Some(mut was), Some(device)) => {
                was.last = device.clone();
                Some(was)
            }
            (None, Some(device)) => {
                Some(Box::new(Devices { first: device.clone(), last: device.clone() }))
            }
        };
    }

    fn own_times(&self, own: OwnTimes) -> OwnTimes {
        self.asks.times.as_ref().map_or(own, |times| times.over(own))
    }

    fn renew(&self, header: &mut Header, renewal: Renewal) {
        let summary = &mut header.summary;
        // Only a holder of the secret from the time of the same owner may still end the session.
        summary.previous = summary
            .secret
            .filter(|_| matches!(self.owner_move, OwnerMove::Same | OwnerMove::Nobody));
        summary.secret = Some(renewal.secret);
        summary.renewed_at = self.now;
        if let Some(Numbers { ticket, epoch }) = renewal.login {
            header.ticket = ticket;
            header.summary.epoch = epoch;
            header.mark = self.asks.attempt.as_ref().and_then(|attempt| attempt.mark());
        }
    }
}

impl Draft<'_> {
    /// Puts a save before the record's last ones.
    pub(super) fn stamp(&mut self, save: SaveId) {
        let saves = &mut self.header.saves;
        if saves.first() != Some(&save) {
            saves.truncate(MAX_SAVES - 1);
            saves.insert(0, save);
        }
    }
}
