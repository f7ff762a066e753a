//! Encoding a value's fields, for generated code.

use super::entries::{Encoded, Span, Spans};
use super::limits::{MAX_RECORD, too_long};
use super::malformed::Malformed;
use super::table::Table;
use super::value::Value;
use crate::error::Error;

/// Encodes a value's fields one after another, for generated code.
#[derive(Debug)]
pub struct Writer {
    table: &'static Table,
    out: Vec<u8>,
    spans: Spans,
}

impl Writer {
    /// A writer of the table's fields, in their order.
    #[must_use]
    pub fn new(table: &'static Table) -> Self {
        // Most sessions fit: one allocation instead of six.
        Self { table, out: Vec::with_capacity(256), spans: Spans::new() }
    }

    /// Encodes the next field.
    ///
    /// # Errors
    /// [`Error::Encode`] if the type's serde code fails, or writes something that could not be read
    /// back.
    #[inline]
    pub fn put<T>(&mut self, how: &Value<T>, value: &T) -> Result<(), Error> {
        let start = self.out.len();
        let encoded = (how.encode)(value, &mut self.out);
        self.next(start, encoded)
    }

    fn next(&mut self, start: usize, encoded: Result<(), Malformed>) -> Result<(), Error> {
        let index = self.spans.len();
        encoded
            .and_then(|()| match self.out.len() {
                length if length > MAX_RECORD => Err(too_long(length, MAX_RECORD)),
                _ => Ok(()),
            })
            .map_err(|error| self.table.not_encoded(index, error))?;
        self.spans.push(Span::new(start..self.out.len()));
        Ok(())
    }

    /// The encoded fields.
    #[must_use]
    pub fn finish(self) -> Encoded {
        Encoded { data: self.out.into(), spans: self.spans }
    }
}
