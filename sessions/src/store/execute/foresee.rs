//! What a commit would do, without doing it.

use crate::error::Error;
use crate::schema::merge;
use crate::store::base::Base;
use crate::store::change::Change;
use crate::store::core::Core;
use crate::store::patch::Patch;
use crate::store::plan::{Facts, Plan, Status, plan};

impl Core {
    /// Whether a commit would give the browser a cookie.
    pub(crate) fn needs_cookie(&self, change: &Change) -> Result<bool, Error> {
        if self.is_client_side() {
            return self.would_seal(change);
        }
        Ok(match self.plan_of(change)? {
            Plan::Create { .. } | Plan::Replace { .. } => true,
            Plan::Save { renew, .. } => renew,
            Plan::Leave | Plan::Keep(_) | Plan::Destroy | Plan::Refuse => false,
        })
    }

    /// Whether a commit would do more than keep the session alive.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn would_save(&self, change: &Change) -> Result<bool, Error> {
        if change.asks.destroy {
            return Ok(true);
        }
        if self.is_client_side() {
            return self.would_seal(change);
        }
        Ok(!matches!(self.plan_of(change)?, Plan::Leave | Plan::Keep(_)))
    }

    /// Whether a commit would seal a session into a new cookie.
    pub(super) fn would_seal(&self, change: &Change) -> Result<bool, Error> {
        Ok(match (&change.base, &change.fields) {
            (Base::Sealed(_), None) => !change.asks.is_empty(),
            (base, Some(mine)) => {
                let mut mine = mine.clone();
                let fields = base.fields(&change.session_type)?;
                let diff = merge::diff(change.session_type.table, &fields, &mut mine)?;
                diff.changed || matches!(base, Base::Sealed(_)) && !change.asks.is_empty()
            }
            _ => false,
        })
    }

    /// What a commit would do first.
    pub(super) fn plan_of(&self, change: &Change) -> Result<Plan, Error> {
        if change.fields.is_none() && change.asks.is_empty() {
            return Ok(Plan::Leave);
        }
        let base = match &change.ancestor {
            Some(ancestor) => ancestor.clone(),
            None => change.base.fields(&change.session_type)?,
        };
        let fields = change.fields.clone().unwrap_or_else(|| base.clone());
        let patch = Patch::new(
            change.session_type.clone(),
            base,
            fields,
            change.base.owner(),
            change.asks.clone(),
            self.now(),
        )?;
        Ok(plan(facts(self, &change.base, &patch)?))
    }
}

pub(super) fn status(base: &Base) -> Status {
    match base {
        Base::Absent { .. } | Base::Unreadable(_) => Status::Absent,
        Base::Live(_) | Base::Sealed(_) => Status::Live,
        Base::Superseded(superseded) if superseded.recent => Status::Superseded,
        Base::Superseded(_) => Status::Absent,
        Base::Unproven(_) => Status::Unproven,
        Base::Ended(..) => Status::Ended,
    }
}

pub(super) fn facts(core: &Core, base: &Base, patch: &Patch) -> Result<Facts, Error> {
    let header = match base {
        Base::Live(loaded) => patch.changes_header(&loaded.stored)?,
        _ => false,
    };
    Ok(Facts {
        status: status(base),
        asks: patch.asks.asked(),
        changed: patch.diff.changed,
        header,
        rights: patch.diff.renew || patch.diff.owner,
        owner: patch.owner_move,
        due: core.due(&patch.session_type, base, patch.asks.skip_touch, patch.now),
    })
}
