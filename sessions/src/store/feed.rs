//! What a store knows of its provider's feed of changes: whether what it has read before still
//! holds.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::provider::{Notice, Ping};

/// The state of a feed, shared by the task that follows it and the reads that trust it.
#[derive(Default)]
pub(super) struct Feed(RwLock<State>);

#[derive(Clone, Copy, Default)]
struct State {
    /// The number of the connection that is followed. What an earlier one tells does not count.
    line: u64,
    /// Raised whenever changes may have been missed: what was read before holds no more.
    epoch: u64,
    known: Known,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Known {
    /// Not followed, or lost.
    #[default]
    Nothing,
    /// The provider tells of no changes.
    Unsupported,
    /// Everything that completed before the ping was sent has been told. None was proved yet.
    Until(Option<Ping>),
}

/// When something was read, as the feed counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    epoch: u64,
    at: Ping,
}

/// How long what was read is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    pub(super) with_feed: Duration,
    pub(super) without: Duration,
}

impl Feed {
    /// Returns the stamp of a read that begins now, or `None` if nothing can be trusted now.
    pub(super) fn stamp(&self, now: Ping) -> Option<Stamp> {
        let state = self.state();
        let trusted = state.known == Known::Unsupported || state.is_proved(now);
        trusted.then_some(Stamp { epoch: state.epoch, at: now })
    }

    /// Returns what is known now.
    pub(super) fn trust(&self) -> Trust {
        Trust(self.state())
    }

    /// Begins to follow another connection, and returns its number.
    pub(super) fn follow(&self) -> u64 {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { line: state.line + 1, epoch: state.epoch + 1, known: Known::Nothing };
        state.line
    }

    /// Takes note of what a connection tells. Returns `false` if it is not followed any more.
    pub(super) fn hear(&self, line: u64, notice: &Notice<'_>) -> bool {
        if matches!(notice, Notice::Changed(_) | Notice::Ended(_)) {
            return self.state().line == line;
        }
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.line != line {
            return false;
        }
        match (notice, state.known) {
            (Notice::Began, _) => {
                state.epoch += 1;
                state.known = Known::Until(None);
            }
            // What was proved stays proved, of what is read from here on.
            (Notice::Gap, _) => state.epoch += 1,
            // An older ping proves nothing more, and one before the beginning nothing at all.
            (Notice::Proved(ping), Known::Until(last))
                if last.is_none_or(|last| !ping.is_before(last)) =>
            {
                state.known = Known::Until(Some(*ping));
            }
            _ => {}
        }
        true
    }

    /// The connection is lost: nothing holds until another has begun.
    pub(super) fn lose(&self, line: u64) {
        self.settle(line, Known::Nothing);
    }

    /// The provider tells of no changes: what was read holds for a short time.
    pub(super) fn is_unsupported(&self, line: u64) {
        self.settle(line, Known::Unsupported);
    }

    /// Whether a connection has proved that it is alive since it began.
    pub(super) fn has_proved(&self) -> bool {
        matches!(self.state().known, Known::Until(Some(_)))
    }

    fn settle(&self, line: u64, known: Known) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.line == line {
            *state = State { line: line + 1, epoch: state.epoch + 1, known };
        }
    }

    fn state(&self) -> State {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was known of a feed at one moment.
#[derive(Clone, Copy)]
pub(super) struct Trust(State);

impl Trust {
    /// Whether what was read at `stamp`, and was not named by then, still holds.
    pub(super) fn covers(self, stamp: Stamp, now: Ping, ages: Ages) -> bool {
        let Self(state) = self;
        let most = match state.known {
            Known::Unsupported => ages.without,
            _ if state.is_proved(now) => ages.with_feed,
            _ => return false,
        };
        state.epoch == stamp.epoch && stamp.at.age(now).is_some_and(|age| age <= most)
    }
}

impl State {
    fn is_proved(&self, now: Ping) -> bool {
        let Known::Until(Some(ping)) = self.known else { return false };
        ping.age(now).is_some_and(|age| age <= TRUST)
    }
}

/// How long a proof is good: the longest that another host's change can go unheard. A proof comes
/// each second.
pub(super) const TRUST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::advance;

    use super::*;

    const AGES: Ages = Ages { with_feed: Duration::from_secs(60), without: Duration::from_secs(5) };
    const SECOND: Duration = Duration::from_secs(1);

    /// A ping of now, by tokio's clock alone.
    fn now() -> Ping {
        Ping::at(SystemTime::UNIX_EPOCH)
    }

    fn alive() -> (Feed, u64) {
        let feed = Feed::default();
        let line = feed.follow();
        assert!(feed.hear(line, &Notice::Began));
        assert!(feed.hear(line, &Notice::Proved(now())));
        (feed, line)
    }

    fn holds(feed: &Feed, stamp: Stamp) -> bool {
        feed.trust().covers(stamp, now(), AGES)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_trusted_before_a_proof() {
        let feed = Feed::default();
        assert!(feed.stamp(now()).is_none(), "nobody follows");
        let line = feed.follow();
        assert!(feed.stamp(now()).is_none(), "connecting");
        feed.hear(line, &Notice::Proved(now()));
        assert!(feed.stamp(now()).is_none(), "a proof before the beginning");
        feed.hear(line, &Notice::Began);
        assert!(feed.stamp(now()).is_none(), "not proved");
        feed.hear(line, &Notice::Proved(now()));
        assert!(feed.stamp(now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_counts_from_when_its_ping_was_sent() {
        let (feed, line) = alive();
        let stamp = feed.stamp(now()).unwrap();
        let sent = now();
        advance(TRUST).await;
        assert!(holds(&feed, stamp));
        advance(Duration::from_millis(1)).await;
        assert!(!holds(&feed, stamp), "stalled");
        // It arrives late, and says nothing about now.
        feed.hear(line, &Notice::Proved(sent));
        assert!(!holds(&feed, stamp) && feed.stamp(now()).is_none());
        // Everything was told in the meantime, so what was not named holds again.
        feed.hear(line, &Notice::Proved(now()));
        assert!(holds(&feed, stamp));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_a_gap_a_loss_or_a_new_beginning_holds_no_more() {
        type Act = fn(&Feed, u64);
        let acts: [Act; 4] = [
            |feed, line| assert!(feed.hear(line, &Notice::Gap)),
            |feed, line| assert!(feed.hear(line, &Notice::Began)),
            |feed, line| feed.lose(line),
            |feed, line| feed.is_unsupported(line),
        ];
        for (number, act) in acts.into_iter().enumerate() {
            let (feed, line) = alive();
            let stamp = feed.stamp(now()).unwrap();
            act(&feed, line);
            feed.hear(line, &Notice::Proved(now()));
            assert!(!holds(&feed, stamp), "act {number}");
            let again = feed.stamp(now());
            assert_eq!(again.is_some(), number != 2, "act {number}");
            assert!(again.is_none_or(|stamp| holds(&feed, stamp)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_holds_for_longer_than_its_age() {
        let (feed, line) = alive();
        let stamp = feed.stamp(now()).unwrap();
        for _ in 0..60 {
            advance(SECOND).await;
            feed.hear(line, &Notice::Proved(now()));
            assert!(holds(&feed, stamp));
        }
        advance(Duration::from_millis(1)).await;
        assert!(!holds(&feed, stamp));
        feed.is_unsupported(line);
        let stamp = feed.stamp(now()).unwrap();
        advance(5 * SECOND).await;
        assert!(holds(&feed, stamp));
        advance(Duration::from_millis(1)).await;
        assert!(!holds(&feed, stamp));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_followed_any_more_is_not_heard() {
        let (feed, old) = alive();
        let line = feed.follow();
        for notice in [Notice::Began, Notice::Proved(now()), Notice::Gap, Notice::Changed("a")] {
            assert!(!feed.hear(old, &notice));
        }
        feed.lose(old);
        assert!(feed.stamp(now()).is_none());
        assert!(feed.hear(line, &Notice::Began));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_set_back_is_trusted_again_with_the_next_proof() {
        let (feed, line) = alive();
        let at = |seconds| Ping::at(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        feed.hear(line, &Notice::Proved(at(3_600)));
        advance(SECOND).await;
        assert!(feed.stamp(now()).is_none(), "set back by an hour");
        feed.hear(line, &Notice::Proved(now()));
        assert!(feed.stamp(now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_older_ping_takes_a_newer_one_back() {
        let (feed, line) = alive();
        let older = now();
        advance(SECOND).await;
        feed.hear(line, &Notice::Proved(now()));
        feed.hear(line, &Notice::Proved(older));
        advance(TRUST).await;
        assert!(feed.stamp(now()).is_some());
    }
}
