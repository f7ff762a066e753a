use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use super::*;

type NewError = fn(&'static str) -> ProviderError;

/// A database that answers when the test says so.
#[derive(Clone)]
struct Fake(Arc<Inner>);

struct Inner {
    answers: Semaphore,
    asked: Mutex<Vec<String>>,
    error: Mutex<Option<NewError>>,
    patience: Duration,
}

impl Teller for Fake {
    async fn tell(&self, notices: &[&str]) -> Result<(), ProviderError> {
        self.0.asked.lock().unwrap().push(notices.join(" "));
        self.0.answers.acquire().await.unwrap().forget();
        self.0.error.lock().unwrap().map_or(Ok(()), |error| Err(error("the test says so")))
    }

    fn end(&self) -> Instant {
        Instant::now() + self.0.patience
    }
}

struct World {
    announcer: Arc<Announcer>,
    fake: Fake,
}

impl World {
    fn new() -> Self {
        Self::with_patience(Duration::from_secs(600))
    }

    fn with_patience(patience: Duration) -> Self {
        let fake = Fake(Arc::new(Inner {
            answers: Semaphore::new(0),
            asked: Mutex::default(),
            error: Mutex::default(),
            patience,
        }));
        Self { announcer: Arc::default(), fake }
    }

    /// The end of a record, told in a task of its own.
    fn end(&self, id: &str) -> JoinHandle<Result<(), Untold>> {
        let (announcer, fake, id) = (self.announcer.clone(), self.fake.clone(), id.to_owned());
        tokio::spawn(async move { announcer.change(&fake, &id).tell(true, late()).await })
    }

    /// A call that has begun to change a record.
    fn begun<'c>(&'c self, id: &'c str) -> Change<'c, Fake> {
        let mut change = self.announcer.change(&self.fake, id);
        change.begin();
        change
    }

    async fn asked(&self, right: &[&str]) {
        until(|| self.fake.0.asked.lock().unwrap().len() >= right.len()).await;
        assert_eq!(*self.fake.0.asked.lock().unwrap(), right);
    }

    fn answer(&self, times: usize) {
        self.fake.0.answers.add_permits(times);
    }

    fn fail(&self, error: Option<NewError>) {
        *self.fake.0.error.lock().unwrap() = error;
    }

    async fn waiting(&self, ids: usize) {
        until(|| self.announcer.state().waiting.ids == ids).await;
    }
}

fn late() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if condition() {
            return;
        }
        yield_now().await;
    }
    panic!("it has not come to that");
}

#[tokio::test]
async fn what_comes_during_an_announcement_is_gathered_and_answered_after_the_next() {
    let world = World::new();
    let first = world.end("a");
    world.asked(&["=a"]).await;
    let others = ["b", "c"].map(|id| world.end(id));
    world.waiting(2).await;
    assert!(!first.is_finished());
    world.answer(1);
    first.await.unwrap().unwrap();
    world.asked(&["=a", "=b\nc"]).await;
    assert!(others.iter().all(|other| !other.is_finished()));
    world.answer(1);
    for other in others {
        other.await.unwrap().unwrap();
    }
    world.announcer.quiet(late()).await;
}

#[tokio::test]
async fn a_failure_is_each_callers_and_is_told_behind_the_next_success() {
    let world = World::new();
    world.fail(Some(ProviderError::unavailable));
    let calls = ["a", "b"].map(|id| world.end(id));
    world.asked(&["=a\nb"]).await;
    world.answer(1);
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, Untold::Failed(_)), "{error:?}");
    }
    // It is not tried over and over.
    world.announcer.quiet(late()).await;
    world.fail(None);
    world.answer(2);
    world.end("c").await.unwrap().unwrap();
    world.announcer.quiet(late()).await;
    world.asked(&["=a\nb", "=c", "=a\nb"]).await;
}

#[tokio::test]
async fn an_id_that_may_be_refused_fails_alone_and_is_not_kept() {
    let world = World::new();
    world.fail(Some(ProviderError::permanent));
    let long = "x".repeat(256);
    let ids = ["a", "b", "é", "n\0l", &long, "c", "d"];
    let calls = ids.map(|id| world.end(id));
    world.answer(5);
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    world.fail(None);
    world.answer(1);
    world.end("e").await.unwrap().unwrap();
    world.announcer.quiet(late()).await;
    let long = format!("={long}");
    world.asked(&["=a\nb", "=é", "=n\0l", &long, "=c\nd", "=e"]).await;
}

#[tokio::test]
async fn a_change_that_is_cancelled_or_fails_is_announced_and_one_that_did_nothing_is_not() {
    let world = World::new();
    world.answer(9);
    drop(world.announcer.change(&world.fake, "before it was sent"));
    drop(world.begun("a"));
    world.asked(&["*a"]).await;
    world.begun("b").did_nothing();
    drop(world.begun("c").tell(true, late()));
    world.asked(&["*a", "*c"]).await;
    world.announcer.quiet(late()).await;

    // While it waits for the announcement before its own.
    let world = World::new();
    let first = world.end("a");
    world.asked(&["=a"]).await;
    let second = world.end("b");
    world.waiting(1).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    first.abort();
    world.answer(2);
    world.announcer.quiet(late()).await;
    world.asked(&["=a", "=b"]).await;
}

#[test]
fn a_call_goes_on_when_the_runtime_of_the_task_has_ended() {
    let world = World::new();
    let [other, mine] = [(), ()].map(|()| Runtime::new().unwrap());
    other.block_on(async {
        world.end("a");
        world.asked(&["=a"]).await;
    });
    let second = {
        let _mine = mine.enter();
        world.end("b")
    };
    mine.block_on(world.waiting(1));
    drop(other);
    world.answer(9);
    mine.block_on(async {
        second.await.unwrap().unwrap();
        world.announcer.quiet(late()).await;
        // The first was cancelled with its runtime. What both left is told last.
        world.asked(&["=a", "=b", "=a\nb"]).await;
        world.end("c").await.unwrap().unwrap();
    });
    drop(mine);
    // Outside a runtime nobody can tell. The next call takes it along.
    drop(world.begun("d"));
    Runtime::new().unwrap().block_on(async {
        world.end("e").await.unwrap().unwrap();
        world.asked(&["=a", "=b", "=a\nb", "=c", "*d =e"]).await;
    });
}

#[test]
fn a_call_goes_on_when_the_task_is_not_run_any_more() {
    let world = World::with_patience(Duration::ZERO);
    let [idle, mine] = [(), ()]
        .map(|()| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    idle.block_on(async {
        world.end("a");
        world.asked(&["=a"]).await;
    });
    world.answer(9);
    mine.block_on(async { world.end("b").await.unwrap().unwrap() });
    // It ends without a trace in the other's work.
    idle.block_on(async { until(|| Arc::strong_count(&world.announcer) == 1).await });
    mine.block_on(async {
        world.end("c").await.unwrap().unwrap();
        world.asked(&["=a", "=b", "=c"]).await;
    });
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let world = World::new();
    let many = |count: usize| move || vec![Told::changed("a"); count];
    let announce = async |count| {
        let end = Instant::now();
        world.announcer.announce(&world.fake, many(count), end).await.unwrap_err()
    };
    assert!(matches!(announce(1).await, Untold::TooLate));
    world.waiting(0).await;
    // One call may have any number.
    assert!(matches!(announce(MOST_WAITING + 1).await, Untold::TooLate));
    assert!(matches!(announce(1).await, Untold::TooMany));
    drop(world.begun("b"));
    assert_eq!(world.announcer.state().waiting.ids, MOST_WAITING + 1);

    world.fail(Some(ProviderError::unavailable));
    world.answer(9);
    world.announcer.quiet(late()).await;
    // More than are kept, but for a call of so many.
    assert_eq!(world.announcer.state().kept.ids, 1);
    for _ in 0..2 {
        announce(MOST_KEPT - 1).await;
        world.announcer.quiet(late()).await;
        assert_eq!(world.announcer.state().kept.ids, MOST_KEPT);
    }
}
