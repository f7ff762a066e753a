//! The text of a notice: which records changed or ended, and nothing else.
//!
//! `-<id>` is a record that was deleted, `+<id>` one that was saved, and `*<id>\n<id>...` several
//! that were saved. Whoever has the database's password can send any other text.

use sessions::provider::ChangeListener;

/// A record that was saved.
pub(crate) const CHANGED: char = '+';

/// A record that was deleted.
pub(crate) const ENDED: char = '-';

/// Records that were saved.
const GATHERED: char = '*';

/// The notices for records that were saved.
pub(crate) fn gather(ids: &[&str]) -> Vec<String> {
    let mut notices: Vec<String> = Vec::new();
    let mut open = None;
    for id in ids {
        // It cannot be told from two.
        if id.contains('\n') {
            notices.push(format!("{CHANGED}{id}"));
            continue;
        }
        match open.and_then(|place: usize| notices.get_mut(place)) {
            Some(notice) if notice.len() + id.len() < LONGEST => {
                notice.push('\n');
                notice.push_str(id);
            }
            _ => {
                open = Some(notices.len());
                notices.push(format!("{GATHERED}{id}"));
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
        Some(GATHERED) => {
            for id in rest.split('\n').filter(|id| is_id(id)) {
                listener.changed(id);
            }
        }
        // No record has such an id.
        Some(ENDED | CHANGED) => {}
        // Perhaps of a later version of this crate.
        _ => listener.gap(),
    }
}

fn is_id(text: &str) -> bool {
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
        let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
        let notices = gather(&refs);
        assert!(notices.iter().all(|notice| notice.len() < 4_000));
        assert!(notices.len() < 400, "{}", notices.len());
        let mut right: Vec<String> = ids.iter().map(|id| format!("Changed({id:?})")).collect();
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
        assert_eq!(told(&["-", "+", "*", "*\n\n", &long]), [""; 0]);
        assert_eq!(told(&["", "a", "é", "{\"id\":1}", "\n"]), ["Gap"; 5]);
        assert_eq!(told(&["*\na\n"]), ["Changed(\"a\")"]);
    }
}
