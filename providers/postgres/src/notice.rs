//! The text of a notice: which records changed or ended, and nothing else.
//!
//! `-<id>` is a record that was deleted, `+<id>` one that was saved, and `=<id>\n<id>...` and
//! `*<id>\n<id>...` are several. Whoever has the database's password can send any other text.

use sessions::provider::ChangeListener;

/// A record that was saved.
const CHANGED: char = '+';

/// A record that was deleted.
const ENDED: char = '-';

/// Records that were saved.
const ALL_CHANGED: char = '*';

/// Records that were deleted.
const ALL_ENDED: char = '=';

/// What listeners are told of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) id: Box<str>,
    /// It was deleted, not saved.
    pub(crate) ended: bool,
}

impl Told {
    pub(crate) fn changed(id: &str) -> Self {
        Self { id: id.into(), ended: false }
    }
}

/// The notices that tell it.
pub(crate) fn gather<'t>(told: impl IntoIterator<Item = &'t Told>) -> Vec<String> {
    let mut notices: Vec<String> = Vec::new();
    // Where those of deleted records and of saved ones have room.
    let mut open = [None; 2];
    for Told { id, ended } in told {
        let (one, all) = if *ended { (ENDED, ALL_ENDED) } else { (CHANGED, ALL_CHANGED) };
        // It cannot be told from two.
        if id.contains('\n') {
            notices.push(format!("{one}{id}"));
            continue;
        }
        let open = &mut open[usize::from(*ended)];
        match open.and_then(|place: usize| notices.get_mut(place)) {
            Some(notice) if notice.len() + id.len() < LONGEST => {
                notice.push('\n');
                notice.push_str(id);
            }
            _ => {
                *open = Some(notices.len());
                notices.push(format!("{all}{id}"));
            }
        }
    }
    notices
}

/// Passes a notice on.
pub(crate) fn tell(listener: &ChangeListener, notice: &str) {
    let mut chars = notice.chars();
    let kind = chars.next();
    let rest = chars.as_str();
    match kind {
        Some(ENDED) if is_id(rest) => listener.ended(rest),
        Some(CHANGED) if is_id(rest) => listener.changed(rest),
        Some(ALL_ENDED) => {
            rest.split('\n').filter(|id| is_id(id)).for_each(|id| listener.ended(id));
        }
        Some(ALL_CHANGED) => {
            rest.split('\n').filter(|id| is_id(id)).for_each(|id| listener.changed(id));
        }
        // No record has such an id.
        Some(ENDED | CHANGED) => {}
        // Perhaps of a later version of this crate.
        _ => listener.gap(),
    }
}

pub(crate) fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len())
}

/// How many bytes of UTF-8 a notice of several records has at most. PostgreSQL refuses 8000 bytes
/// in the encoding of the database, which may take more bytes than UTF-8, and its queue has pages of
/// 8192, of which this uses both halves.
const LONGEST: usize = 3_900;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn told(notices: &[impl AsRef<str>]) -> Vec<String> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = ChangeListener::new({
            let heard = heard.clone();
            move |notice| heard.lock().unwrap().push(format!("{notice:?}"))
        });
        notices.iter().for_each(|notice| tell(&listener, notice.as_ref()));
        std::mem::take(&mut *heard.lock().unwrap())
    }

    #[test]
    fn what_is_gathered_is_told_once_and_fits() {
        let long = "x".repeat(255);
        let ids: Vec<String> = (0..1_000)
            .map(|number| match number % 3 {
                0 => format!("{number}"),
                1 => format!("{number}-{}", &long[..250]),
                _ => format!("+{number}\n-é"),
            })
            .collect();
        let all: Vec<Told> = ids
            .iter()
            .enumerate()
            .map(|(place, id)| Told { id: id.as_str().into(), ended: place % 2 == 0 })
            .collect();
        let notices = gather(&all);
        assert!(notices.iter().all(|notice| notice.len() < 4_000));
        assert!(notices.len() < 400, "{}", notices.len());
        let debug = |told: &Told| match told.ended {
            true => format!("Ended({:?})", told.id),
            false => format!("Changed({:?})", told.id),
        };
        let mut right: Vec<String> = all.iter().map(debug).collect();
        let mut told = told(&notices);
        right.sort();
        told.sort();
        assert_eq!(told, right);
        assert_eq!(gather(&[]), [""; 0]);
    }

    #[test]
    fn a_single_notice_names_a_whole_id() {
        assert_eq!(told(&["-a\nb", "++a"]), ["Ended(\"a\\nb\")", "Changed(\"+a\")"]);
    }

    #[test]
    fn garbage_is_ignored_or_a_gap() {
        let long = format!("-{}", "x".repeat(256));
        assert_eq!(told(&["-", "+", "*", "*\n\n", "=", "=\n", &long]), [""; 0]);
        assert_eq!(told(&["", "a", "é", "{\"id\":1}", "\n"]), ["Gap"; 5]);
        assert_eq!(told(&["*\na\n"]), ["Changed(\"a\")"]);
    }
}
