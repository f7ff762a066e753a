//! Plans a commit: one pure and total function of what is known before it begins.

/// The facts that a commit knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) status: Status,
    pub(crate) asks: Asked,
    /// Whether a field differs from the base.
    pub(crate) changed: bool,
    /// Whether the label or the remembered time differs from the record's.
    pub(crate) header: bool,
    /// Whether a field of the owner group differs.
    pub(crate) rights: bool,
    pub(crate) owner: OwnerMove,
    /// The work that remains after a read.
    pub(crate) due: Due,
}

/// The status of a handle's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is no session, or its cookie was superseded long ago.
    Absent,
    Live,
    /// Its cookie was superseded recently.
    Superseded,
    /// It is bound to a device, and the request does not prove that it comes from there.
    Unproven,
    /// It ended after it was loaded.
    Ended,
}

/// The handler's requests besides its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) destroy: bool,
    pub(crate) renew: bool,
    /// Whether the handler passed the attempt of a login.
    pub(crate) proof: bool,
    /// Whether the handler asked for another header: a label, times, a lock.
    pub(crate) header: bool,
}

/// How the commit changes the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerMove {
    /// There was no owner, and there is none now.
    Nobody,
    /// The owner stays the same.
    Same,
    /// From nobody to somebody.
    Appears,
    /// From somebody to somebody else.
    Replaced,
    /// From somebody to nobody.
    Leaves,
}

/// The work that remains after a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whether to move the expiry.
    pub(crate) touch: bool,
    /// Whether the browser should get its token again.
    pub(crate) cookie: bool,
}

/// The plan of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing.
    Leave,
    /// Move the expiry, set the cookie again.
    Keep(Due),
    /// Save a new session.
    Create { login: bool },
    /// Save over the live record; `renew`: under a new secret.
    Save { renew: bool, login: bool },
    /// End the live record, and start a session for the new owner or for nobody.
    Replace { login: bool },
    /// End the session.
    Destroy,
    /// Save nothing: the session has ended, or continued without this cookie.
    Refuse,
}

/// Returns the plan for these facts.
pub(crate) fn plan(facts: Facts) -> Plan {
    let Facts { status, asks, changed, header, rights, owner, due } = facts;
    if asks.destroy {
        return Plan::Destroy;
    }
    // A login: a new owner after nobody, or the same owner with a new proof.
    let login = owner == OwnerMove::Appears || owner == OwnerMove::Same && asks.proof;
    let wants = changed || asks.renew || asks.proof || asks.header;
    match (status, owner) {
        (Status::Absent, _) if changed => Plan::Create { login },
        (Status::Absent, _) => Plan::Leave,
        // A login has its own proof. All other changes belong to the session that continued.
        (Status::Superseded | Status::Unproven, OwnerMove::Appears) => Plan::Create { login },
        (Status::Superseded | Status::Unproven | Status::Ended, _) if wants => Plan::Refuse,
        (Status::Superseded | Status::Unproven | Status::Ended, _) => Plan::Leave,
        (Status::Live, OwnerMove::Replaced) => Plan::Replace { login: true },
        (Status::Live, OwnerMove::Leaves) => Plan::Replace { login: false },
        (Status::Live, _) => {
            let renew = login || rights || asks.renew;
            if renew || changed || header {
                Plan::Save { renew, login }
            } else if due != Due::default() {
                Plan::Keep(due)
            } else {
                Plan::Leave
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Facts = Facts {
        status: Status::Live,
        asks: Asked { destroy: false, renew: false, proof: false, header: false },
        changed: false,
        header: false,
        rights: false,
        owner: OwnerMove::Nobody,
        due: Due { touch: false, cookie: false },
    };
    const RENEW: Asked = Asked { destroy: false, renew: true, proof: false, header: false };
    const PROOF: Asked = Asked { destroy: false, renew: false, proof: true, header: false };

    /// Every combination of facts.
    fn all() -> impl Iterator<Item = Facts> {
        const STATUS: [Status; 5] =
            [Status::Absent, Status::Live, Status::Superseded, Status::Unproven, Status::Ended];
        const OWNER: [OwnerMove; 5] = [
            OwnerMove::Nobody,
            OwnerMove::Same,
            OwnerMove::Appears,
            OwnerMove::Replaced,
            OwnerMove::Leaves,
        ];
        (0..1 << 8).flat_map(|bits: u32| {
            STATUS.into_iter().flat_map(move |status| {
                OWNER.into_iter().map(move |owner| {
                    let bit = |at: u32| bits >> at & 1 == 1;
                    let moves = !matches!(owner, OwnerMove::Nobody | OwnerMove::Same);
                    Facts {
                        status,
                        asks: Asked {
                            destroy: bit(0),
                            renew: bit(1),
                            proof: bit(2),
                            header: false,
                        },
                        // An owner that changes is a change of the owner group.
                        changed: bit(3) || bit(5) || moves,
                        header: bit(4),
                        rights: bit(5) || moves,
                        owner,
                        due: Due { touch: bit(6), cookie: bit(7) },
                    }
                })
            })
        })
    }

    #[test]
    fn a_live_session() {
        use OwnerMove::{Appears, Leaves, Replaced, Same};
        let change = Facts { changed: true, ..NOTHING };
        let due = |touch, cookie| Due { touch, cookie };
        for (facts, expected) in [
            (NOTHING, Plan::Leave),
            (Facts { due: due(true, false), ..NOTHING }, Plan::Keep(due(true, false))),
            (Facts { due: due(false, true), ..NOTHING }, Plan::Keep(due(false, true))),
            (change, Plan::Save { renew: false, login: false }),
            (Facts { header: true, ..NOTHING }, Plan::Save { renew: false, login: false }),
            (Facts { asks: RENEW, ..NOTHING }, Plan::Save { renew: true, login: false }),
            (
                Facts { rights: true, owner: Same, ..change },
                Plan::Save { renew: true, login: false },
            ),
            (
                Facts { rights: true, owner: Appears, ..change },
                Plan::Save { renew: true, login: true },
            ),
            (
                Facts { asks: PROOF, owner: Same, ..NOTHING },
                Plan::Save { renew: true, login: true },
            ),
            // Nobody proved to be nobody.
            (Facts { asks: PROOF, ..NOTHING }, Plan::Leave),
            (Facts { rights: true, owner: Replaced, ..change }, Plan::Replace { login: true }),
            (Facts { rights: true, owner: Leaves, ..change }, Plan::Replace { login: false }),
        ] {
            assert_eq!(plan(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn a_session_that_is_not_there() {
        use OwnerMove::Appears;
        let [absent, superseded, unproven, ended] =
            [Status::Absent, Status::Superseded, Status::Unproven, Status::Ended]
                .map(|status| Facts { status, ..NOTHING });
        let changed = |facts| Facts { changed: true, ..facts };
        let login = |facts| Facts { changed: true, rights: true, owner: Appears, ..facts };
        for (facts, expected) in [
            (absent, Plan::Leave),
            // Only a session that stores something is begun.
            (Facts { header: true, asks: RENEW, ..absent }, Plan::Leave),
            (changed(absent), Plan::Create { login: false }),
            (login(absent), Plan::Create { login: true }),
            (superseded, Plan::Leave),
            (changed(superseded), Plan::Refuse),
            (Facts { asks: RENEW, ..superseded }, Plan::Refuse),
            (login(superseded), Plan::Create { login: true }),
            // Nothing may replace the cookie of whoever has the device, except for a login.
            (unproven, Plan::Leave),
            (changed(unproven), Plan::Refuse),
            (Facts { asks: RENEW, ..unproven }, Plan::Refuse),
            (login(unproven), Plan::Create { login: true }),
            (ended, Plan::Leave),
            (changed(ended), Plan::Refuse),
            (login(ended), Plan::Refuse),
        ] {
            assert_eq!(plan(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn destroy_comes_before_everything() {
        for facts in all().filter(|facts| facts.asks.destroy) {
            assert_eq!(plan(facts), Plan::Destroy, "{facts:?}");
        }
    }

    #[test]
    fn what_changed_is_saved_or_refused() {
        for facts in all().filter(|facts| facts.changed && !facts.asks.destroy) {
            assert!(!matches!(plan(facts), Plan::Leave | Plan::Keep(_)), "{facts:?}");
        }
    }

    #[test]
    fn rights_never_change_under_the_same_secret() {
        for facts in all().filter(|facts| facts.rights) {
            assert!(!matches!(plan(facts), Plan::Save { renew: false, .. }), "{facts:?}");
        }
    }

    #[test]
    fn only_a_live_session_is_saved_over_kept_or_replaced() {
        for facts in all().filter(|facts| facts.status != Status::Live) {
            let plan = plan(facts);
            let over = matches!(plan, Plan::Save { .. } | Plan::Keep(_) | Plan::Replace { .. });
            assert!(!over, "{facts:?}");
        }
    }

    #[test]
    fn whoever_becomes_the_owner_logs_in() {
        let comes = |owner| matches!(owner, OwnerMove::Appears | OwnerMove::Replaced);
        for facts in all().filter(|facts| comes(facts.owner)) {
            let login = match plan(facts) {
                Plan::Create { login } | Plan::Save { login, .. } | Plan::Replace { login } => {
                    login
                }
                Plan::Leave | Plan::Keep(_) => false,
                Plan::Destroy | Plan::Refuse => true,
            };
            // A handle without a session has had no owner to replace.
            let impossible = facts.status == Status::Absent && facts.owner == OwnerMove::Replaced;
            assert!(login || impossible, "{facts:?}");
        }
    }
}
