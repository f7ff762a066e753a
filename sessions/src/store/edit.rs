//! What a request did to a session: its changes against what it was loaded from, and how they
//! stand on top of a record. Pure: no store, no time but what it is given.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::id::StoreKey;
use super::{Kind, Loaded};
use crate::schema::{self, Diff, Fields, Header, Stored, Summary};
use crate::{Error, event};

/// What a handler asked for besides its changes. In one commit, destroy comes first, then
/// renewal, then changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asks {
    pub(crate) destroy: bool,
    pub(crate) renew: bool,
    pub(crate) remember: Option<Duration>,
    pub(crate) label: Option<Arc<str>>,
}

impl Asks {
    pub(crate) fn is_empty(&self) -> bool {
        !self.destroy && !self.renew && self.remember.is_none() && self.label.is_none()
    }

    /// These and another handle's of the same session.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            destroy: self.destroy || other.destroy,
            renew: self.renew || other.renew,
            remember: other.remember.or(self.remember),
            label: other.label.or(self.label),
        }
    }
}

/// A value's changes, ready to be saved.
pub(crate) struct Edit {
    pub(super) kind: Arc<Kind>,
    pub(super) diff: Diff,
    /// Whether the session takes a new id.
    pub(super) renew: bool,
    base: Fields,
    mine: Fields,
    /// Whether nobody owned the session before.
    was_free: bool,
    /// The new owner, where it changed; as records have it.
    owner: Option<Arc<str>>,
    /// The new owner as its field displays it.
    pub(super) owner_name: Option<String>,
    remember: Option<Duration>,
    label: Option<Arc<str>>,
    pub(super) now: SystemTime,
}

/// What a record is to hold.
pub(super) struct Draft<'e> {
    /// Owned where it was merged.
    pub(super) fields: Cow<'e, Fields>,
    pub(super) header: Header,
    pub(super) owner: Option<Arc<str>>,
}

impl Edit {
    /// The edit that turns a session's base into `mine`. `owner`: the record's.
    pub(super) fn new(
        kind: Arc<Kind>,
        base: Fields,
        mut mine: Fields,
        owner: Option<&Arc<str>>,
        asks: &Asks,
        now: SystemTime,
    ) -> Result<Box<Self>, Error> {
        let diff = schema::diff(kind.table, &base, &mut mine)?;
        let owner_name = if diff.owner { mine.owner(kind.table)? } else { None };
        // In a box: it stays where it is while it is being saved.
        Ok(Box::new(Self {
            owner: owner_name.as_deref().map(|name| kind.owner(name).into()),
            owner_name,
            renew: asks.renew || diff.renew || diff.owner,
            kind,
            diff,
            base,
            mine,
            was_free: owner.is_none(),
            remember: asks.remember,
            label: asks.label.clone(),
            now,
        }))
    }

    /// The new owner, where it changed, as records have it.
    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether the header changes although no field does.
    pub(super) fn changes_header(&self, stored: &Stored) -> Result<bool, Error> {
        if self.remember.is_some() && self.remember != stored.summary.remember {
            return Ok(true);
        }
        Ok(self.label.is_some() && self.label != stored.header()?.label)
    }

    /// My value as a session's first record.
    pub(super) fn first(&self) -> Draft<'_> {
        let mut header = Header::new(self.now);
        header.summary.remember = self.remember;
        header.label = self.label.clone();
        Draft { fields: Cow::Borrowed(&self.mine), header, owner: self.owner.clone() }
    }

    /// My value on top of what it was loaded from.
    pub(super) fn over(&self, loaded: &Loaded) -> Result<Draft<'_>, Error> {
        self.draft(Cow::Borrowed(&self.mine), &loaded.stored, loaded.owner.clone())
    }

    /// My value on top of what a cookie held.
    pub(super) fn over_sealed(
        &self,
        below: &Stored,
        owner: Option<Arc<str>>,
    ) -> Result<Draft<'_>, Error> {
        self.draft(Cow::Borrowed(&self.mine), below, owner)
    }

    /// My changes merged with theirs: always from the original base and mine.
    pub(super) fn onto(
        &self,
        key: &StoreKey,
        theirs: &Stored,
        owner: Option<Arc<str>>,
    ) -> Result<Draft<'_>, Error> {
        let table = self.kind.table;
        let merged = schema::merge(table, &self.base, &self.mine, &theirs.fields(table)?)
            .inspect_err(|error| event::merge_failed(self.kind.name(), key, error))?;
        event::merged(self.kind.name(), key, &merged.overwritten);
        self.draft(Cow::Owned(merged.fields), theirs, owner)
    }

    fn draft<'e>(
        &self,
        fields: Cow<'e, Fields>,
        below: &Stored,
        owner: Option<Arc<str>>,
    ) -> Result<Draft<'e>, Error> {
        // What was set for one owner does not go over to the next.
        let inherits = !self.diff.owner || self.was_free;
        let mut header = below.header()?;
        let Summary { remember, created_at, .. } = &mut header.summary;
        *remember = self.remember.or(remember.filter(|_| inherits));
        header.label = self.label.clone().or(header.label.filter(|_| inherits));
        if self.diff.owner {
            // A new owner restarts the lifetime.
            *created_at = self.now;
        }
        let owner = if self.diff.owner { self.owner.clone() } else { owner };
        Ok(Draft { fields, header, owner })
    }
}
