//! A statement on its way to the server and back, in one round trip.

use std::future::poll_fn;

use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{Arguments as _, Either, Error, Executor as _, MySqlConnection, SqlStr};

/// A value for one of a statement's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    /// Text travels as bytes too, so that no server converts it from one character set to another.
    Bytes(Option<&'a [u8]>),
    Int(Option<i64>),
    Unsigned(u64),
}

impl<'a> Arg<'a> {
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Bytes(Some(text.as_bytes()))
    }

    /// What it takes on the wire at most: before it are its length and its type.
    fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.map_or(0, <[u8]>::len) + 12,
            Self::Int(_) | Self::Unsigned(_) => 12,
        }
    }
}

/// What a call sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'a> {
    /// One statement, which each connection prepares once.
    Prepared(&'a SqlStr, &'a [Arg<'a>]),
    /// One statement as text.
    Text(&'a SqlStr),
    /// The statements of a transaction, as one text.
    Transaction(&'a SqlStr),
}

/// What may be done with a statement whose connection is lost while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It may be sent again.
    Repeatable,
    /// It may be sent again only where it certainly was not committed.
    Once,
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<MySqlRow>,
    /// How many rows were found by an update, inserted or deleted.
    pub(crate) affected: u64,
}

impl Work<'_> {
    /// What it takes on the wire at most.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Prepared(_, args) => args.iter().map(Arg::size).sum::<usize>() + 64,
            Self::Text(sql) | Self::Transaction(sql) => sql.as_str().len() + 1,
        }
    }

    /// Runs it to its end: what a statement fails with may come behind its rows.
    pub(crate) async fn run(self, connection: &mut MySqlConnection) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        let mut stream = match self {
            Self::Prepared(sql, args) => {
                connection.fetch_many(sqlx::query_with(sql.clone(), to_arguments(args)?))
            }
            Self::Text(sql) | Self::Transaction(sql) => {
                connection.fetch_many(sqlx::raw_sql(sql.clone()))
            }
        };
        while let Some(item) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            match item? {
                Either::Right(row) => answer.rows.push(row),
                Either::Left(done) => answer.affected += done.rows_affected(),
            }
        }
        Ok(answer)
    }
}

fn to_arguments(args: &[Arg<'_>]) -> Result<MySqlArguments, Error> {
    let mut arguments = MySqlArguments::default();
    arguments.reserve(args.len(), args.iter().map(Arg::size).sum());
    for arg in args {
        match *arg {
            Arg::Bytes(bytes) => arguments.add(bytes),
            Arg::Int(int) => arguments.add(int),
            Arg::Unsigned(int) => arguments.add(int),
        }
        .map_err(Error::Encode)?;
    }
    Ok(arguments)
}
