//! What must hold whatever happened.

use std::collections::BTreeSet;

use http::header::HeaderMap;
use sessions::provider::{Provider, Record};
use sessions::{Page, StoreKey, commit::Outcome};
use sessions_tests::hooked::Fault;

use crate::client::{Act, Client, End, Kind, headers};
use crate::devices::device;
use crate::world::{OTHER, USER, Visitor, World};

/// A live session at the end.
pub(crate) struct Live {
    pub(crate) key: StoreKey,
    pub(crate) record: Record,
    /// What its cookie, or the store, says that it holds.
    pub(crate) user: Option<u64>,
    count: u32,
    tags: Vec<String>,
    /// The clients whose cookies open it; `None` stands for the cookie of the start.
    openers: Vec<Option<usize>>,
    /// Its owner proved who they are with two factors.
    stepped_up: bool,
    acts: bool,
    /// It is bound to a device.
    pub(crate) bound: bool,
}

const SAVED: Option<Result<Outcome, Kind>> = Some(Ok(Outcome::Saved));

impl World {
    /// What must hold whatever happened.
    pub(crate) async fn check(&self, clients: &[Client], ends: &[End]) -> Result<(), String> {
        let live = self.live(ends).await;
        self.check_ends(clients, ends, &live)?;
        self.check_renewals(clients, ends, &live)?;
        self.check_fence(clients, ends, &live)?;
        self.check_browsers(clients, ends, &live).await?;
        self.check_devices(clients, ends, &live)?;
        for session in &live {
            self.check_content(clients, ends, session)?;
            self.check_identity(clients, ends, session)?;
        }
        Ok(())
    }

    /// Every session that came of the start's, or was begun by a client.
    async fn live(&self, ends: &[End]) -> Vec<Live> {
        let saves: Vec<String> = self.log().saves.keys().cloned().collect();
        let ids: BTreeSet<&str> =
            saves.iter().map(String::as_str).chain([self.key().as_str()]).collect();
        let mut live = Vec::new();
        for id in ids {
            let record = self.memory().fetch(id, self.now()).await.expect("memory does not fail");
            let Some(record) = record.filter(|record| record.format.starts_with("visitor/")) else {
                continue;
            };
            let key: StoreKey = id.parse().expect("a session's id");
            let read = |visitor: &mut Visitor| (visitor.user, visitor.count, visitor.tags.clone());
            let read = self.plain().update_any::<Visitor, _>(&key, read).await.unwrap();
            let (user, count, tags) = read.expect("it is live");
            let mut openers = Vec::new();
            let cookies = ends
                .iter()
                .enumerate()
                .filter_map(|(client, end)| Some((Some(client), headers(end.cookie.as_deref()?))));
            for (client, cookie) in cookies.chain([(None, self.cookie().clone())]) {
                if self.key_of(&cookie).await.as_ref() == Some(&key) {
                    openers.push(client);
                }
            }
            let (stepped_up, acts) = self.identity(user, &key).await;
            let bound = device(&record).is_some();
            live.push(Live { key, record, user, count, tags, openers, stepped_up, acts, bound });
        }
        live
    }

    async fn identity(&self, user: Option<u64>, key: &StoreKey) -> (bool, bool) {
        let Some(user) = user else { return (false, false) };
        let listed = self.plain().list::<Visitor>(user, Page::first(100)).await.unwrap().items;
        let item = listed.into_iter().find(|item| item.key == *key).expect("it is in the list");
        (item.authentication.level == 2, item.acting_as.is_some())
    }

    async fn key_of(&self, cookie: &HeaderMap) -> Option<StoreKey> {
        let session = self.plain().load::<Visitor>(cookie).await.expect("memory does not fail");
        session.key().cloned()
    }

    /// What was ended is dead, and nobody ended more than they might.
    fn check_ends(&self, clients: &[Client], ends: &[End], live: &[Live]) -> Result<(), String> {
        let start = live.iter().find(|session| session.key == *self.key());
        let log = self.log();
        for (client, end) in clients.iter().zip(ends) {
            let ended = matches!(end.committed, Some(Ok(Outcome::Destroyed)));
            match client.act {
                Act::Expire | Act::Revoke
                    if start.is_some() && (ended || client.act == Act::Expire) =>
                {
                    return Err("what was ended is alive".to_owned());
                }
                // Whatever this browser's cookie opens.
                Act::Logout if ended => {
                    if live.iter().any(|session| session.openers.contains(&None)) {
                        return Err("a logout answered, and its cookie opens a session".to_owned());
                    }
                    if end.found && start.is_some() {
                        return Err("a logout said that it ended what is alive".to_owned());
                    }
                }
                Act::Logout if end.committed == Some(Err(Kind::Gone)) => {
                    if !end.cleared {
                        return Err("a logout did not clear its cookie".to_owned());
                    }
                    if log.renewed_at.is_none() {
                        return Err("a logout was refused without a reason".to_owned());
                    }
                }
                _ => {}
            }
        }
        // A cookie from before a login ends nothing that came of it.
        if let (Some((deleted, by)), Some((renewed, renewer))) = (log.deleted_at, log.renewed_at) {
            let login = clients[renewer].act.is_login() && renewed < deleted;
            let proof = ends[renewer].found && matches!(clients[renewer].act, Act::Login);
            let anonymous_before = proof && clients[by].act == Act::Logout && by != renewer;
            if login && anonymous_before && self.anonymous() {
                return Err("a logout from before a login ended what came of it".to_owned());
            }
        }
        if let Some(client) = log.touched_late.iter().next() {
            let own = log.renewed_at.is_some_and(|(_, renewer)| renewer == *client);
            if !own {
                return Err("a cookie from before a renewal moved the expiry".to_owned());
            }
        }
        Ok(())
    }

    /// The cookie from before a renewal is dead, and so are handles.
    fn check_renewals(
        &self,
        clients: &[Client],
        ends: &[End],
        live: &[Live],
    ) -> Result<(), String> {
        for (client, end) in clients.iter().zip(ends) {
            let renewed = end.found && end.committed == SAVED && self.renews(client.act);
            if !renewed {
                continue;
            }
            if live.iter().any(|session| session.openers.contains(&None)) {
                return Err(format!("the cookie from before {:?} still opens", client.act));
            }
            if end.cookie.is_none() {
                return Err(format!("{:?} set no cookie", client.act));
            }
        }
        // A handle that reloads after a renewal reads nothing of what came of it.
        for end in ends.iter().filter(|end| end.found) {
            let Some(tags) = &end.reloaded else { continue };
            let renewers = clients
                .iter()
                .zip(ends)
                .enumerate()
                .filter(|(_, (client, end))| self.renews(client.act) && end.found);
            for (renewer, _) in renewers {
                if tags.contains(&renewer.to_string()) {
                    return Err("reload() read what came of a renewal".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Whether it replaces the secret of the session that there was at the start, or the session.
    fn renews(&self, act: Act) -> bool {
        match act {
            Act::LoginWithAttempt | Act::Renew | Act::ChangeRole | Act::ReplaceOwner => true,
            // The user who was there already changes nothing.
            Act::Login => self.anonymous(),
            // Nobody who leaves changes nothing.
            Act::Leave | Act::StepUp | Act::Impersonate => !self.anonymous(),
            _ => false,
        }
    }

    /// A login whose proof is older than the fence does not stand.
    fn check_fence(&self, clients: &[Client], ends: &[End], live: &[Live]) -> Result<(), String> {
        let log = self.log();
        let Some(fenced_at) = log.fenced_at else { return Ok(()) };
        let answered = clients.iter().zip(ends).any(|(client, end)| {
            client.act == Act::RevokeAll && end.committed == Some(Ok(Outcome::Destroyed))
        });
        if !answered {
            return Ok(());
        }
        for session in live.iter().filter(|session| session.user == Some(USER)) {
            let saver = log.saves.get(session.key.as_str()).copied();
            let saver = saver.or_else(|| {
                // The start's record: whoever logged in on it.
                session.openers.iter().flatten().next().copied()
            });
            let Some(saver) = saver else {
                return Err("a session from before revoke_all survived it".to_owned());
            };
            let began = ends[saver].began.or_else(|| log.fetched_at.get(&saver).copied());
            if began.is_none_or(|began| began < fenced_at) {
                return Err("a login from before revoke_all survived it".to_owned());
            }
        }
        // One that began after it stands, as far as marks can tell.
        for (client, end) in clients.iter().zip(ends) {
            let late = end.began.is_some_and(|began| began > fenced_at);
            let others =
                clients.iter().any(|other| other.act.ends() && other.act != Act::RevokeAll);
            if late && !others && end.committed == Some(Err(Kind::Undone)) && client.cap.is_none() {
                return Err("a login that began after revoke_all was undone".to_owned());
            }
        }
        Ok(())
    }

    /// Who was told that they are logged in, is; and no session stands without a browser.
    async fn check_browsers(
        &self,
        clients: &[Client],
        ends: &[End],
        live: &[Live],
    ) -> Result<(), String> {
        // Whoever was the owner's browser before may still end its session.
        let ended = clients.iter().any(|client| {
            let replaces = matches!(client.act, Act::ReplaceOwner | Act::Leave);
            client.act.ends() || replaces && !self.anonymous()
        });
        let capped = clients.iter().any(|client| client.cap.is_some());
        for (at, (client, end)) in clients.iter().zip(ends).enumerate() {
            let login = client.act.is_login() || client.act == Act::ReplaceOwner;
            if !login || end.committed != SAVED || ended || capped {
                continue;
            }
            // A login of the user who was there already changes no secret.
            if end.cookie.is_none() && client.act == Act::Login && !self.anonymous() {
                continue;
            }
            if !live.iter().any(|session| session.openers.contains(&Some(at))) {
                return Err(format!("client {at} was logged in, and its cookie opens nothing"));
            }
        }
        // A login that meets another renewal begins a session of its own.
        let changers = clients.iter().filter(|client| self.renews(client.act)).count();
        let descends = live.iter().filter(|session| {
            let saver = self.log().saves.get(session.key.as_str()).copied();
            saver.is_none_or(|saver| ends[saver].found)
        });
        let descends = descends.count();
        if descends > changers.max(1) {
            return Err(format!("{descends} live sessions from one cookie"));
        }
        for session in live {
            let owned = session.record.owner.is_some();
            if owned && session.openers.is_empty() && !self.may_stand(clients, ends, session) {
                return Err("a session that no browser has stands in its owner's list".to_owned());
            }
        }
        if capped {
            let listed = self.listed(USER).await;
            let answered = clients.iter().zip(ends).any(|(client, end)| {
                let asks = self.renews(client.act) || client.act == Act::LoginElsewhere;
                client.act.is_login() && asks && end.committed == SAVED
            });
            if answered && listed.len() > 1 {
                return Err(format!("{} sessions under a cap of 1", listed.len()));
            }
        }
        let _ = OTHER;
        Ok(())
    }

    /// A renewal whose answer never came leaves a session that its browser opens with the cookie
    /// of two secrets; one whose handler never heard back, nothing.
    fn may_stand(&self, clients: &[Client], ends: &[End], session: &Live) -> bool {
        session.key == *self.key()
            && clients.iter().zip(ends).any(|(client, end)| {
                // What it set was cleared by the logout of another tab.
                client.fault != Fault::None && end.committed == Some(Err(Kind::Unavailable))
                    || end.cleared && end.committed == Some(Err(Kind::Gone))
            })
    }

    /// A proof is what its own request saved, and nobody writes an old one back. Whom the owner acts
    /// for likewise.
    fn check_identity(
        &self,
        clients: &[Client],
        ends: &[End],
        session: &Live,
    ) -> Result<(), String> {
        let saved = |act: Act, unknown: bool| {
            clients.iter().zip(ends).any(|(client, end)| {
                let lost = unknown && end.committed == Some(Err(Kind::Unavailable));
                let here = end.committed == SAVED && end.key.as_ref() == Some(&session.key);
                client.act == act && end.found && !self.anonymous() && (here || lost)
            })
        };
        // A login with a proof of its own begins again with nothing.
        let login = saved(Act::LoginWithAttempt, true);
        for (act, is) in [(Act::StepUp, session.stepped_up), (Act::Impersonate, session.acts)] {
            if is && !saved(act, true) {
                return Err(format!("{act:?} took place by nobody's wish"));
            }
            if !is && saved(act, false) && !login {
                return Err(format!("{act:?} was saved, and is lost"));
            }
        }
        Ok(())
    }

    /// Nothing that was saved is lost or there twice.
    fn check_content(
        &self,
        clients: &[Client],
        ends: &[End],
        session: &Live,
    ) -> Result<(), String> {
        let mut tags = session.tags.clone();
        tags.sort();
        let mut once = tags.clone();
        once.dedup();
        if once != tags {
            return Err(format!("tags {tags:?}: one is there twice"));
        }
        let marks = tags.iter().filter(|tag| *tag != "start").count();
        if session.count as usize != marks {
            return Err(format!("counted {} for {tags:?}", session.count));
        }
        for (at, end) in ends.iter().enumerate() {
            let tag = at.to_string();
            let saved_here = end.committed == SAVED && end.key.as_ref() == Some(&session.key);
            if saved_here && !tags.contains(&tag) {
                return Err(format!("what client {at} saved is lost: {tags:?}"));
            }
            let refused =
                matches!(end.committed, Some(Err(Kind::Gone | Kind::Conflict | Kind::Undone)));
            if refused && tags.contains(&tag) {
                return Err(format!("client {at} was told that nothing was saved: {tags:?}"));
            }
        }
        if session.key == *self.key() && !tags.contains(&"start".to_owned()) {
            return Err("what there was at the start is lost".to_owned());
        }
        // A new session of a login beside another holds nothing of the first.
        let began = self.log().saves.get(session.key.as_str()).copied();
        if let Some(client) = began
            && clients[client].act.is_login()
            && self.log().deleted_at.is_none()
            && self.log().renewed_at.is_some()
            && clients[client].act != Act::LoginElsewhere
            && tags != [client.to_string()]
            && !clients.iter().any(|client| client.act == Act::Expire)
        {
            return Err(format!("a login beside another copied {tags:?}"));
        }
        Ok(())
    }
}
