//! What a store works with: its provider, its codec, its rules. Each file beside this one adds what
//! it is named after.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::at_limit::Limit;
use super::base;
use super::base::Base;
#[cfg(feature = "cache")]
use super::cache::CachedRecords;
use super::ended_by::EndedBy;
use super::endings::Endings;
#[cfg(feature = "dbsc")]
use super::endpoints::Endpoints;
use super::feed::Feed;
use super::keep::KeepChanges;
use super::plan::Due;
use super::queue::Queues;
use super::reported::Reported;
use super::session_type::SessionType;
use super::settings::TypeSettings;
use super::tasks::Tasks;
use super::tracker::Commits;
#[cfg(feature = "dbsc")]
use super::used_challenges::UsedChallenges;
use super::watches::Watches;
use crate::clock::Clock;
use crate::codec::Codec;
use crate::data::SessionData;
use crate::error::Error;
use crate::id::StoreKey;
use crate::keyring::epochs::Epochs;
use crate::provider::Provider;
use crate::random::Random;
use crate::telemetry::event::Events;

/// What a [`Store`](crate::Store) shares with its clones, its sessions and their commits.
pub(crate) struct Core {
    pub(super) provider: Arc<dyn Provider>,
    pub(crate) codec: Codec,
    /// What `end_all` and `end_all_before` have ended.
    pub(super) epochs: Arc<Epochs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) app: String,
    /// The settings of the session types that have none of their own.
    pub(super) settings: TypeSettings,
    pub(super) own_settings: Vec<(TypeId, &'static str, TypeSettings)>,
    // Only the layers read it.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    pub(super) keep: KeepChanges,
    // A std lock, because it is never held across an await. It is written once for each session
    // type. There are few types, so a scan is cheaper than hashing.
    pub(super) types: RwLock<Vec<Arc<SessionType>>>,
    /// Whether a record that this build cannot read counts as absent.
    pub(super) reset_unreadable: bool,
    /// Whether sessions live in their cookies.
    pub(super) client_side: bool,
    /// Whether records are encrypted, under keys that are kept for as long as a session lives.
    pub(super) encrypts_records: bool,
    /// The largest size of a record's data, in bytes.
    pub(super) record_limit: usize,
    /// The limit on the number of an owner's sessions.
    pub(super) limit: Option<Limit>,
    pub(super) commits: Commits,
    /// Who is told of what happens to sessions.
    pub(crate) events: Events,
    /// Becomes true at the shutdown.
    pub(super) closing: watch::Sender<bool>,
    pub(super) queues: Queues,
    /// Whether the domain of a cookie depends on the request's host.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    pub(crate) reads_host: bool,
    /// How sessions ended on this host.
    pub(super) endings: Endings,
    /// The sessions whose superseded cookies were reported.
    pub(super) reported: Reported,
    /// Who waits for the end of a session on this host.
    pub(super) watches: Arc<Watches>,
    /// How often the database is asked about a watched session.
    pub(super) watch_interval: Duration,
    /// What the provider tells of changes, and whether it still does.
    pub(super) feed: Arc<Feed>,
    pub(super) tasks: Tasks,
    #[cfg(feature = "cache")]
    pub(super) cache: Option<Arc<CachedRecords>>,
    /// Where browsers register and prove their devices.
    #[cfg(feature = "dbsc")]
    pub(super) device_endpoints: Endpoints,
    #[cfg(feature = "dbsc")]
    pub(super) used_challenges: UsedChallenges,
}

impl Core {
    /// What the store knows of a session type.
    pub(crate) fn session_type<T: SessionData>(&self) -> Result<Arc<SessionType>, Error> {
        let known = |types: &[Arc<SessionType>]| {
            types.iter().find(|it| it.type_id == TypeId::of::<T>()).cloned()
        };
        let types = self.types.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known(&types) {
            return Ok(known);
        }
        drop(types);
        let own = self.own_settings.iter().find(|(id, ..)| *id == TypeId::of::<T>());
        let settings = own.map_or(&self.settings, |(.., own)| own);
        let new = Arc::new(SessionType::of::<T>(&self.app, settings, self.events.clone()));
        let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known(&types) {
            return Ok(known);
        }
        // Types of one name would read each other's records.
        if types.iter().any(|other| other.name() == new.name()) {
            return Err(Error::misuse(format!(
                "two session types are named \"{}\"; give one of them another name",
                new.name()
            )));
        }
        if let Some(other) = types.iter().find(|other| other.shares_header(&new)) {
            return Err(Error::misuse(format!(
                "the session types \"{}\" and \"{}\" read their tokens from one header; give one of \
                 them another with session::<T>(|it| it.token_header(..))",
                other.name(),
                new.name()
            )));
        }
        types.push(new.clone());
        Ok(new)
    }

    /// Reports and remembers that a session has ended.
    pub(super) fn ended(&self, session: &str, key: &StoreKey, by: EndedBy) {
        self.events.ended(session, key, by.reason());
        self.endings.note(key, by);
        self.watches.ended(key, Some(by));
    }

    /// Returns a session type of this name that was used already.
    pub(super) fn known_type(&self, name: &str) -> Option<Arc<SessionType>> {
        let types = self.types.read().unwrap_or_else(PoisonError::into_inner);
        types.iter().find(|it| it.name() == name).cloned()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn keep(&self) -> KeepChanges {
        self.keep
    }

    /// Whether sessions of some type are bound to devices.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn binds_devices(&self) -> bool {
        #[cfg(feature = "dbsc")]
        return !self.device_endpoints.is_empty();
        #[cfg(not(feature = "dbsc"))]
        false
    }

    pub(crate) fn encrypts_records(&self) -> bool {
        self.encrypts_records
    }

    pub(crate) fn resets_unreadable(&self) -> bool {
        self.reset_unreadable
    }

    pub(crate) fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Whether an unchanged session still has something to write: its expiry, or its cookie.
    /// If the request is no activity (`skip_touch`), its expiry stays.
    pub(crate) fn is_due(
        &self,
        session_type: &SessionType,
        base: &Base,
        skip_touch: bool,
        now: SystemTime,
    ) -> bool {
        self.due(session_type, base, skip_touch, now) != Due::default()
    }

    pub(super) fn due(
        &self,
        session_type: &SessionType,
        base: &Base,
        skip_touch: bool,
        now: SystemTime,
    ) -> Due {
        match base {
            Base::Live(loaded) => {
                Due {
                    touch: !skip_touch && loaded.touch_due(session_type, now).is_some(),
                    // A renewal's cookie may still be on its way to the browser, so no other cookie is
                    // sent after it.
                    cookie: loaded.bearer.as_ref().is_some_and(|bearer| {
                        bearer.is_due(session_type, &loaded.stored.summary, now)
                    }) && !base::is_recent(&loaded.stored.summary, now),
                }
            }
            Base::Sealed(sealed) => {
                let span = session_type.span(&sealed.stored.summary);
                let touch = !skip_touch && span.touch(sealed.expires_at, now).is_some();
                Due { touch, cookie: sealed.reissue }
            }
            Base::Absent { .. }
            | Base::Superseded(_)
            | Base::Unreadable(_)
            | Base::Unproven(_)
            | Base::Ended(..) => Due::default(),
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("app", &self.app).finish_non_exhaustive()
    }
}
