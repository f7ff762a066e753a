//! Commands for operators: who is logged in, ending sessions, the keys, what is stored, moving to
//! another database. It needs the feature `admin`.
//!
//! Mount them in your program, which knows the database and the session types:
//!
//! ```
//! use std::process::ExitCode;
//!
//! use sessions::admin::Admin;
//! use sessions::{MemoryProvider, Session, Store};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(owner)]
//!     user: Option<u64>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> ExitCode {
//! let store = Store::new(MemoryProvider::new());
//! let admin = Admin::new(&store).session::<Visitor>();
//!
//! // `my-shop sessions list 7`
//! let mut args = std::env::args();
//! if args.by_ref().nth(1).as_deref() == Some("sessions") {
//!     return admin.run(args).await;
//! }
//! # ExitCode::SUCCESS
//! # }
//! ```
//!
//! | command | what it does | the function |
//! |---|---|---|
//! | `list OWNER` | lists the sessions of an owner | [`Store::list`] |
//! | `show KEY` | shows a session; its fields only with `--data` | [`Store::export_session`] |
//! | `revoke KEY` | ends a session | [`Store::revoke_any`] |
//! | `revoke-owner OWNER` | ends all sessions of an owner | [`Store::revoke_all`] |
//! | `end-all [--before TIME]` | ends the sessions of everybody | [`Store::end_all`], [`Store::end_all_before`] |
//! | `keys` | shows the key ring | [`Codec::key_ring`](crate::codec::Codec::key_ring) |
//! | `keys rotate` | makes every cookie and token invalid | [`Codec::rotate_now`](crate::codec::Codec::rotate_now) |
//! | `keys rewrap` | encrypts the keys with the current key-encryption key | [`Codec::rewrap_keys`](crate::codec::Codec::rewrap_keys) |
//! | `stats` | counts the sessions by type and version | [`Store::stats`] |
//! | `upgrade` | saves old sessions in the version of this build | [`Store::upgrade`] |
//! | `purge` | removes expired sessions now | [`Store::purge_expired`] |
//! | `export` | prints every session, a line of JSON each | [`Store::scan`] |
//! | `export --owner OWNER` | prints all of an owner as one document | [`Store::export_owner`] |
//! | `move` | moves what is left to another database | [`Moving::mover`] |
//! | `completions SHELL` | prints a script for a shell | |
//!
//! With `--json` a command prints JSON. What cannot be undone asks first, and needs `--yes` where there
//! is no terminal. A program with several session types needs `--session NAME` where one is meant.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | the arguments are wrong, or `--yes` is missing |
//! | 3 | there is no such session or owner, or records were left behind |
//! | 4 | the database cannot be reached; trying again can help |

mod args;
mod commands;
mod of_type;
mod report;

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};

use self::args::Arguments;
use self::of_type::{OfType, Typed};
use self::report::{DONE, NOTHING, USAGE};
use crate::data::SessionData;
use crate::moving::Moving;
use crate::store::Store;

/// The commands, on one store.
///
/// ```
/// use sessions::{MemoryProvider, Store, admin::Admin};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let store = Store::new(MemoryProvider::new());
/// let (mut out, mut err) = (Vec::new(), Vec::new());
/// let code = Admin::new(&store).run_to(["stats"], &mut out, &mut err).await;
/// assert_eq!(code, 0);
/// assert!(String::from_utf8_lossy(&out).contains("other records: 0"));
/// # }
/// ```
#[derive(Clone)]
pub struct Admin {
    store: Store,
    types: Vec<Arc<dyn OfType>>,
    moving: Option<Moving>,
}

impl Admin {
    /// Creates the commands.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Store, admin::Admin};
    /// let admin = Admin::new(&Store::new(MemoryProvider::new()));
    /// # let _ = admin;
    /// ```
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), types: Vec::new(), moving: None }
    }

    /// Adds a session type. Commands about owners, and `upgrade`, need to know it.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store, admin::Admin};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// let admin = Admin::new(&Store::new(MemoryProvider::new())).session::<Visitor>();
    /// # let _ = admin;
    /// ```
    #[must_use]
    pub fn session<T: SessionData>(mut self) -> Self {
        self.types.push(Arc::new(Typed::<T>(PhantomData)));
        // Known from now on, so that `show` knows its times. Two types of one name fail where one is
        // used.
        let _ = self.store.core().session_type::<T>();
        self
    }

    /// Sets what `move` moves: the provider of the store.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Store, admin::Admin, moving::Moving};
    /// let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// let admin = Admin::new(&Store::new(moving.clone())).moving(moving);
    /// # let _ = admin;
    /// ```
    #[must_use]
    pub fn moving(mut self, moving: Moving) -> Self {
        self.moving = Some(moving);
        self
    }

    /// Returns the commands for clap, to add them to your own as a subcommand. Pass the matches of the
    /// subcommand to [`run_matches`](Self::run_matches).
    ///
    /// ```
    /// use sessions::admin::{Admin, clap};
    ///
    /// let mine = clap::Command::new("shop").subcommand(Admin::command());
    /// let matches = mine.get_matches_from(["shop", "sessions", "stats"]);
    /// assert_eq!(matches.subcommand_name(), Some("sessions"));
    /// ```
    #[must_use]
    pub fn command() -> clap::Command {
        Arguments::command()
    }

    /// Runs the command that these arguments name, without the name of the program before them, and
    /// prints to the standard output and the standard error.
    ///
    /// ```no_run
    /// # use sessions::{MemoryProvider, Store, admin::Admin};
    /// # async fn example(store: Store) -> std::process::ExitCode {
    /// Admin::new(&store).run(std::env::args().skip(1)).await
    /// # }
    /// ```
    pub async fn run<A: Into<OsString> + Clone>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> ExitCode {
        self.run_to(args, &mut std::io::stdout(), &mut std::io::stderr()).await.into()
    }

    /// As [`run`](Self::run), with what clap has read.
    ///
    /// ```no_run
    /// # use sessions::{MemoryProvider, Store, admin::{Admin, clap}};
    /// # async fn example(store: Store) -> std::process::ExitCode {
    /// let matches = clap::Command::new("shop").subcommand(Admin::command()).get_matches();
    /// match matches.subcommand() {
    ///     Some(("sessions", matches)) => Admin::new(&store).run_matches(matches).await,
    ///     _ => std::process::ExitCode::SUCCESS,
    /// }
    /// # }
    /// ```
    pub async fn run_matches(&self, matches: &clap::ArgMatches) -> ExitCode {
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        self.run_parsed(Arguments::from_arg_matches(matches), &mut out, &mut err).await.into()
    }

    /// As [`run`](Self::run), but prints to two writers and returns the exit code. For tests, and for a
    /// page that offers the commands.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Store, admin::Admin};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = Store::new(MemoryProvider::new());
    /// let (mut out, mut err) = (Vec::new(), Vec::new());
    /// let code = Admin::new(&store).run_to(["revoke", "x"], &mut out, &mut err).await;
    /// assert_eq!(code, 2);
    /// assert!(String::from_utf8_lossy(&err).contains("is no key"));
    /// # }
    /// ```
    pub async fn run_to<A: Into<OsString> + Clone>(
        &self,
        args: impl IntoIterator<Item = A>,
        out: &mut (dyn Write + Send),
        err: &mut (dyn Write + Send),
    ) -> u8 {
        let args = args.into_iter().map(Into::into);
        let args = std::iter::once(OsString::from("sessions")).chain(args);
        let parsed = Arguments::command().try_get_matches_from(args);
        let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
        self.run_parsed(parsed, out, err).await
    }

    async fn run_parsed<'w>(
        &self,
        parsed: Result<Arguments, clap::Error>,
        out: &'w mut (dyn Write + Send),
        err: &'w mut (dyn Write + Send),
    ) -> u8 {
        let arguments = match parsed {
            Ok(arguments) => arguments,
            // Help is one too.
            Err(error) => {
                let is_help = !error.use_stderr();
                let to = if is_help { out } else { err };
                let printed = write!(to, "{}", error.render());
                return if is_help && printed.is_ok() { DONE } else { USAGE };
            }
        };
        let json = arguments.json;
        match self.execute(arguments.command, out).await {
            Ok(report) => {
                let printed = match json {
                    true if report.json.is_null() && report.text.is_empty() => Ok(()),
                    true => writeln!(out, "{}", report.json),
                    false => out.write_all(report.text.as_bytes()),
                };
                match (printed.and_then(|()| out.flush()), report.found) {
                    // Whoever reads has stopped, as `head` does.
                    (Err(_), _) => 1,
                    (Ok(()), true) => DONE,
                    (Ok(()), false) => NOTHING,
                }
            }
            Err(failure) => {
                // Nobody is left to be told that it cannot be told.
                let _ = writeln!(err, "error: {}", failure.text());
                failure.code()
            }
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types: Vec<_> = self.types.iter().map(|it| it.name()).collect();
        f.debug_struct("Admin").field("types", &types).finish_non_exhaustive()
    }
}

pub use clap;
