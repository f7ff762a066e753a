//! What a client does, and what goes wrong for it.

use http::header::{COOKIE, HeaderMap, HeaderValue};
use sessions::{
    Error, Page, Proof, Session, Store, StoreKey,
    commit::{CommitError, Outcome},
};
use sessions_tests::device::{Answer, Device};
use sessions_tests::hooked::{Fault, Faults};
use sessions_tests::jar::Jar;
use tokio::sync::mpsc::UnboundedSender;

use crate::driver::Message;
use crate::world::{OTHER, USER, Visitor, World};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Makes user 1 the owner.
    Login,
    /// The same with an attempt that began before the session was loaded.
    LoginWithAttempt,
    /// Makes user 1 the owner of a session of another browser, which has none yet.
    LoginElsewhere,
    Renew,
    /// Changes a field of the owner group.
    ChangeRole,
    /// The owner, if there is one, proves again who they are.
    StepUp,
    /// The owner, if there is one, begins to act as user 2.
    Impersonate,
    /// Makes user 2 the owner.
    ReplaceOwner,
    /// Makes nobody the owner.
    Leave,
    Write,
    /// Changes the session by its key.
    Update,
    /// Reads only; the expiry is due to be moved.
    Read,
    /// Reads, and reads again.
    Reload,
    Logout,
    /// Ends the session that there was at the start, by its key.
    Revoke,
    /// Ends all sessions of user 1.
    RevokeAll,
    /// Lets the idle timeout pass.
    Expire,
    /// A browser registers its device, as the login of the start offered.
    Register,
    /// The device that was bound at the start proves itself.
    Refresh,
}

impl Act {
    /// Whether it ends the session that there was at the start.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::Logout | Self::Revoke | Self::RevokeAll | Self::Expire)
    }

    pub(crate) fn is_login(self) -> bool {
        matches!(self, Self::Login | Self::LoginWithAttempt | Self::LoginElsewhere)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) act: Act,
    /// What goes wrong once its session is loaded.
    pub(crate) fault: Fault,
    pub(crate) cap: Option<usize>,
}

impl Client {
    pub(crate) fn new(act: Act) -> Self {
        Self { act, fault: Fault::None, cap: None }
    }

    pub(crate) fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    pub(crate) fn capped(self) -> Self {
        Self { cap: Some(1), ..self }
    }
}

/// What a client came to.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// It found the session that there was at the start, live.
    pub(crate) found: bool,
    /// Its handle read as empty although it brought the cookie of the start.
    pub(crate) empty: bool,
    pub(crate) committed: Option<Result<Outcome, Kind>>,
    /// The cookie that its response set, of a commit that succeeded.
    pub(crate) cookie: Option<String>,
    /// The response told the browser to forget its cookie.
    pub(crate) cleared: bool,
    /// Where its changes went.
    pub(crate) key: Option<StoreKey>,
    /// What `reload` saw.
    pub(crate) reloaded: Option<Vec<String>>,
    /// The step at which its attempt began.
    pub(crate) began: Option<u32>,
    /// What a registration or a refresh was answered.
    pub(crate) device: Option<Answer>,
}

impl End {
    /// Whether a revocation need not be tried again.
    fn answered(&mut self, revoked: Result<(), Error>) -> bool {
        self.committed =
            Some(revoked.map(|()| Outcome::Destroyed).map_err(|error| Kind::from(&error)));
        self.committed != Some(Err(Kind::Unavailable))
    }
}

/// How often a revocation is tried.
const TRIES: u32 = 8;

/// An error, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gone,
    Undone,
    Conflict,
    Unavailable,
}

impl From<&Error> for Kind {
    fn from(error: &Error) -> Self {
        match error {
            Error::Gone => Self::Gone,
            Error::LoginUndone => Self::Undone,
            Error::Conflict { .. } => Self::Conflict,
            error if error.is_unavailable() => Self::Unavailable,
            error => panic!("{error:?}"),
        }
    }
}

impl World {
    /// A host of its own that does one thing.
    pub(crate) fn client(
        &self,
        at: usize,
        client: Client,
        driver: UnboundedSender<Message>,
    ) -> impl Future<Output = End> + Send + use<> {
        let world = self.clone();
        async move {
            let (store, faults) = world.host(at, client, driver.clone());
            let end = world.act(at, client, &store, &faults).await;
            // What goes on in the background belongs to it.
            store.shutdown().await;
            driver.send(Message::Ended).expect("the driver listens");
            end
        }
    }

    async fn act(&self, at: usize, client: Client, store: &Store, faults: &Faults) -> End {
        let mut end = End::default();
        match client.act {
            Act::Expire => {
                self.expire(store).await;
                return end;
            }
            Act::Revoke => {
                faults.set(client.fault);
                for _ in 0..TRIES {
                    let revoked = store.revoke_any(self.key()).await.map(drop);
                    if end.answered(revoked) {
                        break;
                    }
                }
                return end;
            }
            Act::RevokeAll => {
                faults.set(client.fault);
                for _ in 0..TRIES {
                    let revoked = store.revoke_all::<Visitor>(USER).await.map(drop);
                    if end.answered(revoked) {
                        break;
                    }
                }
                return end;
            }
            Act::Register => {
                faults.set(client.fault);
                // Each of them has a key of its own.
                let mut device = Device::new(10 + u8::try_from(at).unwrap());
                end.device = Some(device.register(store, self.offer(), &mut Jar::new()).await);
                return end;
            }
            Act::Refresh => {
                faults.set(client.fault);
                end.device = Some(self.device().refresh(store, &mut Jar::new()).await);
                return end;
            }
            Act::Update => {
                faults.set(client.fault);
                let update = store
                    .update_any::<Visitor, _>(self.key(), |visitor| visitor.leave_mark(at))
                    .await;
                end.committed = Some(match update {
                    Ok(Some(())) => Ok(Outcome::Saved),
                    Ok(None) => Err(Kind::Gone),
                    Err(error) => Err(Kind::from(&error)),
                });
                end.key = Some(self.key().clone()).filter(|_| update_is_ok(end.committed));
                return end;
            }
            _ => {}
        }
        let attempt = match client.act {
            Act::LoginWithAttempt => {
                let attempt = store.begin_login::<Visitor>(USER).await.expect("nothing fails yet");
                end.began = Some(self.last_fetch(at));
                Some(attempt)
            }
            _ => None,
        };
        let nothing = HeaderMap::new();
        let cookie = if client.act == Act::LoginElsewhere { &nothing } else { self.cookie() };
        let mut session = store.load::<Visitor>(cookie).await.expect("nothing fails yet");
        end.found = session.key() == Some(self.key());
        end.empty = session.is_new();
        faults.set(client.fault);
        match client.act {
            Act::Logout => session.destroy(),
            Act::Login | Act::LoginWithAttempt | Act::LoginElsewhere => session.user = Some(USER),
            Act::Renew => session.renew(),
            Act::ChangeRole => session.role += 1,
            Act::StepUp if session.owner().is_some() => session.authenticated(proof()),
            Act::Impersonate if session.owner().is_some() => session.act_as(OTHER),
            Act::ReplaceOwner => session.user = Some(OTHER),
            Act::Leave => session.user = None,
            Act::Reload => {
                let reloaded = session.reload().await;
                end.committed =
                    Some(reloaded.map(|()| Outcome::Unchanged).map_err(|it| Kind::from(&it)));
                end.reloaded = Some(session.tags.clone());
                return end;
            }
            _ => {}
        }
        if let Some(attempt) = attempt {
            session.log_in(attempt);
        }
        if client.act != Act::Read {
            session.leave_mark(at);
        }
        self.commit(&mut session, faults, &mut end).await;
        end
    }

    /// Commits, and does so again where that fails, as an app's own loop does.
    async fn commit(&self, session: &mut Session<Visitor>, faults: &Faults, end: &mut End) {
        for again in [true, true, false] {
            let committed = session.commit().await;
            faults.heal();
            let (result, cookie) = match committed {
                Ok(commit) => (Ok(commit.outcome()), commit.set_cookie().cloned()),
                Err(error) => {
                    let cookie = error.set_cookie().cloned();
                    (Err(Kind::from(CommitError::error(&error))), cookie)
                }
            };
            end.committed = Some(result);
            if let Some(cookie) = cookie {
                end.cleared = cookie.to_str().unwrap().contains("Max-Age=0");
                end.cookie = Some(pair(&cookie)).filter(|_| !end.cleared);
            }
            if !(again && result == Err(Kind::Unavailable)) {
                break;
            }
        }
        end.key = session.key().cloned();
    }

    /// The keys in user 1's list.
    pub(crate) async fn listed(&self, user: u64) -> Vec<StoreKey> {
        let listed = self.plain().list::<Visitor>(user, Page::first(100)).await.unwrap();
        listed.items.into_iter().map(|item| item.key).collect()
    }
}

/// What no plain login has.
fn proof() -> Proof {
    Proof::new("otp").level(2)
}

fn update_is_ok(committed: Option<Result<Outcome, Kind>>) -> bool {
    committed == Some(Ok(Outcome::Saved))
}

pub(crate) fn pair(cookie: &HeaderValue) -> String {
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

pub(crate) fn headers(pair: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())])
}
