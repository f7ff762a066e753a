//! What each command does.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;

use clap::CommandFactory as _;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::Admin;
use super::args::{Arguments, Command, KeysCommand, OfOwner, Sure, parse_time};
use super::of_type::OfType;
use super::report::{Failure, Report, plain, table};
use crate::clock::to_rfc3339;
use crate::error::Error;
use crate::id::StoreKey;
use crate::keyring::state::{KeyInfo, KeyState};
use crate::provider::Page;
use crate::store::owner::SessionInfo;
use crate::store::upgrade::Upgraded;

impl Admin {
    pub(super) async fn execute(
        &self,
        command: Command,
        out: &mut (dyn Write + Send),
    ) -> Result<Report, Failure> {
        match command {
            Command::List(of) => self.list(of).await,
            Command::Show { key, data } => self.show(&key, data).await,
            Command::Revoke { key, sure } => {
                let key = parse_key(&key)?;
                must_be_sure(sure, "end this session")?;
                if !self.store.revoke_any(&key).await? {
                    return Ok(Report::nothing("no such session\n", json!({ "ended": 0 })));
                }
                Ok(Report::new("ended 1 session\n", json!({ "ended": 1 })))
            }
            Command::RevokeOwner { of: OfOwner { owner, of }, sure } => {
                let of_type = self.of_type(of.session.as_deref())?;
                must_be_sure(sure, "end all sessions of this owner")?;
                let ended = of_type.revoke_all(&self.store, &owner).await?;
                Ok(Report::new(format!("ended {}\n", count(ended)), json!({ "ended": ended })))
            }
            Command::EndAll { before, sure } => self.end_all(before.as_deref(), sure).await,
            Command::Keys { change } => self.keys(change).await,
            Command::Stats => self.stats().await,
            Command::Upgrade { of, per_second, refile_owners, sure } => {
                let of_type = self.of_type(of.session.as_deref())?;
                if refile_owners {
                    must_be_sure(sure, "log misfiled sessions in again")?;
                }
                let bar = ProgressBar::new_spinner();
                let progress = Box::new(|so_far: &Upgraded| {
                    bar.set_message(format!("{} read, {} saved", so_far.read, so_far.saved));
                    bar.tick();
                });
                let upgrade = of_type.upgrade(&self.store, per_second, refile_owners, progress);
                let done = upgrade.await?;
                bar.finish_and_clear();
                let text = format!(
                    "read {}, saved {}, unreadable {}, misfiled {}\n",
                    done.read, done.saved, done.unreadable, done.misfiled
                );
                let json = json!({
                    "read": done.read,
                    "saved": done.saved,
                    "unreadable": done.unreadable,
                    "misfiled": done.misfiled,
                });
                Ok(Report::new(text, json))
            }
            Command::Purge => self.purge().await,
            Command::Export { owner, of } => self.export(owner, of.session.as_deref(), out).await,
            Command::Move { per_second, finish, sure } => {
                self.move_records(per_second, finish, sure).await
            }
            Command::Completions { shell, command } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Arguments::command(), command, &mut script);
                let script = String::from_utf8_lossy(&script).into_owned();
                Ok(Report::new(script.clone(), Value::from(script)))
            }
        }
    }

    async fn list(&self, OfOwner { owner, of }: OfOwner) -> Result<Report, Failure> {
        let of_type = self.of_type(of.session.as_deref())?;
        let (mut infos, mut page) = (Vec::new(), Some(Page::first(100)));
        while let Some(wanted) = page {
            let listed = of_type.list(&self.store, &owner, wanted).await?;
            infos.extend(listed.items);
            page = listed.next;
        }
        let json = infos.iter().map(info_json).collect();
        if infos.is_empty() {
            return Ok(Report::nothing("no sessions\n", json));
        }
        let rows: Vec<_> = infos.iter().map(info_row).collect();
        Ok(Report::new(table(&["KEY", "CREATED", "LAST SEEN", "EXPIRES", "LABEL"], &rows), json))
    }

    async fn show(&self, key: &str, data: bool) -> Result<Report, Failure> {
        let key = parse_key(key)?;
        let Some(mut session) = self.store.core().export_session(&key).await? else {
            return Ok(Report::nothing("no such session\n", Value::Null));
        };
        if !data {
            session.remove("fields");
        }
        let rows: Vec<_> = session.iter().flat_map(|(name, value)| lines(name, value)).collect();
        Ok(Report::new(table(&["WHAT", "VALUE"], &rows), Value::Object(session)))
    }

    async fn end_all(&self, before: Option<&str>, sure: Sure) -> Result<Report, Failure> {
        let before = before.map(|text| parse_time(text, self.store.now()));
        let before = before.transpose().map_err(Failure::Usage)?;
        must_be_sure(sure, "end the sessions of everybody")?;
        let which = match before {
            Some(time) => {
                self.store.end_all_before(time).await?;
                format!(" from before {}", to_rfc3339(time))
            }
            None => {
                self.store.end_all().await?;
                String::new()
            }
        };
        let text = format!("ended every session{which}; running hosts refuse them {SOON}\n");
        Ok(Report::new(text, json!({ "before": before.map(to_rfc3339) })))
    }

    async fn keys(&self, change: Option<KeysCommand>) -> Result<Report, Failure> {
        let codec = self.store.codec();
        let mut note = String::new();
        match change {
            None => codec.refresh().await?,
            Some(KeysCommand::Rotate { sure }) => {
                must_be_sure(sure, "make every cookie and token invalid")?;
                codec.rotate_now().await?;
                note = format!("running hosts refuse what the erased keys sealed {SOON}\n");
            }
            Some(KeysCommand::Rewrap) => codec.rewrap_keys().await?,
        }
        let ring = codec.key_ring();
        let (generation, keys) = ring.map(|ring| (ring.generation, ring.keys)).unwrap_or_default();
        let rows: Vec<_> = keys.iter().map(key_row).collect();
        let head = ["ID", "STATE", "SEALS FROM", "UNTIL", "OPENS UNTIL", "ENCRYPTED BY"];
        let text = format!("generation {generation}\n{}{note}", table(&head, &rows));
        let json = json!({
            "generation": generation,
            "keys": keys.iter().map(key_json).collect::<Vec<_>>(),
        });
        Ok(Report::new(text, json))
    }

    async fn stats(&self) -> Result<Report, Failure> {
        let bar = ProgressBar::new_spinner();
        let stats = self.store.core().stats(|read| {
            bar.set_message(format!("{read} records"));
            bar.tick();
        });
        let stats = stats.await?;
        bar.finish_and_clear();
        let rows: Vec<Vec<String>> = stats
            .sessions
            .iter()
            .map(|it| {
                let numbers = [u64::from(it.version), it.owned, it.anonymous, it.bytes];
                [plain(&it.session)].into_iter().chain(numbers.map(|it| it.to_string())).collect()
            })
            .collect();
        let head = ["SESSION", "VERSION", "OWNED", "ANONYMOUS", "BYTES"];
        let text = format!("{}other records: {}\n", table(&head, &rows), stats.other_records);
        let sessions: Vec<Value> = stats
            .sessions
            .iter()
            .map(|it| {
                json!({
                    "session": it.session,
                    "version": it.version,
                    "owned": it.owned,
                    "anonymous": it.anonymous,
                    "bytes": it.bytes,
                })
            })
            .collect();
        let json = json!({ "sessions": sessions, "other_records": stats.other_records });
        Ok(Report::new(text, json))
    }

    async fn purge(&self) -> Result<Report, Failure> {
        const BATCH: u32 = 1_000;
        let mut purged = 0;
        loop {
            let removed = match self.store.purge_expired(BATCH).await {
                Err(Error::Provider(error)) if error.is_unsupported() => {
                    let text = "the database removes expired sessions by itself\n";
                    return Ok(Report::new(text, json!({ "removed": null })));
                }
                removed => removed?,
            };
            purged += removed;
            if removed < u64::from(BATCH) {
                break;
            }
        }
        let json = json!({ "removed": purged });
        Ok(Report::new(format!("removed {}\n", count(purged)), json))
    }

    /// Prints as it reads, so that any number of sessions fits.
    async fn export(
        &self,
        owner: Option<String>,
        session: Option<&str>,
        out: &mut (dyn Write + Send),
    ) -> Result<Report, Failure> {
        if let Some(owner) = owner {
            let exported = self.of_type(session)?.export(&self.store, &owner).await?;
            let json = serde_json::from_str(&exported).unwrap_or(Value::Null);
            return Ok(Report::new(exported + "\n", json));
        }
        let bar = ProgressBar::new_spinner();
        let (mut page, mut exported) = (Page::first(100), 0_u64);
        loop {
            let listed = self.store.scan(page).await?;
            for record in &listed.records {
                let Some(line) = self.store.core().export_record(record, session) else { continue };
                exported += 1;
                writeln!(out, "{}", Value::Object(line)).map_err(|error| not_written(&error))?;
            }
            bar.set_message(format!("{exported} sessions"));
            bar.tick();
            let Some(mark) = listed.next else { break };
            page = Page::after(mark, 100);
        }
        bar.finish_and_clear();
        Ok(Report::new(String::new(), Value::Null))
    }

    async fn move_records(
        &self,
        per_second: Option<u32>,
        finish: bool,
        sure: Sure,
    ) -> Result<Report, Failure> {
        let Some(moving) = &self.moving else {
            return Err(Failure::Usage(
                "this program serves from one database: give the commands a `Moving` with moving()"
                    .to_owned(),
            ));
        };
        if finish {
            must_be_sure(sure, "end the move: every host uses the new database alone")?;
            moving.finish().await?;
            return Ok(Report::new("the move is finished\n", json!({ "finished": true })));
        }
        must_be_sure(sure, "move: every host serves from both databases")?;
        let bar = ProgressBar::new_spinner();
        let mut mover = moving.mover().on_progress(|so_far| {
            bar.set_message(format!("{} records moved", so_far.moved));
            bar.tick();
        });
        if let Some(most) = per_second {
            mover = mover.per_second(most);
        }
        let done = mover.run().await?;
        bar.finish_and_clear();
        let json = json!({ "moved": done.moved, "left": done.left });
        let text = format!("moved {} records, left {}\n", done.moved, done.left);
        Ok(if done.left == 0 { Report::new(text, json) } else { Report::nothing(text, json) })
    }

    /// The session type of a command.
    fn of_type(&self, session: Option<&str>) -> Result<&Arc<dyn OfType>, Failure> {
        let names = || self.types.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ");
        match (session, &*self.types) {
            (_, []) => Err(Failure::Usage(
                "this program has named no session type: call session::<T>() on its `Admin`".into(),
            )),
            (None, [only]) => Ok(only),
            (None, _) => {
                Err(Failure::Usage(format!("name the session type with --session: {}", names())))
            }
            (Some(name), types) => types.iter().find(|it| it.name() == name).ok_or_else(|| {
                Failure::Usage(format!("there is no session type {name:?}, but {}", names()))
            }),
        }
    }
}

fn parse_key(text: &str) -> Result<StoreKey, Failure> {
    text.parse().map_err(|_| {
        Failure::Usage(format!("{:?} is no key: copy one that `list` prints", plain(text)))
    })
}

/// # Errors
/// Unless somebody has said that it is meant, or says it now.
fn must_be_sure(sure: Sure, what: &str) -> Result<(), Failure> {
    if sure.yes {
        return Ok(());
    }
    let refused = || Failure::Usage(format!("this will {what}; add --yes if you mean it"));
    if !std::io::stdin().is_terminal() {
        return Err(refused());
    }
    eprint!("This will {what}. Type \"yes\" to go on: ");
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(refused()),
    }
}

fn count(sessions: u64) -> String {
    format!("{sessions} session{}", if sessions == 1 { "" } else { "s" })
}

fn not_written(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("the output cannot be written: {error}"))
}

fn info_row(info: &SessionInfo) -> Vec<String> {
    vec![
        info.key.to_string(),
        to_rfc3339(info.created_at),
        to_rfc3339(info.last_seen),
        info.expires_at.map(to_rfc3339).unwrap_or_default(),
        plain(info.label.as_deref().unwrap_or_default()),
    ]
}

fn info_json(info: &SessionInfo) -> Value {
    json!({
        "key": info.key.as_str(),
        "created_at": to_rfc3339(info.created_at),
        "last_seen": to_rfc3339(info.last_seen),
        "expires_at": info.expires_at.map(to_rfc3339),
        "label": info.label,
        "level": info.authentication.level,
        "locked": info.is_locked,
        "acting_as": info.acting_as,
    })
}

fn key_row(key: &KeyInfo) -> Vec<String> {
    vec![
        key.id.clone(),
        state(key.state).to_owned(),
        to_rfc3339(key.activates_at),
        to_rfc3339(key.retires_at),
        to_rfc3339(key.expires_at),
        plain(key.kek_id.as_deref().unwrap_or("nothing")),
    ]
}

fn key_json(key: &KeyInfo) -> Value {
    json!({
        "id": key.id,
        "state": state(key.state),
        "created_at": to_rfc3339(key.created_at),
        "activates_at": to_rfc3339(key.activates_at),
        "retires_at": to_rfc3339(key.retires_at),
        "expires_at": to_rfc3339(key.expires_at),
        "kek_id": key.kek_id,
    })
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Waiting => "waiting",
        KeyState::Sealing => "sealing",
        KeyState::Retired => "retired",
        KeyState::Expired => "expired",
        KeyState::Erased => "erased",
        KeyState::Unavailable => "unavailable",
        KeyState::Refused => "refused",
    }
}

/// The rows of one property: of an object, one for each of its own.
fn lines(name: &str, value: &Value) -> Vec<Vec<String>> {
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            let rows = inner
                .iter()
                .flat_map(|(inner, value)| lines(&format!("{name}.{}", plain(inner)), value));
            rows.collect()
        }
        Value::String(text) => vec![vec![name.to_owned(), plain(text)]],
        Value::Null => vec![vec![name.to_owned(), "-".to_owned()]],
        value => vec![vec![name.to_owned(), value.to_string()]],
    }
}

/// When hosts learn of what this process has changed, which serves nobody itself.
const SOON: &str = "within ten minutes, or at once if you restart them";
