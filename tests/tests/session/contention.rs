//! Many writers of one session: every change is there in the end, and none twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sessions::provider::Provider;
use sessions::{Error, MemoryProvider, Session, SessionData, Store};
use sessions_sqlite::SqliteProvider;
use sessions_tests::hooked::{Call, Fault, Faults, Hooked};
use sessions_tests::jar::Jar;

const COMMITS: u32 = 1_000;
const TASKS: u32 = 32;

/// A commit may give up where the machine stood still, or where the answer to a save was lost that
/// more than eight others have overtaken. Without turns and a save right after a conflict, it was
/// one in ten.
const MOST_AGAIN: u32 = COMMITS / 50;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    count: u32,
    marks: Vec<u32>,
}

macro_rules! desk {
    ($($field:ident)*) => {
        /// A field for each task, without a policy.
        #[derive(Session)]
        #[session(name = "desk", version = 1)]
        struct Desk {
            $($field: u32,)*
        }

        impl Desk {
            fn counts(&mut self) -> [&mut u32; TASKS as usize] {
                [$(&mut self.$field,)*]
            }
        }
    };
}

desk! {
    f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15
    f16 f17 f18 f19 f20 f21 f22 f23 f24 f25 f26 f27 f28 f29 f30 f31
}

/// Runs the commits; `edit` gets the task, the number of the commit, and how many its task made
/// before. A commit whose end is unknown is made again from a session loaded anew, so an edit must
/// see for itself whether it took place. Returns how many were made again.
async fn crowd<T: SessionData>(
    store: &Store,
    jar: &Jar,
    edit: impl Fn(&mut T, u32, u32, u32) + Send + Sync + 'static,
) -> u32 {
    let edit = Arc::new(edit);
    let next = Arc::new(AtomicU32::new(0));
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (edit, next, store, jar) = (edit.clone(), next.clone(), store.clone(), jar.clone());
        tasks.push(tokio::spawn(async move {
            let mut again = 0;
            for made in 0.. {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= COMMITS {
                    break;
                }
                loop {
                    let mut session = store.load::<T>(jar.headers()).await.unwrap();
                    edit(&mut session, task, number, made);
                    match session.commit().await {
                        Ok(_) => break,
                        Err(error) => {
                            let error = error.into_error();
                            assert!(error.is_unavailable(), "{error}");
                            println!("commit {number}: {}", reasons(&error));
                            again += 1;
                        }
                    }
                }
            }
            again
        }));
    }
    let mut again = 0;
    for task in tasks {
        again += task.await.unwrap();
    }
    again
}

fn reasons(error: &Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

/// A session that is there before the crowd comes.
async fn begin<T: SessionData>(store: &Store, edit: impl FnOnce(&mut T)) -> Jar {
    let mut jar = Jar::new();
    let mut session = store.load::<T>(jar.headers()).await.unwrap();
    edit(&mut session);
    assert!(jar.keep(&session.commit().await.unwrap()));
    jar
}

async fn every_mark_is_there_once(provider: impl Provider) {
    let again = count_marks(provider).await;
    assert!(again <= MOST_AGAIN, "{again} commits gave up");
}

async fn disjoint_fields_need_no_policy(provider: impl Provider) {
    let again = count_fields(provider).await;
    assert!(again <= MOST_AGAIN, "{again} commits gave up");
}

async fn count_marks(provider: impl Provider) -> u32 {
    let store = Store::new(provider);
    let jar = begin::<Visitor>(&store, |visitor| visitor.marks.push(COMMITS)).await;
    let again = crowd::<Visitor>(&store, &jar, |visitor, _, number, _| {
        if !visitor.marks.contains(&number) {
            visitor.count += 1;
            visitor.marks.push(number);
        }
    })
    .await;
    let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    let mut times: HashMap<u32, u32> = HashMap::new();
    for mark in &visitor.marks {
        *times.entry(*mark).or_default() += 1;
    }
    let wrong: Vec<_> = (0..=COMMITS).filter(|mark| times.get(mark) != Some(&1)).collect();
    assert_eq!(wrong, [0; 0], "each mark is there once");
    assert_eq!(times.len() as u32, COMMITS + 1);
    assert_eq!(visitor.count, COMMITS);
    again
}

/// Each task counts in a field of its own.
async fn count_fields(provider: impl Provider) -> u32 {
    let store = Store::new(provider);
    let jar = begin::<Desk>(&store, |desk| desk.f0 = 1).await;
    let counted = Arc::new([const { AtomicU32::new(0) }; TASKS as usize]);
    let counts = counted.clone();
    let again = crowd::<Desk>(&store, &jar, move |desk, task, _, made| {
        let task = task as usize;
        let fields = desk.counts();
        let count = &mut *fields[task];
        // What this task saved last is there, or what it does again.
        assert!(*count == made || *count == made + 1 || made == 0, "{count} after {made}");
        *count = made + 1;
        counts[task].store(made + 1, Ordering::SeqCst);
    })
    .await;
    let mut desk = store.load::<Desk>(jar.headers()).await.unwrap();
    let found = desk.counts().map(|count| *count);
    let counted = counted.each_ref().map(|count| count.load(Ordering::SeqCst));
    assert_eq!(found, counted);
    assert_eq!(found.iter().sum::<u32>(), COMMITS);
    again
}

/// One save in ten takes place, or meets its conflict, and nobody hears of it.
fn lossy<P: Provider>(provider: P) -> Hooked<P, Faults> {
    let faults = Faults::default();
    faults.set(Fault::LostEach(Call::Save, 10));
    Hooked::new(provider, faults)
}

async fn sqlite(folder: &Path) -> SqliteProvider {
    SqliteProvider::open(folder.join("sessions.db")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_every_mark_once() {
    every_mark_is_there_once(MemoryProvider::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_every_mark_once_although_answers_are_lost() {
    every_mark_is_there_once(lossy(MemoryProvider::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_disjoint_fields() {
    disjoint_fields_need_no_policy(MemoryProvider::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_disjoint_fields_although_answers_are_lost() {
    disjoint_fields_need_no_policy(lossy(MemoryProvider::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_every_mark_once() {
    let folder = tempfile::tempdir().unwrap();
    every_mark_is_there_once(sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_every_mark_once_although_answers_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    every_mark_is_there_once(lossy(sqlite(folder.path()).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_disjoint_fields() {
    let folder = tempfile::tempdir().unwrap();
    disjoint_fields_need_no_policy(sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_disjoint_fields_although_answers_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    disjoint_fields_need_no_policy(lossy(sqlite(folder.path()).await)).await;
}

#[cfg(feature = "postgres")]
mod postgres {
    use sessions_postgres::PostgresProvider;
    use sessions_tests::postgres::Database;

    use super::*;

    async fn provider(database: &Database) -> PostgresProvider {
        let provider = PostgresProvider::connect(database.url()).await.unwrap();
        provider.create_table().await.unwrap();
        provider
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_every_mark_once() {
        let database = Database::create();
        every_mark_is_there_once(provider(&database).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_every_mark_once_although_answers_are_lost() {
        let database = Database::create();
        every_mark_is_there_once(lossy(provider(&database).await)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_disjoint_fields() {
        let database = Database::create();
        disjoint_fields_need_no_policy(provider(&database).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_disjoint_fields_although_answers_are_lost() {
        let database = Database::create();
        disjoint_fields_need_no_policy(lossy(provider(&database).await)).await;
    }
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_keeps_every_mark_once() {
    let space = sessions_tests::redis::Space::new();
    every_mark_is_there_once(space.provider().await).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_keeps_every_mark_once_although_answers_are_lost() {
    let space = sessions_tests::redis::Space::new();
    every_mark_is_there_once(lossy(space.provider().await)).await;
}

/// DynamoDB Local may take so long for a save that 32 in a row are more than a commit waits for: how
/// many give up says nothing here.
#[cfg(feature = "dynamodb")]
mod dynamodb {
    use sessions_tests::dynamodb::Table;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_every_mark_once_although_answers_are_lost() {
        let table = Table::create().await;
        count_marks(lossy(table.provider().await)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_disjoint_fields() {
        let table = Table::create().await;
        count_fields(table.provider().await).await;
    }
}
