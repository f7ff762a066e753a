//! A statement on its way to the server and back, in one round trip.

use std::fmt::Write as _;
use std::future::poll_fn;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Either, Error, Executor as _, PgConnection, SqlStr};

/// A value for one of a statement's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Text(Option<&'a str>),
    Texts(&'a [&'a str]),
    Int(Option<i64>),
    Bytes(&'a [u8]),
}

/// How statements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Prepared once for each connection.
    Prepared,
    /// As text with the values in it, which leaves nothing behind on the server's connection.
    Text,
}

/// What a statement is to a connection that is lost while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// May be sent again, and answers with one row at most.
    Lookup,
    /// May be sent again.
    Repeatable,
    /// May be sent again only where it certainly was not committed.
    Once,
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<PgRow>,
    pub(crate) affected: u64,
}

/// A statement that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Whether the server had told before that the statement ran, so that it may have committed.
    pub(crate) ran: bool,
}

/// Runs a statement to its end: a commit can still fail behind the last row.
pub(crate) async fn run(
    connection: &mut PgConnection,
    form: Form,
    nature: Nature,
    sql: &SqlStr,
    args: &[Arg<'_>],
) -> Result<Answer, Failed> {
    let mut ran = false;
    if nature == Nature::Lookup && form == Form::Prepared {
        // The shorter way through sqlx, which does not tell whether the statement ran.
        let args = to_arguments(args).map_err(|error| Failed { error, ran })?;
        let row = connection.fetch_optional(sqlx::query_with(sql.clone(), args)).await;
        let row = row.map_err(|error| Failed { error, ran: true })?;
        return Ok(Answer { rows: row.into_iter().collect(), affected: 0 });
    }
    let mut answer = Answer::default();
    let mut stream = match form {
        Form::Prepared => {
            let args = to_arguments(args).map_err(|error| Failed { error, ran })?;
            connection.fetch_many(sqlx::query_with(sql.clone(), args))
        }
        Form::Text => {
            connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(with_values(sql.as_str(), args))))
        }
    };
    while let Some(item) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        match item {
            Ok(Either::Right(row)) => answer.rows.push(row),
            Ok(Either::Left(done)) => {
                ran = true;
                answer.affected += done.rows_affected();
            }
            Err(error) => return Err(Failed { error, ran }),
        }
    }
    Ok(answer)
}

fn to_arguments(args: &[Arg<'_>]) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    let size = args.iter().map(|arg| arg.size() + 4).sum();
    arguments.reserve(args.len(), size);
    for arg in args {
        match *arg {
            Arg::Text(text) => arguments.add(text),
            Arg::Texts(texts) => arguments.add(texts),
            Arg::Int(int) => arguments.add(int),
            Arg::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(Error::Encode)?;
    }
    Ok(arguments)
}

impl Arg<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.map_or(0, str::len),
            // Each of an array has its length, or the SQL around it.
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 20).sum(),
            Self::Int(_) => 8,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Writes the value as SQL. Text and bytes are hexadecimal digits, so that no value can leave
    /// its quotes, whatever the server's settings for strings are.
    fn write_to(&self, sql: &mut String) {
        match self {
            Self::Text(None) => sql.push_str("NULL::text"),
            Self::Text(Some(text)) => {
                sql.push_str("convert_from(decode('");
                write_hex(text.as_bytes(), sql);
                sql.push_str("','hex'),'UTF8')");
            }
            Self::Texts(texts) => {
                sql.push_str("ARRAY[");
                for (place, text) in texts.iter().enumerate() {
                    if place > 0 {
                        sql.push(',');
                    }
                    Self::Text(Some(text)).write_to(sql);
                }
                sql.push_str("]::text[]");
            }
            Self::Int(None) => sql.push_str("NULL::bigint"),
            // The quotes keep a minus sign with its number.
            Self::Int(Some(int)) => {
                let _ = write!(sql, "'{int}'::bigint");
            }
            Self::Bytes(bytes) => {
                sql.push_str("decode('");
                write_hex(bytes, sql);
                sql.push_str("','hex')");
            }
        }
    }
}

/// The statement with its values in place of `$1` to `$9`.
fn with_values(sql: &str, args: &[Arg<'_>]) -> String {
    let size: usize = args.iter().map(|arg| 2 * arg.size() + 40).sum();
    let mut text = String::with_capacity(sql.len() + size);
    let mut parts = sql.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let arg = number.parse::<usize>().ok().and_then(|number| args.get(number.checked_sub(1)?));
        match arg {
            Some(arg) => arg.write_to(&mut text),
            // The server says which one is missing.
            None => {
                text.push('$');
                text.push_str(number);
            }
        }
        text.push_str(rest);
    }
    text
}

fn write_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_place_of_parameters_and_leave_no_quotes() {
        let args = [
            Arg::Text(Some("a'b\\")),
            Arg::Int(Some(-5)),
            Arg::Bytes(&[0, 255]),
            Arg::Text(None),
            Arg::Int(None),
        ];
        assert_eq!(
            with_values("SELECT $1, $2-$3 $4,$5;$1", &args),
            "SELECT convert_from(decode('6127625c','hex'),'UTF8'), '-5'::bigint-decode('00ff',\
             'hex') NULL::text,NULL::bigint;convert_from(decode('6127625c','hex'),'UTF8')"
        );
        assert_eq!(with_values("$9 $0 $", &args), "$9 $0 $");
        assert_eq!(
            with_values("$1,$2", &[Arg::Texts(&["'", "b"]), Arg::Texts(&[])]),
            "ARRAY[convert_from(decode('27','hex'),'UTF8'),convert_from(decode('62','hex'),'UTF8')]\
             ::text[],ARRAY[]::text[]"
        );
    }
}
