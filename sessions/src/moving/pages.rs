//! Lists and scans: of the old database, then of the new one.

use std::time::SystemTime;

use super::databases::{Databases, Place, Side};
use super::marker::is_marker;
use super::stub::Seen;
use crate::provider::{Listed, Page, ProviderError, Record};

pub(super) async fn list(
    databases: &Databases,
    owner: &str,
    page: Page,
    now: SystemTime,
) -> Result<Listed, ProviderError> {
    let mut listed = read_page(databases, Some(owner), page, now).await?;
    // A frozen record may have changed its owner since.
    listed.records.retain(|record| record.owner.as_deref() == Some(owner));
    Ok(listed)
}

pub(super) async fn scan(
    databases: &Databases,
    page: Page,
    now: SystemTime,
) -> Result<Listed, ProviderError> {
    read_page(databases, None, page, now).await
}

/// Reads a page of one database: of an owner, or of all. The mark begins with the database's name.
async fn read_page(
    databases: &Databases,
    owner: Option<&str>,
    page: Page,
    now: SystemTime,
) -> Result<Listed, ProviderError> {
    let (mut side, mut after) = match page.after.as_deref() {
        None => (Side::Old, None),
        Some("new") => (Side::New, None),
        Some(mark) => match mark.split_once(':') {
            Some(("old", mark)) => (Side::Old, Some(mark.to_owned())),
            Some(("new", mark)) => (Side::New, Some(mark.to_owned())),
            _ => {
                return Err(ProviderError::permanent(
                    "this mark is from before the move: begin again with the first page",
                ));
            }
        },
    };
    loop {
        let part = Page { after, limit: page.limit };
        let listed = match owner {
            Some(owner) => databases.at(side).list(owner, part, now).await?,
            None => databases.at(side).scan(part, now).await?,
        };
        let mut records: Vec<Record> = Vec::with_capacity(listed.records.len());
        for record in listed.records {
            if is_marker(&record) {
                continue;
            }
            let id = record.id.clone();
            match Seen::of(Some(record)) {
                Seen::Live(record) => records.push(record),
                // Wherever it is: what lies in the new database is shown there.
                Seen::Frozen { .. } => match databases.find(&id, now).await? {
                    Place::At(at, record) if at != Side::New || side == Side::New => {
                        records.push(record);
                    }
                    _ => {}
                },
                Seen::Nothing | Seen::Placeholder { .. } | Seen::Gone { .. } => {}
            }
        }
        let next = match (side, listed.next) {
            (Side::Old, Some(mark)) => Some(format!("old:{mark}")),
            (Side::Old, None) => Some("new".to_owned()),
            (Side::New, mark) => mark.map(|mark| format!("new:{mark}")),
        };
        // The old database has nothing more, so the page goes on in the new one.
        if records.is_empty() && next.as_deref() == Some("new") {
            (side, after) = (Side::New, None);
            continue;
        }
        return Ok(Listed { records, next });
    }
}
