//! The limits of an authentication assurance level, and what applies unless the app sets less.

use std::time::Duration;

use super::times::Times;
use crate::cookie::{CookieConfig, SameSite};
use crate::error::Error;

/// The session rules of an authentication assurance level of NIST SP 800-63B-4 (sections 2 and 5),
/// for [`StoreBuilder::assurance`](crate::StoreBuilder::assurance) and
/// [`SessionSettings::assurance`](crate::SessionSettings::assurance).
///
/// | level | overall | without a request | cookie unless the app sets one |
/// |---|---|---|---|
/// | `Aal1` | 30 days | 7 days, which the level does not ask for | `SameSite=Lax`, kept when the browser closes |
/// | `Aal2` | 24 hours | 1 hour | `SameSite=Lax`, until the browser closes |
/// | `Aal3` | 12 hours | 15 minutes | `SameSite=Strict`, until the browser closes |
///
/// The times are the longest that the level allows, and the settings of a store that sets nothing
/// else. A store or a session type may set shorter ones.
/// [`build`](crate::StoreBuilder::build) refuses longer ones, and a cookie that the level does not
/// allow: one without `Secure`, or from `Aal2` on with `SameSite=None`.
///
/// The times are of the session alone. Which authenticators a login needs is the app's concern.
///
/// ```
/// use std::time::Duration;
/// use sessions::{Assurance, MemoryProvider, Store};
///
/// let builder = || Store::builder(MemoryProvider::new()).assurance(Assurance::Aal2);
/// assert!(builder().build().is_ok());
///
/// const HOUR: Duration = Duration::from_secs(60 * 60);
/// assert!(builder().lifetime(8 * HOUR).build().is_ok());
/// let refused = builder().lifetime(48 * HOUR).build().unwrap_err();
/// assert!(refused.to_string().contains("lower `lifetime`"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Assurance {
    /// Level 1: the owner logs in again after 30 days.
    Aal1,
    /// Level 2: the owner logs in again after 24 hours, or an hour without a request.
    Aal2,
    /// Level 3: the owner logs in again after 12 hours, or 15 minutes without a request.
    Aal3,
}

/// The longest times of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The idle timeout and the touch interval together: an unused session lives for as long.
    unused: Duration,
    pub(super) lifetime: Duration,
}

impl Assurance {
    pub(super) fn limits(self) -> Limits {
        match self {
            Self::Aal1 => Limits { unused: Duration::MAX, lifetime: 30 * DAY },
            Self::Aal2 => Limits { unused: HOUR, lifetime: DAY },
            Self::Aal3 => Limits { unused: HOUR / 4, lifetime: DAY / 2 },
        }
    }

    /// Returns the idle timeout and the touch interval of a store that sets no idle timeout.
    pub(super) fn idle(self, touch: Option<Duration>) -> Option<(Duration, Duration)> {
        let default = match self {
            Self::Aal1 => return None,
            Self::Aal2 => 5 * MINUTE,
            Self::Aal3 => MINUTE,
        };
        let (touch, unused) = (touch.unwrap_or(default), self.limits().unused);
        (touch < unused).then(|| (unused - touch, touch))
    }

    /// Returns a cookie as the level would have it.
    pub(super) fn cookie(self, cookie: CookieConfig) -> CookieConfig {
        match self {
            Self::Aal1 => cookie,
            Self::Aal2 => cookie.until_browser_closes(),
            Self::Aal3 => cookie.until_browser_closes().same_site(SameSite::Strict),
        }
    }

    /// Refuses settings that are weaker than the level.
    pub(super) fn check(
        self,
        times: Times,
        longest_remember: Duration,
        cookie: &CookieConfig,
    ) -> Result<(), Error> {
        let Limits { unused, lifetime } = self.limits();
        let refuse = |text: String| Err(Error::config(format!("assurance({self:?}) {text}")));
        if times.lifetime > lifetime {
            return refuse(format!(
                "allows a lifetime of {lifetime:?}, not {:?}; lower `lifetime`",
                times.lifetime
            ));
        }
        if times.idle.saturating_add(times.touch) > unused {
            let which = if times.touch < unused { "idle_timeout" } else { "touch_interval" };
            return refuse(format!(
                "allows {unused:?} without a request, which is idle_timeout ({:?}) and \
                 touch_interval ({:?}) together; lower `{which}`",
                times.idle, times.touch
            ));
        }
        if longest_remember > lifetime {
            return refuse(format!(
                "allows {lifetime:?} to remember a session, not {longest_remember:?}; lower \
                 `longest_remember`"
            ));
        }
        if cookie.is_insecure() {
            return refuse("needs a `Secure` cookie; drop danger_plain_http()".to_owned());
        }
        if self != Self::Aal1 && cookie.is_cross_site() {
            return refuse("allows no SameSite=None; choose SameSite::Lax".to_owned());
        }
        Ok(())
    }
}

impl Limits {
    pub(super) const NONE: Self = Self { unused: Duration::MAX, lifetime: Duration::MAX };

    /// Returns the longest times that one session may have of its own.
    pub(super) fn own(self, times: Times) -> OwnLimits {
        let idle = self.unused.saturating_sub(times.touch);
        OwnLimits { idle, lifetime: self.lifetime }
    }
}

/// The longest times that one session may have in place of its type's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnLimits {
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
