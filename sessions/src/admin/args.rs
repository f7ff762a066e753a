//! The commands and their arguments.

use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Look after the sessions of this service.
#[derive(Debug, Parser)]
#[command(name = "sessions", disable_version_flag = true)]
pub(super) struct Arguments {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the sessions of an owner
    List(OfOwner),
    /// Show a session
    Show {
        /// Its key, as `list` and events print it
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// Show its fields too, which may be personal data
        #[arg(long)]
        data: bool,
    },
    /// End a session
    Revoke {
        /// Its key, as `list` and events print it
        #[arg(allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// End all sessions of an owner, and the logins that are under way
    RevokeOwner {
        #[command(flatten)]
        of: OfOwner,
        #[command(flatten)]
        sure: Sure,
    },
    /// End the sessions of everybody
    EndAll {
        /// Only those from before this time: 2026-01-31T09:30:00Z, or 2h for two hours ago
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        #[command(flatten)]
        sure: Sure,
    },
    /// Show the key ring, or change it
    Keys {
        #[command(subcommand)]
        change: Option<KeysCommand>,
    },
    /// Count the stored sessions by type and schema version
    Stats,
    /// Save old sessions again in the schema version of this build
    Upgrade {
        #[command(flatten)]
        of: OfType,
        /// The most sessions to save in a second
        #[arg(long, value_name = "COUNT", default_value_t = 500)]
        per_second: u32,
        /// File sessions under the owner that their owner field names, which logs them in again
        #[arg(long)]
        refile_owners: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Remove expired sessions now
    Purge,
    /// Print every session as a line of JSON, or all of an owner as one document
    Export {
        /// Only this owner's
        #[arg(long, allow_hyphen_values = true)]
        owner: Option<String>,
        #[command(flatten)]
        of: OfType,
    },
    /// Move what is left in the old database to the new one
    Move {
        /// The most records to move in a second
        #[arg(long, value_name = "COUNT")]
        per_second: Option<u32>,
        /// End the move, once every host uses the new database alone
        #[arg(long)]
        finish: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Print a script that completes these commands in a shell
    Completions {
        /// The shell
        shell: Shell,
        /// The name of the command to complete
        #[arg(long, default_value = "sessions")]
        command: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key and erase the others: every cookie and token becomes invalid
    Rotate {
        #[command(flatten)]
        sure: Sure,
    },
    /// Encrypt the keys again with the current key-encryption key
    Rewrap,
}

#[derive(Debug, Args)]
pub(super) struct OfOwner {
    /// The owner, as the field with #[session(owner)] displays it
    #[arg(allow_hyphen_values = true)]
    pub(super) owner: String,
    #[command(flatten)]
    pub(super) of: OfType,
}

#[derive(Debug, Args)]
pub(super) struct OfType {
    /// The session type, if there is more than one
    #[arg(long = "session", value_name = "NAME")]
    pub(super) session: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub(super) struct Sure {
    /// Do not ask: this cannot be undone
    #[arg(long)]
    pub(super) yes: bool,
}

/// Reads a time: a date, or how long ago.
pub(super) fn parse_time(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let ago: Option<Duration> = humantime::parse_duration(text).ok();
    let time = match ago {
        Some(ago) => now.checked_sub(ago),
        None => humantime::parse_rfc3339_weak(text).ok(),
    };
    time.filter(|time| *time >= SystemTime::UNIX_EPOCH).ok_or_else(|| {
        format!("{text:?} is no time: use 2026-01-31T09:30:00Z, or 2h for two hours ago")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_key_or_an_owner_may_begin_as_an_option_does() {
        for line in ["show -IzFh", "revoke -IzFh --yes", "list -7", "export --owner -7"] {
            let words = ["sessions"].into_iter().chain(line.split(' '));
            let parsed = Arguments::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn a_time_is_a_date_or_how_long_ago() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(parse_time("2h", now), Ok(now - Duration::from_secs(7_200)));
        let date = parse_time("1970-01-01T00:00:05Z", now);
        assert_eq!(date, Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(5)));
        for wrong in ["", "yesterday", "900y", "2026-13-01T00:00:00Z"] {
            let error = parse_time(wrong, now).unwrap_err();
            assert!(error.contains("two hours ago"), "{wrong}: {error}");
        }
    }
}
