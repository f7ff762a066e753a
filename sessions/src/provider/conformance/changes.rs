//! The feed of changes, and fetching many records at once.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::subject::{Handle, Subject, record};
use crate::provider::{ChangeListener, Expect, Notice, Ping, Record, Saved};

pub(super) async fn fetch_many_returns_the_live_records(subject: Subject) {
    let mut stored = Vec::new();
    for number in 0..100 {
        let mut record = record(&subject, &format!("id{number:02}"), 1);
        if number % 10 == 3 {
            record.expires_at = Some(subject.at(5));
        }
        subject.handle(number).put(&record, Expect::Absent, subject.at(0)).await;
        stored.push(record);
    }
    let now = subject.at(5);
    let mut expected: Vec<_> = stored.iter().filter(|record| record.is_live(now)).collect();
    expected.retain(|record| *record.id >= *"id02");
    let mut ids: Vec<_> = stored[2..].iter().map(|record| &*record.id).collect();
    ids.extend(["missing", "é"]);
    let mut found = subject.two.fetch_many(&ids, now).await;
    found.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        expected,
        "fetch_many must return each live record among the ids once, whole, and nothing else"
    );
    assert_eq!(subject.one.fetch_many(&[], now).await, [], "fetch_many of no ids");
}

pub(super) async fn changes_name_what_other_instances_save_and_delete(subject: Subject) {
    if !subject.offers_changes().await {
        return;
    }
    let mut feed = Feed::begin(&subject).await;
    for turn in 0..4 {
        // Also the instance's own.
        let by = subject.handle(turn);
        let id = format!("id{turn}");
        by.put(&record(&subject, &id, 1), Expect::Absent, subject.at(0)).await;

        by.put(&record(&subject, &id, 2), Expect::Version(1), subject.at(0)).await;
        by.announce(&[&id, "another"]).await;
        feed.names(&id, "a save that was announced").await;

        let renewed = record(&subject, &id, 3);
        let saved = by.save_and_announce(&renewed, Expect::Version(2), subject.at(0)).await;
        assert_eq!(saved, Saved::Saved, "save_and_announce over the version that is stored");
        feed.names(&id, "a save that announces").await;
        let lost = by.save_and_announce(&renewed, Expect::Version(2), subject.at(0)).await;
        assert_eq!(lost, Saved::Conflict(Some(renewed)), "save_and_announce over another version");

        by.delete_if(&id, Expect::Version(3), subject.at(0)).await;
        feed.names(&id, "a deletion").await;
    }
    // Without a check, and of many ids at once.
    let ids: Vec<_> = (0..2_000).map(|number| format!("{number:0>200}")).collect();
    let refs: Vec<_> = ids.iter().map(String::as_str).collect();
    let last = record(&subject, &ids[1_999], 1);
    subject.two.put(&last, Expect::Absent, subject.at(0)).await;
    subject.two.announce(&refs).await;
    subject.two.delete(&ids[1_999], subject.at(0)).await;
    feed.names(&ids[1_999], "the last of many").await;
}

pub(super) async fn changes_are_told_before_the_proof_that_covers_them(subject: Subject) {
    if !subject.offers_changes().await {
        return;
    }
    let mut feed = Feed::begin(&subject).await;
    for turn in 0..PROOFS {
        let (by, id) = (subject.handle(turn), format!("id{turn}"));
        by.put(&record(&subject, &id, 1), Expect::Absent, subject.at(0)).await;
        by.delete_if(&id, Expect::Version(1), subject.at(0)).await;
        feed.proof_after(Ping::at(SystemTime::now())).await;
        assert!(
            feed.has_named(&id),
            "the deletion of {id} completed before the ping was sent, so it must be told before \
             the ping's proof"
        );
    }
}

/// How many proofs are waited for. Each takes a second.
const PROOFS: usize = 4;

/// What a listener has heard.
struct Feed {
    heard: mpsc::UnboundedReceiver<Heard>,
    named: Vec<String>,
    gap: bool,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
enum Heard {
    Began,
    Named(String),
    Gap,
    Proved(Ping),
}

impl Feed {
    async fn begin(subject: &Subject) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let listener = ChangeListener::new(move |notice| {
            let heard = match notice {
                Notice::Began => Heard::Began,
                Notice::Changed(id) | Notice::Ended(id) => Heard::Named(id.to_owned()),
                Notice::Gap => Heard::Gap,
                Notice::Proved(ping) => Heard::Proved(ping),
            };
            // The property may be over.
            sender.send(heard).ok();
        });
        let provider = subject.one.0.clone();
        let task = tokio::spawn(async move {
            let Err(error) = provider.changes(listener).await;
            panic!("changes must go on here, but ended: {error} ({error:?})");
        });
        let mut feed = Self { heard, named: Vec::new(), gap: false, task };
        match feed.next("that it has begun").await {
            Heard::Began => feed,
            other => panic!("changes must tell first that it has begun, but told {other:?}"),
        }
    }

    async fn next(&mut self, of: &str) -> Heard {
        match timeout(SOON, self.heard.recv()).await {
            Ok(Some(heard)) => heard,
            Ok(None) => panic!("changes has ended before it told of {of}"),
            Err(_) => panic!("changes must tell of {of}, and did not within {SOON:?}"),
        }
    }

    fn already_heard(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }

    fn note(&mut self, heard: Heard) {
        match heard {
            Heard::Named(id) => self.named.push(id),
            Heard::Gap => self.gap = true,
            Heard::Began | Heard::Proved(_) => {}
        }
    }

    fn has_named(&self, id: &str) -> bool {
        self.gap || self.named.iter().any(|named| named == id)
    }

    /// Waits for a notice of this id, or for a gap.
    async fn names(&mut self, id: &str, of: &str) {
        let mut proofs = 0;
        loop {
            match self.next(of).await {
                Heard::Named(named) if named == id => break,
                Heard::Gap => break,
                Heard::Proved(_) => proofs += 1,
                Heard::Named(_) | Heard::Began => {}
            }
            // Each proof says that everything before its ping was told.
            assert!(proofs < 3, "changes must tell of {of}, and proves that it has told of all");
        }
        // What it also tells twice is no part of the next.
        while self.already_heard().is_some() {}
    }

    /// Waits for the proof of a ping that was sent after this one.
    async fn proof_after(&mut self, earlier: Ping) {
        let began = SystemTime::now();
        loop {
            match self.next("the proof that it is alive").await {
                Heard::Proved(ping) if earlier.age(ping).is_some_and(|age| !age.is_zero()) => {
                    return;
                }
                heard => self.note(heard),
            }
            let waited = SystemTime::now().duration_since(began).unwrap_or_default();
            assert!(waited < SOON, "changes must prove each second that it is alive");
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a notice may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

impl Handle {
    async fn fetch_many(&self, ids: &[&str], now: SystemTime) -> Vec<Record> {
        self.0.fetch_many(ids, now).await.expect("fetch_many must answer here")
    }

    async fn announce(&self, ids: &[&str]) {
        self.0.announce(ids).await.expect("announce must answer here");
    }

    async fn save_and_announce(&self, record: &Record, expect: Expect, now: SystemTime) -> Saved {
        let saved = self.0.save_and_announce(record, expect, now).await;
        saved.expect("save_and_announce must answer here")
    }
}
