//! The limit on the number of an owner's sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::at_limit::{AtLimit, Limit};
use super::core::Core;
use super::ended_by::EndedBy;
use super::owner::{PAGE, header_of};
use super::save::{EndOutcome, Patience, key_of};
use super::sent::Login;
use super::session_type::SessionType;
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Page, Record};

/// The place of a session among its owner's, its key and its version.
type Ticket = (u64, StoreKey, u64);

impl Core {
    /// Returns the ticket of a login, above those of all of its owner's sessions. It is needed only
    /// if there is a limit. `own` is the owner's session that the login goes on with: it adds none.
    ///
    /// # Errors
    /// [`Error::TooManySessions`] if there is no room for it.
    pub(super) async fn ticket(
        &self,
        session_type: &SessionType,
        owner: Option<&Arc<str>>,
        own: Option<&StoreKey>,
        patience: &mut Patience,
    ) -> Result<u64, Error> {
        let (Some(limit), Some(owner)) = (self.limit, owner) else { return Ok(0) };
        let (mut highest, mut others, mut page) = (0, 0, Some(Page::first(PAGE)));
        while let Some(next) = page {
            let records;
            (records, page) = self.owned(owner, next, patience).await?;
            for record in &records {
                let Some((ticket, key, _)) = ticket_of(session_type, record) else { continue };
                // Also above those that have ended together with everybody's: another host may not
                // know.
                highest = highest.max(ticket);
                others += usize::from(Some(&key) != own && !self.is_ended_record(record));
            }
        }
        if limit.at == AtLimit::RefuseLogin && own.is_none() && others >= limit.most {
            self.events.login_refused(session_type.name(), "cap");
            return Err(Error::TooManySessions { most: limit.most });
        }
        Ok(highest.saturating_add(1))
    }

    /// Fails if a saved login is one too many for its owner. Ends what yields to it.
    ///
    /// # Errors
    /// [`Error::LoginUndone`] or [`Error::TooManySessions`] if the login must be undone.
    pub(super) async fn fits(
        &self,
        session_type: &SessionType,
        login: &Login,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        let (Some(Limit { most, at }), Some(owner)) = (self.limit, &record.owner) else {
            return Ok(());
        };
        let fits = match at {
            AtLimit::EndOldest => self.cap(session_type, owner, key, most, patience).await?,
            AtLimit::RefuseLogin if !login.adds => true,
            AtLimit::RefuseLogin => {
                let earlier = self.earlier(session_type, owner, key, record, patience).await?;
                earlier < most
            }
        };
        if fits {
            return Ok(());
        }
        self.events.login_undone(session_type.name(), key, "cap");
        Err(match at {
            AtLimit::EndOldest => Error::LoginUndone,
            AtLimit::RefuseLogin => Error::TooManySessions { most },
        })
    }

    /// Returns how many other sessions do not yield to a saved login: those whose tickets are not
    /// above its own. One with a higher ticket has seen this login in the list, and counts it.
    async fn earlier(
        &self,
        session_type: &SessionType,
        owner: &Arc<str>,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<usize, Error> {
        let mine = header_of(session_type, record).map_or(0, |header| header.ticket);
        let (mut earlier, mut page) = (0, Some(Page::first(PAGE)));
        while let Some(next) = page {
            let tickets;
            (tickets, page) = self.tickets(session_type, owner, next, patience).await?;
            earlier += tickets.iter().filter(|(it, other, _)| *it <= mine && other != key).count();
        }
        Ok(earlier)
    }

    /// Ends the owner's sessions with the lowest tickets, down to the limit. Returns whether the
    /// session of `key` stays.
    ///
    /// Simultaneous logins sort the sessions in the same order, so they agree on which ones stay.
    /// The memory holds one page of sessions and the tickets of those that may stay, however many
    /// sessions the owner has.
    async fn cap(
        &self,
        session_type: &SessionType,
        owner: &Arc<str>,
        key: &StoreKey,
        most: usize,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        // An id has at most one owner in its life, so a session that was saved since is theirs too.
        let is_theirs = |record: &Record| record.owner.as_ref() == Some(owner);
        let (mut stays, mut page) = (true, Some(Page::first(PAGE)));
        // Those with the highest tickets so far; the lowest of them is at hand.
        let mut highest = BinaryHeap::new();
        while let Some(next) = page {
            let tickets;
            (tickets, page) = self.tickets(session_type, owner, next, patience).await?;
            for ticket in tickets {
                highest.push(Reverse(ticket));
                if highest.len() <= most {
                    continue;
                }
                let Some(Reverse((_, lowest, version))) = highest.pop() else { continue };
                if lowest == *key {
                    stays = false;
                    continue;
                }
                let lost = &mut false;
                let _by = self.endings.begin(&lowest, EndedBy::Limit);
                let end = self.end(lowest.as_str(), version, patience, lost, is_theirs).await?;
                if matches!(end, EndOutcome::Ended(_)) {
                    self.ended(session_type.name(), &lowest, EndedBy::Limit);
                    patience.progressed();
                }
            }
        }
        Ok(stays)
    }

    /// Returns the tickets of the live sessions on a page of an owner's, and the next page.
    async fn tickets(
        &self,
        session_type: &SessionType,
        owner: &str,
        page: Page,
        patience: &mut Patience,
    ) -> Result<(Vec<Ticket>, Option<Page>), Error> {
        let (records, next) = self.owned(owner, page, patience).await?;
        let live = records.iter().filter(|record| !self.is_ended_record(record));
        let tickets = live.filter_map(|record| ticket_of(session_type, record)).collect();
        Ok((tickets, next))
    }
}

fn ticket_of(session_type: &SessionType, record: &Record) -> Option<Ticket> {
    // A session that cannot be read is the first to end.
    let ticket = header_of(session_type, record).map_or(0, |header| header.ticket);
    Some((ticket, key_of(record)?, record.version))
}
