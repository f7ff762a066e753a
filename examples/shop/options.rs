//! What the command line says.

use std::time::Duration;

use sessions::TrustedProxies;

/// The options, with their defaults.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) port: u16,
    /// Where sessions are stored, as a URL.
    pub(crate) store: String,
    /// Which of the two builds this is.
    pub(crate) schema: u32,
    pub(crate) plain_http: bool,
    /// Whether it has a certificate, and binds sessions to devices.
    pub(crate) https: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) proxies: TrustedProxies,
    /// How far the shop's clock is ahead of the machine's.
    pub(crate) ahead: Duration,
    /// The words of a command for operators, to run in place of the shop.
    pub(crate) command: Option<Vec<String>>,
}

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A small shop. Options, before a command:
  --port N         where it listens (3000)
  --store URL      where sessions are stored (sqlite:shop.db, or what DATABASE_URL says)
                     sqlite:FILE   memory:   postgres://...   mysql://...   redis://...
                     dynamodb://TABLE?endpoint=http://localhost:8000
                   the last four each take a feature: --features postgres, mysql, redis or dynamodb
  --schema 1|2     which version of the visitor this build writes (2)
  --plain-http     for browsers that refuse secure cookies on localhost
  --https          with a certificate that it makes; binds sessions to devices
  --proxies LIST   the proxies in front of it, whose X-Forwarded-For it believes (none)
                     10.0.0.0/8,192.168.1.7
  --minutes-ahead N  how far its clock is ahead, to try what takes time (0)
Commands:
  sessions ...     for operators: list, show, revoke, keys, stats and more
                   sessions --help says what each does
";

impl Options {
    /// Reads the words of a command line; `database_url` is what to use without `--store`. `None`
    /// if only help is asked for.
    pub(crate) fn parse(
        mut words: impl Iterator<Item = String>,
        database_url: Option<String>,
    ) -> Result<Option<Self>, String> {
        let store = database_url.unwrap_or_else(|| "sqlite:shop.db".to_owned());
        let mut options = Self {
            port: 3000,
            store,
            schema: 2,
            plain_http: false,
            https: false,
            proxies: TrustedProxies::default(),
            ahead: Duration::ZERO,
            command: None,
        };
        while let Some(word) = words.next() {
            if word == "sessions" {
                options.command = Some(words.collect());
                break;
            }
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--port" => {
                    let value = value()?;
                    let port = value.parse();
                    options.port = port.map_err(|_| format!("{value} is not a port"))?;
                }
                "--store" => options.store = value()?,
                "--schema" => {
                    options.schema = match value()?.as_str() {
                        "1" => 1,
                        "2" => 2,
                        other => return Err(format!("there is no schema {other}, only 1 and 2")),
                    };
                }
                "--plain-http" => options.plain_http = true,
                "--https" => options.https = true,
                "--proxies" => {
                    let proxies = TrustedProxies::new(value()?.split(','));
                    options.proxies = proxies.map_err(|error| error.to_string())?;
                }
                "--minutes-ahead" => {
                    let value = value()?;
                    let minutes = value.parse::<u32>();
                    let minutes = minutes.map_err(|_| format!("{value} is no number"))?;
                    options.ahead = Duration::from_secs(60 * u64::from(minutes));
                }
                "--help" => return Ok(None),
                _ => return Err(format!("{word} is not known, --help says what is")),
            }
        }
        if options.https && options.plain_http {
            return Err("--https and --plain-http exclude each other".to_owned());
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str, database_url: Option<&str>) -> Option<Options> {
        let words = words.split_whitespace().map(str::to_owned);
        Options::parse(words, database_url.map(str::to_owned)).unwrap()
    }

    #[test]
    fn the_store_is_the_options_or_the_variables_or_a_file() {
        let store = |words, url| parse(words, url).unwrap().store;
        assert_eq!(store("", None), "sqlite:shop.db");
        assert_eq!(store("", Some("redis://localhost")), "redis://localhost");
        assert_eq!(store("--store memory:", Some("redis://localhost")), "memory:");
        assert_eq!(parse("--port 1 --schema 1 --plain-http", None).unwrap().schema, 1);
        assert_eq!(parse("--help", None), None);
    }

    #[test]
    fn https_and_plain_http_exclude_each_other() {
        assert!(parse("--https", None).unwrap().https && !parse("", None).unwrap().https);
        let both = ["--https", "--plain-http"].map(str::to_owned).into_iter();
        assert!(Options::parse(both, None).unwrap_err().contains("exclude"));
    }

    #[test]
    fn what_follows_sessions_is_a_command() {
        let options = parse("--store memory: sessions list ada --json", None).unwrap();
        assert_eq!(options.store, "memory:");
        assert_eq!(options.command.unwrap(), ["list", "ada", "--json"]);
        assert_eq!(parse("", None).unwrap().command, None);
    }
}
